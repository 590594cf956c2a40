"""`ProviderSimulator`: the server, in a thread of its own."""

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, Unpack

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.calls.prices import load_price_list
from dspex_testkit.errors import MissingExtraError, UsageError
from dspex_testkit.managed import Managed
from dspex_testkit.mock_lm.clock import Clock, RealClock

try:
    from aiohttp import web
except ImportError as error:
    raise MissingExtraError("The provider simulator", "simulator") from error

from dspex_testkit.protocol import codec
from dspex_testkit.simulator.admin import PREFIX, Admin
from dspex_testkit.simulator.handler import Handler
from dspex_testkit.simulator.registry import DEFAULT_ID, Registry, TargetSettings
from dspex_testkit.simulator.target import Target

_logger = logging.getLogger("dspex_testkit.simulator")
# Where nobody looks at logs, Python would print them to stderr.
_logger.addHandler(logging.NullHandler())

HOST: Final = "127.0.0.1"
_MAX_BODY: Final = 64 << 20


class ProviderSimulator(Managed[None]):
    """A server on this machine that answers as LM providers do, from mock specs and recordings.

    Runs in a thread with an event loop of its own, so tests need not be asynchronous; in asynchronous ones use
    `async with`, or `astart` and `astop`.

    Args:
        spec: What the default target answers: requests that come with no target's URL, header or key.
        cassette: An LM cassette from which it answers, in place of a spec.
        cassette_options: How that is played, as of `target`.
        faults: What goes wrong with those.
        limits: Their `requests_per_minute` and `tokens_per_minute`.
        cassettes: The folder whose cassettes may be named over the admin API; without it none may.
        port: 0 for any free one.
        clock: Where delays are waited for and rate limits measured.
        journal: Where LM calls are written.

    Raises:
        InvalidMockSpecError: The spec cannot be used.
        CassetteError: The cassette cannot.
        UsageError: A fault, a limit or an option cannot.
    """

    def __init__(
        self,
        spec: Any = None,
        *,
        cassette: str | os.PathLike[str] | None = None,
        cassette_options: Mapping[str, Any] | None = None,
        faults: Any = None,
        limits: Mapping[str, Any] | None = None,
        cassettes: str | os.PathLike[str] | None = None,
        port: int = 0,
        clock: Clock | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.journal = Journal() if journal is None else journal
        self.token = secrets.token_urlsafe(24)
        """What the admin API wants to be shown."""
        self._registry = Registry(clock or RealClock(), self.journal)
        self._registry.configure(
            DEFAULT_ID,
            spec=spec,
            cassette=cassette,
            cassette_options=cassette_options,
            faults=faults,
            limits=limits,
        )
        self._cassettes = None if cassettes is None else Path(cassettes)
        self._wanted_port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._admin: Admin | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://{HOST}:{self.port}"

    @property
    def calls(self) -> list[LMCall]:
        """What was asked of any target, in order."""
        return self._registry.calls()

    def target(self, model: str, **settings: Unpack[TargetSettings]) -> Target:
        """A model of its own on this server: own answers, own faults, own limits, own calls.

        Args:
            model: With its provider: `openai/gpt-4o-mini`, `anthropic/…`, `gemini/…`, `cohere_chat/…`, `ollama_chat/…`,
                or any prefix of a server that is compatible with OpenAI.
            settings: What it answers: a mock `spec` or its JSON, or a `cassette`; without either, answers derived from
                what is asked. How a cassette is played (`cassette_options`): some of `match_on`, `params` (by default
                only the temperature counts), `ignore`, `ignore_patterns`, `on_exhausted`, `allow_playback_repeats`,
                `realtime`, `max_age`, `on_stale`, each as of `cassettes.cassette_options`. What goes wrong on the way
                (`faults`), and `requests_per_minute` and `tokens_per_minute` (`limits`).

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            CassetteError: The cassette cannot.
            UsageError: The server does not run, or something else cannot be used.
        """
        if self._admin is None:
            raise UsageError("The simulator does not run: use it in a with statement, or call start().")
        return self._admin.target(model, **settings)

    def reset(self) -> None:
        """Forget the journal; scripts, recordings, fault schedules and rate limits begin anew."""
        self._registry.reset()

    def start(self) -> Self:
        """Listen.

        Raises:
            UsageError: It runs already, or the port is taken.
        """
        if self._thread is not None:
            raise UsageError("This simulator runs already.")
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self._wanted_port))
        except OSError as error:
            listener.close()
            raise UsageError(f"Port {self._wanted_port} cannot be had: {error.strerror}. Try another, or 0.") from None
        self.port = listener.getsockname()[1]
        self._admin = Admin(self._registry, self.url, self.token, self._cassettes)
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name="dspex-testkit-simulator", daemon=True
        )
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            listener.close()
            self._thread = self._admin = None
            raise
        return self

    def stop(self) -> None:
        """Stop listening and end what is still open; safe to call again."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._admin = None

    def _run(self, listener: socket.socket, ready: "Future[None]") -> None:
        try:
            # Else the first request would read it, and all others would wait.
            load_price_list()
            codec.use_orjson()
            asyncio.run(self._serve(listener, ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def _handler(self, stopping: asyncio.Event) -> Callable[[web.BaseRequest], Awaitable[Any]]:
        """What answers requests that are not for the admin API."""
        return Handler(self._registry, self.url, stopping)

    async def _serve(self, listener: socket.socket, ready: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        provider, admin = self._handler(self._stopping), self._admin
        assert admin is not None

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                response = await (admin(request) if request.path.startswith(PREFIX) else provider(request))
                assert isinstance(response, web.StreamResponse)
                return response
            except (ConnectionError, web.HTTPException):
                raise
            except Exception as error:
                _logger.error("%s %s failed", request.method, request.path, exc_info=error)
                return web.json_response(
                    {"error": {"message": "The simulator failed; what it logs says why."}}, status=500
                )

        # Cancelled with its client, so that nobody goes on waiting for one that has left.
        server = web.Server(
            handle, request_factory=_request, handler_cancellation=True, access_log=None, logger=_logger
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await runner.setup()
        site = web.SockSite(runner, listener)
        await site.start()
        ready.set_result(None)
        await self._stopping.wait()
        await runner.cleanup()


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=_MAX_BODY
    )

"""The recording proxy: it stands between any client and the real provider, and keeps what they say as LM calls.

Requests go to `/to/PROVIDER/…` and on to that provider's address, which is fixed at the start; nothing else is reached.
What is answered is passed on piece by piece as it comes. What was recorded before is answered as the simulator answers
from a cassette. Exchanges are turned into LM calls when the proxy has stopped, so that a client that leaves with the
last piece loses nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web
from dspy.lm15 import Request
from yarl import URL

from dspex_testkit.calls import LMCall, Usage
from dspex_testkit.cassettes import CassetteReport, Interaction, OpenCassette
from dspex_testkit.cassettes.convert import recorded_lms
from dspex_testkit.cassettes.http.token_endpoints import hands_out_tokens
from dspex_testkit.cassettes.traffic import Exchange, Reading, is_lm_call, read_exchange
from dspex_testkit.dspy_internals.wire import request_to_dict, response_from_dict
from dspex_testkit.engines.responses import usage_of
from dspex_testkit.errors import CassetteFormatError, UsageError
from dspex_testkit.redaction import Redactor, Secrets, secrets_of_request
from dspex_testkit.simulator import reading as bodies
from dspex_testkit.simulator.handler import Handler
from dspex_testkit.simulator.recorded import RecordedAnswers
from dspex_testkit.simulator.registry import DEFAULT_ID
from dspex_testkit.simulator.routes import find_route
from dspex_testkit.simulator.server import HOST, ProviderSimulator
from dspex_testkit.wires.failures import Failure, Refused
from dspex_testkit.wires.openai_chat import OpenAIChat

PREFIX: Final = "/to/"
"""Before the provider's name in a URL."""
PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
    "cohere": "https://api.cohere.com",
    "groq": "https://api.groq.com/openai",
    "deepseek": "https://api.deepseek.com",
    "openrouter": "https://openrouter.ai/api",
    "mistral": "https://api.mistral.ai",
    "xai": "https://api.x.ai",
    "together": "https://api.together.xyz",
}
"""Where providers are, less the version that clients begin their paths with."""
OWN_SERVERS: Final = ("vllm", "ollama")
"""What people run themselves, at addresses that only they know."""
_OF_A_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "content-length", "host", "expect"}
)
"""Headers that are between two neighbours, and not for whoever stands behind them."""
_PATIENCE: Final = aiohttp.ClientTimeout(total=None, sock_connect=30)
_UNREAD: Final = {"model": "?", "messages": [], "config": {}}
_found: ContextVar[list[Interaction]] = ContextVar("found")
"""The recordings that answer the request at hand."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Who is asked in the place of a provider."""

    root: str
    """Where it is."""
    model: str | None = None
    """The only model that it has; None where it says itself what it has."""


@dataclass(slots=True)
class _Passed:
    """A request that was passed on, and what of its answer has come."""

    uri: str
    """As the provider itself would have been asked."""
    method: str
    asked: bytes
    orders: tuple[int, ...]
    """The places of its answers in the order of asking; none where it is no call of an LM."""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: int = 0
    reason: str = ""
    headers: dict[str, list[str]] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    cut: str | None = "closed"
    """Why the body is not whole; until it is, that its client has left."""
    seconds: float = 0.0

    def exchange(self) -> Exchange:
        """As the conversion reads it."""
        request = {"method": self.method, "uri": self.uri, "body": self.asked, "headers": {}}
        answer = {
            "status": {"code": self.status, "message": self.reason},
            "headers": self.headers,
            "body": {"string": b"".join(self.pieces)},
        }
        cut = self.cut
        if cut == "closed" and not self.pieces:
            cut = "cancelled"
        return replace(Exchange.from_record({"request": request, "response": answer}), cut=cut)


class RecordingProxy(ProviderSimulator):
    """A proxy on this machine that keeps LM calls in a cassette.

    Args:
        upstreams: Who is asked in the place of each provider.
        cassette: What is played and recorded; without one, everything is passed on and nothing kept.
        port: 0 for any free one.
    """

    def __init__(
        self, upstreams: Mapping[str, Upstream], *, cassette: OpenCassette | None = None, port: int = 0
    ) -> None:
        super().__init__(port=port)
        self._upstreams = dict(upstreams)
        self._cassette = cassette
        self._redactor = Redactor() if cassette is None else cassette.options.redactor
        self._passed: list[_Passed] = []
        self._not_kept: list[str] = []
        self.troubles: list[str] = []
        """Why nothing is to be recorded: an upstream that was down, a model that is not there."""
        if cassette is not None:
            self._registry.get(DEFAULT_ID).configure(answers=_FoundAnswers(cassette, self.journal))

    def base(self, provider: str) -> str | None:
        """Where clients ask for a provider; None where nobody is asked in its place."""
        return f"{self.url}{PREFIX}{provider}" if provider in self._upstreams else None

    def commit(self) -> CassetteReport | None:
        """Keep what was passed on, once the proxy has stopped; the cassette is closed.

        Raises:
            CassetteError: It cannot be written, holds a secret, or nothing was recorded.
        """
        readings = []
        for passed in self._passed:
            reading = self._keep(passed)
            if reading is not None:
                readings.append(reading)
        if self._cassette is None:
            return None
        for lm in recorded_lms(readings):
            self._cassette.introduce(lm)
        return self._cassette.commit()

    @property
    def not_kept(self) -> tuple[str, ...]:
        """What was passed on and is no call of an LM."""
        return tuple(self._not_kept)

    def discard(self) -> None:
        """Keep nothing of what was passed on."""
        if self._cassette is not None:
            self._cassette.discard()

    def _handler(self, stopping: asyncio.Event) -> Callable[[web.BaseRequest], Awaitable[Any]]:
        replay = Handler(self._registry, self.url, stopping)
        return _Forwarder(self, self._upstreams, self._cassette, replay, self._passed, self._redactor.known)

    def _keep(self, passed: _Passed) -> Reading | None:
        what = f"{passed.method} {passed.uri}"
        if not passed.orders:
            self._not_kept.append(f"{what}: no call of an LM that can be read")
            return None
        orders = list(passed.orders)
        try:
            reading = read_exchange(passed.exchange())
            for found in reading.interactions:
                self._journal(found)
                if self._cassette is None:
                    continue
                when = passed.began.isoformat()
                kept = replace(found, recorded_at=when, elapsed_ms=round(passed.seconds * 1000, 1))
                if orders:
                    self._cassette.keep(kept, orders.pop(0))
        except CassetteFormatError as error:
            reading, why = None, error.message
        else:
            why = "the provider gave fewer answers than were wanted"
        for order in orders:
            if self._cassette is not None:
                self._cassette.forgo(order, why)
        return reading

    def _journal(self, found: Interaction) -> None:
        provider, _, model = found.model.partition("/")
        error = None if found.error is None else str(found.error.get("message"))
        call = LMCall(
            provider=provider,
            model=model,
            mocked=False,
            engine="record" if self._cassette is not None else "live",
            completion=found.text if found.response is not None else None,
            usage=Usage() if found.response is None else usage_of(provider, model, response_from_dict(found.response)),
            error=error or (None if found.ended is None else found.text),
            rule="live",
            time=time.time(),
        )
        self.journal.record(call.without_secrets(self._redactor, self._redactor))


class _FoundAnswers(RecordedAnswers):
    """Answers with what was found for the request at hand."""

    def __init__(self, cassette: OpenCassette, journal: Any) -> None:
        self.path = cassette.path
        self._options = cassette.options
        self._lm_id = DEFAULT_ID
        self._journal = journal
        self._cassette = cassette

    def begin_anew(self) -> None:
        """Go on: what was played is played."""

    def _find(self, asked: dict[str, Any]) -> Interaction | None:
        return _found.get().pop(0)


class _Forwarder:
    """Passes requests on."""

    def __init__(
        self,
        proxy: RecordingProxy,
        upstreams: Mapping[str, Upstream],
        cassette: OpenCassette | None,
        replay: Callable[[web.BaseRequest], Awaitable[Any]],
        passed: list[_Passed],
        secrets: Secrets,
    ) -> None:
        self._proxy = proxy
        self._upstreams = upstreams
        self._cassette = cassette
        self._replay = replay
        self._passed = passed
        self._secrets = secrets
        self._hosts = {f"{HOST}:{proxy.port}", f"localhost:{proxy.port}"}
        self._reading = bodies.Reading()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: with a refusal, a recording, or what the provider says."""
        # A web page could make its reader's browser ask, under a name of its own that leads here.
        if request.headers.get("Host", "").lower() not in self._hosts:
            return self._refuse(request, "permission", 403, f"The Host of a request is {HOST}:{self._proxy.port}.")
        if "Origin" in request.headers:
            return self._refuse(request, "permission", 403, "A web page may not ask this proxy.")
        raw = request.rel_url.raw_path
        name, slash, rest = raw.removeprefix(PREFIX).partition("/")
        upstream = self._upstreams.get(name) if raw.startswith(PREFIX) and slash else None
        if upstream is None:
            known = ", ".join(f"{PREFIX}{each}/" for each in self._upstreams)
            return self._refuse(request, "not_found", 404, f"Nothing is behind {raw}; paths begin with {known}.")
        rest = f"/{rest}"
        if ".." in URL(rest, encoded=True).path.split("/"):
            return self._refuse(request, "invalid_request", 400, f"{raw} leads out of where it begins.")
        query = request.rel_url.raw_query_string
        asked = await request.read()
        rest_and_query = f"{rest}{'?' * bool(query)}{query}"
        uri = f"{PROVIDERS.get(name, upstream.root)}{rest_and_query}"
        if hands_out_tokens(uri, asked):
            return self._refuse(request, "permission", 403, f"{raw} hands out credentials, which no proxy should see.")
        model = _model_of(asked)
        if upstream.model is not None and model not in (None, upstream.model):
            what = f"There is no model {model!r} here; ask for {upstream.model!r}, or serve it under another name."
            self._proxy.troubles.append(what)
            return self._refuse(request, "not_found", 404, what)
        orders = self._taken(request, name, rest, asked)
        if not isinstance(orders, tuple):
            _found.set(orders)
            answer: web.StreamResponse = await self._replay(request)
            return answer
        passed = _Passed(uri.partition("?")[0], request.method, asked, orders)
        self._passed.append(passed)
        return await self._pass_on(request, URL(f"{upstream.root}{rest_and_query}", encoded=True), passed)

    def _taken(
        self, request: web.BaseRequest, provider: str, path: str, asked: bytes
    ) -> tuple[int, ...] | list[Interaction]:
        """The recordings that answer, else the places of the answers in the order of asking."""
        if request.method != "POST" or not is_lm_call(path):
            return ()
        for secret in secrets_of_request(request.headers, request.query, _json(asked)):
            self._secrets.add(secret, "a request's key")
        if self._cassette is None:
            return (0,)
        read = self._read(path, asked)
        canonical, several = (_UNREAD, 1) if read is None else (_canonical(provider, *read[:2]), read[2])
        taken = [self._cassette.take(canonical) for _ in range(several)]
        found = [each.interaction for each in taken if each.interaction is not None]
        return found if len(found) == several else tuple(each.order for each in taken if each.order is not None)

    def _read(self, path: str, asked: bytes) -> tuple[Request, str, int] | None:
        route = find_route(path)
        try:
            read = None if route is None else self._reading.read(route, path, asked).asked
        except Refused:
            return None
        return None if read is None else (read.ask.request, read.ask.model, read.ask.n)

    async def _pass_on(self, request: web.BaseRequest, url: URL, passed: _Passed) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if _is_passed_on(name)]
        # What is recorded has to be read, and not every encoding can be.
        headers.append(("Accept-Encoding", "identity"))
        began = time.monotonic()
        # To this machine without a proxy of the environment's.
        beyond = url.host not in (HOST, "localhost", "::1")
        try:
            async with (
                aiohttp.ClientSession(timeout=_PATIENCE, trust_env=beyond, auto_decompress=False) as session,
                session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=passed.asked or None,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
                ) as answer,
            ):
                return await self._hand_on(request, answer, passed)
        except aiohttp.ClientConnectionError as error:
            if passed.status:
                # It had begun to answer: the client is to see the connection break, as it would have without us.
                passed.cut = str(error) or "the connection broke off"
                raise ConnectionResetError(passed.cut) from error
            self._passed.remove(passed)
            what = f"{url.origin()} cannot be reached: {error}"
            self._proxy.troubles.append(what)
            return self._refuse(request, "unavailable", 502, what)
        finally:
            passed.seconds = time.monotonic() - began

    async def _hand_on(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, passed: _Passed
    ) -> web.StreamResponse:
        passed.status, passed.reason = answer.status, answer.reason or ""
        for name, value in answer.headers.items():
            passed.headers.setdefault(name.lower(), []).append(value)
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if _is_passed_on(name):
                response.headers.add(name, value)
        response.content_length = answer.content_length
        await response.prepare(request)
        try:
            async for piece in answer.content.iter_any():
                passed.pieces.append(piece)
                await response.write(piece)
        except aiohttp.ClientPayloadError as error:
            passed.cut = f"the connection broke off: {error}"
            if request.transport is not None:
                request.transport.abort()
            return response
        passed.cut = None
        await response.write_eof()
        return response

    @staticmethod
    def _refuse(request: web.BaseRequest, kind: str, status: int, message: str) -> web.Response:
        route = find_route(request.path)
        wire = OpenAIChat() if route is None else route.wire
        return web.json_response(wire.error(Failure(kind, message), status), status=status)


def _is_passed_on(name: str) -> bool:
    return name.lower() not in _OF_A_CONNECTION and name.lower() != "accept-encoding"


def _canonical(provider: str, request: Request, model: str) -> dict[str, Any]:
    return dict(request_to_dict(replace(request, model=f"{provider}/{model}")))


def _model_of(asked: bytes) -> str | None:
    body = _json(asked)
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None


def _json(asked: bytes) -> Any:
    try:
        return orjson.loads(asked)
    except orjson.JSONDecodeError:
        return None


def read_upstreams(given: Sequence[str]) -> dict[str, Upstream]:
    """Addresses from a command line: `openai=https://…`.

    Raises:
        UsageError: One is none.
    """
    found = {}
    for text in given:
        name, equals, root = text.partition("=")
        if name not in (*PROVIDERS, *OWN_SERVERS) or not equals or not root.startswith(("http://", "https://")):
            raise UsageError(
                f"--upstream {text}: PROVIDER=URL is wanted, with one of {', '.join((*PROVIDERS, *OWN_SERVERS))}, and "
                "http:// or https://"
            )
        found[name] = Upstream(root.rstrip("/"))
    return found

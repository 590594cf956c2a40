"""The bridge: requests in, responses out.

This is the only place where exceptions become responses. `Bridge.dispatch` answers commands that touch state at once
and in order; an execution comes back as an `Execution` whose LM has already been resolved, so that a transport may
run it on another thread without changing who answers.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from dspex_testkit.bridge.args import Args
from dspex_testkit.bridge.arguments import unknown_arguments, with_warnings
from dspex_testkit.bridge.commands import HANDLERS, Handler
from dspex_testkit.bridge.in_process import InProcessStore
from dspex_testkit.bridge.lms import LMScopes
from dspex_testkit.bridge.modules import CompiledPrograms
from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.bridge.signatures.workings import clear_workings
from dspex_testkit.bridge.state import StateStore
from dspex_testkit.errors import DSPexTestkitError, InvalidArgsError, ProtocolError, UnknownCommandError
from dspex_testkit.lm.params import nearest
from dspex_testkit.protocol import Request, Response, encode_request, parse_request
from dspex_testkit.redaction import NO_LOOKS, Redactor, Secret, Secrets, error_redactor, secrets_by_place

logger = logging.getLogger(__name__)

Mode = Literal["standalone", "pool-worker"]


class Execution:
    """A program's run, decided but not yet begun."""

    __slots__ = ("_bridge", "_request", "_warnings", "_work")

    def __init__(
        self, bridge: "Bridge", request: Request, work: Callable[[], dict[str, Any]], warnings: list[str]
    ) -> None:
        self._bridge = bridge
        self._request = request
        self._work = work
        self._warnings = warnings

    def run(self) -> Response:
        """Run the program and answer; never raises."""
        try:
            try:
                result = self._work()
            finally:
                # Whoever has this answer may ask another worker of the pool what came of it.
                self._bridge.store.settle()
            return self._bridge.success(self._request, result, self._warnings)
        except Exception as error:
            return self._bridge.failure(self._request, error)


class Bridge:
    """Answers the commands of the wire contract.

    Args:
        settings: What this bridge was told once.
        mode: ``standalone`` or ``pool-worker``, as on the command line.
        worker_id: The pool's name for this worker.
        store: Where clients' state lives; in this process if none is given.
        started: `time.monotonic` when the process started, for `uptime`.

    Raises:
        LMResolutionError: The default LM cannot be used.
    """

    def __init__(
        self,
        settings: BridgeSettings | None = None,
        *,
        mode: Mode = "standalone",
        worker_id: str | None = None,
        store: StateStore | None = None,
        started: float | None = None,
    ) -> None:
        self.settings = settings or BridgeSettings()
        self.mode: Mode = mode
        self.worker_id = worker_id
        self.store: StateStore = store or InProcessStore(
            session_ttl=self.settings.session_ttl, journal_size=self.settings.journal_size
        )
        self.started = time.monotonic() if started is None else started
        self.secrets = Secrets()
        self._answers, self._errors = Redactor(self.secrets, NO_LOOKS), error_redactor(self.secrets)
        self.lms = LMScopes(self.settings, self.store, self.secrets, worker_id=worker_id)
        self.programs = CompiledPrograms()
        self._epoch = self.store.epoch
        self.command_count = 0
        self.error_count = 0
        self._counting = threading.Lock()
        self.shutting_down = False

    def dispatch(self, request: Request) -> Response | Execution:
        """Answer a request, or decide an execution that is still to run. Never raises."""
        self.command_count += 1
        # First, so that even the error of a request that cannot be read quotes no key of it.
        if found := [*secrets_by_place(request.args)]:
            self.secrets.update(map(Secret, found))
        if self.store.epoch != self._epoch:
            self._forget_compiled()
        try:
            result = self._handler(request.command)(self, Args(request.command, request.args))
        except Exception as error:
            return self.failure(request, error)
        warnings = unknown_arguments(request.command, request.args)
        if callable(result):
            return Execution(self, request, result, warnings)
        return self.success(request, result, warnings)

    def handle(self, request: Request) -> Response:
        """Answer a request, running an execution here and now. Never raises."""
        answer = self.dispatch(request)
        return answer.run() if isinstance(answer, Execution) else answer

    def warm_up(self) -> None:
        """Import what executions need, before the first one asks for it."""
        from dspex_testkit.bridge import execution

        execution.warm_up()

    def close(self) -> None:
        """Close every LM's connections, and forget what was recorded in this process and not kept."""
        self.lms.close()
        self.store.close()

    def success(self, request: Request, result: dict[str, Any], warnings: list[str]) -> Response:
        """The response to a request that was carried out: as it is, but for secrets that are known."""
        result = with_warnings(result, warnings)
        return Response.ok(request.id, self._answers.json(result) if self._answers.concerns(result) else result)

    def without_secrets(self, value: Any) -> Any:
        """JSON for a record that other bridges of a pool show, which may not know the secrets of this one's client."""
        return self._answers.json(value)

    def scrub(self, text: str) -> str:
        """A text for the log: without secrets, known or only suspected."""
        return self._errors.text(text)

    def failure(self, request: Request, error: Exception) -> Response:
        """The response to a request that raised: without secrets, known or only suspected."""
        with self._counting:
            self.error_count += 1
        if isinstance(error, DSPexTestkitError):
            message, code, details = error.message, error.code, error.details
        elif (unsendable := _unsendable(request.args)) is not None:
            message, code, details = unsendable, InvalidArgsError.code, {}
        else:
            logger.error("%s failed", request.command, exc_info=error)
            message, code, details = f"Internal error in {request.command}: {error!r}", "internal_error", {}
        return Response.error(request.id, self._errors.text(message), code, self._errors.json(details))

    def _forget_compiled(self) -> None:
        """Follow a reset, which may have come to another worker of the pool."""
        self._epoch = self.store.epoch
        self.programs.clear()
        clear_workings()
        self.lms.factory.forget_answers()

    def _handler(self, command: str) -> Handler:
        if (handler := HANDLERS.get(command)) is not None:
            return handler
        raise UnknownCommandError(
            f"Unknown command: {command}{nearest(command, HANDLERS)}", details={"command": command}
        )


def _unsendable(args: Mapping[str, Any]) -> str | None:
    """What is wrong with arguments that no client could have sent; they reach a bridge in its own process only.

    Asked once a command has failed, so that no other request pays for it.
    """
    try:
        parse_request(encode_request(Request(1, "", dict(args))))
    except ProtocolError as error:
        return f"The arguments have no form in JSON: {error.message}"
    return None

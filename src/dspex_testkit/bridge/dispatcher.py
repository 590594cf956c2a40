"""The bridge: requests in, responses out.

This is the only place where exceptions become responses. `Bridge.dispatch` answers commands that touch state at once
and in order; an execution comes back as an `Execution` whose LM has already been resolved, so that a transport may
run it on another thread without changing who answers.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from dspex_testkit.bridge.arguments import Args, unknown_arguments, with_warnings
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.commands import HANDLERS, Handler
from dspex_testkit.errors import DSPexTestkitError, InvalidArgsError, ProtocolError, UnknownCommandError
from dspex_testkit.limits import NESTING, is_too_deep
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.protocol import Request, Response, encode_request, parse_request
from dspex_testkit.redaction import Secret, secrets_by_place

logger = logging.getLogger(__name__)


class Execution:
    """A program's run, decided but not yet begun."""

    __slots__ = ("_bridge", "_request", "_warnings", "_work")

    def __init__(
        self, bridge: BridgeState, request: Request, work: Callable[[], dict[str, Any]], warnings: list[str]
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
            return _success(self._bridge, self._request, result, self._warnings)
        except Exception as error:
            return _failure(self._bridge, self._request, error)


class Bridge(BridgeState):
    """Answers the commands of the wire contract."""

    def dispatch(self, request: Request) -> Response | Execution:
        """Answer a request, or decide an execution that is still to run. Never raises."""
        self.counts.add(commands=1)
        # First, so that even the error of a request that cannot be read quotes no key of it.
        if found := [*secrets_by_place(request.args)]:
            self.secrets.update(map(Secret, found))
        self.follow_resets()
        try:
            result = _handler(request.command)(self, Args(request.command, request.args))
        except Exception as error:
            return _failure(self, request, error)
        warnings = unknown_arguments(request.command, request.args)
        if callable(result):
            return Execution(self, request, result, warnings)
        return _success(self, request, result, warnings)

    def handle(self, request: Request) -> Response:
        """Answer a request, running an execution here and now. Never raises."""
        # What came over a wire has been measured there.
        if is_too_deep({"args": request.args}):
            text = f"The arguments' lists and maps are nested deeper than {NESTING} levels; send flatter ones"
            return _failure(self, request, InvalidArgsError(text))
        answer = self.dispatch(request)
        return answer.run() if isinstance(answer, Execution) else answer

    def warm_up(self) -> None:
        """Import what executions need, before the first one asks for it."""
        from dspex_testkit.bridge.programs import execution

        execution.warm_up()


def _success(bridge: BridgeState, request: Request, result: dict[str, Any], warnings: list[str]) -> Response:
    """The response to a request that was carried out: as it is, but for secrets that are known."""
    return Response.ok(request.id, bridge.without_secrets(with_warnings(result, warnings)))


def _failure(bridge: BridgeState, request: Request, error: Exception) -> Response:
    """The response to a request that raised: without secrets, known or only suspected."""
    bridge.counts.add(errors=1)
    if isinstance(error, DSPexTestkitError):
        message, code, details = error.message, error.code, error.details
    elif (unsendable := _unsendable(request.args)) is not None:
        message, code, details = unsendable, InvalidArgsError.code, {}
    else:
        logger.error("%s failed", request.command, exc_info=error)
        message, code, details = f"Internal error in {request.command}: {error!r}", "internal_error", {}
    return Response.error(request.id, bridge.errors.text(message), code, bridge.errors.json(details))


def _handler(command: str) -> Handler:
    if (handler := HANDLERS.get(command)) is not None:
        return handler
    raise UnknownCommandError(
        f"Unknown command: {command}{nearest_hint(command, HANDLERS)}", details={"command": command}
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

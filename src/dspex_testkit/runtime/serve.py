"""The serve loop: frames in, answers out, one per request.

The main thread reads. Until the bridge has been imported only pings are answered, from a module that imports nothing;
the first reply starts the loader, the one thread that imports. Then, standalone, executions run on a pool of threads,
everything else is answered in the reading thread at once, and replies are correlated by id; a pool worker does one
request after the other in the reading thread.

The loop is told a wire and knows nothing of where it came from, and what was read before can be fed to its decoder:
a process that received its descriptors from another one runs the same loop.
"""

import _thread
import time

from dspex_testkit.errors import FrameTooLargeError, LocalProtocolError, MalformedMessageError, OverloadedError
from dspex_testkit.protocol import (
    NEED_DATA,
    EndOfStream,
    Frame,
    FrameDecoder,
    OversizedFrame,
    Request,
    Response,
    encode_response,
    parse_request,
)
from dspex_testkit.runtime.early_ping import answer_ping
from dspex_testkit.runtime.log import current_traceback
from dspex_testkit.runtime.shutdown import GRACE, leave
from dspex_testkit.runtime.startup import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from dspex_testkit.bridge import Bridge, Execution
    from dspex_testkit.bridge.state.store import StateStore
    from dspex_testkit.errors import DSPexTestkitError
    from dspex_testkit.runtime.loader import Loader


def serve(
    process: Started,
    *,
    unread: bytes = b"",
    answered: int = 0,
    store: "StateStore | None" = None,
    host: "int | None" = None,
) -> "NoReturn":
    """Serve a client, then end the process.

    Args:
        process: This process, with what it was told.
        unread: What another process has read from the wire and not answered.
        answered: How many commands it has answered.
        store: The state that the client's other bridges share, if any.
        host: In a worker of the warm host, a descriptor that hangs up when the host ends.
    """
    arguments, log = process.arguments, process.log
    log.info(f"{arguments.mode} started" + (f" as {arguments.worker_id}" if arguments.worker_id else ""))
    server = Server(process)
    try:
        if host is not None:
            server.begin_warm(store, host)
        server.resume(unread, answered)
        server.run()
    except ConnectionError:
        log.info("leaving: nobody reads the answers")
    except BaseException as error:
        server.fail(f"internal failure: {type(error).__name__}: {error}", current_traceback())
    server.close()
    leave(0)


class Server:
    """Serves one client until it goes away.

    Args:
        process: This process, with what it was told.
    """

    def __init__(self, process: Started) -> None:
        settings = process.settings
        self.decoder = FrameDecoder(settings.max_frame_size)
        self.wire = process.wire
        self.log = process.log
        self.settings = settings
        self.mode = process.arguments.mode
        self.worker_id = process.arguments.worker_id
        """As given on the command line; else learned from the first ping."""
        self.started = process.at
        self.signals = process.signals
        self._bridge: Bridge | None = None
        self._loader: Loader | None = None
        self._warm_loader: Loader | None = None
        self._store: StateStore | None = None
        self._gate = _thread.allocate_lock()
        self._early_commands = 0
        self._early_errors = 0
        self._backlog: list[Request] = []
        self._executions = 0
        self._most_executions = settings.concurrency + settings.max_waiting

    def begin_warm(self, store: "StateStore | None", host: int) -> None:
        """Make the bridge in this thread when it is time, in a process where everything has been imported.

        Args:
            store: Where its state lives; in this process if None.
            host: Hangs up when the process ends that this one was forked from.
        """
        from dspex_testkit.runtime.loader import WarmLoader
        from dspex_testkit.runtime.watchdog import watch

        self._store = store
        self._warm_loader = WarmLoader(
            self.settings, self.log, make=self._make_bridge, adopt=self.adopt, fail=self.fail
        )
        watch(self.wire, self.log, self.signals, host)

    def resume(self, unread: bytes, answered: int) -> None:
        """Go on where another process has stopped.

        Args:
            unread: What it has read and not answered.
            answered: How many commands it has answered.
        """
        self.decoder.feed_data(unread)
        if answered:
            self._count_early(commands=answered)
            self._load()

    def run(self) -> None:
        """Serve until the input ends or `shutdown` has been answered.

        Raises:
            ConnectionError: Nobody reads the answers any more.
        """
        decoder, read = self.decoder, self.wire.read
        while self._bridge is None or not self._bridge.shutting_down:
            event = decoder.next_event()
            if event is NEED_DATA:
                if data := read():
                    decoder.feed_data(data)
                else:
                    decoder.feed_eof()
            elif isinstance(event, Frame):
                self._receive(event.payload)
            elif isinstance(event, OversizedFrame):
                self._refuse_oversized(event)
            elif isinstance(event, EndOfStream):
                self.log.info("the client closed its end" + (" within a frame" if event.partial else ""))
                break
        self._drain()

    def adopt(self, bridge: "Bridge") -> None:
        """Take over the bridge that the loader has made, and answer what arrived while it was being made."""
        commands = errors = 0
        while True:
            with self._gate:
                # The reading thread goes on counting meanwhile.
                bridge.counts.add(commands=self._early_commands - commands, errors=self._early_errors - errors)
                commands, errors = self._early_commands, self._early_errors
                if not self._backlog:
                    self._bridge = bridge
                    return
                request = self._backlog[0]
            self._answer_standalone(bridge, request)
            with self._gate:
                del self._backlog[0]
            if bridge.shutting_down:
                self._drain()
                leave(0)

    def _receive(self, payload: bytes) -> None:
        try:
            request = parse_request(payload)
        except MalformedMessageError as error:
            self._refuse(error, error.request_id)
            return
        if self.log.fd is not None:
            self.log.debug(repr(request))
        if self._bridge is None and request.command == "ping":
            self._ping_early(request)
        elif self.mode == "pool-worker":
            bridge = self._bridge or self._load().wait_for_bridge()
            self._answer_in_order(bridge, request)
        elif (ready := self._bridge or self._put_aside(request)) is not None:
            self._answer_standalone(ready, request)

    def _ping_early(self, request: Request) -> None:
        """Answer a ping before there is a bridge, and begin to make one."""
        self.worker_id = self.worker_id or request.args.get("worker_id")
        pong = answer_ping(request, self.settings, mode=self.mode, worker_id=self.worker_id, started=self.started)
        self._count_early(commands=1)
        self._send(pong)
        self._load()

    def _put_aside(self, request: Request) -> "Bridge | None":
        """Keep a request until the bridge is there; gives the bridge if it has come in between."""
        self._load()
        with self._gate:
            # The first one may have been answered already; what is one too many is refused when it is dispatched.
            if self._bridge is None and len(self._backlog) <= self._most_executions:
                self._backlog.append(request)
                return None
            if self._bridge is not None:
                return self._bridge
        self._refuse(OverloadedError("the bridge is still starting, and no more can wait for it"), request.id)
        return None

    def _load(self) -> "Loader":
        if self._loader is None:
            self._loader = self._warm_loader or self._cold_loader()
            self._loader.start()
        return self._loader

    def _cold_loader(self) -> "Loader":
        from dspex_testkit.runtime.loader import Loader
        from dspex_testkit.runtime.watchdog import watch

        watch(self.wire, self.log, self.signals)
        return Loader(self.settings, self.log, make=self._make_bridge, adopt=self.adopt, fail=self.fail)

    def _make_bridge(self) -> "Bridge":
        from dspex_testkit.bridge import Bridge
        from dspex_testkit.protocol import use_orjson

        use_orjson()
        bridge = Bridge(
            self.settings.for_bridge(),
            mode=self.mode,
            worker_id=self.worker_id,
            store=self._store,
            started=self.started,
        )
        self.log.scrub = bridge.scrub
        return bridge

    def _answer_in_order(self, bridge: "Bridge", request: Request) -> None:
        answer = bridge.dispatch(request)
        self._send(answer if isinstance(answer, Response) else self._execute(request, answer))

    def _answer_standalone(self, bridge: "Bridge", request: Request) -> None:
        answer = bridge.dispatch(request)
        if isinstance(answer, Response):
            self._send(answer)
            return
        with self._gate:
            full = self._executions >= self._most_executions
            self._executions += not full
        if full:
            self._refuse(
                OverloadedError(f"{self._most_executions} executions are under way or waiting; send this one later"),
                request.id,
            )
        else:
            self._load().threads.submit(lambda: self._execute_and_send(request, answer))

    def _execute_and_send(self, request: Request, execution: "Execution") -> None:
        try:
            self._send(self._execute(request, execution))
        except ConnectionError:
            leave(0)
        except BaseException:
            self.fail(f"internal failure while answering request {request.id}", current_traceback())
        with self._gate:
            self._executions -= 1

    def _execute(self, request: Request, execution: "Execution") -> Response:
        self._load().wait_until_warm()
        try:
            return execution.run()
        except BaseException as error:
            # What a program raises is the bridge's to answer; this is somebody's SystemExit, say.
            self.log.error(f"request {request.id} was cut short\n{current_traceback()}")
            return self._error(request.id, f"the execution ended by {type(error).__name__}", "internal_error")

    def _refuse_oversized(self, frame: OversizedFrame) -> None:
        from dspex_testkit.protocol.recovery import recover_id

        error = FrameTooLargeError(
            f"Request too large: {frame.size} bytes, at most {self.decoder.max_frame_size} are taken; "
            "send less, or raise DSPEX_TESTKIT_MAX_FRAME_SIZE",
            details={"size": frame.size, "max_frame_size": self.decoder.max_frame_size},
        )
        self._refuse(error, recover_id(frame.head, frame.tail))

    def _refuse(self, error: "DSPexTestkitError", id: "int | None") -> None:
        if id is None:
            self.log.warning(f"dropped a packet without a readable id: {error.message}")
            return
        self.log.warning(f"refused request {id}: {error.message}")
        self._send(self._error(id, error.message, error.code, error.details))

    def _error(self, id: int, message: str, code: str, details: "dict[str, object] | None" = None) -> Response:
        self._count_early(errors=1)
        return Response.error(id, message, code, details)

    def _count_early(self, *, commands: int = 0, errors: int = 0) -> None:
        """Count what the bridge has no part in; until it is there, for it to take over."""
        with self._gate:
            # Decided and counted in one step: in between, the loader's thread might take over without this one.
            if self._bridge is None:
                self._early_commands += commands
                self._early_errors += errors
                return
        self._bridge.counts.add(commands=commands, errors=errors)

    def _send(self, response: Response) -> None:
        try:
            payload = encode_response(response)
        except LocalProtocolError as error:
            self.log.error(f"the answer to request {response.id} cannot be sent: {error.message}")
            payload = encode_response(self._error(response.id, error.message, "internal_error"))
        self.wire.send(payload)

    def _drain(self) -> None:
        """Let answers under way be written, as long as a departing client can be expected to wait."""
        deadline = time.monotonic() + GRACE
        while (self._backlog or self._executions) and time.monotonic() < deadline:
            time.sleep(0.002)

    def close(self) -> None:
        """Close what clients left open, and try once more to write recordings that could not be written."""
        if self._bridge is not None:
            try:
                self._bridge.store.close()
            except Exception:
                self.log.error(f"the state cannot be closed\n{current_traceback()}")

    def fail(self, summary: str, text: str = "", status: int = 1) -> "NoReturn":
        """End the process for a reason that is not the client's."""
        summary, text = self._without_keys(summary), self._without_keys(text)
        self.log.error(f"{summary}\n{text}")
        self.wire.complain(summary)
        leave(status)

    def _without_keys(self, text: str) -> str:
        """A text of a bridge that perhaps never came to be, and so cannot say which keys its settings hold."""
        from dspex_testkit.redaction import Secret, Secrets, error_redactor, secrets_by_place, secrets_of_environment

        known = Secrets([*map(Secret, secrets_by_place(self.settings.values)), *secrets_of_environment()])
        return error_redactor(known).text(text)

"""Bridges to talk to in tests: the same calls in process, over a standalone process's pipes, over a pool worker's.

`InProcess` is the harness's client of a bridge object. `Process` is deliberately less than the harness's
`BridgeProcess`: a bare port that sends no first ping and shows each packet as it comes, for tests of the wire itself.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.pool.client import InProcessBridge, result_of
from dspex_testkit.protocol import (
    NEED_DATA,
    EndOfStream,
    Frame,
    FrameDecoder,
    Request,
    Response,
    encode_frame,
    encode_request,
    parse_response,
)
from dspex_testkit.setting_table import SETTINGS
from tests.support.waiting import PATIENCE as PATIENCE

Transport = Literal["memory", "standalone", "pool-worker"]
DEFAULTS_BY_VARIABLE = {setting.env: setting.default for setting in SETTINGS}
TRANSPORTS: tuple[Transport, ...] = ("memory", "standalone", "pool-worker")


class Client(Protocol):
    """What a behaviour test does with a bridge."""

    def ask(self, command: str, args: Mapping[str, Any] | None = None) -> Response:
        """The response to one request."""
        ...

    def call(self, command: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result of one request that succeeds."""
        ...


class InProcess(InProcessBridge):
    """A bridge object in this process."""

    def __init__(self, settings: BridgeSettings | None = None) -> None:
        bridge = Bridge(settings or BridgeSettings())
        self.close = bridge.close
        super().__init__(bridge)


class Process:
    """A bridge in a process of its own, opened as an Erlang port opens it.

    Args:
        argv: What stands after the interpreter; a module run by default.
        mode: Its mode, as on the command line.
        worker_id: Its worker id.
        env: Variables beside the inherited ones.
        cwd: Its working directory.
    """

    def __init__(
        self,
        *,
        argv: list[str] | None = None,
        mode: str = "standalone",
        worker_id: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        command = [python, *(argv or ["-m", "dspex_testkit.launch.main"])]
        if mode != "standalone":
            command += ["--mode", mode]
        if worker_id:
            command += ["--worker-id", worker_id]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            bufsize=0,
            start_new_session=True,
        )
        self._decoder = FrameDecoder()
        self._ids = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, request: Request) -> None:
        """Write one request."""
        self.send_bytes(encode_frame(encode_request(request)))

    def send_bytes(self, data: bytes) -> None:
        """Write raw bytes."""
        assert self.process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) or 0 :]

    def receive(self, timeout: float = PATIENCE) -> Response | None:
        """The next response, or None at the end of the stream."""
        frame = self.receive_frame(timeout)
        return None if frame is None else parse_response(frame)

    def receive_frame(self, timeout: float = PATIENCE) -> bytes | None:
        """The next packet's payload, or None at the end of the stream."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        while True:
            event = self._decoder.next_event()
            if isinstance(event, Frame):
                return event.payload
            if isinstance(event, EndOfStream):
                return None
            assert event is NEED_DATA, event
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, left))
            if not readable:
                raise TimeoutError(f"No packet within {timeout} s")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if data:
                self._decoder.feed_data(data)
            else:
                self._decoder.feed_eof()

    def ask(self, command: str, args: Mapping[str, Any] | None = None) -> Response:
        """The response to one request, which must carry its id."""
        request = Request(next(self._ids), command, dict(args or {}))
        self.send(request)
        response = self.receive()
        assert response is not None, f"The bridge ended instead of answering {command}: {self.end()}"
        assert response.id == request.id
        return response

    def call(self, command: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result of one request that succeeds."""
        return result_of(command, self.ask(command, args))

    def end(self) -> tuple[int, str]:
        """Exit status and what the process wrote to stderr, once it has ended."""
        status = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        return status, self.process.stderr.read().decode(errors="replace")

    def close(self) -> None:
        """End the process however it fares."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def as_environment(settings: BridgeSettings) -> dict[str, str]:
    """The settings as a process reads them."""
    told = {setting.env: getattr(settings, setting.name, setting.default) for setting in SETTINGS}
    return {name: _as_text(value) for name, value in told.items() if value != DEFAULTS_BY_VARIABLE[name]}


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)

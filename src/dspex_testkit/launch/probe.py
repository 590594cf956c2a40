"""A client for one bridge process, just enough to try it."""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from dspex_testkit.errors import MalformedMessageError
from dspex_testkit.protocol import (
    NEED_DATA,
    Frame,
    FrameDecoder,
    Request,
    encode_frame,
    encode_request,
    parse_response,
)


class ProbeError(Exception):
    """The bridge did not do what a bridge does."""


class Probe:
    """A bridge process with a pipe at either end; ends with the block.

    Args:
        command: What to run.
        patience: Seconds to wait for an answer.
    """

    def __init__(self, command: Sequence[str], patience: float) -> None:
        self._patience = patience
        self._decoder = FrameDecoder()
        self._last_id = -1
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

    def ask(self, command: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a command.

        Raises:
            ProbeError: It failed, or something else than its answer came.
        """
        assert self._process.stdin is not None
        self._last_id += 1
        try:
            self._process.stdin.write(encode_frame(encode_request(Request(self._last_id, command, dict(args)))))
            response = parse_response(self._receive())
        except BrokenPipeError:
            raise ProbeError(self._how_it_ended()) from None
        except MalformedMessageError as error:
            raise ProbeError(f"{command} was answered by what is no response: {error.message}") from None
        if response.id != self._last_id:
            raise ProbeError(f"{command} was answered under the id {response.id}, not {self._last_id}")
        if not response.success:
            raise ProbeError(f"{command} failed: {response.message} [{response.code}]")
        return response.result

    def _receive(self) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._patience
        while True:
            event = self._decoder.next_event()
            if isinstance(event, Frame):
                return event.payload
            if event is not NEED_DATA:
                raise ProbeError(self._how_it_ended())
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ProbeError(f"no answer within {self._patience:.0f} s")
            if data := os.read(self._process.stdout.fileno(), 1 << 16):
                self._decoder.feed_data(data)
            else:
                self._decoder.feed_eof()

    def end(self) -> tuple[int, str]:
        """Exit status, and what was written to stderr.

        Raises:
            ProbeError: It does not end.
        """
        try:
            _, stderr = self._process.communicate(timeout=self._patience)
        except subprocess.TimeoutExpired:
            raise ProbeError(f"it did not end within {self._patience:.0f} s") from None
        return self._process.returncode, stderr.decode(errors="replace").strip()

    def _how_it_ended(self) -> str:
        status, stderr = self.end()
        return f"the process ended with status {status}" + (f" and said: {stderr}" if stderr else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        with self._process:
            pass

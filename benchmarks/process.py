"""Children behind pipes, spoken to with bare reads and writes so that the client's share stays small."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dspex_testkit.protocol import Request, encode_frame, encode_request, parse_response

_HEADER = 4


def clean_environment() -> dict[str, str]:
    """The environment without what this shell says about bridges, and without a warm host: cold is to mean cold."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSPEX_TESTKIT_")}
    return kept | {"DSPEX_TESTKIT_HOST": "off"}


class Child:
    """A process behind two pipes; a context manager that ends it by closing its stdin.

    Args:
        arguments: What to run, after the interpreter.
    """

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()

    def exchange(self, frame: bytes) -> bytes:
        """Write one frame and read one, header included."""
        os.write(self._stdin, frame)
        data = os.read(self._stdout, 65536)
        while len(data) < _HEADER or len(data) < _HEADER + int.from_bytes(data[:_HEADER], "big"):
            more = os.read(self._stdout, 65536)
            if not more:
                raise EOFError(f"the process ended with status {self._process.wait()}")
            data += more
        return data

    def ask(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        """Send one command and return its result.

        Raises:
            RuntimeError: The bridge answered with an error.
        """
        response = parse_response(self.exchange(request_frame(command, args))[_HEADER:])
        if not response.success:
            raise RuntimeError(f"{command} failed: {response.message}")
        return response.result

    def cpu_seconds(self) -> float:
        """CPU time that the process has used, all threads together, to the nanosecond; Linux tells it."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            pass


def request_frame(command: str, args: dict[str, Any]) -> bytes:
    """A request, ready to be written."""
    return encode_frame(encode_request(Request(1, command, args)))


def bridge_arguments(launcher: Path, mode: str) -> Sequence[str]:
    """What DSPex passes to the interpreter to start a bridge in this mode."""
    if mode == "standalone":
        return (str(launcher),)
    return (str(launcher), "--mode", mode, "--worker-id", "worker_1_1")

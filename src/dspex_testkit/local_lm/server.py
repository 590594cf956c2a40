"""`LocalLM`: starts the process that has the weights, waits until it listens, and ends it."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self

from dspex_testkit.errors import LocalLMError, MissingExtraError, UsageError
from dspex_testkit.managed import Managed

HOST: Final = "127.0.0.1"
_MAGIC: Final = b"GGUF"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


class LocalLM(Managed[None]):
    """A real LM on this machine, in a process of its own.

    Args:
        path: The weights, in GGUF.
        model: The name that it answers to; by default that of the file.
        context: How many tokens the question and its answer may have together.
        slots: How many answers it gives at once, and the most that a request may want (`n`).
        seed: Of its choices, where a request names none.
        threads: How many it computes with; by default all cores but one, which is for whoever asks.
        port: 0 for any free one.

    Raises:
        UsageError: There is no such file, or it holds no weights.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        context: int = 4096,
        slots: int = 1,
        seed: int = 7,
        threads: int | None = None,
        port: int = 0,
    ) -> None:
        self.path = Path(path).resolve()
        refuse_other_files(self.path)
        self.model = model or _NOT_IN_NAMES.sub("-", self.path.stem)
        self._settings: dict[str, Any] = {
            "path": str(self.path),
            "model": self.model,
            "host": HOST,
            "port": port,
            "context": context,
            "slots": slots,
            "seed": seed,
            "threads": threads or max(1, (os.cpu_count() or 2) - 1),
        }
        self._child: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self.url = ""
        """The root of its server."""
        self.version = ""
        """Of the library that serves it."""

    @property
    def api_base(self) -> str:
        """What clients of OpenAI's take as their base."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int | None:
        """Its process; None where there is none."""
        return None if self._child is None else self._child.pid

    def start(self) -> Self:
        """Load the weights and listen.

        Raises:
            MissingExtraError: The extra `local` is not installed.
            LocalLMError: The weights cannot be loaded, or need more memory than is free.
            UsageError: It runs already.
        """
        if self._child is not None:
            raise UsageError("This local LM runs already.")
        _refuse_too_large(self.path)
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtraError("A local LM", "local")
        self._log = tempfile.TemporaryFile(prefix="dspex-testkit-")  # noqa: SIM115 - stop closes it
        self._child = subprocess.Popen(
            [sys.executable, "-m", "dspex_testkit.local_lm.child", json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # An interrupt from the keyboard is for whoever started this; the child ends with its standard input.
            start_new_session=True,
        )
        assert self._child.stdout is not None
        try:
            said = self._child.stdout.readline()
            answer = json.loads(said) if said else {}
            if "address" not in answer:
                raise self._failed(answer.get("error"))
        except BaseException:
            self.stop()
            raise
        self.url = str(answer["address"])
        self.version = str(answer["version"])
        return self

    def stop(self) -> None:
        """End the process; safe to call again."""
        child, self._child = self._child, None
        if child is not None:
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def kill(self) -> None:
        """End the process as a crash would, in the middle of whatever it says."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _failed(self, error: str | None) -> LocalLMError:
        assert self._child is not None
        status = self._child.wait()
        if status < 0:
            name = signal.Signals(-status).name
            why = f"its process was ended by {name}" + (
                "; does the machine have enough memory?" if name in ("SIGKILL", "SIGABRT") else ""
            )
        else:
            why = (error or f"its process ended with status {status}").rstrip(".")
        return LocalLMError(
            f"{self.path} cannot be served: {why}. {self._last_line()}Give weights in GGUF that llama.cpp knows, and "
            "that fit in memory",
            details={"path": str(self.path)},
        )

    def _last_line(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"llama.cpp says: {said[-1]}. " if said else ""


def refuse_other_files(path: Path) -> None:
    """Look whether a file holds weights.

    Raises:
        UsageError: There is none, or it holds something else.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give a file of weights in GGUF") from None
    if magic != _MAGIC:
        raise UsageError(f"{path} holds no weights in GGUF: it begins with {magic!r}, not {_MAGIC!r}")


def _refuse_too_large(path: Path) -> None:
    """Look whether the weights fit in memory, where the system would only begin to swap, or end somebody.

    Raises:
        LocalLMError: They do not.
        MissingExtraError: Nobody knows how much is free.
    """
    try:
        import psutil
    except ImportError as error:
        raise MissingExtraError("A local LM", "local") from error
    size, free = path.stat().st_size, psutil.virtual_memory().available
    if size > free:
        raise LocalLMError(
            f"{path} needs {size / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; take smaller weights",
            details={"path": str(path), "needed": size, "free": free},
        )

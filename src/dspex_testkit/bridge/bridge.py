"""`BridgeState`: everything that the commands of a bridge work on.

What clients left behind is in the store, which the bridges of a pool may share; programs and LMs that were built from
it, the keys that may not be shown, and the counts belong to this process. Handlers take this, never the dispatcher.
"""

import threading
import time
from typing import Any, Literal

from dspex_testkit.bridge.compiled_programs import CompiledPrograms
from dspex_testkit.bridge.lm_scopes import LMScopes
from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.bridge.signatures.compiled import forget_compiled
from dspex_testkit.bridge.state.in_process import InProcessStore
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.redaction import NO_LOOKS, Redactor, Secrets, error_redactor

Mode = Literal["standalone", "pool-worker"]


class Counts:
    """How many commands came and how many failed; threads count at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commands = 0
        self._errors = 0

    def add(self, *, commands: int = 0, errors: int = 0) -> None:
        """Count more of them."""
        with self._lock:
            self._commands += commands
            self._errors += errors

    def read(self) -> tuple[int, int]:
        """Commands and errors."""
        with self._lock:
            return self._commands, self._errors

    def reset(self) -> tuple[int, int]:
        """Begin anew; returns what was counted."""
        with self._lock:
            counted = self._commands, self._errors
            self._commands = self._errors = 0
            return counted


class BridgeState:
    """What the commands of one bridge work on.

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
        self.answers = Redactor(self.secrets, NO_LOOKS)
        """Cuts known secrets out of what succeeded, which otherwise stays as it is."""
        self.errors = error_redactor(self.secrets)
        """Cuts secrets out of what failed, known or only suspected."""
        self.lms = LMScopes(self.settings, self.store, self.secrets, worker_id=worker_id)
        self.programs = CompiledPrograms()
        self.counts = Counts()
        self.shutting_down = False
        self._epoch = self.store.epoch

    def follow_resets(self) -> None:
        """Forget what was built from a state that was reset since, here or on another worker of the pool."""
        epoch = self.store.epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self.programs.clear()
            forget_compiled()
            self.lms.factory.forget_answers()

    def without_secrets(self, value: Any) -> Any:
        """JSON for a record that other bridges of a pool show, which may not know the secrets of this one's client."""
        return self.answers.json(value) if self.answers.concerns(value) else value

    def scrub(self, text: str) -> str:
        """A text for the log: without secrets, known or only suspected."""
        return self.errors.text(text)

    def close(self) -> None:
        """Close every LM's connections, and forget what was recorded in this process and not kept."""
        self.lms.close()
        self.store.close()

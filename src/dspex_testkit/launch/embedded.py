"""The bridge for code that imports the launcher instead of running it."""

import atexit
from typing import Any

from dspex_testkit.bridge import Bridge
from dspex_testkit.bridge.bridge import Mode
from dspex_testkit.protocol import Request
from dspex_testkit.runtime import environment
from dspex_testkit.runtime.scratch import remove_left_scratch
from dspex_testkit.runtime.settings import load
from dspex_testkit.runtime.shutdown import remove_scratch


class EmbeddedBridge:
    """Answers commands with results and exceptions, as DSPex's own class does.

    Args:
        mode: ``standalone`` or ``pool-worker``.
        worker_id: The pool's name for this worker.
        home: Folder in which the settings file is looked for.

    Raises:
        UsageError: A setting is wrong.
        LMResolutionError: The default LM cannot be used.
    """

    def __init__(self, mode: Mode, worker_id: str | None, *, home: str) -> None:
        settings = load(home=home)
        remove_left_scratch()
        environment.prepare(settings)
        # Whoever embeds a bridge ends as any Python does, not by `leave`.
        atexit.register(remove_scratch)
        self._bridge = Bridge(settings.for_bridge(), mode=mode, worker_id=worker_id)

    def handle_command(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        """Answer one command.

        Raises:
            RuntimeError: The command failed; the text is what would travel as ``error``.
        """
        response = self._bridge.handle(Request(0, command, args))
        if not response.success:
            raise RuntimeError(f"{response.message} [{response.code}]")
        return response.result

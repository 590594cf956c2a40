"""The answer to `ping`, from a module that imports nothing: it is a new process's first answer."""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def answers_gemini(offline_policy: str) -> bool:
    """Whether a Gemini model would be answered: under the policy `live` where there is a key, else always."""
    return offline_policy != "live" or bool(os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY"))


def ping_result(
    args: "Mapping[str, Any]", *, mode: str, worker_id: "str | None", started: float, offline_policy: str
) -> "dict[str, Any]":
    """What `ping` answers.

    Args:
        args: The request's; a worker started without ``--worker-id`` learns its id from the first ping.
        mode: ``standalone`` or ``pool-worker``.
        worker_id: As given on the command line.
        started: `time.monotonic` when the bridge started.
        offline_policy: Who answers in place of real providers.
    """
    result = {
        "status": "ok",
        "timestamp": time.time(),
        # The kit depends on dspy; an import that fails later is reported by the command that needed it.
        "dspy_available": True,
        "gemini_available": answers_gemini(offline_policy),
        "uptime": time.monotonic() - started,
        "mode": mode,
    }
    worker_id = worker_id or args.get("worker_id")
    if worker_id is not None:
        result["worker_id"] = worker_id
    for name in ("session_id", "current_session"):
        if args.get(name):
            result["current_session"] = args[name]
    return result

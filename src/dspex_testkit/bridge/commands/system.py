"""Commands about the bridge itself."""

import os
import sys
import time
from contextlib import suppress
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.ping import answers_gemini, ping_result
from dspex_testkit.errors import UnknownCommandError


def ping(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Say that the bridge lives, and which one it is."""
    return ping_result(
        args.values,
        mode=bridge.mode,
        worker_id=bridge.worker_id,
        started=bridge.started,
        offline_policy=bridge.settings.offline_policy,
    )


def get_stats(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Counts, uptime and memory; of one session's programs and calls if one is named."""
    session = args.session_filter
    records = bridge.store.programs(session)
    commands, errors = bridge.counts.read()
    return {
        "programs_count": len(records),
        "execution_count": sum(record.execution_count for record in records),
        "command_count": commands,
        "commands_processed": commands,
        "error_count": errors,
        "unstoppable_count": bridge.lms.factory.unstoppable,
        "lm_call_count": bridge.store.journal.count(session_id=session),
        "uptime": time.monotonic() - bridge.started,
        "memory_usage": memory_usage(),
        "dspy_available": True,
        "gemini_available": answers_gemini(bridge.settings.offline_policy),
        "offline_policy": str(bridge.settings.offline_policy),
        "mode": bridge.mode,
        **({"worker_id": bridge.worker_id} if bridge.worker_id else {}),
    }


def cleanup(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Forget programs: one session's, the ones without a session (`anonymous`), or all."""
    return {"status": "cleaned", "programs_removed": bridge.store.drop_programs(args.session_filter)}


def reset_state(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Reset the bridge's state: programs, LM scopes, sessions, calls and counts.

    With a named session, only what belongs to it.
    """
    session_id = args.session_id
    if session_id is not None:
        programs = bridge.store.drop_session(session_id)
        return {"status": "reset", "session_id": session_id, "programs_cleared": programs}
    programs = bridge.store.reset()
    bridge.follow_resets()
    commands, errors = bridge.counts.reset()
    return {"status": "reset", "programs_cleared": programs, "commands_reset": commands, "errors_reset": errors}


def shutdown(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Let the process end once this has been answered."""
    sessions = {record.session_id for record in bridge.store.programs() if record.session_id is not None}
    bridge.shutting_down = True
    return {
        "status": "shutting_down",
        "worker_id": bridge.worker_id or args.text("worker_id"),
        "mode": bridge.mode,
        "sessions_cleaned": len(sessions),
    }


def crash_worker(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """End the process at once, unanswered, for chaos tests; unknown unless it was switched on."""
    if not bridge.settings.allow_crash:
        raise UnknownCommandError(
            "Unknown command: crash_worker (set DSPEX_TESTKIT_ALLOW_CRASH=1 to let it end the process)"
        )
    os._exit(1)


def memory_usage() -> dict[str, float]:
    """Resident memory of this process in MB, now and at its peak, as far as the platform reports it."""
    import resource

    usage: dict[str, float] = {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    usage["peak_rss_mb"] = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    if sys.platform == "linux":
        # Where there are no descriptors left, the other figures are told all the same.
        with suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  # a kernel's file
            usage["rss_mb"] = int(statm.read().split()[1]) * resource.getpagesize() / (1 << 20)
    return usage

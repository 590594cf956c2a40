"""Commands about the journal: which LM answered each call."""

from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState


def get_journal(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """LM calls in order: all, or those of a session, of a program, after a sequence number, the last `limit`.

    Beside them the changes of who answers, in the same sequence of numbers. With `prompts`, calls have their `prompt`,
    where the bridge was told to keep it.
    """
    session = args.session_filter
    calls = bridge.store.journal.calls(
        since=args.count("since") or 0,
        session_id=session,
        program_id=args.text("program_id"),
        limit=args.count("limit"),
    )
    since = args.count("since") or 0
    changes = bridge.store.journal.changes(since=since, session_id=session)
    return {
        "calls": [call.to_dict(prompt=args.flag("prompts")) for call in calls],
        "changes": [change.to_dict() for change in changes],
        "total_count": len(calls),
        "last_seq": max([since, *(call.seq for call in calls[-1:]), *(change.seq for change in changes[-1:])]),
    }


def clear_journal(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Forget LM calls: all, or a session's."""
    return {"status": "cleared", "calls_cleared": bridge.store.journal.clear(session_id=args.session_filter)}

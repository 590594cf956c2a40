"""Commands about the journal: which LM answered each call."""

from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.args import Args

if TYPE_CHECKING:
    from dspex_testkit.bridge.dispatcher import Bridge


def get_journal(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """LM calls in order: all, or those of a session, of a program, after a sequence number, the last `limit`."""
    session = args.session_filter
    calls = bridge.store.journal.calls(
        since=args.count("since") or 0,
        session_id=session,
        program_id=args.text("program_id"),
        limit=args.count("limit"),
    )
    return {
        "calls": [call.to_dict() for call in calls],
        "total_count": len(calls),
        "last_seq": calls[-1].seq if calls else args.count("since") or 0,
    }


def clear_journal(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """Forget LM calls: all, or a session's."""
    return {"status": "cleared", "calls_cleared": bridge.store.journal.clear(session_id=args.session_filter)}

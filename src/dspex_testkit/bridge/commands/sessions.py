"""Commands about sessions; they count in both modes."""

from typing import Any, get_args

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.state.store import DataOperation
from dspex_testkit.errors import InvalidArgsError

_OPERATIONS: tuple[DataOperation, ...] = get_args(DataOperation)


def cleanup_session(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Forget a session: its programs, its LM, its data, its calls and the use of its cassette."""
    session_id = args.session_id
    if session_id is None:
        raise InvalidArgsError("Session ID required for cleanup")
    removed = bridge.store.drop_session(session_id)
    return {"status": "cleaned", "session_id": session_id, "programs_removed": removed}


def get_session_data(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """What was stored for a session."""
    session_id = _session(args)
    return {"session_id": session_id, "status": "ok", "data": bridge.store.session_data(session_id)}


def update_session_data(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Store something for a session: `set` or `delete` a key, `merge` a map, or `clear` everything."""
    session_id = _session(args)
    asked = args.text("operation") or "set"
    if asked not in _OPERATIONS:
        raise InvalidArgsError(f"Invalid operation {asked!r}; write one of {', '.join(_OPERATIONS)}")
    operation = _OPERATIONS[_OPERATIONS.index(asked)]
    key = args.text("key")
    if key is None and operation in ("set", "delete"):
        raise InvalidArgsError(f"Missing argument 'key': {operation!r} changes one key of the session's data")
    value = args.mapping("value") if operation == "merge" else args.get("value")
    data = bridge.store.update_session_data(session_id, operation, key, value)
    return {"session_id": session_id, "status": "acknowledged", "keys": sorted(data)}


def _session(args: Args) -> str:
    session_id = args.text("session_id")
    if session_id is None:
        raise InvalidArgsError("session_id is required")
    return session_id

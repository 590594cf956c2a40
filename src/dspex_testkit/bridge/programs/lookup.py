"""Finding the program that a request means.

``program_data`` (what DSPex's pool remembers of a create) comes first if it speaks of this id, then the session's
programs, then those created without a session.
"""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.programs.definition import rebuild_program
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.errors import InvalidArgsError, ProgramNotFoundError


def find_program(bridge: BridgeState, args: Args) -> ProgramRecord:
    """The program that the arguments name.

    Raises:
        InvalidArgsError: No id was given.
        ProgramNotFoundError: Nobody knows the id, or it belongs to another session, or it was deleted.
    """
    program_id = args.text("program_id")
    if program_id is None:
        raise InvalidArgsError("Program ID is required")
    session_id = args.session_id
    known = bridge.store.get_program(program_id, session_id)
    remembered = args.mapping("program_data")
    if remembered.get("program_id") == program_id and not bridge.store.was_deleted(program_id, session_id):
        known = _reconcile(bridge, known, remembered, session_id)
    if known is None:
        raise ProgramNotFoundError(f"Program not found: {program_id}", details=_hints(bridge, program_id, session_id))
    return known


def _reconcile(
    bridge: BridgeState, known: ProgramRecord | None, remembered: Mapping[str, Any], session_id: str | None
) -> ProgramRecord | None:
    """The program of ``program_data``: the one we know if it is the same, else rebuilt and kept.

    The pool's copy is the newer one where the two differ, because a worker that shares no state misses what was
    created on another; but ours has the key of its LM, which never travels.
    """
    definition = remembered.get("signature_def")
    if not isinstance(definition, Mapping):
        return known
    if known is not None and known.definition == definition:
        return known
    record = rebuild_program(bridge, remembered, session_id)
    bridge.store.put_program(record)
    return record


def _hints(bridge: BridgeState, program_id: str, session_id: str | None) -> dict[str, Any]:
    from dspex_testkit.nearest import nearest

    visible = [record.program_id for record in bridge.store.programs(session_id)]
    return {"program_id": program_id, "session_id": session_id, "nearest": nearest(program_id, visible)}

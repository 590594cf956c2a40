"""Commands about programs: create, list, show, delete."""

import secrets
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.programs.definition import define_program, program_result
from dspex_testkit.bridge.programs.lookup import find_program
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.errors import InvalidArgsError, ProgramExistsError
from dspex_testkit.lm.config.values import LMPatch


def create_program(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Create a program.

    A pool worker replaces one of the same id. A standalone bridge accepts the same definition again and refuses
    another one, because its clients share one namespace.
    """
    program_id = args.text("id") or args.text("program_id")
    if program_id is None:
        raise InvalidArgsError("Program ID is required")
    record, spec = define_program(bridge, args, program_id)
    keep_program(bridge, record)
    bridge.programs.keep(record, spec)
    return program_result(record, spec)


def keep_program(bridge: BridgeState, record: ProgramRecord) -> None:
    """Put a new program into the store.

    Raises:
        ProgramExistsError: Standalone, and the id belongs to another definition.
    """
    known = bridge.store.get_program(record.program_id, record.session_id)
    taken = known is not None and known.session_id == record.session_id and known.definition != record.definition
    if taken and bridge.mode == "standalone":
        raise ProgramExistsError(
            f"Program with ID '{record.program_id}' already exists", details={"program_id": record.program_id}
        )
    bridge.store.put_program(record)


def list_programs(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Programs: a named session's, the ones without a session (`anonymous`), or all."""
    programs = [_describe(record) for record in bridge.store.programs(args.session_filter)]
    return {"programs": programs, "total_count": len(programs)}


def get_program_info(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """One program."""
    found = find_program(bridge, args)
    # A worker's memory of a program does not follow what its siblings execute; a listing is always new.
    record = next((new for new in bridge.store.programs(found.session_id) if new.key == found.key), found)
    return {
        **_describe(record),
        "program_id": record.program_id,
        "signature_def": record.definition,
        "tools": [tool["name"] for tool in record.tools],
        "lm": record.lm.value.public() if record.lm and not isinstance(record.lm.value, LMPatch) else None,
        "warnings": list(record.warnings),
    }


def delete_program(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Delete a program; a pool's copy of it does not bring it back."""
    record = find_program(bridge, args)
    bridge.store.delete_program(record)
    return {"program_id": record.program_id, "status": "deleted"}


def new_program_id() -> str:
    """An id for a program that was given none."""
    return f"program_{secrets.token_hex(6)}"


def _describe(record: ProgramRecord) -> dict[str, Any]:
    return {
        "id": record.program_id,
        "type": record.kind,
        "program_type": record.program_type,
        "signature": record.signature,
        "session_id": record.session_id,
        "created_at": record.created_at,
        "execution_count": record.execution_count,
        "last_executed": record.last_executed,
    }

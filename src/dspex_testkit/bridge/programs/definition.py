"""From a client's definition to a `ProgramRecord`, and back from what DSPex's pool remembers of one."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.signatures.definitions import outline
from dspex_testkit.bridge.state.records import ProgramKind, ProgramRecord, ProgramType
from dspex_testkit.bridge.tools import check_tools
from dspex_testkit.calls import Scope
from dspex_testkit.errors import InvalidProgramError
from dspex_testkit.lm.resolution import Assignment
from dspex_testkit.nearest import nearest_hint

PROGRAM_TYPES: tuple[ProgramType, ...] = get_args(ProgramType)


def define_program(
    bridge: BridgeState, args: Args, program_id: str, *, kind: ProgramKind = "dspy"
) -> tuple[ProgramRecord, SignatureSpec]:
    """Read a create request.

    The LM config stands beside the signature or inside it, as do the tools and the program's type; DSPex's adapters
    pass on what the caller wrote in either place.

    Raises:
        InvalidProgramError: The signature is missing, or (strict) unusable; the type or a tool is.
        LMResolutionError: The LM config cannot be used.
        MockLMError: The LM config is of a mock, and its spec cannot be used.
    """
    raw = args.get("signature")
    inside = raw if isinstance(raw, Mapping) else {}

    def given(name: str) -> Any:
        beside, within = args.get(name), inside.get(name)
        if beside not in (None, {}, []) and within not in (None, {}, [], beside):
            raise InvalidProgramError(
                f"Invalid program definition: {name!r} is one thing beside the signature and another within it; "
                "write it once",
                details={"argument": name},
            )
        return within if beside in (None, {}, []) else beside

    dynamic = args.get("use_dynamic_signature") is not False and bridge.settings.dynamic_signatures
    spec = parse_signature(_with_instructions(raw, args), strict=bridge.settings.strict, dynamic=dynamic)
    lm, warnings = bridge.lms.assign(Scope.PROGRAM, given("lm_config"))
    if "lm" in inside:
        warnings = (
            *warnings,
            f"{args.command} reads no 'lm' in a signature; it was ignored (did you mean 'lm_config'?)",
        )
    program_type = _program_type(given("program_type"))
    tools = check_tools(given("tools"))
    if tools and program_type != "react":
        raise InvalidProgramError(f"Invalid program definition: tools are for 'react' programs, not {program_type!r}")
    record = _record(
        program_id,
        args.session_id,
        spec,
        program_type=program_type,
        tools=tools,
        lm=lm,
        signature=_without_lm(raw),
        warnings=(*spec.warnings, *warnings),
        kind=kind,
    )
    return _without_secrets(bridge, record), spec


def rebuild_program(bridge: BridgeState, remembered: Mapping[str, Any], session_id: str | None) -> ProgramRecord:
    """The program that DSPex's pool remembers, from its ``program_data`` alone.

    Raises:
        InvalidProgramError: What it remembers is no program.
    """
    definition = remembered["signature_def"]
    lm, warnings = bridge.lms.assign(Scope.PROGRAM, definition.get("lm_config"))
    spec = parse_signature(definition)
    record = _record(
        str(remembered["program_id"]),
        session_id,
        spec,
        program_type=_program_type(remembered.get("program_type") or definition.get("program_type")),
        tools=check_tools(definition.get("tools")),
        lm=lm,
        signature=remembered.get("signature"),
        warnings=(*spec.warnings, *warnings),
        kind="gemini" if definition.get("kind") == "gemini" else "dspy",
    )
    definition = {**definition, **({"lm_config": lm.value.dump_without_key()} if lm is not None else {})}
    return _without_secrets(bridge, replace(record, definition=definition))


def program_result(record: ProgramRecord, spec: SignatureSpec) -> dict[str, Any]:
    """What a create answers: all that DSPex's pool copies, enough to rebuild the program anywhere."""
    result = {
        "program_id": record.program_id,
        "status": "created",
        "signature": record.signature,
        "program_type": record.program_type,
        "signature_class": spec.class_name,
        "field_mapping": dict(spec.field_mapping),
        "fallback_used": spec.fallback,
        "signature_def": record.definition,
    }
    if record.warnings:
        result["warnings"] = list(record.warnings)
    return result


def _record(
    program_id: str,
    session_id: str | None,
    spec: SignatureSpec,
    *,
    program_type: ProgramType,
    tools: tuple[dict[str, Any], ...],
    lm: Assignment | None,
    signature: Any,
    warnings: tuple[str, ...],
    kind: ProgramKind,
) -> ProgramRecord:
    # Everything but the key travels inside `signature_def`, the only place of ours that DSPex's pool keeps.
    definition = {**spec.definition, "program_type": program_type, "kind": kind}
    if tools:
        definition["tools"] = list(tools)
    if lm is not None:
        definition["lm_config"] = lm.value.dump_without_key()
    built_from = [spec.digest, program_type, list(tools)]
    return ProgramRecord(
        program_id=program_id,
        session_id=session_id,
        definition=definition,
        digest=hashlib.blake2b(json.dumps(built_from, sort_keys=True).encode()).hexdigest(),
        signature=signature,
        program_type=program_type,
        tools=tools,
        lm=lm,
        warnings=warnings,
        kind=kind,
        created_at=time.time(),
    )


def _without_secrets(bridge: BridgeState, record: ProgramRecord) -> ProgramRecord:
    """The record as every bridge of a pool may show it, also one that was never told this client's keys."""
    shown = {name: getattr(record, name) for name in ("definition", "signature", "tools", "warnings")}
    clean = bridge.without_secrets(shown)
    if clean is shown:
        return record
    return replace(record, **{**clean, "tools": tuple(clean["tools"]), "warnings": tuple(clean["warnings"])})


def _program_type(raw: object) -> ProgramType:
    if raw is None:
        return "predict"
    spelling = str(raw).lower().replace("-", "_")
    for known in PROGRAM_TYPES:
        if spelling in (known, known.replace("_", "")):
            return known
    raise InvalidProgramError(
        f"Invalid program definition: unknown program_type {raw!r}{nearest_hint(spelling, set(PROGRAM_TYPES))}; "
        f"write one of {', '.join(PROGRAM_TYPES)}",
        details={"program_type": str(raw), "known": list(PROGRAM_TYPES)},
    )


def _with_instructions(raw: object, args: Args) -> object:
    """The signature with instructions that a caller wrote beside it, unless it has its own."""
    beside = args.text("instructions")
    if beside is not None and isinstance(raw, str) and (parts := outline(raw)).problem is None:
        return {"inputs": parts.inputs, "outputs": parts.outputs, "instructions": beside}
    if beside is None or not isinstance(raw, Mapping):
        return raw
    if any(raw.get(name) for name in ("instructions", "docstring", "description", "desc")):
        return raw
    return {**raw, "instructions": beside}


def _without_lm(raw: object) -> object:
    """The signature for showing: an LM config inside it may hold a key."""
    return {key: value for key, value in raw.items() if key != "lm_config"} if isinstance(raw, Mapping) else raw

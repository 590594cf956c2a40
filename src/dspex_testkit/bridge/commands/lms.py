"""Commands about LM scopes."""

from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.arguments import Args, with_warnings
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.commands import named_lms
from dspex_testkit.bridge.commands.verification import verify
from dspex_testkit.bridge.programs.lookup import find_program
from dspex_testkit.calls import Scope
from dspex_testkit.errors import InvalidArgsError, NoLMConfiguredError, UnknownLMError
from dspex_testkit.lm.config.naming import expand
from dspex_testkit.lm.config.reading import holds_lm
from dspex_testkit.lm.config.values import LMPatch, LMReference, LMValue

# What DSPex's pool and its tests add to every command; no LM config has these keys.
_ENVELOPE = frozenset({"session_id", "id", "program_id", "timestamp", "options", "verify"})


def configure_lm(bridge: BridgeState, args: Args) -> dict[str, Any] | Callable[[], dict[str, Any]]:
    """Give a named session, or without one the whole bridge, its LM. Does no I/O unless it is to verify it."""
    raw = _config_of(args)
    wants_verification = args.flag("verify")
    session_id = args.session_id
    before = bridge.store.get_lm(session_id)
    assignment, warnings = bridge.lms.configure(session_id, raw)
    value = assignment.value
    assert not isinstance(value, LMPatch)
    config, _ = expand(value, bridge.store.find_lm)
    result = {
        "status": "configured",
        "model": config.model,
        "provider": config.provider,
        "temperature": config.params.get("temperature"),
        "scope": str(assignment.scope),
        "lm_id": assignment.lm_id,
        "mocked": bridge.settings.offline_policy.mocks(config),
    }
    if isinstance(value, LMReference):
        result["name"] = value.name
    if warnings:
        result["warnings"] = list(warnings)
    if not wants_verification:
        return result
    return verify(bridge, session_id, assignment, config, before, result)


def _config_of(args: Args) -> dict[str, Any]:
    """The LM config that these arguments are; options that say which LM is to answer are none of the envelope."""
    said = holds_lm(args.values.get("options"))
    return {key: value for key, value in args.values.items() if key not in _ENVELOPE or (said and key == "options")}


def get_lm(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """What would answer an execution with these arguments, which scope says so, and what the others hold."""
    session_id = args.session_id
    record = find_program(bridge, args) if "program_id" in args else None
    overrides = bridge.lms.overrides(args)
    held = bridge.lms.held(overrides, record, session_id)
    scopes: dict[str, Any] = {str(scope): None for scope in Scope}
    for assignment in filter(None, reversed(held)):
        scopes[str(assignment.scope)] = _describe(bridge, assignment.value)
    try:
        resolved = bridge.lms.choose(held)
    except NoLMConfiguredError:
        return with_warnings({"lm": None, "scopes": scopes}, list(overrides.warnings))
    result = {"lm": {**resolved.public(), "mocked": bridge.lms.is_mocked(resolved)}, "scopes": scopes}
    return with_warnings(result, list(overrides.warnings))


def define_lm(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Keep an LM under a name, in place of what had it before."""
    name = _name(args)
    raw = {key: value for key, value in _config_of(args).items() if key != "name"}
    definition, redefined, warnings = named_lms.define(bridge, name, raw)
    result: dict[str, Any] = {
        "status": "redefined" if redefined else "defined",
        "name": name,
        "lm": _describe(bridge, definition.value),
        "lm_id": definition.lm_id,
    }
    return {**result, "warnings": list(warnings)} if warnings else result


def undefine_lm(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Remove the definition of a named LM, unless something still refers to it."""
    name = _name(args)
    named_lms.undefine(bridge, name)
    return {"status": "undefined", "name": name}


def list_lms(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """The named LMs, and who refers to each."""
    lms = [
        {
            "name": definition.name,
            "lm": _describe(bridge, definition.value),
            "lm_id": definition.lm_id,
            "used_by": named_lms.users_of(bridge, definition.name),
        }
        for definition in bridge.store.named_lms()
    ]
    return {"lms": lms, "total_count": len(lms)}


def _name(args: Args) -> str:
    name = args.text("name")
    if name is None:
        raise InvalidArgsError(f"{args.command} wants 'name', the name of an LM, such as 'fast'")
    return name


def _describe(bridge: BridgeState, value: LMValue) -> dict[str, Any]:
    if not isinstance(value, LMReference):
        return value.public()
    try:
        stands_for: dict[str, Any] | None = expand(value, bridge.store.find_lm)[0].public()
    except UnknownLMError:
        stands_for = None
    return {**value.public(), "stands_for": stands_for}

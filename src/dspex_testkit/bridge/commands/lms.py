"""Commands about LM scopes."""

from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.args import Args
from dspex_testkit.bridge.lookup import find_program
from dspex_testkit.errors import NoLMConfiguredError
from dspex_testkit.lm.config import LMConfig, LMPatch
from dspex_testkit.lm.resolution import resolve

if TYPE_CHECKING:
    from dspex_testkit.bridge.dispatcher import Bridge

# What DSPex's pool and its tests add to every command; no LM config has these keys.
_ENVELOPE = frozenset({"session_id", "id", "program_id", "timestamp", "options"})


def configure_lm(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """Give a named session, or without one the whole bridge, its LM. Does no I/O."""
    raw = {key: value for key, value in args.values.items() if key not in _ENVELOPE}
    assignment, warnings = bridge.lms.configure(args.session_id, raw)
    config = assignment.value
    assert isinstance(config, LMConfig)
    result = {
        "status": "configured",
        "model": config.model,
        "provider": config.provider,
        "temperature": config.params.get("temperature"),
        "scope": str(assignment.scope),
        "lm_id": assignment.lm_id,
        "mocked": bridge.settings.offline_policy.mocks(config),
    }
    if warnings:
        result["warnings"] = list(warnings)
    return result


def get_lm(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """What would answer an execution with these arguments, which scope says so, and what the others hold."""
    session_id = args.session_id
    record = find_program(bridge, args) if "program_id" in args else None
    scopes = bridge.lms.scopes(bridge.lms.overrides(args), record, session_id)
    held: dict[str, Any] = {}
    for scope, assignment in scopes:
        if held.get(str(scope)) is None:
            held[str(scope)] = _describe(assignment.value) if assignment else None
    try:
        resolved = resolve(assignment for _, assignment in scopes)
    except NoLMConfiguredError:
        return {"lm": None, "scopes": held}
    return {"lm": {**resolved.public(), "mocked": bridge.lms.is_mocked(resolved)}, "scopes": held}


def _describe(value: LMConfig | LMPatch) -> dict[str, Any]:
    return value.public() if isinstance(value, LMConfig) else {"params": dict(value.params)}

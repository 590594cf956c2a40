"""LMs under names of the client's own: defined, redefined, and let go where nobody refers to them."""

from typing import Any

from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.lm_scopes import new_lm_id
from dspex_testkit.calls import LMChange, Scope
from dspex_testkit.errors import InvalidLMConfigError, LMInUseError
from dspex_testkit.lm.config.naming import Definition, check_name, expand, unknown_name
from dspex_testkit.lm.config.values import LMConfig, LMPatch, LMReference, LMValue


def define(bridge: BridgeState, name: str, raw: object) -> tuple[Definition, bool, tuple[str, ...]]:
    """Keep an LM under a name; also whether it took another's place, and warnings.

    What is already running goes on with what it resolved; later executions see the new definition.

    Raises:
        LMResolutionError: The name or the config cannot be used, or the LM would be made of itself.
        MockLMError: The config is of a mock, and its spec cannot be used.
    """
    check_name(name)
    assignment, warnings = bridge.lms.assign(Scope.GLOBAL, raw)
    if assignment is None or isinstance(assignment.value, LMPatch):
        raise InvalidLMConfigError(
            "Model name is required: define_lm wants a name and an LM config, such as "
            '{"name": "fast", "provider": "openai", "model": "gpt-4o-mini"}'
        )
    definition = Definition(name, assignment.value, new_lm_id())

    def lookup(other: str) -> Definition | None:
        return definition if other == name else bridge.store.find_lm(other)

    expand(LMReference(name=name), lookup)
    replaced = bridge.store.define_lm(definition)
    bridge.lms.note(_change("defined", definition, replaced))
    return definition, replaced is not None, warnings


def undefine(bridge: BridgeState, name: str) -> None:
    """Let a name go.

    Raises:
        UnknownLMError: Nobody defined it.
        LMInUseError: A scope or another named LM refers to it; the message says which.
    """
    names = [definition.name for definition in bridge.store.named_lms()]
    if name not in names:
        raise unknown_name(name, names)
    users = users_of(bridge, name)
    if users:
        shown = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
        raise LMInUseError(
            f"The named LM {name!r} is in use by {shown}; give them another LM first, or redefine the name",
            details={"name": name, "used_by": users[:50]},
        )
    gone = bridge.store.undefine_lm(name)
    bridge.lms.note(_change("undefined", None, gone))


def users_of(bridge: BridgeState, name: str) -> list[str]:
    """Who refers to a name, each described for a person."""
    held = [(holder, assignment.value) for holder, assignment in bridge.store.assignments()]
    if bridge.lms.default is not None:
        held.append(("the default scope", bridge.lms.default.value))
    held += [(f"the named LM {other.name!r}", other.value) for other in bridge.store.named_lms() if other.name != name]
    return [holder for holder, value in held if _refers(value, name)]


def _refers(value: LMValue, name: str) -> bool:
    if isinstance(value, LMReference):
        return value.name == name
    return isinstance(value, LMConfig) and name in value.references


def _change(kind: Any, now: Definition | None, before: Definition | None) -> LMChange:
    known = now or before
    return LMChange(
        kind,
        name=known.name if known else None,
        lm=now.value.public() if now else None,
        lm_id=now.lm_id if now else None,
        replaced=before.value.public() if before else None,
        replaced_lm_id=before.lm_id if before else None,
    )

"""Choosing the LM of one execution.

Five scopes may name an LM; the narrowest one that does decides:

    execution  >  program  >  session  >  global  >  default

A scope may also hold a patch, parameters without a model. Patches met on the way to the deciding scope are laid
over its config, the narrower over the wider. A scope may hold a reference to a named LM, which is looked up now and
not when it was given. There is no other fallback: where no scope names an LM, the execution fails.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dspex_testkit.calls import Scope
from dspex_testkit.errors import NoLMConfiguredError
from dspex_testkit.lm.config.naming import Definition, Lookup, expand
from dspex_testkit.lm.config.values import LMConfig, LMPatch, LMReference, LMValue


@dataclass(frozen=True, slots=True)
class Assignment:
    """One act of giving a config to a scope.

    What an engine counts (the position in a script, a fault's index) belongs to the assignment: giving the same
    config again starts anew.
    """

    scope: Scope
    value: LMValue
    lm_id: str
    """Names this assignment; unique in its bridge and says nothing about keys."""


@dataclass(frozen=True, slots=True)
class ResolvedLM:
    """The LM of one execution and the scope that decided."""

    config: LMConfig
    scope: Scope
    lm_id: str
    patched_by: tuple[Scope, ...] = ()
    """The narrower scopes that changed parameters."""
    name: str | None = None
    """The name by which the deciding scope refers to it."""

    def public(self) -> dict[str, Any]:
        """What the wire may see: never a key."""
        shown = {
            **self.config.public(),
            "scope": str(self.scope),
            "lm_id": self.lm_id,
            "patched_by": [str(scope) for scope in self.patched_by],
        }
        return shown if self.name is None else {**shown, "name": self.name}


def _nothing_defined(name: str) -> Definition | None:
    return None


def resolve(assignments: Iterable[Assignment | None], lookup: Lookup = _nothing_defined) -> ResolvedLM:
    """Choose among assignments given from the narrowest scope to the widest.

    Args:
        assignments: What each scope holds; None where it holds nothing.
        lookup: Gives the definitions of named LMs.

    Raises:
        NoLMConfiguredError: No scope names an LM.
        UnknownLMError: The deciding scope refers to a name that nobody defined.
    """
    patches: list[Assignment] = []
    for assignment in assignments:
        if assignment is None:
            continue
        value = assignment.value
        if isinstance(value, LMPatch):
            patches.append(assignment)
            continue
        config, defined_id = expand(value, lookup)
        for patch in reversed(patches):
            assert isinstance(patch.value, LMPatch)
            config = config.patched(patch.value.params, patch.value.cache)
        return ResolvedLM(
            config,
            assignment.scope,
            defined_id or assignment.lm_id,
            tuple([patch.scope for patch in patches]),
            value.name if isinstance(value, LMReference) else None,
        )
    raise NoLMConfiguredError("No LM is loaded.")

"""Choosing the LM of one execution.

Five scopes may name an LM; the narrowest one that does decides:

    execution  >  program  >  session  >  global  >  default

A scope may also hold a patch, parameters without a model. Patches met on the way to the deciding scope are laid
over its config, the narrower over the wider. There is no other fallback: where no scope names an LM, the
execution fails.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dspex_testkit.calls import Scope
from dspex_testkit.errors import NoLMConfiguredError
from dspex_testkit.lm.config import LMConfig, LMPatch


@dataclass(frozen=True, slots=True)
class Assignment:
    """One act of giving a config to a scope.

    What an engine counts (the position in a script, a fault's index) belongs to the assignment: giving the same
    config again starts anew.
    """

    scope: Scope
    value: LMConfig | LMPatch
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

    def public(self) -> dict[str, Any]:
        """What the wire may see: never a key."""
        return {
            **self.config.public(),
            "scope": str(self.scope),
            "lm_id": self.lm_id,
            "patched_by": [str(scope) for scope in self.patched_by],
        }


def resolve(assignments: Iterable[Assignment | None]) -> ResolvedLM:
    """Choose among assignments given from the narrowest scope to the widest.

    Args:
        assignments: What each scope holds; None where it holds nothing.

    Raises:
        NoLMConfiguredError: No scope names an LM.
    """
    patches: list[Assignment] = []
    for assignment in assignments:
        if assignment is None:
            continue
        if isinstance(assignment.value, LMPatch):
            patches.append(assignment)
            continue
        config = assignment.value
        for patch in reversed(patches):
            assert isinstance(patch.value, LMPatch)
            config = config.patched(patch.value)
        return ResolvedLM(config, assignment.scope, assignment.lm_id, tuple(patch.scope for patch in patches))
    raise NoLMConfiguredError("No LM is loaded.")

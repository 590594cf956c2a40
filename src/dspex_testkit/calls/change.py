"""`LMChange`: an entry of the journal that says which LM a scope was given, and what it took the place of."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from dspex_testkit.calls.call import Scope

ChangeKind = Literal["configured", "defined", "undefined", "restored"]


@dataclass(frozen=True, slots=True)
class LMChange:
    """One change of who answers. Configs are the public part of an LM config: never a key."""

    kind: ChangeKind
    """`configured`: a scope was given an LM; `restored`: it got its former one back; the rest speak of names."""
    scope: Scope | None = None
    """The scope that changed; None for a named LM."""
    name: str | None = None
    """The named LM that changed; None for a scope."""
    session_id: str | None = None
    lm: Mapping[str, Any] | None = None
    """What is there now; None where nothing is."""
    lm_id: str | None = None
    replaced: Mapping[str, Any] | None = None
    """What was there before; None where nothing was."""
    replaced_lm_id: str | None = None
    worker_id: str | None = None
    time: float = 0.0
    """Seconds since the epoch."""
    seq: int = 0
    """Position in the journal, in one sequence with the LM calls, given by it."""

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON values, in field order; what `get_journal` returns under `changes`."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record["type"] = "lm_changed"
        record["scope"] = str(self.scope) if self.scope is not None else None
        for name in ("lm", "replaced"):
            record[name] = dict(record[name]) if record[name] is not None else None
        return record

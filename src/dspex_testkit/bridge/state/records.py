"""What a bridge remembers of a program."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dspex_testkit.lm.resolution import Assignment

ProgramType = Literal["predict", "chain_of_thought", "react", "program_of_thought"]
ProgramKind = Literal["dspy", "gemini"]


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """A created program: what is needed to build it, on any worker, and its LM.

    The compiled DSPy module is not here; each process builds and caches its own.
    """

    program_id: str
    session_id: str | None
    definition: dict[str, Any]
    """The signature in its wire form (`SignatureSpec.definition`); it is what goes out as `signature_def`."""
    digest: str
    """Equal for programs that compile to one module: same signature, type and tools. Their LMs may differ."""
    signature: Any
    """As the client wrote it, without LM configs."""
    program_type: ProgramType = "predict"
    tools: tuple[dict[str, Any], ...] = ()
    lm: Assignment | None = None
    kind: ProgramKind = "dspy"
    warnings: tuple[str, ...] = ()
    created_at: float = 0.0
    execution_count: int = 0
    last_executed: float | None = None

    @property
    def key(self) -> tuple[str | None, str]:
        """Session and id: where a store keeps it."""
        return self.session_id, self.program_id


@dataclass(slots=True)
class KeptProgram:
    """A program in a store, with what changes at each execution; that is not worth a new record each time."""

    record: ProgramRecord
    """As it was created."""
    executions: int = 0
    last_executed: float | None = None

    def count(self, now: float) -> None:
        """Note an execution that ended now, in seconds since the epoch."""
        self.executions += 1
        self.last_executed = now

    def counted(self) -> ProgramRecord:
        """The record as it stands, executions included."""
        return replace(self.record, execution_count=self.executions, last_executed=self.last_executed)


@dataclass(slots=True)
class SessionState:
    """What a bridge remembers of a session; callers without a session share one that never expires."""

    programs: dict[str, KeptProgram] = field(default_factory=dict)
    lm: Assignment | None = None
    data: dict[str, Any] = field(default_factory=dict)
    last_used: float = 0.0

"""Programs as DSPy modules, compiled once per process."""

import threading
import warnings
from collections import OrderedDict
from typing import Any

from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.bridge.tools import build_tool


class CompiledProgram:
    """A program as this process runs it; its module is built on first use.

    Args:
        record: The program, or one that behaves alike.
        spec: Its signature.
    """

    __slots__ = ("_module", "_record", "signature")

    def __init__(self, record: ProgramRecord, spec: SignatureSpec) -> None:
        self._record = record
        self._module: Any = None
        self.signature = compile_signature(spec)

    @property
    def module(self) -> Any:
        """The program's DSPy module. Threads that need it at the same time may each build one, which are equal."""
        if self._module is None:
            self._module = _build(self._record, self.signature.dspy_class())
        return self._module


class CompiledPrograms:
    """The recently used programs, by digest.

    Modules are shared by threads and sessions: they hold no LM, no history and no demos of a caller.

    Args:
        max_programs: How many are kept; the least recently used goes first.
    """

    def __init__(self, *, max_programs: int = 1024) -> None:
        self._max = max_programs
        self._kept: OrderedDict[str, CompiledProgram] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, record: ProgramRecord) -> CompiledProgram:
        """The program of a record."""
        with self._lock:
            if (found := self._kept.get(record.digest)) is not None:
                self._kept.move_to_end(record.digest)
                return found
        return self.keep(record, parse_signature(record.definition))

    def keep(self, record: ProgramRecord, spec: SignatureSpec) -> CompiledProgram:
        """Keep a program whose signature was parsed elsewhere, unless it is known already."""
        compiled = CompiledProgram(record, spec)
        with self._lock:
            kept = self._kept.setdefault(record.digest, compiled)
            while len(self._kept) > self._max:
                self._kept.popitem(last=False)
        return kept

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()


def _build(record: ProgramRecord, signature: Any) -> Any:
    import dspy

    match record.program_type:
        case "predict":
            return dspy.Predict(signature)
        case "chain_of_thought":
            return dspy.ChainOfThought(signature)
        case "react":
            return dspy.ReAct(signature, tools=[build_tool(tool) for tool in record.tools])
        case "program_of_thought":
            with warnings.catch_warnings():
                # DSPy 3.4 announces its removal; DSPex's contract names the type all the same.
                warnings.simplefilter("ignore", DeprecationWarning)
                return dspy.ProgramOfThought(signature)

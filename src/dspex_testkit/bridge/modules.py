"""Programs as DSPy modules, compiled once per process."""

import threading
import warnings
from collections import OrderedDict
from typing import Any

from dspex_testkit.bridge.records import ProgramRecord
from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.tools import build_tool


class CompiledPrograms:
    """The signatures and modules of recently used programs, by digest.

    Modules are shared by threads and sessions: they hold no LM, no history and no demos of a caller.

    Args:
        max_programs: How many are kept; the least recently used goes first.
    """

    def __init__(self, *, max_programs: int = 1024) -> None:
        self._max = max_programs
        self._specs: OrderedDict[str, SignatureSpec] = OrderedDict()
        self._modules: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def spec(self, record: ProgramRecord) -> SignatureSpec:
        """The program's signature."""
        with self._lock:
            if (found := self._specs.get(record.digest)) is not None:
                self._specs.move_to_end(record.digest)
                return found
        spec = parse_signature(record.definition)
        self.keep_spec(record.digest, spec)
        return spec

    def keep_spec(self, digest: str, spec: SignatureSpec) -> None:
        """Keep a signature that was parsed elsewhere."""
        self._keep(self._specs, digest, spec)

    def module(self, record: ProgramRecord) -> Any:
        """The program's DSPy module."""
        with self._lock:
            if (found := self._modules.get(record.digest)) is not None:
                self._modules.move_to_end(record.digest)
                return found
        module = _build(record, self.spec(record))
        self._keep(self._modules, record.digest, module)
        return module

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._specs.clear()
            self._modules.clear()

    def _keep(self, cache: OrderedDict[str, Any], digest: str, value: Any) -> None:
        with self._lock:
            cache[digest] = value
            while len(cache) > self._max:
                cache.popitem(last=False)


def _build(record: ProgramRecord, spec: SignatureSpec) -> Any:
    import dspy

    signature = spec.compile()
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

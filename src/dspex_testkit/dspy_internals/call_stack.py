"""Which signature is being answered, and for which module: the one place that looks into DSPy's call stack.

An engine is handed rendered messages. To answer well it needs what the adapter had in hand: itself, the signature
after native fields were taken out, the demos and the inputs. `MockLM` calls `begin_call` when it is called; the
adapter's frame is then right above. DSPy offers no public way that also holds for the JSON fallback, for TwoStep and
for native tools, so this reads the local variables of a few functions of DSPy by name.
`tests/dspy_internals/test_call_stack.py` fails loudly when DSPy renames one of them.
"""

import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import dspy

# How far above an adapter's frame the frames of an enclosing TwoStep adapter or predictor may lie.
_NEIGHBOURHOOD = 40
# By name, for DSPy announces their removal.
_CODE_AGENTS = frozenset({"ProgramOfThought", "CodeAct"})


@dataclass(frozen=True, slots=True)
class Capture:
    """What the adapter knew when it called the LM."""

    adapter: Any
    signature: Any
    """The signature that the adapter rendered and will parse."""
    full_signature: Any
    """The signature before native fields (tools, reasoning, citations) were taken out."""
    demos: Sequence[Any]
    inputs: Mapping[str, Any]
    lm: Any
    stage: str = "answer"
    """`draft` for TwoStep's free text, `extract` for the call that reads fields out of it, else `answer`."""
    outer: "Capture | None" = None
    """For `extract`: the TwoStep call that it belongs to."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """What `MockLM` saw when it was called and the engine cannot see."""

    capture: Capture | None
    params: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]] | None = None
    """As the adapter wrote them, where the LM was called with messages."""
    asked: dict[str, int] = field(default_factory=dict)
    """How often each request was made within this call, by whoever tells them apart: once for each of `n` answers."""


_current: ContextVar[CallContext | None] = ContextVar("dspex_testkit_mock_call", default=None)


def _code(function: Any) -> CodeType:
    """The code of a function under DSPy's decorators."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code: CodeType = function.__code__
    return code


_ADAPTER_CALL = _code(dspy.Adapter.__call__)
_ADAPTER_ACALL = _code(dspy.Adapter.acall)
_TWO_STEP_ACALL = _code(dspy.TwoStepAdapter.acall)
_PREDICT_AFORWARD = _code(dspy.Predict.aforward)
_ADAPTER_CODES = frozenset({_ADAPTER_CALL, _ADAPTER_ACALL, _TWO_STEP_ACALL})
_ADAPTER_LOCALS = ("signature", "demos", "inputs", "lm")


def begin_call(
    params: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] | None = None
) -> Token[CallContext | None]:
    """Hand what the calling adapter knows to the engine, until `end_call`.

    To be called from the method that the adapter calls.
    """
    return announce_call(_capture(sys._getframe(2)), params, messages)


def announce_call(
    capture: Capture | None, params: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] | None = None
) -> Token[CallContext | None]:
    """Hand an engine what is known of the call by other means than the stack, until `end_call`.

    For whoever asks the engine without an adapter in this process, as a server does.
    """
    return _current.set(CallContext(capture, params, messages))


def end_call(token: Token[CallContext | None]) -> None:
    """Forget the call that `begin_call` announced."""
    _current.reset(token)


def current_call() -> CallContext:
    """The context of the call being answered; found on the stack where the LM is not a `MockLM`."""
    return _current.get() or CallContext(_capture(sys._getframe(1)), {})


def _capture(frame: FrameType | None) -> Capture | None:
    inner = _find(frame, _ADAPTER_CODES) or _find_custom(frame)
    if inner is None:
        return None
    capture = _read(inner)
    if type(capture.adapter) is not dspy.ChatAdapter or list(capture.inputs) != ["text"]:
        return capture
    # Perhaps TwoStep's extraction: is the adapter above us a TwoStep?
    outer_frame = _find(inner.f_back, _ADAPTER_CODES)
    outer = None if outer_frame is None else _read(outer_frame)
    if outer is None or outer.stage != "draft":
        return capture
    return Capture(
        adapter=capture.adapter,
        signature=capture.signature,
        full_signature=capture.full_signature,
        demos=capture.demos,
        inputs=capture.inputs,
        lm=capture.lm,
        stage="extract",
        outer=outer,
    )


def _find(frame: FrameType | None, codes: frozenset[CodeType]) -> FrameType | None:
    for _ in range(_NEIGHBOURHOOD):
        if frame is None or frame.f_code in codes:
            return frame
        frame = frame.f_back
    return None


def _find_custom(frame: FrameType | None) -> FrameType | None:
    """The frame of an adapter that calls its LM in a `__call__` of its own."""
    for _ in range(_NEIGHBOURHOOD):
        if frame is None:
            return None
        if frame.f_code.co_name in ("__call__", "acall"):
            known = frame.f_locals
            # By membership: from Python 3.13 the locals of a frame are a proxy, whose keys are a list.
            if isinstance(known.get("self"), dspy.Adapter) and all(name in known for name in _ADAPTER_LOCALS):
                return frame
        frame = frame.f_back
    return None


def _read(frame: FrameType) -> Capture:
    known = frame.f_locals
    adapter = known["self"]
    signature, inputs = known["signature"], known["inputs"]
    if frame.f_code is _TWO_STEP_ACALL:
        # It has replaced its inputs by messages; the predictor above still holds them.
        predictor = _find(frame.f_back, frozenset({_PREDICT_AFORWARD}))
        inputs = {} if predictor is None else predictor.f_locals["kwargs"]
    return Capture(
        adapter=adapter,
        signature=known.get("processed_signature", signature),
        full_signature=signature,
        demos=known["demos"],
        inputs=inputs,
        lm=known["lm"],
        stage="draft" if isinstance(adapter, dspy.TwoStepAdapter) else "answer",
    )


def calling_program(attribute: str) -> Any:
    """The innermost calling module that has an attribute and is no plain predictor, or None."""
    for module in reversed(_calling_modules()):
        if isinstance(module, dspy.Predict | dspy.ChainOfThought):
            continue
        if getattr(module, attribute, None) is not None:
            return module
    return None


def code_agent_is_calling() -> bool:
    """Whether the code that is asked for will be run by a module of DSPy."""
    return any(cls.__name__ in _CODE_AGENTS for module in _calling_modules() for cls in type(module).__mro__)


def _calling_modules() -> Sequence[Any]:
    return dspy.settings.get("caller_modules") or ()


def asked_by_dspy(signature: Any) -> bool:
    """Whether a signature is one of DSPy's own, as its optimizers ask: no answer of a user was written for it."""
    if _is_of_dspy(signature):
        return True
    # Modules that put a field before the answer have made another signature of it, which kept its instructions.
    pending, instructions = [dspy.Signature], signature.instructions
    while pending:
        for known in type.__subclasses__(pending.pop()):
            if _is_of_dspy(known) and known.instructions == instructions:
                return True
            pending.append(known)
    return False


def _is_of_dspy(signature: Any) -> bool:
    module = str(signature.__module__)
    return module.partition(".")[0] == "dspy" and module != dspy.Signature.__module__

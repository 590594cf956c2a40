"""Compiled signatures: what reads inputs and writes outputs, and DSPy's class, made once for equal definitions."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from dspex_testkit.bridge.signatures.fields import FieldSpec
from dspex_testkit.bridge.signatures.fieldtypes import FieldTypes
from dspex_testkit.bridge.signatures.inputs import InputReader, QuestionInput, TypedInputs
from dspex_testkit.bridge.signatures.outputs import Answers, TypedOutputs
from dspex_testkit.bridge.signatures.spec import SignatureSpec
from dspex_testkit.bridge.signatures.values import to_json_value
from dspex_testkit.errors import InvalidArgsError
from dspex_testkit.limits import json_kind

CAPACITY = 256
"""How many signatures are kept ready."""


class CompiledSignature:
    """A signature that programs can use; threads share it."""

    def __init__(self, spec: SignatureSpec) -> None:
        self._spec = spec
        self._types = FieldTypes((*spec.inputs, *spec.outputs))
        self._lock = threading.Lock()
        self._class: Any = None
        self._reader: InputReader = QuestionInput() if spec.takes_any_input else TypedInputs(spec.inputs, self._types)
        self._writer = TypedOutputs(spec.outputs, self._types, spec.stand_in_outputs)

    def read_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Typed keyword arguments for the program, by attribute.

        Inputs that the signature does not declare are dropped; optional ones that did not come are None.

        Raises:
            InvalidArgsError: Inputs are missing or have the wrong type.
        """
        if not isinstance(inputs, Mapping):
            if inputs != []:  # Elixir's empty keyword list is an empty map
                raise InvalidArgsError(
                    f"Invalid inputs: a map from field names to values was wanted, but {json_kind(inputs)} came"
                )
            inputs = {}
        return self._reader.read(inputs)

    def write_outputs(self, answers: Answers, *, also: Iterable[str] = ()) -> dict[str, Any]:
        """JSON values by original name, from answers by attribute (a mapping or a `dspy.Prediction`).

        Args:
            answers: What the program answered.
            also: Answers that the kind of program adds to the signature's (`reasoning`), written if they are there.

        Raises:
            ProgramExecutionError: An output is absent, or is not what its type allows.
        """
        written = self._writer.write(answers)
        for name in also:
            value = answers.get(name)
            if value is not None and name not in written:
                written[name] = to_json_value(value)
        return written

    def dspy_class(self) -> Any:
        """The subclass of `dspy.Signature`, one for all equal definitions; the first call imports DSPy."""
        with self._lock:
            if self._class is None:
                self._class = self._compile()
            return self._class

    def _compile(self) -> Any:
        import dspy

        spec = self._spec
        fields = {field.attribute: self._declare(field, dspy.InputField) for field in spec.inputs}
        fields |= {field.attribute: self._declare(field, dspy.OutputField) for field in spec.outputs}
        return dspy.Signature(fields, spec.instructions or None, signature_name=spec.class_name)

    def _declare(self, field: FieldSpec, declare: Any) -> tuple[Any, Any]:
        annotation, limits = self._types.declared(field.attribute)
        settings: dict[str, Any] = dict(limits)
        description = field.description
        if "pattern" in limits:
            # DSPy tells the LM about the other constraints itself.
            description = f"{description} (matches the regular expression {limits['pattern']})".lstrip()
        if description:
            settings["desc"] = description
        if not field.typed:
            # As DSPy does for its own signatures without types: no warning when something else than a text comes.
            settings["IS_TYPE_UNDEFINED"] = True
        return annotation, declare(**settings)


_kept: "OrderedDict[str, CompiledSignature]" = OrderedDict()
_kept_lock = threading.Lock()


def compile_signature(spec: SignatureSpec) -> CompiledSignature:
    """A signature ready for use, shared by all with the same digest that are in use."""
    with _kept_lock:
        compiled = _kept.get(spec.digest)
        if compiled is None:
            compiled = _kept[spec.digest] = CompiledSignature(spec)
        _kept.move_to_end(spec.digest)
        while len(_kept) > CAPACITY:
            _kept.popitem(last=False)
        return compiled


def forget_compiled() -> None:
    """Forget all of them, as `reset_state` asks; programs in use keep theirs."""
    with _kept_lock:
        _kept.clear()

"""What a signature needs at work: reader, writer and DSPy class, made once for equal definitions."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.signatures.fields import FieldSpec
from dspex_testkit.bridge.signatures.fieldtypes import FieldTypes
from dspex_testkit.bridge.signatures.inputs import InputReader, QuestionInput, TypedInputs
from dspex_testkit.bridge.signatures.outputs import Answers, TypedOutputs
from dspex_testkit.bridge.signatures.values import to_json_value
from dspex_testkit.errors import InvalidArgsError

if TYPE_CHECKING:
    from dspex_testkit.bridge.signatures.spec import SignatureSpec

CAPACITY = 256
"""How many signatures are kept ready."""


class SignatureWorkings:
    """The moving parts of one signature; threads share them."""

    def __init__(self, spec: "SignatureSpec") -> None:
        self._spec = spec
        self._types = FieldTypes((*spec.inputs, *spec.outputs))
        self._lock = threading.Lock()
        self._compiled: Any = None
        self._reader: InputReader = QuestionInput() if spec.takes_any_input else TypedInputs(spec.inputs, self._types)
        self._writer = TypedOutputs(spec.outputs, self._types, spec.stand_in_outputs)

    def read_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What `SignatureSpec.read_inputs` promises."""
        if not isinstance(inputs, Mapping):
            if inputs != []:  # Elixir's empty keyword list is an empty map
                raise InvalidArgsError(
                    f"Invalid inputs: a map from field names to values was wanted, but a {type(inputs).__name__} came"
                )
            inputs = {}
        return self._reader.read(inputs)

    def write_outputs(self, answers: Answers, *, also: Iterable[str] = ()) -> dict[str, Any]:
        """What `SignatureSpec.write_outputs` promises."""
        written = self._writer.write(answers)
        for name in also:
            value = answers.get(name)
            if value is not None and name not in written:
                written[name] = to_json_value(value)
        return written

    def compiled(self) -> Any:
        """The subclass of `dspy.Signature`; the first call imports DSPy."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._compile()
            return self._compiled

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


_kept: "OrderedDict[str, SignatureWorkings]" = OrderedDict()
_kept_lock = threading.Lock()


def workings_of(spec: "SignatureSpec") -> SignatureWorkings:
    """The workings of a signature, shared by all with the same digest that are in use."""
    with _kept_lock:
        workings = _kept.get(spec.digest)
        if workings is None:
            workings = _kept[spec.digest] = SignatureWorkings(spec)
        _kept.move_to_end(spec.digest)
        while len(_kept) > CAPACITY:
            _kept.popitem(last=False)
        return workings


def clear_workings() -> None:
    """Forget all workings, as `reset_state` asks; signatures in use keep theirs."""
    with _kept_lock:
        _kept.clear()

"""Turns what a program answered into JSON values under the names that the client gave its fields."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from dspex_testkit.bridge.signatures.fields import FieldSpec
from dspex_testkit.bridge.signatures.fieldtypes import FieldTypes
from dspex_testkit.bridge.signatures.inputs import describe, exact_type
from dspex_testkit.bridge.signatures.values import to_json_value
from dspex_testkit.errors import ProgramExecutionError

_ABSENT = object()


class Answers(Protocol):
    """What holds answers by attribute: a mapping, or a `dspy.Prediction`."""

    def get(self, name: str, default: Any = None, /) -> Any:
        """The answer, or the default where there is none."""


class TypedOutputs:
    """Writes what a signature declares.

    Args:
        fields: The outputs of the signature.
        types: Their Python types.
        copies: Further names under which the first output appears, for stand-ins.
    """

    def __init__(self, fields: Sequence[FieldSpec], types: FieldTypes, copies: Iterable[str] = ()) -> None:
        self._plan = [(field, field.name, field.attribute, exact_type(field)) for field in fields]
        self._types = types
        self._copies = tuple(copies)

    def write(self, answers: Answers) -> dict[str, Any]:
        """JSON values by original name.

        Raises:
            ProgramExecutionError: An output is absent, or is not what its type allows.
        """
        written: dict[str, Any] = {}
        for field, name, attribute, exact in self._plan:
            value = answers.get(attribute, _ABSENT)
            if type(value) is exact:
                written[name] = to_json_value(value)
            elif value is None or value is _ABSENT:
                written[name] = None
                if not field.optional:
                    raise _failed(f"the output {name!r} is {'null' if value is None else 'not in the prediction'}")
            else:
                written[name] = self._convert(field, value) if field.typed else to_json_value(value)
        for name in self._copies:
            written.setdefault(name, next(iter(written.values())))
        return written

    def _convert(self, field: FieldSpec, value: Any) -> Any:
        from pydantic import ValidationError

        if isinstance(value, float) and not math.isfinite(value):
            return None
        adapter = self._types.adapter(field.attribute)
        try:
            return to_json_value(adapter.validate_python(value))
        except ValidationError:
            plain = to_json_value(value)
        try:
            # An object of another class, a set for a list: their JSON forms may well fit.
            return to_json_value(adapter.validate_python(plain))
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise _failed(
                f"the output {field.name!r} should be {field.type.spelling}, but is {describe(plain)} ({reason})"
            ) from None


def _failed(reason: str) -> ProgramExecutionError:
    return ProgramExecutionError(f"Program execution failed: {reason}")

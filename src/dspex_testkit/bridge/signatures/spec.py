"""Signatures as values: what a client defines, in one form.

Parsing imports neither DSPy nor pydantic. A definition that cannot be used does not fail: as clients expect, it becomes
`question -> answer` with a warning, unless strictness is asked for.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspex_testkit.bridge.signatures.definitions import Outline, outline
from dspex_testkit.bridge.signatures.fieldnames import class_name
from dspex_testkit.bridge.signatures.fields import FieldSpec, UnusableFieldsError, read_fields, valid_names
from dspex_testkit.bridge.signatures.types import STRING
from dspex_testkit.bridge.signatures.values import to_json_value
from dspex_testkit.errors import InvalidProgramError

_QUESTION = (FieldSpec("question", "question", STRING),)
_ANSWER = (FieldSpec("answer", "answer", STRING),)


@dataclass(frozen=True, slots=True, eq=False)
class SignatureSpec:
    """A signature as a value. Two are equal if their definitions are."""

    name: str
    """As the client called it."""
    class_name: str
    """The name of the compiled class."""
    instructions: str
    """Empty where the client gave none; DSPy then writes its own."""
    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    definition: dict[str, Any]
    """The canonical wire form: JSON, and enough to rebuild an equal signature. Not to be changed."""
    digest: str
    """SHA-256 of the definition."""
    fallback: bool = False
    """True where this stands in for a definition that cannot be used."""
    takes_any_input: bool = False
    """True for `question -> answer` that takes whatever comes first for the question."""
    stand_in_outputs: tuple[str, ...] = ()
    """Outputs of the unusable definition; they get the answer's text too."""
    warnings: tuple[str, ...] = ()
    """What of the definition was changed or left out."""

    @property
    def field_mapping(self) -> dict[str, str]:
        """Original names to attributes; where an input and an output share a name, the input's."""
        return {field.name: field.attribute for field in (*self.outputs, *self.inputs)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SignatureSpec) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def parse_signature(definition: object, *, strict: bool = False, dynamic: bool = True) -> SignatureSpec:
    """The signature that a definition describes, in any of the shapes that DSPex sends.

    Args:
        definition: A map with `inputs` and `outputs`, a text such as `question -> answer: int`, or a spec's own
            `definition`.
        strict: Whether trouble is an error; otherwise an unknown type is taken as a string, and an unusable
            definition as `question -> answer`, with warnings.
        dynamic: False takes any definition as `question -> answer`, without a warning.

    Raises:
        InvalidProgramError: There is no definition, or it has trouble and `strict` is set.
    """
    if definition is None and dynamic:
        raise InvalidProgramError("Invalid program definition: Program signature is required")
    parts = outline(to_json_value(definition))
    if not (dynamic and parts.dynamic):
        return _question_answer(parts, fallback=False)
    problem, notes = parts.problem, list[str]()
    if parts.stand_in_outputs is not None:
        problem = "it stands in for one that cannot be used"
    if problem is None:
        try:
            inputs, outputs = read_fields(parts.inputs, parts.outputs, notes)
        except UnusableFieldsError as error:
            problem = str(error)
    if strict and (problem or notes):
        raise InvalidProgramError(
            f"Invalid program definition: {problem or '; '.join(notes)}",
            details={"problems": [problem] if problem else notes},
        )
    if problem:
        return _question_answer(parts, fallback=True, problem=problem)
    return _spec(parts, inputs, outputs, warnings=tuple(notes))


def _question_answer(parts: Outline, *, fallback: bool, problem: str = "") -> SignatureSpec:
    copies: tuple[str, ...] = ()
    if not fallback:
        marks: dict[str, Any] = {"use_dynamic_signature": False}
    else:
        copies = parts.stand_in_outputs or tuple(name for name in valid_names(parts.outputs) if name != "answer")
        marks = {"stand_in_outputs": list(copies)}
    warning = f"the signature cannot be used ({problem}); question -> answer stands in for it"
    return _spec(parts, _QUESTION, _ANSWER, marks=marks, copies=copies, warnings=(warning,) if fallback else ())


def _spec(
    parts: Outline,
    inputs: tuple[FieldSpec, ...],
    outputs: tuple[FieldSpec, ...],
    *,
    marks: Mapping[str, Any] | None = None,
    copies: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> SignatureSpec:
    definition: dict[str, Any] = {
        "name": parts.name,
        "description": parts.instructions,
        "inputs": [field.wire for field in inputs],
        "outputs": [field.wire for field in outputs],
        **(marks or {}),
    }
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return SignatureSpec(
        name=parts.name,
        class_name=class_name(parts.name, "DynamicSignature"),
        instructions=parts.instructions,
        inputs=inputs,
        outputs=outputs,
        definition=definition,
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
        fallback=marks is not None and "stand_in_outputs" in marks,
        takes_any_input=marks is not None,
        stand_in_outputs=copies,
        warnings=warnings,
    )

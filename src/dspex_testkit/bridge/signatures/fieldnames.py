"""Attribute names for field names: DSPy wants identifiers that are none of its own, clients send anything.

A name that DSPy can use stays as it is. Others become one that still reads like the original, because it is what the
LM gets to see; the mapping back lies with the field.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_SIGNATURE_ATTRIBUTES = """
    append append_instructions construct copy delete dict dump_state equals fields from_orm input_fields insert
    instructions json load_state mro output_fields parse_file parse_obj parse_raw prepend register schema schema_json
    signature update_forward_refs validate with_instructions with_updated_fields
"""
# dspy.ReAct adds a trajectory to its inputs and to its prediction.
RESERVED = frozenset((*_SIGNATURE_ATTRIBUTES.split(), "trajectory"))
"""Names that no field can have; neither can one that begins with `_` or `model_`."""

RESERVED_INPUTS = RESERVED | frozenset(
    # Inputs travel as keyword arguments of modules, which give most of these a meaning of their own; the output
    # `reasoning` of dspy.ChainOfThought would take the place of an input of that name.
    (
        "completions",
        "config",
        "demos",
        "instance",
        "lm",
        "max_iters",
        "new_signature",
        "prediction",
        "reasoning",
        "self",
    )
)
"""Names that no input can have."""

_NO_WORD = re.compile(r"\W")


def attribute_names(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Distinct attributes for all fields of a signature, the same for the same names.

    Returns:
        The attributes of the inputs and those of the outputs, in order.
    """
    fields = [(name, RESERVED_INPUTS) for name in inputs] + [(name, RESERVED) for name in outputs]
    attributes = _distinct(fields)
    return attributes[: len(inputs)], attributes[len(inputs) :]


def member_names(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct attributes for the members of an object."""
    return _distinct([(name, RESERVED) for name in names])


def class_name(name: str, default: str) -> str:
    """A class name from the last segment of a dotted name (`Elixir.My.Signature` gives `Signature`)."""
    text = _identifier(name.rsplit(".", 1)[-1]).strip("_")
    if not text:
        return default
    return text if text[0].isalpha() else f"{default}_{text}"


def _distinct(fields: Sequence[tuple[str, frozenset[str]]]) -> tuple[str, ...]:
    # Usable names take their place first, so that `a-b` beside `a_b` cannot rename its neighbour.
    owners: dict[str, int] = {}
    for position, (name, reserved) in enumerate(fields):
        if _usable(name, reserved):
            owners.setdefault(name, position)
    attributes: list[str] = []
    for position, (name, reserved) in enumerate(fields):
        if owners.get(name) == position:
            attributes.append(name)
            continue
        stem = _stem(name, position + 1, reserved)
        attribute, copies = stem, 1
        while attribute in owners:
            copies += 1
            attribute = f"{stem}_{copies}"
        owners[attribute] = position
        attributes.append(attribute)
    return tuple(attributes)


def _usable(name: str, reserved: frozenset[str]) -> bool:
    return (
        name.isidentifier()
        and not name.startswith(("_", "model_"))
        and name not in reserved
        and unicodedata.normalize("NFKC", name) == name
    )


def _stem(name: str, position: int, reserved: frozenset[str]) -> str:
    text = _identifier(name)
    if not text.strip("_"):
        return f"field_{position}"
    if _usable(text, reserved):
        return text
    return f"field_{text.lstrip('_')}"


def _identifier(name: str) -> str:
    """The name with everything replaced that an identifier cannot hold after its first character."""
    text = _NO_WORD.sub("_", unicodedata.normalize("NFKC", name))
    return text if f"x{text}".isidentifier() else "".join(c if f"x{c}".isidentifier() else "_" for c in text)

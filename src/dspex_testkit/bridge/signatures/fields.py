"""One field of a signature: read from whatever describes it, written in one canonical form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from dspex_testkit.bridge.signatures.fieldnames import attribute_names
from dspex_testkit.bridge.signatures.type_json import parse_described
from dspex_testkit.bridge.signatures.types import STRING, Member, TypeExpr, described_field
from dspex_testkit.errors import UnknownTypeError


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """An input or output of a signature."""

    name: str
    """As the client calls it."""
    attribute: str
    """As DSPy and the LM call it."""
    type: TypeExpr
    description: str = ""
    typed: bool = True
    """False where the client named no type that is known: the LM is told `str`, and any input is taken."""

    @property
    def optional(self) -> bool:
        """Whether the field may be absent or null."""
        return self.typed and self.type.nullable

    @property
    def wire(self) -> dict[str, Any]:
        """The canonical JSON form; reading it gives an equal field."""
        form = described_field(Member(self.name, self.type, self.description))
        if not self.typed:
            del form["type"]
        return form


MAX_FIELDS = 256
"""How many inputs, and how many outputs, a signature can have."""


class UnusableFieldsError(Exception):
    """The description of the fields cannot be made sense of; stays inside the parsing of signatures."""


def read_fields(
    inputs: object, outputs: object, notes: list[str]
) -> tuple[tuple[FieldSpec, ...], tuple[FieldSpec, ...]]:
    """Inputs and outputs from lists or maps of fields.

    Args:
        inputs: A list of names or of maps, or a map from name to type or map.
        outputs: Likewise.
        notes: Receives what had to be changed or left out.

    Raises:
        UnusableFieldsError: There are none, or one has no name.
    """
    given, wanted = _named(inputs, "inputs", notes), _named(outputs, "outputs", notes)
    into, out_of = attribute_names([name for name, _ in given], [name for name, _ in wanted])
    return _side(given, into, notes), _side(wanted, out_of, notes)


def valid_names(fields: object) -> list[str]:
    """Those names among the fields that could be used, whatever is wrong with the others."""
    return list(dict.fromkeys(name for name, _ in _entries(fields)[:MAX_FIELDS] if _is_name(name)))


def _entries(fields: object) -> list[tuple[object, object]]:
    """Pairs of name and description, from either shape."""
    if isinstance(fields, Mapping):
        return list(fields.items())
    if isinstance(fields, Sequence) and not isinstance(fields, str):
        return [(entry.get("name"), entry) if isinstance(entry, Mapping) else (entry, {}) for entry in fields]
    return []


def _is_name(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and bool(name.strip())


def _named(fields: object, side: str, notes: list[str]) -> list[tuple[str, Mapping[str, Any]]]:
    entries = _entries(fields)
    if not entries:
        raise UnusableFieldsError(f"{side} are missing" if fields is None else f"no {side} in {_brief(fields)}")
    if len(entries) > MAX_FIELDS:
        raise UnusableFieldsError(f"{side} are {len(entries)}, and {MAX_FIELDS} is the most")
    named: dict[str, Mapping[str, Any]] = {}
    for name, form in entries:
        if not _is_name(name):
            raise UnusableFieldsError(f"{side} hold a field without a name ({_brief(form or name)})")
        if isinstance(form, str):
            form = {"type": form}
        if not isinstance(form, Mapping | None):
            raise UnusableFieldsError(f"{side} describe {name!r} by {_brief(form)} instead of a map or a type")
        if name in named:
            notes.append(f"{side} hold {name!r} more than once; the first counts")
        named.setdefault(name, form or {})
    return list(named.items())


def _side(
    named: Sequence[tuple[str, Mapping[str, Any]]], attributes: Sequence[str], notes: list[str]
) -> tuple[FieldSpec, ...]:
    pairs = zip(named, attributes, strict=True)
    return tuple(_field(name, attribute, form, notes) for (name, form), attribute in pairs)


def _field(name: str, attribute: str, form: Mapping[str, Any], notes: list[str]) -> FieldSpec:
    form, description = _repaired(form)
    own: list[str] = []
    try:
        expr = parse_described(form, own)
    except UnknownTypeError as error:
        own.append(f"{error.message}; taken as a string")
        expr = None
    notes.extend(f"field {name!r}: {note}" for note in own)
    return FieldSpec(name, attribute, expr or STRING, description, typed=expr is not None)


_ELIXIR_TYPES = [
    "string",
    "integer",
    "float",
    "boolean",
    "atom",
    "any",
    "map",
    "embedding",
    "probability",
    "confidence_score",
    "reasoning_chain",
]


def _repaired(form: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The form and the description of a field.

    DSPex writes `{:list, :string}` as type "list" with the description "string", and `{:union, [...]}` as type
    "union" with a list for a description.
    """
    described = next((form[key] for key in ("description", "desc") if form.get(key) not in (None, "")), "")
    inner = "items" if form.get("type") == "list" else "of" if form.get("type") == "union" else None
    if inner and inner not in form:
        if isinstance(described, list) and described:
            parts = described if inner == "of" or len(described) > 1 else described[0]
            return {**form, inner: parts}, ""
        if inner == "items" and described in _ELIXIR_TYPES:
            return {**form, inner: described}, ""
    return form, described if isinstance(described, str) else ""


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"

"""JSON Schemas in the form in which they are compared: clients write the same one in several ways."""

from typing import Any


def comparable_schema(schema: Any) -> Any:
    """A schema with its references resolved and without what says nothing.

    DSPy's client sends definitions and references to them, litellm puts each definition where it is used.
    """
    definitions: dict[str, Any] = {}
    if isinstance(schema, dict):
        for key in ("$defs", "definitions"):
            found = schema.get(key)
            if isinstance(found, dict):
                # Not those that are only `true` or `false`, for nothing can be put in the place of a reference to them.
                definitions |= {f"#/{key}/{name}": each for name, each in found.items() if isinstance(each, dict)}
    return _resolved(schema, definitions, ())


def _resolved(value: Any, definitions: dict[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, definitions, within) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    # A type that holds itself has no end; within it the reference stays.
    if isinstance(reference, str) and reference in definitions and reference not in within:
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return _resolved({**definitions[reference], **rest}, definitions, (*within, reference))
    return {
        key: _resolved(item, definitions, within)
        for key, item in value.items()
        if key not in ("$defs", "definitions") and not (key == "default" and item is None)
    }

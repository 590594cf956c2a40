"""`shaped`: a Python type for a JSON Schema, so that a mock's typed values follow it."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic_core import core_schema

from dspex_testkit.limits import MOST_PARTS

_MAX_DEPTH: Final = 4
"""How often a model that contains itself is written out."""


@lru_cache(maxsize=256)
def shaped(schema: str) -> Any:
    """A type whose values are whatever a JSON Schema, given as text, describes.

    Raises:
        AttributeError: Its references or definitions are none.
        ValueError: It is no JSON, or is too large.
    """
    described = _inlined(json.loads(schema), {}, [MOST_PARTS])
    if not isinstance(described, Mapping):
        described = {}  # `true`: any value

    def core(cls: Any, source: Any, handler: Any) -> Any:
        return core_schema.any_schema()

    def json_schema(cls: Any, core: Any, handler: Any) -> Any:
        return described

    methods = {
        "__get_pydantic_core_schema__": classmethod(core),
        "__get_pydantic_json_schema__": classmethod(json_schema),
    }
    return type("Shaped", (), methods)


def _inlined(schema: Any, definitions: Mapping[str, Any], left: list[int], depth: int = 0) -> Any:
    """The schema without references, which pydantic would look for among definitions of its own.

    Args:
        schema: The schema, or a part of it.
        definitions: What it may refer to.
        left: How many parts may still be written out; few words can ask for very many.
        depth: How many references lead here.
    """
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"a schema is written out in {MOST_PARTS} parts at most")
    if isinstance(schema, list):
        return [_inlined(item, definitions, left, depth) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    definitions = schema.get("$defs", definitions)
    if "$ref" in schema:
        # A model that contains itself comes to an end somewhere.
        found = definitions.get(schema["$ref"].rpartition("/")[2], {}) if depth < _MAX_DEPTH else {"type": "null"}
        return _inlined(found, definitions, left, depth + 1)
    return {key: _inlined(value, definitions, left, depth) for key, value in schema.items() if key != "$defs"}

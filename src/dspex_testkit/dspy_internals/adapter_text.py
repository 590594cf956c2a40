"""How DSPy's adapters write a value into a prompt or an answer, and how they read one back.

`tests/dspy_internals/test_adapter_text.py` fails loudly when one of these moves.
"""

from collections.abc import Mapping
from typing import Any

import dspy
from dspy.adapters.chat_adapter import FieldInfoWithName
from dspy.adapters.utils import format_field_value, get_annotation_name, parse_value, serialize_for_json

__all__ = ["format_field_value", "get_annotation_name", "parse_value", "serialize_for_json", "write_fields"]


def write_fields(adapter: Any, fields: Mapping[str, Any]) -> str:
    """Output fields as an adapter writes them, for a call without a signature; as DSPy's `DummyLM` does."""
    named = {FieldInfoWithName(name=name, info=dspy.OutputField()): value for name, value in fields.items()}
    # Only some adapters tell an answer from a question.
    roles = {"role": "assistant"} if isinstance(adapter, dspy.JSONAdapter) else {}
    return str(adapter.format_field_with_value(named, **roles))

"""How DSPy's adapters write a value into a prompt or an answer, and how they read one back.

`tests/dspy_internals/test_adapter_text.py` fails loudly when one of these moves.
"""

from dspy.adapters.utils import format_field_value, get_annotation_name, parse_value, serialize_for_json

__all__ = ["format_field_value", "get_annotation_name", "parse_value", "serialize_for_json"]

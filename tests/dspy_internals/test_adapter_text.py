"""Canaries: DSPy's adapters still write and read single values as the mocks rely on."""

import enum
from datetime import date

from pydantic import BaseModel

from dspex_testkit.dspy_internals import adapter_text


class Colour(enum.Enum):
    """An enum whose names and values differ."""

    RED = "r"


class Place(BaseModel):
    """A typed value."""

    name: str


def test_values_are_read_from_their_text() -> None:
    """JSON in a text becomes the type, an enum is found by its name or value."""
    assert adapter_text.parse_value("[1, 2]", list[int]) == [1, 2]
    assert adapter_text.parse_value("RED", Colour) is Colour.RED
    assert adapter_text.parse_value('{"name": "Rome"}', Place) == Place(name="Rome")


def test_values_become_json() -> None:
    """Models, dates and containers of them are plain data afterwards."""
    assert adapter_text.serialize_for_json({"at": [Place(name="Rome")]}) == {"at": [{"name": "Rome"}]}
    assert adapter_text.serialize_for_json(date(2024, 1, 2)) == "2024-01-02"


def test_types_have_the_names_that_prompts_show() -> None:
    """A message that refuses a value names its type as the prompt does."""
    assert adapter_text.get_annotation_name(list[int]) == "list[int]"
    assert adapter_text.get_annotation_name(Place) == "Place"


def test_a_field_s_value_is_formatted_as_in_a_prompt() -> None:
    """Texts as they are, everything else as JSON."""
    import dspy

    info = dspy.OutputField()
    info.annotation = list
    assert adapter_text.format_field_value(info, ["a", 1]) == '["a", 1]'

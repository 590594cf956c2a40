"""Any Python value has a JSON form."""

import dataclasses
import datetime
import enum
import json
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import dspy
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures.values import clean_text, to_json_value


class Colour(enum.Enum):
    """An enum with texts."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum with numbers."""

    HIGH = 3


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    children: "list[Point]"


class Person(pydantic.BaseModel):
    """A model with an alias."""

    name: str = pydantic.Field(alias="first-name")
    born: datetime.date


class Words(pydantic.RootModel[str]):
    """A model that is a text."""


class Hostile:
    """A value whose own code fails."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Rude(dict[str, int]):
    """A mapping whose own code fails."""

    def items(self) -> Any:
        """Fail."""
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        ("ü", "ü"),
        ("a\ud800b", "a\ufffdb"),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (deque([1]), [1]),
        (OrderedDict(a=1), {"a": 1}),
        (
            {1: "a", None: "b", False: "c", Colour.RED: "d", (1, 2): "e", 1.5: "f"},
            {"1": "a", "null": "b", "false": "c", "red": "d", "[1, 2]": "e", "1.5": "f"},
        ),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), None),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (PurePosixPath("a/b"), "a/b"),
        (Point(1, [Point(2, [])]), {"x": 1, "children": [{"x": 2, "children": []}]}),
        (
            Person.model_validate({"first-name": "Ada", "born": "1815-12-10"}),
            {"first-name": "Ada", "born": "1815-12-10"},
        ),
        (Words("hi"), "hi"),
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.float64("nan"), None),
        (dspy.Prediction(a={1}), {"a": [1]}),
        (dspy.History(messages=[{"q": "a"}]), {"messages": [{"q": "a"}]}),
        (dspy.Image(url="data:image/png;base64,aGVsbG8="), {"url": "data:image/png;base64,aGVsbG8="}),
        (Hostile(), "<Hostile that cannot be shown>"),
        (Rude(), "{}"),
        (int, "<class 'int'>"),
    ],
)
def test_each_kind_of_value_has_its_usual_form(value: object, expected: object) -> None:
    """Nothing raises, and the form is the one that a reader of JSON expects."""
    converted = to_json_value(value)
    assert converted == expected
    assert type(converted) is type(expected)


def test_a_value_inside_itself_is_cut() -> None:
    """A cycle ends where it closes; a value that merely appears twice is written twice."""
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    twice = [1]
    assert to_json_value(cycle) == [1, {"again": "<list inside itself>"}]
    assert to_json_value([twice, twice]) == [[1], [1]]


def test_a_very_deep_value_is_cut() -> None:
    """Before it exhausts the stack of whoever reads the JSON."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    text = json.dumps(to_json_value(deep))
    assert "nested too deeply" in text


@given(st.text(st.characters()))
def test_text_always_encodes_as_utf_8(text: str) -> None:
    """Lone surrogates are replaced, everything else is left alone."""
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert cleaned == text

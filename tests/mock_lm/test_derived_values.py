"""What a mock derives where nobody gave an answer stays what it is: users' tests have been written against it.

`python tests/mock_lm/test_derived_values.py` writes the file anew, which a release that changes a value says in its
changelog.
"""

import dataclasses
import datetime
import enum
import ipaddress
import json
import typing
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import dspy
import pydantic
import pytest
from pydantic import Field
from typing_extensions import TypedDict

from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm import MockLM

GOLDEN = Path(__file__).with_name("derived_values.json")


class Color(enum.Enum):
    """Texts."""

    RED = "red"
    BLUE = "blue"


class Node(pydantic.BaseModel):
    """A tree."""

    name: str
    children: list["Node"] = []


class City(pydantic.BaseModel):
    """Bounds and an alias."""

    name: str = Field(min_length=3)
    population: int = Field(ge=10, le=20)
    country: str = Field(alias="countryName", default="France")
    twin: "City | None" = None


class Point(TypedDict):
    """Two numbers."""

    x: int
    y: float


@dataclasses.dataclass
class Pair:
    """Two fields."""

    left: str
    right: int


class Partly(TypedDict):
    """A key that need not be there."""

    x: int
    y: NotRequired[str]


class Named(typing.NamedTuple):
    """A tuple with names."""

    x: int
    y: str


class Numbers(pydantic.RootModel[list[int]]):
    """A list."""


@dataclasses.dataclass
class Filled:
    """What is no argument."""

    x: int
    kind: typing.ClassVar[int] = 3
    y: int = dataclasses.field(init=False, default=4)


TYPES: dict[str, Any] = {
    "str": str,
    "str of 4": Annotated[str, Field(max_length=4)],
    "str of 30": Annotated[str, Field(min_length=30)],
    "int": int,
    "int above 5": Annotated[int, Field(gt=5)],
    "int up to 5": Annotated[int, Field(le=5)],
    "int 1 to 6": Annotated[int, Field(ge=1, le=6)],
    "int in steps": Annotated[int, Field(multiple_of=7)],
    "float": float,
    "float 0 to 1": Annotated[float, Field(ge=0, le=1)],
    "float above 5": Annotated[float, Field(gt=5)],
    "float in steps": Annotated[float, Field(multiple_of=0.5)],
    "bool": bool,
    "Decimal": Decimal,
    "bytes": bytes,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "uuid": uuid.UUID,
    "Literal": Literal["a", "b", "c"],
    "Literal of numbers": Literal[1, 2, 3],
    "enum": Color,
    "Any": Any,
    "optional": int | None,
    "union": int | str,
    "list[str]": list[str],
    "list": list,
    "list of 3": Annotated[list[int], Field(min_length=3)],
    "list of lists": list[list[int]],
    "dict": dict,
    "dict[str, int]": dict[str, int],
    "tuple": tuple[int, str],
    "long tuple": tuple[int, ...],
    "frozenset": frozenset[int],
    "model": City,
    "tree": Node,
    "list of models": list[City],
    "dict of models": dict[str, City],
    "TypedDict": Point,
    "dataclass": Pair,
    "below zero": pydantic.NegativeFloat,
    "int below zero": pydantic.NegativeInt,
    "day in bounds": Annotated[datetime.date, Field(ge=datetime.date(2030, 1, 1))],
    "bytes of 20": Annotated[bytes, Field(min_length=20)],
    "NotRequired": Partly,
    "NamedTuple": Named,
    "RootModel": Numbers,
    "Counter": Counter[str],
    "HttpUrl": pydantic.HttpUrl,
    "AwareDatetime": pydantic.AwareDatetime,
    "PastDate": pydantic.PastDate,
    "FutureDate": pydantic.FutureDate,
    "IPv4Address": ipaddress.IPv4Address,
    "init=False": Filled,
    "Reasoning": dspy.Reasoning,
    "Code": dspy.Code["python"],
}

SCHEMAS: dict[str, Any] = {
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
    "string": {"type": "string"},
    "bounded": {"type": "integer", "minimum": 3, "maximum": 9},
    "number": {"type": "number", "exclusiveMinimum": 0},
    "boolean": {"type": "boolean"},
    "enum": {"enum": ["a", "b", "c"]},
    "const": {"const": 4},
    "nullable": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
    "array": {"type": "array", "items": {"type": "number"}, "minItems": 3},
    "object": {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 5}},
        "required": ["query"],
    },
    "referring": {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
                "required": ["name"],
            }
        },
    },
}


def _derived_for(annotation: Any) -> Any:
    signature = dspy.Signature(
        {"question": (str, dspy.InputField()), "answer": (annotation, dspy.OutputField())}, "Answer.", "Asked"
    )
    lm = MockLM()
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        dspy.Predict(signature)(question="What is it?")
    return json.loads(lm.journal[0].to_dict()["completion"])["answer"]


def _derived_from(schema: Any) -> Any:
    lm = MockLM()
    lm("What is it?", response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}})
    return lm.journal[0].completion


def _all() -> dict[str, Any]:
    types = {name: _derived_for(annotation) for name, annotation in TYPES.items()}
    return {"types": types, "schemas": {name: _derived_from(schema) for name, schema in SCHEMAS.items()}}


def _golden() -> Any:
    return json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize("name", TYPES)
def test_a_derived_value_of_a_type_stays_what_it_is(name: str) -> None:
    """Whatever libraries are installed, and whatever becomes of the maker of values."""
    assert _derived_for(TYPES[name]) == _golden()["types"][name]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_value_derived_from_a_schema_stays_what_it_is(name: str) -> None:
    """The same for response formats and arguments of tools."""
    assert _derived_from(SCHEMAS[name]) == _golden()["schemas"][name]


def test_the_file_holds_nothing_else() -> None:
    """Each value has its test."""
    assert {kind: set(values) for kind, values in _golden().items()} == {"types": set(TYPES), "schemas": set(SCHEMAS)}


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[int, Field(ge=5, le=3)],
        Annotated[float, Field(gt=5, lt=3)],
        Annotated[int, Field(multiple_of=10, ge=11, le=19)],
        Annotated[datetime.date, Field(ge=datetime.date(2030, 1, 2), le=datetime.date(2030, 1, 1))],
    ],
)
def test_a_range_that_nothing_satisfies_is_an_error_that_says_so(annotation: Any) -> None:
    """Not a value outside of it."""
    with pytest.raises(AnswerError, match="lies between"):
        _derived_for(annotation)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(_all(), indent=1, ensure_ascii=False) + "\n", "utf-8")

"""A given value arrives as it was given, whatever its type does when it is dumped; or an error says why it cannot."""

import dataclasses
import json
import math
import re
from decimal import Decimal
from enum import Enum
from typing import Any

import dspy
import pydantic
import pytest
from pydantic import AliasChoices, AliasPath, Field, SecretStr

from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm import MockLM

ADAPTERS = [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter]


class Rounded(pydantic.BaseModel):
    """A serializer loses what was given."""

    score: float

    @pydantic.field_serializer("score")
    def _round(self, value: float) -> float:
        return float(round(value))


class Hidden(pydantic.BaseModel):
    """A field is left out of dumps."""

    shown: str
    kept: str = Field(exclude=True)


class Renamed(pydantic.BaseModel):
    """Read and written under different names."""

    a: int = Field(validation_alias="readA", serialization_alias="writtenA")
    b: int = Field(validation_alias=AliasChoices("firstB", "secondB"))
    c: int = Field(validation_alias=AliasPath("nested", 0, "c"))
    d: int = Field(alias="theD")


class Computed(pydantic.BaseModel):
    """A dump has more than validation reads."""

    model_config = pydantic.ConfigDict(extra="forbid")

    width: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        """The square."""
        return self.width**2


class Doubled(pydantic.BaseModel):
    """A validator that would change its own result."""

    n: int

    @pydantic.field_validator("n")
    @classmethod
    def _double(cls, value: int) -> int:
        return value * 2


class Account(pydantic.BaseModel):
    """A secret inside."""

    user: str
    password: SecretStr


class Level(Enum):
    """Values that are no texts."""

    LOW = 1
    HIGH = 2


class Shape(Enum):
    """Values that JSON does not have."""

    ROUND = (1, 1)
    FLAT = (1, 0)


@dataclasses.dataclass(eq=False)
class Plain:
    """Without an equality."""

    x: int
    inner: Rounded


def _predict(annotation: Any, answer: Any, adapter: Any) -> Any:
    lm = answer if isinstance(answer, MockLM) else MockLM.deterministic(default={"answer": answer})
    signature = dspy.Signature({"q": (str, dspy.InputField()), "answer": (annotation, dspy.OutputField())}, "Answer.")
    with dspy.context(
        lm=lm, adapter=adapter(use_json_adapter_fallback=False) if adapter is not dspy.JSONAdapter else adapter()
    ):
        return dspy.Predict(signature)(q="q").answer


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (Rounded, {"score": 1.6}, Rounded(score=1.6)),
        (Rounded, Rounded(score=1.6), Rounded(score=1.6)),
        (list[Rounded], [{"score": 1.6}], [Rounded(score=1.6)]),
        (Hidden, {"shown": "a", "kept": "b"}, Hidden(shown="a", kept="b")),
        (Hidden, Hidden(shown="a", kept="b"), Hidden(shown="a", kept="b")),
        (Computed, {"width": 3}, Computed(width=3)),
        (Computed, Computed(width=3), Computed(width=3)),
        (Doubled, {"n": 3}, Doubled(n=3)),
        (SecretStr, "s3cret-value", SecretStr("s3cret-value")),
        (Account, {"user": "u", "password": "s3cret-value"}, Account(user="u", password=SecretStr("s3cret-value"))),
        (Level, 2, Level.HIGH),
        (Level, Level.LOW, Level.LOW),
        (Decimal, Decimal("1.10"), Decimal("1.10")),
        (float, math.inf, math.inf),
        (int | str, "5", "5"),
        (str | None, "null", "null"),
        (dict[str, Any], {"a": [1, "1", 1.0, None, True]}, {"a": [1, "1", 1.0, None, True]}),
    ],
)
def test_a_given_value_arrives_as_it_was_given(adapter: Any, annotation: Any, given: Any, expected: Any) -> None:
    """Serializers, exclusions, computed fields and masks are what a program writes, not what it is answered."""
    found = _predict(annotation, given, adapter)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_fields_are_written_where_validation_looks_for_them(adapter: Any) -> None:
    """Under aliases for validation, choices and paths of them; as JSON or as an object."""
    written = {"readA": 1, "firstB": 2, "nested": [{"c": 3}], "theD": 4}
    for given in (written, Renamed(**written)):  # type: ignore[arg-type]
        found = _predict(Renamed, given, adapter)
        assert (found.a, found.b, found.c, found.d) == (1, 2, 3, 4)


def test_an_enum_whose_values_json_lacks_is_written_by_name() -> None:
    """XML has no schema for one, which is an error that names who carries it."""
    for adapter in (dspy.ChatAdapter, dspy.JSONAdapter):
        assert _predict(Shape, Shape.FLAT, adapter) is Shape.FLAT
    with pytest.raises(AnswerError, match="JSONAdapter can carry it"):
        _predict(Shape, Shape.FLAT, dspy.XMLAdapter)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_nan_arrives(adapter: Any) -> None:
    """Although it equals nothing."""
    assert math.isnan(_predict(float, math.nan, adapter))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_objects_without_an_equality_are_compared_by_their_fields(adapter: Any) -> None:
    """So they are neither refused nor let through unseen."""
    found = _predict(Plain, {"x": 1, "inner": {"score": 1.6}}, adapter)
    assert (found.x, found.inner) == (1, Rounded(score=1.6))


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.XMLAdapter])
def test_none_arrives_where_leaving_it_out_would_mean_a_default(adapter: Any) -> None:
    """DSPy gives a missing output its default."""
    signature = dspy.Signature("q -> other").append("answer", dspy.OutputField(default=7), int | None)
    lm = MockLM.deterministic(default={"other": "x", "answer": None})
    with dspy.context(lm=lm, adapter=adapter(use_json_adapter_fallback=False)):
        assert dspy.Predict(signature)(q="q").answer is None


def test_a_value_that_an_adapter_cannot_carry_is_an_error_that_names_one_which_can() -> None:
    """With the field, what was given and what would be read."""
    marked = "a\n[[ ## answer ## ]]\nb"
    with pytest.raises(AnswerError, match="JSONAdapter can carry it") as caught:
        _predict(str, marked, dspy.ChatAdapter)
    for told in ("ChatAdapter", "answer=", repr(marked), "would be read as"):
        assert told in caught.value.message
    assert _predict(str, marked, dspy.JSONAdapter) == marked


def test_a_value_that_no_adapter_carries_is_an_error() -> None:
    """A tuple's type is lost to JSON where the field says nothing, and so is a date's."""
    with pytest.raises(AnswerError, match="answer="):
        _predict(dict[str, Any], {"when": Decimal("1.5")}, dspy.JSONAdapter)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_made_up_values_are_whatever_the_adapter_reads(adapter: Any) -> None:
    """They are made again where it reads none, and are never an error."""

    class Even(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def _check(cls, value: int) -> int:
            return value * 2

    lm = MockLM()
    found = _predict(Even, lm, adapter)
    assert lm.journal[0].outputs == {"answer": {"n": found.n}}


def test_a_secret_of_an_answer_stands_in_no_journal() -> None:
    """The program gets it, and whoever reads what was asked and answered does not; also when it is passed on."""
    lm = MockLM.deterministic(default={"answer": "s3cret-value"})
    found = _predict(SecretStr, lm, dspy.ChatAdapter)
    assert found.get_secret_value() == "s3cret-value"
    with dspy.context(lm=lm):
        dspy.Predict("given -> answer")(given=f"the password is {found.get_secret_value()}")
    text = json.dumps([call.to_dict(prompt=True) for call in lm.journal])
    assert "s3cret-value" not in text
    assert re.search(r"REDACTED|\*{5}", text)

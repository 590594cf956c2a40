"""Inputs are checked before DSPy sees them."""

import datetime
from decimal import Decimal
from typing import Any

import pydantic
import pytest

from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.errors import InvalidArgsError


def reading(type_: Any) -> SignatureSpec:
    """A signature with one input of a type."""
    return parse_signature({"inputs": [{"name": "in-put", "type": type_}], "outputs": ["a"]}, strict=True)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("string", "text", "text"),
        ("integer", 5, 5),
        ("integer", 2**80, 2**80),
        ("float", 5, 5.0),
        ("float", 1.5, 1.5),
        ("boolean", True, True),
        ("any", {"a": [1]}, {"a": [1]}),
        ("null", None, None),
        ("Optional[int]", None, None),
        ("date", "2024-02-29", datetime.date(2024, 2, 29)),
        ("datetime", "2024-02-29T10:11:12Z", datetime.datetime(2024, 2, 29, 10, 11, 12, tzinfo=datetime.UTC)),
        ("decimal", "1.50", Decimal("1.50")),
        ("decimal", 3, Decimal(3)),
        ("list<string>", ["a"], ["a"]),
        ("list", [1, "a", None], [1, "a", None]),
        ("embedding", [1, 2.5], [1.0, 2.5]),
        ("dict<integer, string>", {"1": "a"}, {1: "a"}),
        ("map", {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("union<string|integer>", 5, 5),
        ("enum<a|b>", "a", "a"),
        ("probability", 1, 1.0),
        ({"type": "integer", "constraints": {"ge": 1}}, 1, 1),
    ],
)
def test_a_fitting_value_is_read_by_its_declared_type(type_: Any, value: Any, expected: Any) -> None:
    """Where JSON cannot tell (an integer for a float, a text for a date), the declared type decides."""
    read = compile_signature(reading(type_)).read_inputs({"in-put": value, "session_id": "stray"})
    assert read == {"in_put": expected}
    assert type(read["in_put"]) is type(expected)


@pytest.mark.parametrize(
    ("type_", "value", "came"),
    [
        ("string", 5, "the integer 5"),
        ("string", ["a"], "a list of 1"),
        ("integer", "5", "the text '5'"),
        ("integer", True, "the boolean true"),
        ("integer", 5.5, "the float 5.5"),
        ("float", "1.5", "the text '1.5'"),
        ("float", False, "the boolean false"),
        ("boolean", 1, "the integer 1"),
        ("date", "soon", "the text 'soon'"),
        ("list<string>", "a", "the text 'a'"),
        ("list<string>", ["a", 3], "the integer 3 at in-put[1]"),
        ("map", [1], "a list of 1"),
        ("union<integer|boolean>", "a", "the text 'a'"),
        ("enum<a|b>", "c", "the text 'c'"),
        ("probability", 1.5, "the float 1.5"),
        ({"type": "string", "constraints": {"max_length": 3}}, "four", "the text 'four'"),
        ({"type": "string", "constraints": {"pattern": "^a"}}, "b", "the text 'b'"),
        ({"type": "object", "fields": {"x": "integer"}}, {"x": "1"}, "the text '1' at in-put.x"),
        ({"type": "object", "fields": {"x": "integer"}}, {}, "an empty map"),
        ("integer", "x" * 5000, "the text 'xxx"),
    ],
)
def test_a_value_of_the_wrong_type_names_the_field_what_it_wants_and_what_came(
    type_: Any, value: Any, came: str
) -> None:
    """Nothing is converted by guessing."""
    spec = reading(type_)
    with pytest.raises(InvalidArgsError) as caught:
        compile_signature(spec).read_inputs({"in-put": value})
    assert f"'in-put' wants {spec.inputs[0].type.spelling}" in caught.value.message
    assert came in caught.value.message
    assert len(caught.value.message) < 400


def test_all_wrong_inputs_are_named_at_once() -> None:
    """One round trip is enough to mend them."""
    with pytest.raises(InvalidArgsError, match=r"'a' wants integer.*'b' wants boolean"):
        compile_signature(parse_signature("a: int, b: bool, c -> d")).read_inputs({"a": "x", "b": "y", "c": "fine"})


@pytest.mark.parametrize("inputs", [{}, [], {"question": None}, {"Question": "x"}])
def test_missing_inputs_are_named(inputs: Any) -> None:
    """The text has the word that DSPex's logger looks for; null is no value."""
    with pytest.raises(InvalidArgsError, match=r"^Missing required inputs: 'question'") as caught:
        compile_signature(parse_signature("question -> answer")).read_inputs(inputs)
    assert caught.value.details["missing"] == ["question"]
    assert caught.value.code == "invalid_args"


def test_a_misspelt_input_is_recognised() -> None:
    """The error shows which of the given names was probably meant."""
    with pytest.raises(InvalidArgsError, match="'Question' came instead of 'question'"):
        compile_signature(parse_signature("question -> answer")).read_inputs({"Question": "x"})


def test_inputs_that_are_no_map_are_refused() -> None:
    """Except for the empty list, which is how Elixir writes an empty keyword list."""
    with pytest.raises(InvalidArgsError, match="a map from field names to values was wanted, but a text came"):
        compile_signature(parse_signature("question -> answer")).read_inputs("question")  # type: ignore[arg-type]  # what a client may send


def test_extra_inputs_are_dropped() -> None:
    """Also those that would mean something to DSPy."""
    given = {"question": "q", "config": {"temperature": 1}, "lm": "x", "demos": [], "session_id": "s"}
    assert compile_signature(parse_signature("question -> answer")).read_inputs(given) == {"question": "q"}


def test_optional_inputs_may_stay_away() -> None:
    """They are None then, so that a program finds all of its inputs."""
    spec = parse_signature({"inputs": ["q", {"name": "hint", "type": "string", "optional": True}], "outputs": ["a"]})
    assert compile_signature(spec).read_inputs({"q": "x"}) == {"q": "x", "hint": None}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("text", "text"), (5, 5), (["a", "b"], ["a", "b"]), ([1, {"b": 2}], ["1", '{"b": 2}']), ({"a": 1}, {"a": 1})],
)
def test_an_input_without_a_type_takes_anything(value: Any, expected: Any) -> None:
    """The items of a list become texts, because DSPy numbers them in the prompt."""
    assert compile_signature(parse_signature("q -> a")).read_inputs({"q": value}) == {"q": expected}


def test_an_object_is_read_into_its_model() -> None:
    """Nested dates and lists are typed, extra members dropped."""
    form = {"type": "object", "fields": [{"name": "born", "type": "date"}, {"name": "tags", "type": "list<string>"}]}
    spec = parse_signature({"inputs": [{"name": "who", **form}], "outputs": ["a"]})
    who = compile_signature(spec).read_inputs({"who": {"born": "1815-12-10", "tags": ["x"], "extra": 1}})["who"]
    assert isinstance(who, pydantic.BaseModel)
    assert who.model_dump() == {"born": datetime.date(1815, 12, 10), "tags": ["x"]}
    assert type(who) is compile_signature(spec).dspy_class().input_fields["who"].annotation


@pytest.mark.parametrize(
    ("inputs", "question"),
    [
        ({"question": "q", "a": "x"}, "q"),
        ({"a": "x", "question": "q"}, "q"),
        ({"text": "x", "more": "y"}, "x"),
        ({"session_id": "s", "text": "x"}, "x"),
        ({"session_id": "s"}, "s"),
        ({"n": 5}, "5"),
        ({"m": {"ü": 1}}, '{"ü": 1}'),
        ({"none": None, "text": "x"}, "x"),
    ],
)
def test_a_stand_in_takes_the_question_or_whatever_comes_first(inputs: dict[str, Any], question: str) -> None:
    """As the original bridge does for definitions that it cannot use."""
    assert compile_signature(parse_signature({})).read_inputs(inputs) == {"question": question}


def test_a_stand_in_without_any_input_says_what_is_missing() -> None:
    """There is nothing to ask."""
    with pytest.raises(InvalidArgsError, match="Missing required inputs: 'question'; no inputs given"):
        compile_signature(parse_signature({})).read_inputs({})

"""Answers leave as JSON values of their declared types, under their original names."""

import datetime
import json
from decimal import Decimal
from typing import Any

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.errors import ProgramExecutionError


def writing(type_: Any) -> SignatureSpec:
    """A signature with one output of a type."""
    return parse_signature({"inputs": ["q"], "outputs": [{"name": "out-put", "type": type_}]}, strict=True)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("string", "grüße 🎉", "grüße 🎉"),
        ("string", "lone \ud800 surrogate", "lone � surrogate"),
        ("integer", 2**80, 2**80),
        ("integer", "5", 5),
        ("float", 1, 1.0),
        ("float", 0.5, 0.5),
        ("float", float("nan"), None),
        ("probability", float("inf"), None),
        ("confidence_score", "0.9", 0.9),
        ("boolean", True, True),
        ("any", {1: {2}}, {"1": [2]}),
        ("list<integer>", (1, 2), [1, 2]),
        ("list<integer>", {3}, [3]),
        ("dict<integer, string>", {1: "a"}, {"1": "a"}),
        ("date", datetime.date(2024, 1, 2), "2024-01-02"),
        ("datetime", datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), "2024-01-02T00:00:00+00:00"),
        ("decimal", Decimal("1.50"), "1.50"),
        ("Optional[int]", None, None),
        ("null", None, None),
        ("enum<a|b>", "a", "a"),
        ({"type": "object", "fields": {"first-name": "string"}}, {"first-name": "Ada"}, {"first-name": "Ada"}),
    ],
)
def test_an_output_is_encoded_by_its_declared_type(type_: Any, value: Any, expected: Any) -> None:
    """A number leaves as a number and a date as ISO 8601; non-finite numbers become null."""
    written = compile_signature(writing(type_)).write_outputs({"out_put": value})
    assert written == {"out-put": expected}
    assert type(written["out-put"]) is type(expected)


def test_a_model_instance_is_written_under_its_members_own_names() -> None:
    """That is what an adapter hands back for an object."""
    spec = writing({"type": "object", "fields": {"first-name": "string", "born": "date"}})
    model = compile_signature(spec).dspy_class().output_fields["out_put"].annotation
    value = model.model_validate({"first-name": "Ada", "born": "1815-12-10"})
    assert compile_signature(spec).write_outputs({"out_put": value}) == {
        "out-put": {"first-name": "Ada", "born": "1815-12-10"}
    }


@pytest.mark.parametrize(
    ("type_", "answers", "reason"),
    [
        ("string", {}, "the output 'out-put' is not in the prediction"),
        ("string", {"out_put": None}, "the output 'out-put' is null"),
        ("integer", {"out_put": "many"}, "the output 'out-put' should be integer, but is the text 'many'"),
        ("probability", {"out_put": 7.5}, "the output 'out-put' should be probability, but is the float 7.5"),
        ("enum<a|b>", {"out_put": "c"}, "the output 'out-put' should be one of 'a', 'b', but is the text 'c'"),
    ],
)
def test_an_absent_or_impossible_output_is_an_error(type_: str, answers: dict[str, Any], reason: str) -> None:
    """Never a made-up text in its place."""
    with pytest.raises(ProgramExecutionError, match=r"^Program execution failed: ") as caught:
        compile_signature(writing(type_)).write_outputs(answers)
    assert reason in caught.value.message


def test_a_prediction_can_be_written_as_it_is() -> None:
    """Also where a field is called like one of its methods; what is not declared stays behind."""
    spec = parse_signature("q -> items, keys: list[int]")
    prediction = dspy.Prediction(items="some", keys=[1], reasoning="because", extra=1)
    assert compile_signature(spec).write_outputs(prediction) == {"items": "some", "keys": [1]}
    assert compile_signature(spec).write_outputs(prediction, also=("reasoning", "trajectory")) == {
        "items": "some",
        "keys": [1],
        "reasoning": "because",
    }


def test_what_a_program_adds_never_hides_a_declared_output() -> None:
    """A signature may declare `reasoning` itself."""
    spec = parse_signature({"inputs": ["q"], "outputs": [{"name": "reasoning", "type": "integer"}]})
    assert compile_signature(spec).write_outputs({"reasoning": 5}, also=("reasoning",)) == {"reasoning": 5}


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(max_size=5),
        st.dates(),
        st.decimals(),
        st.uuids(),
        st.complex_numbers(),
        st.builds(object),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.text())), inner, max_size=3),
    ),
    max_leaves=10,
)


@given(ANYTHING, st.sampled_from(["string", "any", "float", "list", "map", "Optional[str]", "decimal", None]))
def test_what_is_written_is_always_strict_json(value: object, type_: str | None) -> None:
    """Whatever a program answers, the frame can be encoded; otherwise the answer is an error of ours."""
    try:
        written = compile_signature(writing(type_)).write_outputs({"out_put": value})
    except ProgramExecutionError:
        return
    assert json.loads(json.dumps(written, allow_nan=False).encode("utf-8")) == written

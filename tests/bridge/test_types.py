"""Every spelling of a type that arrives, and nothing that a client could abuse."""

import datetime
import decimal
import json
import sys
from typing import Any, Literal, Optional, Union

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures.annotations import annotate
from dspex_testkit.bridge.signatures.type_json import parse_described, parse_type
from dspex_testkit.errors import UnknownTypeError

PLAIN = {
    "str": str,
    "string": str,
    "text": str,
    "atom": str,
    "int": int,
    "integer": int,
    "float": float,
    "number": float,
    "bool": bool,
    "boolean": bool,
    "any": Any,
    "Any": Any,
    "None": type(None),
    "null": type(None),
    "list": list[Any],
    "array": list[Any],
    "dict": dict[str, Any],
    "map": dict[str, Any],
    "object": dict[str, Any],
    "embedding": list[float],
    "reasoning_chain": list[str],
    "date": datetime.date,
    "datetime": datetime.datetime,
    "decimal": decimal.Decimal,
}
GENERIC = {
    "list<string>": list[str],
    "List[str]": list[str],
    "LIST[ Int ]": list[int],
    "typing.List[str]": list[str],
    "list<list<integer>>": list[list[int]],
    "dict<string,integer>": dict[str, int],
    "Dict[str, int]": dict[str, int],
    "Dict[str, Any]": dict[str, Any],
    "dict<integer, list<float>>": dict[int, list[float]],
    "List[Dict[str, float]]": list[dict[str, float]],
    "Optional[str]": Optional[str],  # noqa: UP045  # the spelling is the subject
    "str | None": Optional[str],  # noqa: UP045
    "Union[str, int]": Union[str, int],  # noqa: UP007
    "union<string|integer>": Union[str, int],  # noqa: UP007
    "string|integer": Union[str, int],  # noqa: UP007
    "union<string|list<union<integer|float>>>": Union[str, list[Union[int, float]]],  # noqa: UP007
    "union<string|string>": str,
    'Literal["a","b"]': Literal["a", "b"],
    "literal['a', 'it\\'s', \"b|c]\"]": Literal["a", "it's", "b|c]"],
    "enum<a|b>": Literal["a", "b"],
    "enum<very good|1|2.5|true|null>": Literal["very good", 1, 2.5, True, None],
    "list<enum<a|b>>": list[Literal["a", "b"]],
}

NO_TYPES = (
    *("", " ", "|", "a|", "<>", "invalid", "typing", "string string", "string<integer>", "list[int][0]"),
    *("list<", "list<>", "list<string]", "list<a,b>", "dict<string>", "dict<list<string>, string>"),
    *("union", "union<>", "Optional", "Optional[str, int]", "Literal[]", "Literal['a", "enum<a||b>"),
    *("os.system", "__import__('os')", "lambda: 0", "datetime.timedelta"),
)


@pytest.mark.parametrize(("spelling", "annotation"), [*PLAIN.items(), *GENERIC.items()])
def test_each_spelling_becomes_its_python_type(spelling: str, annotation: object) -> None:
    """Whatever the bracket style and case, the annotation is the one that a Python author would write."""
    assert annotate(parse_type(spelling), "value") == annotation


@pytest.mark.parametrize("spelling", ["probability", "confidence_score"])
def test_a_probability_is_a_float_between_0_and_1(spelling: str) -> None:
    """Both ends are included, nothing beyond is accepted."""
    adapter = pydantic.TypeAdapter(annotate(parse_type(spelling), "value"))
    assert [adapter.validate_python(value) for value in (0, 0.5, 1)] == [0, 0.5, 1]
    with pytest.raises(pydantic.ValidationError):
        adapter.validate_python(1.01)


@pytest.mark.parametrize("spelling", [*PLAIN, *GENERIC, "probability", "confidence_score"])
def test_the_canonical_form_reads_back_as_the_same_type(spelling: str) -> None:
    """What goes out in a definition means the same when it comes back."""
    expr = parse_type(spelling)
    assert parse_type(json.loads(json.dumps(expr.wire))) == expr


@pytest.mark.parametrize(
    ("spelling", "nearest"),
    [("strng", "'string'"), ("lists<int>", "'list'"), ("Dict[str, integr]", "'integer'"), ("floatt", "'float'")],
)
def test_an_unknown_type_names_its_nearest_neighbour(spelling: str, nearest: str) -> None:
    """The error says what was probably meant."""
    with pytest.raises(UnknownTypeError, match=nearest) as caught:
        parse_type(spelling)
    assert caught.value.code == "invalid_program"
    assert caught.value.details["candidates"]


@pytest.mark.parametrize(
    "spelling",
    NO_TYPES,
)
def test_what_is_no_type_is_refused(spelling: str) -> None:
    """Anything off the list is an error of ours."""
    with pytest.raises(UnknownTypeError):
        parse_type(spelling)


@pytest.mark.parametrize(
    "spelling",
    [
        "list<" * 5000 + "string" + ">" * 5000,
        "list<" * 30 + "string" + ">" * 30,
        "|".join(f"list<enum<{i}>>" for i in range(500)),
        "enum<" + "|".join(map(str, range(3000))) + ">",
        "string|" * 100_000 + "string",
        ["string", ["list<integer>"] * 5000, [f"enum<{i}>" for i in range(5000)]],
    ],
    ids=["very deep", "deep", "wide", "many choices", "long", "large JSON"],
)
def test_a_hostile_type_is_refused_before_it_costs_anything(spelling: object) -> None:
    """Depth and size have limits."""
    with pytest.raises(UnknownTypeError):
        parse_type(spelling)


def test_deep_json_is_refused_without_exhausting_the_stack() -> None:
    """Nesting is counted, also where every level is a map."""
    form: dict[str, Any] = {"type": "string"}
    for _ in range(900):
        form = {"type": "object", "fields": [{"name": "x", "type": "list", "items": form}]}
    with pytest.raises(UnknownTypeError):
        parse_type(form)


@pytest.mark.parametrize(
    ("form", "spelling"),
    [
        ({"type": "list", "items": "integer"}, "list<integer>"),
        ({"type": "array", "items": {"type": "string"}}, "list<string>"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict<string, integer>"),
        ({"type": "string", "optional": True}, "union<string | null>"),
        ({"type": "string", "required": False}, "union<string | null>"),
        ({"type": ["string", "null"]}, "union<string | null>"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "union<string | integer>"),
        ({"type": "union", "of": ["string", "integer"]}, "union<string | integer>"),
        ({"type": "string", "enum": ["a", "b"]}, "one of 'a', 'b'"),
        ({"type": "enum", "values": ["a", "b"]}, "one of 'a', 'b'"),
        ({"one_of": ["a", 1]}, "one of 'a', 1"),
        ({"type": "string", "constraints": {"one_of": ["a"]}}, "one of 'a'"),
        ({"type": "list<string>", "enum": ["a"]}, "list<one of 'a'>"),
        ({"type": "Optional[str]", "enum": ["a"]}, "union<one of 'a' | null>"),
        ({"type": "integer", "min": 1, "constraints": {"max": 5}}, "integer (ge 1, le 5)"),
        ({"type": "float", "gt": 0, "lt": 1.5}, "float (gt 0, lt 1.5)"),
        ({"type": "integer", "range": [1, 5]}, "integer (ge 1, le 5)"),
        ({"type": "string", "minimum": 1, "maxLength": 5}, "string (max_length 5, min_length 1)"),
        ({"type": "string", "length": {"min": 2}}, "string (min_length 2)"),
        ({"type": "list<integer>", "length": 3}, "list<integer> (max_length 3, min_length 3)"),
        ({"type": "Optional[int]", "ge": 0}, "union<integer (ge 0) | null>"),
        ({"type": "string", "regex": "^a+$"}, "string (pattern ^a+$)"),
        ({"type": "string", "prompt_style": "x", "constraints": {"unheard_of": 1}}, "string"),
        ({"type": "string", "min": None, "enum": None}, "string"),
    ],
)
def test_a_map_can_describe_a_type(form: dict[str, Any], spelling: str) -> None:
    """JSON Schema's words and DSPex's are both understood; keys that nobody knows are passed over in silence."""
    notes: list[str] = []
    expr = parse_described(form, notes)
    assert expr is not None
    assert expr.spelling == spelling
    assert notes == []
    assert parse_described(expr.wire if isinstance(expr.wire, dict) else {"type": expr.wire}, notes) == expr


@pytest.mark.parametrize(
    "form",
    [
        {"type": "integer", "min_length": 3},
        {"type": "boolean", "ge": 3},
        {"type": "integer", "ge": "3"},
        {"type": "integer", "ge": True},
        {"type": "float", "ge": 2**70},
        {"type": "integer", "multiple_of": 0},
        {"type": "string", "min_length": -1},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "(?=lookahead)"},
        {"type": "string", "pattern": "a" * 2000},
        {"type": "string", "range": [1, 2]},
        {"type": "Union[bool, null]", "ge": 3},
        {"type": "map", "enum": ["a"]},
        {"ge": 3},
    ],
)
def test_a_constraint_that_does_not_fit_is_left_out_with_a_note(form: dict[str, Any]) -> None:
    """The type stays usable, and somebody hears about it."""
    notes: list[str] = []
    expr = parse_described(form, notes)
    assert len(notes) == 1
    assert expr is None or not expr.constraints


def test_an_object_becomes_a_model_that_keeps_the_names_of_its_members() -> None:
    """Members may be called what no Python attribute can be called."""
    form = {
        "type": "object",
        "fields": [
            {"name": "first-name", "type": "string", "description": "given name"},
            {"name": "schema", "type": "list", "items": {"type": "object", "properties": {"model_x": "integer"}}},
            {"name": "_born", "type": "date", "optional": True},
        ],
    }
    notes: list[str] = []
    expr = parse_described(form, notes)
    assert expr is not None
    assert notes == []
    model = annotate(expr, "the_person")
    assert issubclass(model, pydantic.BaseModel)
    assert model.__name__ == "ThePerson"
    value = {"first-name": "Ada", "schema": [{"model_x": 1}], "_born": None}
    assert model.model_validate({"first-name": "Ada", "schema": [{"model_x": 1}]}).model_dump(by_alias=True) == value
    assert list(model.model_json_schema()["properties"]) == list(value)
    assert model.model_json_schema()["properties"]["first-name"]["description"] == "given name"


def test_members_outside_of_a_required_list_are_optional() -> None:
    """As JSON Schema has it."""
    form = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    expr = parse_described(form, [])
    assert expr is not None
    assert [member.type.nullable for member in expr.members] == [False, True]


TOKENS = st.sampled_from(
    [
        "list",
        "dict",
        "union",
        "Optional",
        "Literal",
        "enum",
        "string",
        "int",
        "os",
        "<",
        ">",
        "[",
        "]",
        ",",
        "|",
        " ",
        "'a'",
    ]
)


@given(st.one_of(st.text(), st.lists(TOKENS, max_size=40).map("".join)))
def test_no_text_makes_the_parser_do_anything_but_answer_or_refuse(text: str) -> None:
    """Nothing is imported, nothing is raised but the parser's own error, and what is read is canonical."""
    modules = set(sys.modules)
    try:
        expr = parse_type(text)
    except UnknownTypeError:
        pass
    else:
        assert parse_type(expr.wire) == expr
        assert "null" not in expr.spelling or expr.wire
    assert set(sys.modules) == modules


KEYS = st.sampled_from(
    (
        *("type", "items", "fields", "properties", "name", "enum", "values", "keys", "of", "constraints", "min", "max"),
        *("range", "length", "optional", "required", "description", "ge", "multiple_of", "additionalProperties"),
    )
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    TOKENS,
)
FORMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


@given(FORMS)
def test_no_json_makes_the_parser_do_anything_but_answer_or_refuse(form: object) -> None:
    """Whatever comes, the answer is a type that reads back as itself and that pydantic understands, or our error."""
    try:
        expr = parse_type(form)
    except UnknownTypeError:
        return
    assert parse_type(json.loads(json.dumps(expr.wire))) == expr
    pydantic.TypeAdapter(annotate(expr, "value"))

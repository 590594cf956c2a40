"""Signatures in every shape that arrives, and what becomes of those that cannot be used."""

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures import SignatureSpec, parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.errors import InvalidProgramError

Definition = dict[str, Any] | list[Any] | str


def names(spec: SignatureSpec) -> tuple[list[str], list[str]]:
    """The original names on both sides."""
    return [field.name for field in spec.inputs], [field.name for field in spec.outputs]


def types(spec: SignatureSpec) -> dict[str, str]:
    """The spelled types by name."""
    return {field.name: field.type.spelling if field.typed else "?" for field in (*spec.inputs, *spec.outputs)}


def test_a_signature_module_as_pythonport_sends_it() -> None:
    """Shape S1: strings only, with the descriptions that DSPex makes up."""
    spec = parse_signature(
        {
            "name": "Elixir.MyApp.QASignature",
            "description": "A dynamically generated DSPy signature.",
            "inputs": [
                {"name": "question", "type": "string", "description": "Input field: question"},
                {"name": "context", "type": "list<string>", "description": "Input field: context"},
            ],
            "outputs": [
                {"name": "answer", "type": "string", "description": "Output field: answer"},
                {"name": "confidence", "type": "float", "description": "Output field: confidence"},
                {"name": "scores", "type": "dict<string,union<integer|float>>", "description": ""},
            ],
        }
    )
    assert spec.class_name == "QASignature"
    assert spec.instructions == "A dynamically generated DSPy signature."
    assert types(spec) == {
        "question": "string",
        "context": "list<string>",
        "answer": "string",
        "confidence": "float",
        "scores": "dict<string, union<integer | float>>",
    }
    assert spec.inputs[0].description == "Input field: question"
    assert (spec.fallback, spec.warnings) == (False, ())


def test_a_map_with_whatever_its_author_wrote() -> None:
    """Shapes S2 and S4: Python's type names, `desc`, `docstring`, constraints, keys that mean nothing, no name."""
    spec = parse_signature(
        {
            "docstring": "Answer questions with short factual answers",
            "modules": [],
            "signature_type": "qa",
            "inputs": [{"name": "question", "type": "str", "desc": "what to ask", "widget": "textarea"}],
            "outputs": [
                {"name": "answer", "type": "str", "constraints": {"max_length": 100, "tone": "polite"}},
                {"name": "mood", "type": "str", "one_of": ["good", "bad"]},
                {"name": "notes", "type": "List[str]"},
                {"name": "rest"},
            ],
        }
    )
    assert spec.instructions == "Answer questions with short factual answers"
    assert spec.inputs[0].description == "what to ask"
    assert types(spec) == {
        "question": "string",
        "answer": "string (max_length 100)",
        "mood": "one of 'good', 'bad'",
        "notes": "list<string>",
        "rest": "?",
    }
    assert spec.name == "DynamicSignature"
    assert (spec.fallback, spec.warnings) == (False, ())


def test_composite_types_that_the_type_converter_garbles() -> None:
    """Shape S3: the inner type of a list or union arrives as its description."""
    spec = parse_signature(
        {
            "name": "Elixir.Test.Sig",
            "description": "No description",
            "inputs": [{"name": "tags", "type": "list", "description": "string"}],
            "outputs": [
                {"name": "value", "type": "union", "description": ["string", "integer"]},
                {"name": "kind", "type": "atom", "description": None},
                {"name": "chain", "type": "reasoning_chain", "description": "how it came about"},
                {"name": "words", "type": "list", "description": "the words"},
                {"name": "odd", "type": "string", "description": ["no", "text"]},
            ],
        }
    )
    assert types(spec) == {
        "tags": "list<string>",
        "value": "union<string | integer>",
        "kind": "string",
        "chain": "reasoning_chain",
        "words": "list<any>",
        "odd": "string",
    }
    assert [field.description for field in (*spec.inputs, *spec.outputs)] == [
        "",
        "",
        "",
        "how it came about",
        "the words",
        "",
    ]
    assert spec.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user_message -> bot_response", {"user_message": "?", "bot_response": "?"}),
        ("question, context -> answer", {"question": "?", "context": "?", "answer": "?"}),
        ("a, b: int -> c: list[str]", {"a": "?", "b": "integer", "c": "list<string>"}),
        ("a: Dict[str, int],b:float->c: Literal['x->y', 'z']", None),
        (" spaced out , b -> c ", {"spaced out": "?", "b": "?", "c": "?"}),
    ],
)
def test_a_text_is_a_signature_too(text: str, expected: dict[str, str] | None) -> None:
    """Shape S5: commas and arrows inside of brackets and quotes belong to the types."""
    expected = expected or {"a": "dict<string, integer>", "b": "float", "c": "one of 'x->y', 'z'"}
    spec = parse_signature(text)
    assert types(spec) == expected
    assert not spec.fallback


def test_fields_may_be_given_as_an_object_or_as_plain_names() -> None:
    """Shape S7, and the plain strings of hand-written configs."""
    spec = parse_signature(
        {
            "instructions": "Do it",
            "inputs": {"question": {"description": "what", "type": "string"}, "count": "integer", "any": None},
            "outputs": ["answer", {"name": "score", "type": "probability"}],
        }
    )
    assert types(spec) == {"question": "string", "count": "integer", "any": "?", "answer": "?", "score": "probability"}
    assert spec.inputs[0].description == "what"


@pytest.mark.parametrize("key", ["instructions", "docstring", "description", "desc"])
def test_instructions_have_many_names(key: str) -> None:
    """Each alias is read."""
    assert parse_signature({key: "Be brief", "inputs": ["q"], "outputs": ["a"]}).instructions == "Be brief"


def test_the_most_telling_instructions_win() -> None:
    """DSPex fills `description` by itself, an author writes the others."""
    spec = parse_signature({"description": "generic", "docstring": "mine", "inputs": ["q"], "outputs": ["a"]})
    assert spec.instructions == "mine"


@pytest.mark.parametrize("strict", [False, True])
def test_a_missing_signature_is_an_error(strict: bool) -> None:
    """Both texts that clients look for are in the message."""
    with pytest.raises(InvalidProgramError, match=r"^Invalid program definition: Program signature is required$"):
        parse_signature(None, strict=strict)


UNUSABLE: list[tuple[Any, list[str]]] = [
    ({}, []),
    ([], []),
    ("", []),
    ("no arrow", []),
    ("a -> b -> c", []),
    ("-> result", []),
    (42, []),
    (["question"], []),
    ({"inputs": [], "outputs": []}, []),
    ({"inputs": ["q"]}, []),
    ({"inputs": "q", "outputs": "a"}, []),
    ({"name": "Only.A.Name"}, []),
    ({"inputs": [], "outputs": ["result"]}, ["result"]),
    ({"inputs": [{"name": "", "type": "invalid"}], "outputs": [{"name": "result", "type": "string"}]}, ["result"]),
    (
        {"inputs": ["q"], "outputs": [{"name": "good"}, {"name": " "}, {"type": "string"}, 7, {"name": "answer"}]},
        ["good"],
    ),
    ({"inputs": {"q": 7}, "outputs": {"a": "string"}}, ["a"]),
    ({"inputs": [f"q{i}" for i in range(1000)], "outputs": ["a"]}, ["a"]),
]


@pytest.mark.parametrize(("definition", "declared"), UNUSABLE)
def test_an_unusable_definition_becomes_question_and_answer(definition: Any, declared: list[str]) -> None:
    """It is flagged and explained, takes any input, and answers under every valid name that was declared."""
    spec = parse_signature(definition)
    assert spec.fallback
    assert len(spec.warnings) == 1
    assert names(spec) == (["question"], ["answer"])
    assert compile_signature(spec).read_inputs({"text": "hello"}) == {"question": "hello"}
    if declared:
        assert compile_signature(spec).write_outputs({"answer": "yes"}) == {"answer": "yes"} | dict.fromkeys(
            declared, "yes"
        )
    assert parse_signature(spec.definition).digest == spec.digest
    assert parse_signature(spec.definition).fallback


@pytest.mark.parametrize(("definition", "declared"), UNUSABLE)
def test_strictness_turns_the_stand_in_into_an_error(definition: Any, declared: list[str]) -> None:
    """The text has the word that clients look for, and the code says the rest."""
    with pytest.raises(InvalidProgramError, match=r"^Invalid program definition: ") as caught:
        parse_signature(definition, strict=True)
    assert caught.value.code == "invalid_program"
    assert caught.value.details["problems"]
    with pytest.raises(InvalidProgramError, match="Invalid"):
        parse_signature(parse_signature(definition).definition, strict=True)


def test_one_unknown_type_does_not_spoil_a_definition() -> None:
    """The field is taken as a string, with a warning that names the nearest type; strictness refuses."""
    definition = {"inputs": ["q"], "outputs": [{"name": "a", "type": "strin"}, {"name": "b", "type": "int"}]}
    spec = parse_signature(definition)
    assert not spec.fallback
    assert types(spec) == {"q": "?", "a": "?", "b": "integer"}
    assert len(spec.warnings) == 1
    assert "'a'" in spec.warnings[0]
    assert "'string'" in spec.warnings[0]
    with pytest.raises(InvalidProgramError, match="Invalid program definition: field 'a': unknown type 'strin'"):
        parse_signature(definition, strict=True)


def test_a_repeated_field_is_kept_once() -> None:
    """The first counts, and a warning says so."""
    spec = parse_signature({"inputs": [{"name": "q", "type": "integer"}, "q"], "outputs": ["a"]})
    assert types(spec) == {"q": "integer", "a": "?"}
    assert "more than once" in spec.warnings[0]


@pytest.mark.parametrize("definition", [None, {}, "a -> b", {"inputs": ["a"], "outputs": ["b"]}, 42])
def test_without_dynamic_signatures_everything_is_question_and_answer(definition: Any) -> None:
    """That is the client's choice, so it is neither flagged nor warned about, and it survives the round trip."""
    spec = parse_signature(definition, dynamic=False, strict=True)
    assert names(spec) == (["question"], ["answer"])
    assert (spec.fallback, spec.warnings) == (False, ())
    assert compile_signature(spec).read_inputs({"a": "hi", "b": "there"}) == {"question": "hi"}
    assert compile_signature(spec).write_outputs({"answer": "yes"}) == {"answer": "yes"}
    again = parse_signature(spec.definition, strict=True)
    assert again == spec
    assert compile_signature(again).read_inputs({"x": "hi"}) == {"question": "hi"}


def test_the_definition_is_enough_to_rebuild_the_signature() -> None:
    """Everything survives JSON, whatever order the keys of a map come back in."""
    spec = parse_signature(
        {
            "name": "Elixir.A.B",
            "docstring": "Wie heißt das?",
            "inputs": [{"name": "a-b", "type": "object", "fields": {"x": "integer", "y": "list<string>"}}, "c"],
            "outputs": [
                {"name": "p", "type": "probability", "ge": 0.25},
                {"name": "e", "enum": ["x", 1, None]},
                {"name": "o", "type": "string", "optional": True, "max_length": 3, "desc": "short"},
            ],
        }
    )
    returned = json.loads(json.dumps(spec.definition, sort_keys=True))
    again = parse_signature(returned, strict=True)
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.definition == spec.definition
    assert (again.inputs, again.outputs, again.field_mapping) == (spec.inputs, spec.outputs, spec.field_mapping)
    assert compile_signature(again).dspy_class() is compile_signature(spec).dspy_class()
    assert copy.deepcopy(spec) == spec


def test_signatures_that_differ_have_different_digests() -> None:
    """In name, instructions, type, description or order."""
    variants: list[Definition] = [
        "q -> a",
        "q -> b",
        "q: int -> a",
        "q: str -> a",
        {"name": "X", "inputs": ["q"], "outputs": ["a"]},
        {"description": "X", "inputs": ["q"], "outputs": ["a"]},
        {"inputs": [{"name": "q", "description": "X"}], "outputs": ["a"]},
        {"inputs": ["q", "r"], "outputs": ["a"]},
        {"inputs": ["r", "q"], "outputs": ["a"]},
        {"inputs": [], "outputs": ["a"]},
    ]
    assert len({parse_signature(variant).digest for variant in variants}) == len(variants)


def test_equal_signatures_have_equal_digests_whatever_their_spelling() -> None:
    """`str` and `string`, text and map, alias and name."""
    spec = parse_signature("q: str -> a: List[int]")
    form = {
        "inputs": [{"name": "q", "type": "string"}],
        "outputs": {"a": {"type": "list", "items": {"type": "integer"}}},
    }
    assert parse_signature(form) == spec


KEYS = st.sampled_from(
    ["name", "type", "description", "desc", "inputs", "outputs", "fields", "enum", "constraints", "q"]
)
WORDS = st.one_of(
    st.text(max_size=6), st.sampled_from(["string", "list<int>", "q -> a", "a-b", "a_b", "schema", "list", "union"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)
SIDES = st.one_of(VALUES, st.lists(WORDS, max_size=4), st.dictionaries(WORDS, VALUES, max_size=4))
DEFINITIONS = st.one_of(
    VALUES.filter(lambda value: value is not None),
    st.fixed_dictionaries({"inputs": SIDES, "outputs": SIDES}, optional={"name": WORDS, "description": VALUES}),
)


@given(DEFINITIONS)
def test_any_definition_gives_a_signature_that_its_own_definition_rebuilds(definition: Any) -> None:
    """Nothing but a missing definition fails, and the round trip through JSON changes nothing."""
    spec = parse_signature(definition)
    returned = json.loads(json.dumps(spec.definition, allow_nan=False).encode())
    again = parse_signature(returned)
    assert again.digest == spec.digest
    assert (again.inputs, again.outputs) == (spec.inputs, spec.outputs)
    assert (again.fallback, again.takes_any_input, again.stand_in_outputs) == (
        spec.fallback,
        spec.takes_any_input,
        spec.stand_in_outputs,
    )


def test_parsing_needs_neither_dspy_nor_pydantic() -> None:
    """A program can be created, and texts read and written, while DSPy is still being imported."""
    code = """
import sys
from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
spec = parse_signature({"name": "X", "inputs": ["question"], "outputs": [{"name": "tags", "type": "List[str]"}]})
compile_signature(spec).read_inputs({"question": "hi"})
compile_signature(parse_signature("q -> a")).write_outputs({"a": "text"})
print([name for name in ("dspy", "pydantic", "litellm") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"

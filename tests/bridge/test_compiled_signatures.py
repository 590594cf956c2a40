"""Compiled signatures are ordinary DSPy signatures: every adapter can write and read them."""

import datetime
import logging
import threading
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import CAPACITY, compile_signature, forget_compiled

DEFINITION: dict[str, Any] = {
    "name": "Elixir.My.Sig",
    "docstring": "Describe the person.",
    "inputs": [
        {"name": "age", "type": "integer", "min": 0, "desc": "in years"},
        {"name": "person", "type": "object", "fields": [{"name": "first-name", "type": "string"}]},
        {"name": "code", "type": "string", "pattern": "^[a-z]+$"},
        "context",
    ],
    "outputs": [
        {"name": "chance", "type": "probability", "description": "how likely"},
        {"name": "marks", "type": "list", "items": {"type": "integer", "min": 1}},
        {"name": "grade", "enum": ["good", "bad"]},
        {"name": "address", "type": "object", "fields": {"street-name": "string", "number": "integer"}},
        {"name": "day", "type": "date"},
        {"name": "by_key", "type": "Dict[str, int]"},
        {"name": "either", "type": "union<integer|string>"},
        {"name": "hint", "type": "string", "optional": True, "max_length": 20},
        {"name": "schema"},
    ],
}
INPUTS = {"age": 36, "person": {"first-name": "Ada"}, "code": "abc", "context": ["first", {"second": 2}]}
ANSWERS: dict[str, Any] = {
    "chance": 0.5,
    "marks": [1, 2],
    "grade": "good",
    "address": {"street-name": "Main", "number": 3},
    "day": datetime.date(2024, 1, 2),
    "by_key": {"a": 1},
    "either": "text",
    "hint": "short",
    "field_schema": "plain",
}
WRITTEN = {name: value for name, value in ANSWERS.items() if name != "field_schema"} | {
    "day": "2024-01-02",
    "schema": "plain",
}


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()], ids=lambda a: type(a).__name__
)
def test_an_adapter_writes_and_reads_every_type(adapter: Any) -> None:
    """Inputs reach the prompt, and its own completion parses back into the values that leave the bridge."""
    spec = parse_signature(DEFINITION, strict=True)
    signature = compile_signature(spec).dspy_class()
    messages = adapter.format(signature, demos=[], inputs=compile_signature(spec).read_inputs(INPUTS))
    system, user = messages[0]["content"], messages[-1]["content"]
    assert "Describe the person." in system
    assert "in years\nConstraints: greater than or equal to: 0" in system
    assert "matches the regular expression ^[a-z]+$" in system
    assert "greater than or equal to: 0, less than or equal to: 1" in system
    assert "maximum length: 20" in system
    assert '{"first-name": "Ada"}' in user
    assert '{"second": 2}' in user
    model = signature.output_fields["address"].annotation
    values = {**ANSWERS, "address": model.model_validate(ANSWERS["address"])}
    completion = adapter.format_assistant_message_content(signature, values)
    parsed = adapter.parse(signature, completion)
    # XML has no types of its own: what is in a map comes back as text, and is converted on the way out.
    assert compile_signature(spec).write_outputs(parsed) == WRITTEN


def test_a_compiled_signature_carries_the_client_s_words() -> None:
    """Class name, instructions and descriptions; without instructions DSPy writes its own."""
    signature = compile_signature(parse_signature(DEFINITION)).dspy_class()
    assert signature.__name__ == "Sig"
    assert signature.instructions == "Describe the person."
    assert signature.output_fields["chance"].json_schema_extra["desc"] == "how likely"
    assert "`a`" in compile_signature(parse_signature("a -> b")).dspy_class().instructions


def test_a_field_without_a_type_may_get_anything_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """DSPy's type check leaves such fields alone, as it does for its own `a -> b`."""
    spec = parse_signature("a, b, c -> d")
    dspy_logger = logging.getLogger("dspy")
    dspy_logger.addHandler(caplog.handler)
    try:
        with dspy.context(lm=dspy.utils.DummyLM([{"d": "x"}])):
            dspy.Predict(compile_signature(spec).dspy_class())(
                **compile_signature(spec).read_inputs({"a": 5, "b": ["x", 1], "c": {"k": 1}})
            )
    finally:
        dspy_logger.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_equal_definitions_compile_once_however_many_threads_ask() -> None:
    """The class is shared, so are the models inside it."""
    forget_compiled()
    definition = {
        "name": "Shared",
        "inputs": ["q"],
        "outputs": [{"name": "a", "type": "object", "fields": {"x": "int"}}],
    }
    start = threading.Barrier(8)
    compiled: list[Any] = []

    def compile_one() -> None:
        spec = parse_signature(definition)
        start.wait(timeout=60)
        compiled.append(compile_signature(spec).dspy_class())

    threads = [threading.Thread(target=compile_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(compiled) == 8
    assert len(set(map(id, compiled))) == 1


def test_the_cache_of_compiled_signatures_is_bounded() -> None:
    """The least used goes first, and what was forgotten is simply made again."""
    forget_compiled()
    first = parse_signature("q -> a")
    compiled = compile_signature(first).dspy_class()
    for number in range(CAPACITY):
        compile_signature(parse_signature(f"q -> a{number}")).read_inputs({"q": "x"})
    assert compile_signature(first).dspy_class() is not compiled
    assert compile_signature(first).dspy_class() is compile_signature(parse_signature("q -> a")).dspy_class()


def test_values_of_a_forgotten_class_can_still_be_written() -> None:
    """A program that outlives the cache answers with models of its own, older class."""
    spec = parse_signature({"inputs": ["q"], "outputs": [{"name": "a", "type": "object", "fields": {"x-y": "date"}}]})
    value = compile_signature(spec).dspy_class().output_fields["a"].annotation.model_validate({"x-y": "2024-01-02"})
    forget_compiled()
    assert compile_signature(spec).write_outputs({"a": value}) == {"a": {"x-y": "2024-01-02"}}


NAMES = st.lists(st.text(min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=3, unique=True)
TYPES = st.sampled_from(
    (
        *("string", "int", "float", "bool", "any", "null", "list<date>", "dict<integer, decimal>", "probability"),
        *("Optional[datetime]", "union<list<string>|map>", "Literal['a', 1, None]", "embedding", "list<Optional[int]>"),
    )
)
OBJECTS = st.builds(
    lambda fields, ends: {"type": "list", "items": {"type": "object", "fields": fields}, "length": sorted(ends)},
    st.dictionaries(st.text(min_size=1, max_size=4).filter(str.strip), TYPES, min_size=1, max_size=3),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
SIDES = NAMES.flatmap(lambda names: st.fixed_dictionaries({name: st.one_of(TYPES, OBJECTS) for name in names}))


@settings(max_examples=50)
@given(SIDES, SIDES, st.text(max_size=8), st.text(max_size=8))
def test_every_signature_that_parses_compiles_and_can_be_shown_to_an_lm(
    inputs: dict[str, Any], outputs: dict[str, Any], name: str, instructions: str
) -> None:
    """Whatever the fields are called, DSPy takes them without a warning and describes each to the LM."""
    spec = parse_signature(
        {"name": name, "description": instructions, "inputs": inputs, "outputs": outputs}, strict=True
    )
    signature = compile_signature(spec).dspy_class()
    assert list(signature.input_fields) == [field.attribute for field in spec.inputs]
    assert list(signature.output_fields) == [field.attribute for field in spec.outputs]
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
        system = adapter.format(signature, demos=[], inputs={})[0]["content"]
        assert all(f"`{field.attribute}`" in system for field in (*spec.inputs, *spec.outputs))

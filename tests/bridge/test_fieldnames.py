"""Names of fields on their way to DSPy and back."""

import inspect

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge.signatures import parse_signature
from dspex_testkit.bridge.signatures.compiled import compile_signature
from dspex_testkit.bridge.signatures.fieldnames import attribute_names, class_name, member_names


@pytest.mark.parametrize("name", ["question", "user_message", "class", "items", "keys", "text", "größe", "名前", "n"])
def test_a_usable_name_stays_as_it_is(name: str) -> None:
    """The LM sees the name that the author chose, Python keywords and other alphabets included."""
    assert attribute_names([name], ["answer"]) == ((name,), ("answer",))


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("total-price", "total_price"),
        ("is valid?", "is_valid_"),
        ("1st", "field_1st"),
        ("_private", "field_private"),
        ("???", "field_1"),
        ("model_name", "field_model_name"),
        ("schema", "field_schema"),
        ("Elixir.Foo", "Elixir_Foo"),
        ("x²", "x2"),
    ],
)
def test_an_unusable_name_becomes_one_that_still_reads_like_it(name: str, attribute: str) -> None:
    """Python's and DSPy's rules are obeyed with as little change as possible."""
    assert attribute_names([name], ["answer"])[0] == (attribute,)


def test_a_changed_name_never_takes_the_place_of_another() -> None:
    """The field that is really called `a_b` keeps its name, wherever it stands."""
    assert attribute_names(["a-b", "a b"], ["a_b", "a.b"]) == (("a_b_2", "a_b_3"), ("a_b", "a_b_4"))


def test_an_input_and_an_output_may_share_a_name() -> None:
    """`text -> text` is an honest signature."""
    spec = parse_signature("text -> text")
    assert compile_signature(spec).read_inputs({"text": "in"}) == {"text": "in"}
    assert compile_signature(spec).write_outputs({"text_2": "out"}) == {"text": "out"}
    assert list(compile_signature(spec).dspy_class().output_fields) == ["text_2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Elixir.My.QuestionAnswer", "QuestionAnswer"),
        ("my-sig", "my_sig"),
        ("A.3d", "Default_3d"),
        ("...", "Default"),
        ("", "Default"),
    ],
)
def test_a_class_is_named_after_the_last_segment(name: str, expected: str) -> None:
    """The same name gives the same class name in every process."""
    assert class_name(name, "Default") == expected


NAMES = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=8), st.sampled_from(["a_b", "a-b", "a b", "_a", "a", "schema", "model_a", "self"])
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(NAMES, NAMES)
def test_attributes_are_distinct_stable_identifiers(inputs: list[str], outputs: list[str]) -> None:
    """No two fields meet in one attribute, and the same names always give the same attributes."""
    chosen = attribute_names(inputs, outputs)
    attributes = [*chosen[0], *chosen[1]]
    assert len(set(attributes)) == len(inputs) + len(outputs)
    assert all(name.isidentifier() and not name.startswith(("_", "model_")) for name in attributes)
    assert attribute_names(inputs, outputs) == chosen
    assert len(set(member_names(inputs))) == len(inputs)


def _names_dspy_uses() -> set[str]:
    classes = [dspy.Signature, type(dspy.Signature), dspy.Module, dspy.Predict, dspy.Prediction, dspy.Example]
    names = {name for owner in classes for name in dir(owner)}
    methods = [
        dspy.Predict.__call__,
        dspy.Predict.forward,
        dspy.Predict._forward_preprocess,
        dspy.Predict._forward_postprocess,
        dspy.Module.__call__,
        dspy.Prediction.from_completions,
        dspy.ReAct.forward,
    ]
    return (
        names
        | {name for method in methods for name in inspect.signature(method).parameters}
        | {"lm", "demos", "config"}
    )


@pytest.mark.parametrize("name", sorted(_names_dspy_uses()))
def test_a_name_that_dspy_uses_itself_works_on_both_sides(name: str) -> None:
    """Each compiles without a warning, reaches the prompt and comes back under its own name."""
    spec = parse_signature({"inputs": [name], "outputs": [f"{name}", "also"]})
    signature = compile_signature(spec).dspy_class()
    assert len(signature.input_fields) == 1
    assert len(signature.output_fields) == 2
    answers = {field.attribute: f"the {field.name}" for field in spec.outputs}
    lm = dspy.utils.DummyLM([answers])
    with dspy.context(lm=lm):
        prediction = dspy.Predict(signature)(**compile_signature(spec).read_inputs({name: "some value"}))
    assert "some value" in lm.history[-1]["messages"][-1]["content"]
    assert compile_signature(spec).write_outputs(prediction) == {name: f"the {name}", "also": "the also"}

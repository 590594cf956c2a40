"""Specs from files, functions by their path, and the schema of it all."""

import json
from pathlib import Path
from typing import Any

import dspy
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from dspex_testkit.errors import InvalidMockSpecError
from dspex_testkit.mock_lm import SPEC_KEYS, MockEmbedder, MockLM, load_mock_spec, mock_spec_schema
from tests.support.fixture_files import samples

MOCK_SPECS = samples("mock_specs")
SPECS: dict[str, str] = {
    "spec.json": '{"responses": {"q": "a"}}',
    "spec.toml": '[responses]\nq = "a"\n',
    "spec.yaml": "responses:\n  q: a\n",
}


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_is_read_from_a_file(name: str, tmp_path: Path) -> None:
    """JSON, TOML or YAML."""
    (tmp_path / name).write_text(SPECS[name], encoding="utf-8")
    assert load_mock_spec(tmp_path / name).responses == {"q": "a"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("spec.json", "{", "is not valid JSON"),
        ("spec.toml", "=", "is not valid TOML"),
        ("spec.yaml", "a: [", "is not valid YAML"),
        ("spec.json", '{"respones": {}}', "did you mean 'responses'"),
        ("spec.ini", "", "ends in one of"),
        ("spec.yml", "- a", "not a list"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    """With what is wrong in it."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidMockSpecError) as caught:
        load_mock_spec(tmp_path / name)
    assert message in caught.value.message
    assert name in caught.value.message


@pytest.mark.parametrize("name", MOCK_SPECS)
def test_a_shared_spec_means_the_same_in_json_and_in_yaml(name: str, tmp_path: Path) -> None:
    """And is kept whole by a saved mock."""
    config = MOCK_SPECS[name]["config"]
    spec = config.get("mock", config)
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")

    lm = MockLM(load_mock_spec(tmp_path / "spec.json"))

    assert lm.spec == MockLM(spec).spec == MockLM(load_mock_spec(tmp_path / "spec.yaml")).spec
    assert MockLM.load_state(lm.dump_state()).spec == lm.spec


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback of the operating system."""
    with pytest.raises(InvalidMockSpecError, match="cannot be read"):
        load_mock_spec(tmp_path / "none.json")


def test_the_schema_accepts_what_the_parser_accepts() -> None:
    """And refuses what it refuses."""
    validator = Draft202012Validator(mock_spec_schema())
    for spec in (
        {"provider": "mock", "responses": {"default": "x"}},
        {"type": "mock", "answers": ["a"], "on_exhausted": "cycle"},
        {"rules": [{"when": {"inputs": {"q": {"contains": "x"}}}, "answer": {"$cycle": ["a"]}, "times": 2}]},
        {"response_generator": "random", "seed": "s", "null_rate": 0.5},
        {"faults": [{"kind": "rate_limit", "calls": [1]}], "stream": {"first_token_ms": {"uniform": [1, 2]}}},
    ):
        MockLM(spec)
        validator.validate(spec)
    refused: list[dict[str, Any]] = [
        {"respones": {}},
        {"on_exhausted": "never"},
        {"rules": [{"wen": {}, "answer": "x"}]},
    ]
    for wrong in refused:
        with pytest.raises(ValidationError):
            validator.validate(wrong)
    assert mock_spec_schema()["properties"].keys() >= SPEC_KEYS
    json.dumps(mock_spec_schema())


def test_a_function_is_imported_from_allowed_modules_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By prefix, in the environment or as an argument."""
    source = "def shout(call):\n    return call.inputs['question'].upper()\n"
    (tmp_path / "answers_for_tests.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {"function": "answers_for_tests:shout"}
    with pytest.raises(InvalidMockSpecError, match="DSPEX_TESTKIT_ALLOW_IMPORT"):
        MockLM(spec)
    with pytest.raises(InvalidMockSpecError, match="under none of"):
        MockLM(spec, allow_import=["answers_for"])
    monkeypatch.setenv("DSPEX_TESTKIT_ALLOW_IMPORT", "other, answers_for_tests")
    for lm in (MockLM(spec), MockLM.load_state(MockLM(spec).dump_state())):
        with dspy.context(lm=lm):
            assert dspy.Predict("question -> answer")(question="q").answer == "Q"
    with pytest.raises(InvalidMockSpecError, match="cannot be imported"):
        MockLM({"function": "answers_for_tests:whisper"})
    with pytest.raises(InvalidMockSpecError, match="must be a callable"):
        MockLM({"function": "answers_for_tests"})


def test_a_mock_of_a_nameless_function_cannot_be_saved() -> None:
    """It says so, instead of saving something else."""
    with pytest.raises(TypeError, match="cannot be saved"):
        MockLM.function(lambda call: "x").dump_state()
    rule: dict[str, Any] = {"when": {"inputs": {"q": lambda value: True}}, "answer": "x"}
    with pytest.raises(TypeError, match="cannot be saved"):
        MockLM.deterministic(rules=[rule]).dump_state()


def test_an_embedder_finds_the_similar() -> None:
    """Vectors are unit length, repeatable, and near for shared words."""
    embedder = MockEmbedder(64)
    one, other, far = embedder(["the cat sat", "a cat sat down", "quantum flux"])
    assert (one == MockEmbedder(64)(["the cat sat"])[0]).all()
    assert one @ other > one @ far
    assert abs(float(one @ one) - 1) < 1e-5
    assert MockEmbedder(64)("").shape == (64,)
    examples = [dspy.Example(question=q, answer=q).with_inputs("question") for q in ("the red car", "a blue sky")]
    knn = dspy.KNN(k=1, trainset=examples, vectorizer=embedder)
    assert knn(question="sky so blue")[0].question == "a blue sky"

"""When a recording answers a request, and what a miss says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit import cassettes
from dspex_testkit.cassettes.matching import MatchRules
from dspex_testkit.errors import NoMatchingInteractionError, UsageError
from dspex_testkit.mock_lm import MockLM

Ask = Callable[..., str]


def request(text: str = "hello there", **config: Any) -> dict[str, Any]:
    """A canonical request."""
    return {
        "model": "openai/gpt-4o-mini",
        "messages": [{"role": "user", "parts": [{"type": "text", "text": text}]}],
        "config": config,
    }


def test_white_space_and_the_order_of_keys_do_not_count() -> None:
    """Two requests that read the same match."""
    rules = MatchRules()
    turned = dict(reversed(request("hello   there\n", temperature=1.0).items()))
    assert rules.key(request(temperature=1)) == rules.key(turned)


@pytest.mark.parametrize("other", [request("hello"), request(temperature=0.5), {**request(), "model": "openai/o1"}])
def test_words_parameters_and_model_count(other: dict[str, Any]) -> None:
    """Requests that differ in what is asked do not match."""
    assert MatchRules().key(request()) != MatchRules().key(other)


def test_a_schema_is_the_same_with_references_and_without() -> None:
    """Clients write it in either way; a definition that is only `true` stays where it is."""
    size = {"enum": ["s", "l"]}
    referring = {"properties": {"size": {"$ref": "#/$defs/Size"}}, "$defs": {"Size": size}}
    anything = {"properties": {"size": {"$ref": "#/$defs/Any"}}, "$defs": {"Any": True}}

    def key(schema: dict[str, Any]) -> bytes:
        return MatchRules().key(request(response_format={"type": "json_schema", "schema": schema}))

    assert key(referring) == key({"properties": {"size": size}})
    assert key(anything) == key(anything) != key(referring)


def test_only_the_chosen_parameters_count() -> None:
    """A cassette may match on some parameters, or on none."""
    chosen = MatchRules(params=("temperature",))
    assert chosen.key(request(temperature=1, seed=1)) == chosen.key(request(temperature=1, seed=2))
    assert chosen.key(request(temperature=1)) != chosen.key(request(temperature=0))
    without = MatchRules(on=("model", "messages"))
    assert without.key(request(temperature=1)) == without.key(request())


def test_ignored_paths_do_not_count() -> None:
    """A path into the request takes a field out of the comparison."""
    rules = MatchRules(ignore=("config.seed", "messages[*].parts[0].id"))
    left, right = request(seed=1), request(seed=2)
    left["messages"][0]["parts"][0]["id"] = "call_1"
    assert rules.key(left) != MatchRules().key(left)
    right["messages"][0]["parts"][0]["id"] = "call_2"
    assert rules.key(left) == rules.key(right)


@pytest.mark.parametrize("path", ["", "config..seed", "messages[x]", "a b["])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    """A misspelled path is an error, not a path that never matches."""
    with pytest.raises(UsageError, match="no path"):
        MatchRules(ignore=(path,))


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.XMLAdapter()])
def test_an_input_of_the_signature_can_be_ignored(path: Path, adapter: Any) -> None:
    """A date among the inputs does not spoil a recording."""
    program = dspy.Predict("today, question -> answer")
    lm = MockLM.deterministic({"open?": "yes"})
    with cassettes.record(lm, path) as recorder, dspy.context(lm=recorder, adapter=adapter):
        recorded = program(today="2026-11-22", question="open?").answer
    ignoring = cassettes.replay(path, ignore=["inputs.today"])
    with dspy.context(lm=ignoring, adapter=adapter):
        assert program(today="2031-01-01", question="open?").answer == recorded
        with pytest.raises(NoMatchingInteractionError):
            program(today="2031-01-01", question="closed?")


def test_patterns_can_be_ignored() -> None:
    """What a pattern finds in texts does not count."""
    rules = MatchRules(ignore_patterns=(r"\d{4}-\d{2}-\d{2}",))
    assert rules.key(request("on 2026-11-22 we")) == rules.key(request("on 2031-01-01 we"))


@pytest.fixture
def repeated(path: Path, ask: Ask) -> Path:
    """One request, recorded with two answers."""
    with cassettes.record(MockLM.scripted([{"answer": "a"}, {"answer": "b"}]), path) as lm:
        ask(lm, "again")
        ask(lm, "again")
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"on_exhausted": "last"}, ["a", "b", "b", "b", "b"]),
        ({"on_exhausted": "cycle"}, ["a", "b", "a", "b", "a"]),
        ({"allow_playback_repeats": True}, ["a", "b", "b", "b", "b"]),
    ],
)
def test_repeats_follow_the_recorded_order_and_then_the_policy(
    repeated: Path, ask: Ask, options: dict[str, Any], expected: list[str]
) -> None:
    """Equal requests get their recordings in order; what comes after the last one can be chosen."""
    lm = cassettes.replay(repeated, **options)
    assert [ask(lm, "again") for _ in expected] == expected


def test_a_request_too_many_is_an_error(repeated: Path, ask: Ask) -> None:
    """By default the third of two recorded repeats is a miss that says so."""
    lm = cassettes.replay(repeated)
    assert [ask(lm, "again"), ask(lm, "again")] == ["a", "b"]
    with pytest.raises(NoMatchingInteractionError, match=r"2 recording\(s\).*all were played"):
        ask(lm, "again")


def test_a_miss_names_the_nearest_recording_and_what_differs(path: Path, sums: MockLM, ask: Ask) -> None:
    """The error shows the question, the nearest interaction, the fields that differ and what to do."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
        ask(lm, "3+3", config={"temperature": 0.5})
    with pytest.raises(NoMatchingInteractionError) as caught:
        ask(cassettes.replay(path, rerecord="pytest --lm-record-mode=all"), "3+3", config={"temperature": 0.9})
    message = str(caught.value)
    assert "Nearest is interaction 1" in message
    assert "params.temperature: asked 0.9, recorded 0.5" in message
    assert "To record it: pytest --lm-record-mode=all" in message
    assert caught.value.details["nearest"][0]["interaction"] == 1


def test_a_miss_is_tried_once_and_passes_every_adapter(path: Path, sums: MockLM, ask: Ask) -> None:
    """A miss is an LM error of our own class: no retry, no other adapter, no other message."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.TwoStepAdapter(cassettes.replay(path))):
        cassette = cassettes.open_cassette(path)
        with dspy.context(adapter=adapter), pytest.raises(NoMatchingInteractionError) as caught:
            ask(cassette.lm_for(), "unheard of")
        assert isinstance(caught.value, dspy.LMError)
        assert len(cassette.report().misses) == 1


def test_a_miss_shows_no_secret(path: Path, sums: MockLM, ask: Ask) -> None:
    """A key that stands in the prompt is not repeated by the error."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    with pytest.raises(NoMatchingInteractionError) as caught:
        ask(cassettes.replay(path, secrets=["hunter2-hunter2"]), "what opens hunter2-hunter2?")
    assert "hunter2" not in str(caught.value)
    assert "[redacted]" in str(caught.value)

"""Cassettes that stay in the repository: what was recorded once has to replay with every later version."""

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import httpx
import pytest

from dspex_testkit import cassettes
from dspex_testkit.cli import main

pytestmark = pytest.mark.usefixtures("collected")

GOLDEN = Path(__file__).parents[2] / "cassettes" / "format-1.yaml"


@pytest.fixture
def lm() -> Any:
    """The recorded LM."""
    return cassettes.replay(GOLDEN, on_exhausted="last")


def test_a_recording_of_the_first_format_replays(lm: Any, ask: Callable[..., str]) -> None:
    """An answer, a stream and a failure that were recorded with the first version still play."""
    assert ask(lm, "What is 2+2?") == "4"
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    with dspy.context(lm=lm):
        last = list(program(question="Count to three."))[-1]
    assert last.answer == "one, two, three"
    with pytest.raises(dspy.LMRateLimitError):
        ask(lm, "Too fast?")
    assert [call.error is None for call in lm.journal] == [True, True, False]
    assert lm.kwargs["temperature"] == 0.5
    assert lm.supports_function_calling


REPEATED = GOLDEN.with_name("format-1-lm.yaml")
TRAFFIC = GOLDEN.with_name("format-1-http.yaml")


class Weather(dspy.Signature):  # type: ignore[misc]
    """Given the fields `question`, `picture`, `tools`, produce the fields `calls`."""

    question: str = dspy.InputField()
    picture: dspy.Image = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


def weather(city: str) -> str:
    """The weather in a city."""
    raise NotImplementedError(city)


def test_repeats_tools_pictures_and_cut_texts_of_the_first_format_replay(ask: Callable[..., str]) -> None:
    """What the first version kept is found by its own rules: also words that it took for a key."""
    cassette = cassettes.open_cassette(REPEATED)
    lm = cassette.lm_for()
    assert [ask(lm, "again"), ask(lm, "again")] == ["a", "b"]
    assert ask(lm, "What are the bearer responsibilities of a flag?") == "To answer."
    picture = dspy.Image(url="data:image/png;base64," + base64.b64encode(bytes(range(256)) * 2).decode())
    with dspy.context(lm=lm):
        said = dspy.Predict(Weather)(question="And the weather?", picture=picture, tools=[dspy.Tool(weather)])
    assert [(call.name, call.args) for call in said.calls.tool_calls] == [("weather", {"city": "Paris"})]
    assert cassette.report().unplayed == ()


def test_traffic_of_the_first_format_replays() -> None:
    """An answer, a stream, cut words, a failure, an embedding, and pages that were told apart by their order alone."""
    lm = dspy.LM("openai/gpt-4o-mini", api_base="http://127.0.0.1:9/v1", api_key="none", cache=False, num_retries=0)
    qa = dspy.Predict("question -> answer")
    with cassettes.http_cassette(TRAFFIC) as cassette, dspy.context(lm=lm):
        assert qa(question="What is 2+2?").answer == "4"
        streamed = dspy.streamify(qa, async_streaming=False)(question="Count to four.")
        assert list(streamed)[-1].answer == "one two three four"
        assert qa(question="What are the bearer responsibilities of a flag?").answer == "To answer."
        with pytest.raises(dspy.LMRateLimitError):
            qa(question="Too fast?")
        connection = {"api_base": "http://127.0.0.1:9/v1", "api_key": "none", "caching": False}
        assert len(dspy.Embedder("openai/text-embedding-3-small", **connection)(["some text"])[0]) > 1
        with httpx.Client() as client:
            pages = [client.get(f"http://127.0.0.1:9/v1/files?after={after}").json()["page"][0] for after in "cab"]
            assert client.post("http://127.0.0.1:9/v1/files").status_code == 501
    assert pages == ["a", "b", "c"]
    assert cassette.report().unplayed == ()


@pytest.mark.parametrize("golden", [GOLDEN, REPEATED, TRAFFIC])
def test_upgrading_changes_the_form_and_nothing_that_is_played(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., str]
) -> None:
    """A file of the first format is told, upgraded once, and replays as before."""
    file = tmp_path / golden.name
    file.write_bytes(golden.read_bytes())
    assert main(["cassettes", "upgrade", "--check", str(file)]) == 1
    assert file.read_bytes() == golden.read_bytes()
    assert main(["cassettes", "upgrade", str(file)]) == 0
    assert "format: 2" in file.read_text()
    assert main(["cassettes", "upgrade", "--check", str(file)]) == 0
    name = {GOLDEN: "GOLDEN", REPEATED: "REPEATED", TRAFFIC: "TRAFFIC"}[golden]
    monkeypatch.setattr(sys.modules[__name__], name, file)
    if golden.name == "format-1-http.yaml":
        test_traffic_of_the_first_format_replays()
    elif golden.name == "format-1-lm.yaml":
        test_repeats_tools_pictures_and_cut_texts_of_the_first_format_replay(ask)
    else:
        test_a_recording_of_the_first_format_replays(cassettes.replay(file, on_exhausted="last"), ask)

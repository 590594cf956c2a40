"""Plain vcrpy cassettes of providers' traffic become LM cassettes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import dspy
import pytest
import vcr
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes.convert import convert
from dspex_testkit.cassettes.saving import save
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.simulator import ProviderSimulator

Ask = Callable[..., str]
MODELS = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.0-flash"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*instance is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]


def stream(lm: dspy.LM, question: str) -> str:
    """Ask for a stream and take its result."""
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    with dspy.context(lm=lm):
        predictions = [value for value in program(question=question) if isinstance(value, dspy.Prediction)]
    return str(predictions[0].answer)


@pytest.mark.parametrize("model", MODELS)
def test_traffic_recorded_by_vcrpy_replays_as_lm_calls(tmp_path: Path, ask: Ask, model: str) -> None:
    """Calls and streams that vcrpy alone recorded over litellm replay a program at the LM seam."""
    raw, converted = tmp_path / "raw.yaml", tmp_path / "lm.yaml"
    with ProviderSimulator() as simulator:
        target = simulator.target(model, spec={"responses": {"2+2": "4", "stream": "one two three"}})
        with vcr.use_cassette(str(raw), record_mode="once", match_on=["method", "path", "body"]):
            ask(target.lm(engine="litellm"), "2+2")
            stream(target.lm(engine="litellm"), "stream")
    conversion = convert(raw)
    assert conversion.skipped == ()
    save(converted, conversion.document, secrets={})
    lm = cassettes.replay(converted)
    assert lm.model == model
    assert [ask(lm, "2+2"), stream(lm, "stream")] == ["4", "one two three"]
    assert lm.journal[0].usage.input_tokens


def test_http_cassettes_of_ours_convert_too(tmp_path: Path, ask: Ask) -> None:
    """Traffic of DSPy's own client, recorded at the HTTP level, becomes LM calls as well."""
    raw = tmp_path / "raw.yaml"
    with ProviderSimulator() as simulator:
        target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": "4"}})
        with cassettes.http_cassette(raw, record_mode="once"):
            ask(target.lm(), "2+2")
    save(tmp_path / "lm.yaml", convert(raw).document, secrets={})
    assert ask(cassettes.replay(tmp_path / "lm.yaml"), "2+2") == "4"


def interaction(uri: str, body: str, status: int = 200, answer: str = "{}") -> dict[str, object]:
    """A vcrpy interaction."""
    return {
        "request": {"method": "POST", "uri": uri, "headers": {}, "body": body},
        "response": {"status": {"code": status, "message": ""}, "headers": {}, "body": {"string": answer}},
    }


def test_failures_are_converted_and_strangers_left_out(tmp_path: Path) -> None:
    """An error status becomes a canonical error; what is no LM call is named and skipped."""
    raw = tmp_path / "raw.yaml"
    asked = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
    slow = '{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}'
    items = [
        interaction("https://api.openai.com/v1/chat/completions", asked, 429, slow),
        interaction("https://example.test/weather", "{}"),
    ]
    raw.write_text(yaml.safe_dump({"version": 1, "interactions": items}))
    conversion = convert(raw)
    assert "/weather" in conversion.skipped[0]
    save(tmp_path / "lm.yaml", conversion.document, secrets={})
    with pytest.raises(dspy.LMRateLimitError, match="slow down"):
        cassettes.replay(tmp_path / "lm.yaml")("hi")


def test_nothing_to_convert_is_an_error(tmp_path: Path, sums: MockLM, path: Path) -> None:
    """A file of strangers only, and one of LM calls, say so."""
    raw = tmp_path / "raw.yaml"
    raw.write_text(yaml.safe_dump({"version": 1, "interactions": [interaction("https://example.test/x", "{}")]}))
    with pytest.raises(CassetteFormatError, match="no call of OpenAI"):
        convert(raw)
    with cassettes.record(sums, path) as lm:
        asyncio.run(lm.acall("2+2"))
    with pytest.raises(CassetteFormatError, match="already"):
        convert(path)

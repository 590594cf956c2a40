"""No key gets into a file."""

import base64
import json
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dspy
import pytest
import yaml
from dspy.lm15 import Message, Request, Response, StreamDeltaEvent, StreamEndEvent, StreamStartEvent, TextDelta, Usage

from dspex_testkit import cassettes
from dspex_testkit.cassettes.leaks import refuse_secrets
from dspex_testkit.errors import SecretFoundError
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.redaction import Secret, Secrets
from dspex_testkit.simulator import ProviderSimulator

Ask = Callable[..., str]
KEY = "planted/key+of a provider=1"


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv("ACME_API_KEY", KEY)


def known(value: str) -> Secrets:
    """A secret as the environment names it."""
    return Secrets([Secret(value, "ACME_API_KEY")])


def echo(text: str) -> MockLM:
    """An LM that says this."""
    return MockLM.scripted([{"answer": text}])


def test_keys_of_the_environment_are_cut_out(path: Path, ask: Ask) -> None:
    """A key in a prompt or an answer is not kept, and the call still goes through and replays."""
    with cassettes.record(echo(f"it is {KEY}"), path) as lm:
        assert ask(lm, f"is it {KEY}?") == f"it is {KEY}"
    assert KEY not in path.read_text()
    assert ask(cassettes.replay(path), f"is it {KEY}?") == "it is [redacted]"


def test_keys_of_well_known_providers_are_recognised(path: Path, ask: Ask) -> None:
    """A key that nobody told us about is known by its looks."""
    keys = [
        "sk-proj-abcdefghijklmnop1234",
        "AIza" + "a1B2" * 9,
        "gsk_abcdefghijklmnop1234",
        "AKIAABCDEFGHIJKLMNOP",
    ]
    with cassettes.record(echo(" ".join(keys)), path) as lm:
        ask(lm, " or ".join(keys))
    text = path.read_text()
    assert not [key for key in keys if key in text]


def test_the_key_of_the_recorded_lm_is_kept_nowhere(tmp_path: Path) -> None:
    """Neither level writes the key with which it asked, whatever the provider answers."""
    with ProviderSimulator() as simulator:
        target = simulator.target("openai/gpt-4o-mini")
        target.configure(spec={"script": [{"answer": f"your key is {target.api_key}"}] * 2})
        with cassettes.record(target.lm(), tmp_path / "lm.yaml") as lm, dspy.context(lm=lm):
            dspy.Predict("question -> answer")(question="what is my key?")
        secrets = [target.api_key]
        with (
            cassettes.http_cassette(tmp_path / "http.yaml", record_mode="once", secrets=secrets),
            dspy.context(lm=target.lm()),
        ):
            dspy.Predict("question -> answer")(question="what is my key?")
    for file in tmp_path.rglob("*"):
        assert target.api_key not in file.read_text()
    assert "[redacted]" in (tmp_path / "lm.yaml").read_text()


@pytest.mark.parametrize(
    ("disguised", "how"),
    [
        (quote(KEY, safe=""), "URL-encoded"),
        (quote(KEY, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"), "URL-encoded"),
        (base64.b64encode(KEY.encode()).decode(), "base64"),
        (base64.b64encode(b"x" + KEY.encode() + b"yz").decode(), "base64"),
        (base64.urlsafe_b64encode(b"ab" + KEY.encode()).decode(), "base64"),
    ],
)
def test_a_disguised_key_is_cut_out_and_would_be_found(path: Path, ask: Ask, disguised: str, how: str) -> None:
    """A known key is cut however it is spelt; the last look sees it too, and names the place and not the value."""
    with cassettes.record(echo(f"it is {disguised}."), path) as lm:
        ask(lm, "what?")
    assert "[redacted]" in path.read_text()
    assert disguised not in path.read_text()

    document = {"response": {"parts": [{"text": disguised}]}}
    with pytest.raises(SecretFoundError, match=how) as caught:
        refuse_secrets(document, "", known(KEY), path="x.yaml")
    assert "ACME_API_KEY" in caught.value.message
    assert "response.parts[0].text" in caught.value.message
    assert KEY not in caught.value.message
    assert disguised not in caught.value.message


class Streaming:
    """An engine that streams a text in given pieces."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    def complete(self, request: Request) -> Response:
        """Not asked for here."""
        raise NotImplementedError

    def stream(self, request: Request) -> Any:
        """The pieces."""
        yield StreamStartEvent(model="m")
        for piece in self.pieces:
            yield StreamDeltaEvent(delta=TextDelta(text=piece, part_index=0))
        yield StreamEndEvent(finish_reason="stop", usage=Usage(input_tokens=1, output_tokens=1))


def test_a_key_split_over_chunks_is_not_kept(path: Path) -> None:
    """A key that lies across two pieces of a stream is cut out as a whole."""
    lm = dspy.LM("openai/m", engine=Streaming("the key is ", KEY[:9], KEY[9:], " indeed"), cache=False)
    with cassettes.record(lm, path) as recorder:
        list(recorder.engine.stream(Request(model="openai/m", messages=(Message.user("key?"),))))
    text = path.read_text()
    assert KEY[9:] not in text
    assert "the key is [redacted] indeed" in text


def test_a_key_split_over_chunks_is_found_by_the_last_look() -> None:
    """Pieces are put together before they are searched: our chunks, events, lines and arrays of JSON, also as bytes."""
    ours = [{"event": {"delta": {"text": KEY[:9]}}}, {"event": {"delta": {"text": KEY[9:]}}}]
    events = "".join(f'data: {{"delta": "{piece}"}}\n\n' for piece in (KEY[:9], KEY[9:]))
    lines = "".join(f'{{"delta": "{piece}"}}\n' for piece in (KEY[:9], KEY[9:]))
    array = f'[{{"delta": "{KEY[:9]}"}}, {{"delta": "{KEY[9:]}"}}]'
    bodies = [{"chunks": ours}, *({"string": body} for body in (events, lines, array, events.encode()))]
    for body in bodies:
        document = {"interactions": [{"response": {"body": body}}]}
        with pytest.raises(SecretFoundError, match="put together"):
            refuse_secrets(document, "", known(KEY), path="x.yaml")


@pytest.mark.parametrize("text", ['quo"ted\\secret', "pässwört-secret"])
def test_a_key_within_json_within_json_is_found(text: str) -> None:
    """Arguments of tools are JSON in a text, and the same key is spelt otherwise there."""
    for spelt in (json.dumps(json.dumps({"k": text})), json.dumps({"k": json.dumps({"k": text})})):
        document = {"interactions": [{"response": {"body": {"string": spelt}}}]}
        with pytest.raises(SecretFoundError):
            refuse_secrets(document, "", known(text), path="x.yaml")


def test_user_patterns_and_filters_are_applied_before_writing(path: Path, ask: Ask) -> None:
    """Patterns cut, filters change, and a filter that gives nothing drops the interaction."""

    def only_sums(request: dict[str, Any]) -> dict[str, Any] | None:
        return request if "+" in request["messages"][0]["parts"][0]["text"] else None

    lm = MockLM.scripted([{"answer": "4 for customer 123-45"}, {"answer": "hi"}])
    with cassettes.record(lm, path, redact=[re.compile(r"\d{3}-\d{2}")], filter_request=only_sums) as recorder:
        ask(recorder, "2+2 of 123-45")
        ask(recorder, "hello")
    text = path.read_text()
    assert "123-45" not in text
    assert "hello" not in text
    assert "4 for customer [redacted]" in text


@pytest.mark.parametrize("level", ["lm", "http"])
@pytest.mark.parametrize("place", ["home", "temp"])
def test_paths_of_this_machine_are_not_kept(
    path: Path, tmp_path: Path, level: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local servers name the answering model by its file; whole and streamed, it is kept without the folder."""
    for name in ("home", "temp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    model = f"{tmp_path / place}/models/llama.gguf"
    streamed = dspy.streamify(program := dspy.Predict("question -> answer"), async_streaming=False)
    with ProviderSimulator() as simulator, ExitStack() as stack:
        lm = simulator.target(f"openai/{model}", spec={"default": {"answer": "4"}}).lm()
        if level == "lm":
            lm = stack.enter_context(cassettes.record(lm, path, model="openai/local"))
        else:
            stack.enter_context(cassettes.http_cassette(path, record_mode="once"))
        with dspy.context(lm=lm):
            program(question="2+2")
            list(streamed(question="2+2"))
    answers = [str(each["response"]) for each in yaml.safe_load(path.read_text())["interactions"]]
    assert len(answers) == 2
    assert all(f"{'~' if place == 'home' else '/tmp'}/models/llama.gguf" in each for each in answers)
    assert all(str(tmp_path) not in each for each in answers)


def test_short_values_are_no_secrets(path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dummy keys of offline suites are not cut out of ordinary words."""
    monkeypatch.setenv("GEMINI_API_KEY", "test")
    with cassettes.record(echo("a test"), path) as lm:
        ask(lm, "what?")
    assert "a test" in path.read_text()

"""HTTP cassettes: both of DSPy's clients, recorded against providers on this machine and replayed without them."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dspy
import pytest
import vcr
import yaml
from dspy.utils.exceptions import AdapterParseError

from dspex_testkit import cassettes
from dspex_testkit.errors import (
    CassetteDriftError,
    CassetteError,
    CassetteFormatError,
    CassetteNotFoundError,
    NoMatchingInteractionError,
    NothingRecordedError,
)
from dspex_testkit.simulator import ProviderSimulator
from tests.support.loops import run

# litellm reads a deprecated attribute of pydantic's while it streams.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*instance is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]

STACKS = ["lm15", "litellm"]
MODELS = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.0-flash"]


@pytest.fixture
def simulator() -> Iterator[ProviderSimulator]:
    """Providers that can add."""
    with ProviderSimulator() as running:
        yield running


def live(simulator: ProviderSimulator, stack: str, model: str = MODELS[0], **params: Any) -> dspy.LM:
    """An LM of the simulated provider, over one of the two clients."""
    target = simulator.target(model, spec={"responses": {"2+2": "4", "stream": "one two three four"}})
    lm: dspy.LM = target.lm(engine=stack, **params)
    return lm


def ask(lm: dspy.LM, question: str = "2+2") -> str:
    """Ask synchronously."""
    with dspy.context(lm=lm):
        return str(dspy.Predict("question -> answer")(question=question).answer)


async def ask_async(lm: dspy.LM, question: str = "2+2") -> str:
    """Ask asynchronously."""
    with dspy.context(lm=lm):
        answer = str((await dspy.Predict("question -> answer").acall(question=question)).answer)
    await lm.aclose()
    return answer


def ask_streaming(lm: dspy.LM, question: str = "stream") -> str:
    """Ask for a stream and take its result."""
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    with dspy.context(lm=lm):
        predictions = [value for value in program(question=question) if isinstance(value, dspy.Prediction)]
    return str(predictions[0].answer)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("model", MODELS)
def test_traffic_replays_with_the_server_gone(path: Path, stack: str, model: str) -> None:
    """Sync, async and streamed calls over either client replay from the file behind another address."""
    with ProviderSimulator() as simulator:
        lm = live(simulator, stack, model)
        with cassettes.http_cassette(path, record_mode="once"):
            recorded = [ask(lm), run(ask_async(lm, "2+2")), ask_streaming(lm)]
        gone = live(simulator, stack, model, num_retries=0)
    with cassettes.http_cassette(path) as cassette:
        assert [ask(gone), run(ask_async(gone, "2+2")), ask_streaming(gone)] == recorded
    assert recorded == ["4", "4", "one two three four"]
    assert cassette.asked_live == 0


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("model", MODELS)
def test_calls_at_the_lm_seam_replay_on_no_stack_at_all(path: Path, stack: str, model: str) -> None:
    """An LM cassette recorded over either client replays sync, async and streamed, without any client."""
    with ProviderSimulator() as simulator:
        with cassettes.record(live(simulator, stack, model), path) as lm:
            recorded = [ask(lm), ask_streaming(lm), run(ask_async(lm))]
        gone = live(simulator, "litellm" if stack == "lm15" else "lm15", model)
    replayed = cassettes.replay(path, allow_playback_repeats=True)
    assert [ask(replayed), ask_streaming(replayed), run(ask_async(replayed))] == recorded
    with cassettes.record(gone, path, record_mode="none") as other_stack:
        assert ask(other_stack) == "4"


@pytest.mark.parametrize("stack", STACKS)
def test_a_miss_comes_out_at_once(path: Path, simulator: ProviderSimulator, stack: str) -> None:
    """What is not recorded fails on both clients with the nearest recording, without a retry."""
    lm = live(simulator, stack, num_retries=3)
    with cassettes.http_cassette(path, record_mode="once"):
        ask(lm)
    with pytest.raises(NoMatchingInteractionError, match=r"differs in:\n.*2\+2"), cassettes.http_cassette(path):
        ask(lm, "2+5")
    assert len(simulator.calls) == 1


def test_a_swallowed_miss_fails_at_the_end(path: Path, simulator: ProviderSimulator) -> None:
    """A program that catches everything does not hide a miss."""
    lm = live(simulator, "lm15")
    with cassettes.http_cassette(path, record_mode="once"):
        ask(lm)

    def swallow() -> None:
        with cassettes.http_cassette(path):
            try:
                ask(lm, "2+5")
            except Exception:
                return

    with pytest.raises(NoMatchingInteractionError):
        swallow()


@pytest.mark.parametrize("stack", STACKS)
def test_keys_headers_and_addresses_are_not_kept(path: Path, simulator: ProviderSimulator, stack: str) -> None:
    """Of requests only allow-listed headers are written, of answers none of the connection; hosts are canonical."""
    target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": "4"}})
    with cassettes.http_cassette(path, record_mode="once"):
        ask(target.lm(engine=stack))
    text = path.read_text()
    assert target.api_key not in text
    assert "127.0.0.1" not in text
    interaction = yaml.safe_load(text)["interactions"][0]
    assert set(interaction["request"]["headers"]) <= {"content-type", "accept", "anthropic-version"}
    assert not {"content-length", "transfer-encoding", "connection"} & set(interaction["response"]["headers"])
    assert interaction["request"]["uri"] == "https://llm.test/v1/chat/completions"
    assert json.loads(interaction["request"]["body"])["model"] == "gpt-4o-mini"
    assert '\n        "model": "gpt-4o-mini"' in text


def test_vcrpy_itself_reads_and_plays_it(path: Path, simulator: ProviderSimulator) -> None:
    """The file is a vcrpy cassette like any other."""
    with cassettes.http_cassette(path, record_mode="once", canonical_host=None):
        ask(live(simulator, "litellm"))
    with vcr.use_cassette(str(path), record_mode="none") as plain:
        assert [request.method for request in plain.requests] == ["POST"]
        assert json.loads(plain.responses[0]["body"]["string"])["model"].startswith("gpt-4o-mini")


def test_modes_are_those_of_lm_cassettes(path: Path, simulator: ProviderSimulator) -> None:
    """None and verify need a file, rewrite starts anew, nothing recorded is an error."""
    lm = live(simulator, "lm15")
    with pytest.raises(CassetteNotFoundError), cassettes.http_cassette(path):
        pass
    with pytest.raises(NothingRecordedError), cassettes.http_cassette(path, record_mode="once"):
        pass
    with cassettes.http_cassette(path, record_mode="once"):
        ask(lm)
    with cassettes.http_cassette(path, record_mode="new_episodes"):
        assert [ask(lm), ask(lm, "stream")] == ["4", "one two three four"]
    assert len(simulator.calls) == 2
    with cassettes.http_cassette(path, record_mode="rewrite"):
        ask(lm, "stream")
    assert len(yaml.safe_load(path.read_text())["interactions"]) == 1
    path.unlink()
    with pytest.raises(CassetteNotFoundError), cassettes.http_cassette(path, record_mode="verify"):
        pass


def test_a_failed_block_writes_nothing(path: Path, simulator: ProviderSimulator) -> None:
    """Traffic is promoted only on success."""

    def fail() -> None:
        with cassettes.http_cassette(path, record_mode="once"):
            ask(live(simulator, "lm15"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not path.exists()


def test_the_levels_are_not_mixed_up(path: Path, simulator: ProviderSimulator) -> None:
    """A cassette of one level opened at the other says so."""
    with cassettes.record(live(simulator, "lm15"), path) as lm:
        ask(lm)
    with pytest.raises(CassetteFormatError, match="records LM calls"), cassettes.http_cassette(path):
        pass
    path.unlink()
    with cassettes.http_cassette(path, record_mode="once"):
        ask(live(simulator, "lm15"))
    with pytest.raises(CassetteFormatError, match="cassettes convert"):
        cassettes.replay(path)


def verify(path: Path, lm: dspy.LM, question: str = "2+2", **options: Any) -> str:
    """Ask in mode verify; what the block says of drift."""
    try:
        with (
            cassettes.http_cassette(path, record_mode="verify", **options),
            suppress(dspy.LMError, AdapterParseError),
        ):
            ask(lm, question)
    except CassetteDriftError as error:
        return error.message
    return "the same"


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("model", MODELS)
def test_verify_asks_the_provider_and_compares_by_the_rules_of_lm_calls(path: Path, stack: str, model: str) -> None:
    """Status, shape, model and wording, by severity; the file stays as it was."""
    with ProviderSimulator() as simulator:
        target = simulator.target(model, spec={"responses": {"2+2": "4", "2+3": "5"}})
        lm = target.lm(engine=stack)
        with cassettes.http_cassette(path, record_mode="once"):
            ask(lm)
        before = path.read_bytes()
        assert verify(path, lm) == "the same"
        said = verify(path, lm, "2+3")
        assert "schema: unrecorded: the program asks what was never recorded: " in said
        assert "POST https://" in said
        assert "Nearest is interaction 0, which differs in:" in said
        assert "2+3" in said
        target.configure(spec={"responses": {"2+2": "four"}})
        assert "text: interaction 0: the wording differs" in verify(path, lm)
        assert verify(path, lm, fail_on="parameters") == "the same"
        assert verify(path, lm, comparator=lambda recorded, live: True) == "the same"
        target.configure(spec={"default": {"$completion": "no fields at all"}})
        assert "schema: interaction 0: the answer's shape was" in verify(path, lm)
        target.configure(faults=["context_length"])
        assert "schema: interaction 0: the status was 200, is 400" in verify(path, lm)
    assert path.read_bytes() == before


@pytest.mark.parametrize("fault", ["auth", "rate_limit"])
def test_what_the_provider_did_not_answer_is_no_drift(path: Path, simulator: ProviderSimulator, fault: str) -> None:
    """Without a key, or beyond a limit, nobody knows what it would say; and that is an error of its own."""
    target = simulator.target(MODELS[0], spec={"responses": {"2+2": "4"}})
    with cassettes.http_cassette(path, record_mode="once"):
        ask(target.lm())
    target.configure(faults=[fault])
    with (
        pytest.raises(CassetteError, match=r"could not be verified:\n.*POST .*: status 4") as caught,
        cassettes.http_cassette(path, record_mode="verify"),
        suppress(dspy.LMError),
    ):
        ask(target.lm())
    assert not isinstance(caught.value, CassetteDriftError)


def test_other_traffic_is_compared_as_json(path: Path, simulator: ProviderSimulator) -> None:
    """Embeddings are no LM calls: their shape and their values count."""
    target = simulator.target("openai/text-embedding-3-small")

    def embed(mode: str, **more: Any) -> None:
        connection = {"api_base": target.api_base, "api_key": target.api_key, "caching": False}
        with cassettes.http_cassette(path, record_mode=mode):
            dspy.Embedder(target.model, **connection, **more)(["some text"])

    embed("once")
    embed("verify")
    text = path.read_text()
    path.write_text(text.replace('"object": "embedding"', '"object": "embedded"'))
    with pytest.raises(CassetteDriftError, match="text: interaction 0: the body differs"):
        embed("verify")
    path.write_text(text.replace('"object": "embedding",', ""))
    with pytest.raises(CassetteDriftError, match="schema: interaction 0: the body's shape was"):
        embed("verify")


def test_verifying_nothing_is_an_error(path: Path, simulator: ProviderSimulator) -> None:
    """A green run that asked nobody proved nothing."""
    with cassettes.http_cassette(path, record_mode="once"):
        ask(live(simulator, "lm15"))
    with pytest.raises(NothingRecordedError, match="verified"), cassettes.http_cassette(path, record_mode="verify"):
        pass


def test_each_recording_is_compared_once(path: Path, simulator: ProviderSimulator) -> None:
    """Equal requests are compared in recorded order, and what was not asked is told."""
    lm = live(simulator, "lm15")
    with cassettes.http_cassette(path, record_mode="once"):
        ask(lm)
        ask(lm, "stream")

    def again(times: int, **options: Any) -> tuple[int, ...]:
        with cassettes.http_cassette(path, record_mode="verify", **options) as cassette:
            for _ in range(times):
                ask(lm)
        return cassette.report().unplayed

    assert again(1) == (1,)
    with pytest.raises(CassetteDriftError, match="unrecorded"):
        again(2)
    assert again(2, allow_playback_repeats=True) == (1,)

"""What was recorded is answered again, whichever way it is asked for."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import dspy
import pytest
import yaml
from dspy.lm15 import (
    LM15Error,
    Message,
    RateLimitError,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
)

from dspex_testkit import cassettes
from dspex_testkit.calls import LMCall
from dspex_testkit.cassettes import CassetteLM
from dspex_testkit.cassettes.tools.verifying import plan_verification
from dspex_testkit.errors import (
    CassetteNotFoundError,
    NoMatchingInteractionError,
    NothingRecordedError,
    UsageError,
)
from dspex_testkit.mock_lm import Capabilities, MockLM
from dspex_testkit.simulator import ProviderSimulator
from tests.support.chat_server import ChatServer, answering
from tests.support.loops import run
from tests.support.programs_of_all_kinds import PROGRAMS

Ask = Callable[..., str]


def test_a_recording_replays_without_the_lm(path: Path, sums: MockLM, ask: Ask) -> None:
    """A call recorded from any LM is answered from the file alone."""
    with cassettes.record(sums, path) as lm:
        assert ask(lm, "2+2") == "4"
    assert ask(cassettes.replay(path), "2+2") == "4"
    assert ask(MockLM.replay(path), "2+2") == "4"
    assert len(sums.journal) == 1


def test_a_mock_s_own_doors_lead_to_recordings(path: Path, sums: MockLM, ask: Ask) -> None:
    """`MockLM.record` and `MockLM.replay` are `cassettes.record` and `cassettes.replay`, options included."""
    with MockLM.record(sums, path, model="openai/gpt-4o-mini") as lm:
        assert ask(lm, "2+2") == "4"
    replayed = MockLM.replay(path, allow_playback_repeats=True)

    assert replayed.model == "openai/gpt-4o-mini"
    assert [ask(replayed, "2+2") for _ in range(2)] == ["4", "4"]


def test_mocks_find_recordings_that_nobody_has_imported(path: Path, sums: MockLM, ask: Ask) -> None:
    """In a fresh process, which knows of `MockLM` alone."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    code = "import sys; from dspex_testkit.mock_lm import MockLM; print(type(MockLM.replay(sys.argv[1])).__name__)"

    done = subprocess.run([sys.executable, "-c", code, path], check=True, stdout=subprocess.PIPE, text=True)

    assert done.stdout.strip() == "CassetteLM"


def test_asynchronous_calls_record_and_replay_like_synchronous_ones(path: Path, sums: MockLM) -> None:
    """What `acall` recorded, `__call__` replays, and the other way round."""

    async def ask_async(lm: Any, question: str) -> str:
        with dspy.context(lm=lm):
            return str((await dspy.Predict("question -> answer").acall(question=question)).answer)

    with cassettes.record(sums, path) as lm:
        assert asyncio.run(ask_async(lm, "2+2")) == "4"
        with dspy.context(lm=lm):
            dspy.Predict("question -> answer")(question="2+3")
    replayed = cassettes.replay(path)
    assert asyncio.run(ask_async(replayed, "2+3")) == "5"
    with dspy.context(lm=replayed):
        assert dspy.Predict("question -> answer")(question="2+2").answer == "4"


def _stream(lm: Any, question: str) -> tuple[list[str], str]:
    program = dspy.streamify(
        dspy.Predict("question -> answer"),
        stream_listeners=[dspy.streaming.StreamListener(signature_field_name="answer")],
        async_streaming=False,
    )
    pieces: list[str] = []
    answer = ""
    with dspy.context(lm=lm):
        for value in program(question=question):
            if isinstance(value, dspy.Prediction):
                answer = str(value.answer)
            else:
                pieces.append(str(value.chunk))
    return pieces, answer


def test_a_stream_replays_its_own_chunks(path: Path) -> None:
    """A recorded stream comes back in the pieces in which it came."""
    lm = MockLM.deterministic({"capital": "Paris, on the Seine, of course"})
    with cassettes.record(lm, path) as recorder:
        recorded = _stream(recorder, "capital")
    assert len(recorded[0]) > 1
    assert _stream(cassettes.replay(path), "capital") == recorded
    body = yaml.safe_load(path.read_text())["interactions"][0]["response"]["body"]
    assert [event["type"] for event in (body["events"][0], body["events"][-1])] == ["start", "end"]
    assert body["at_ms"] == sorted(body["at_ms"])
    assert [line for line in path.read_text().splitlines() if line.strip().startswith("at_ms: [")] != []


def test_streaming_and_plain_calls_share_recordings(path: Path, ask: Ask) -> None:
    """A recording made without streaming can be streamed, and a streamed one asked plainly."""
    lm = MockLM.deterministic({"plain": "one two three", "streamed": "four five six"})
    with cassettes.record(lm, path) as recorder:
        ask(recorder, "plain")
        _stream(recorder, "streamed")
    replayed = cassettes.replay(path)
    pieces, answer = _stream(replayed, "plain")
    assert answer == "one two three"
    assert len(pieces) > 1
    assert ask(replayed, "streamed") == "four five six"


def test_several_completions_replay_in_their_order(path: Path) -> None:
    """`n=3` records three interactions of one request and replays them in order."""
    lm = MockLM.scripted([{"answer": "a"}, {"answer": "b"}, {"answer": "c"}])
    with cassettes.record(lm, path) as recorder, dspy.context(lm=recorder):
        first = dspy.Predict("question -> answer", n=3, temperature=1.0)(question="letters")
    with dspy.context(lm=cassettes.replay(path)):
        second = dspy.Predict("question -> answer", n=3, temperature=1.0)(question="letters")
    assert first.completions.answer == second.completions.answer == ["a", "b", "c"]


def test_threads_share_one_cassette(path: Path, ask: Ask) -> None:
    """Calls of many threads are all recorded, and all replayed."""
    questions = [f"question number {i}" for i in range(40)]
    lm = MockLM.deterministic({question: f"answer {i}" for i, question in enumerate(questions)})
    with cassettes.record(lm, path) as recorder, ThreadPoolExecutor(8) as threads:
        recorded = list(threads.map(lambda question: ask(recorder, question), questions))
    replayed = cassettes.replay(path)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda question: ask(replayed, question), questions)) == recorded


class Provider:
    """An engine that answers from a list of responses and failures."""

    supports_function_calling = True
    supports_response_schema = True
    supports_reasoning = True
    supported_params = frozenset({"tools", "response_format", "temperature"})

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def complete(self, request: Request) -> Response:
        """The next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Response(
            id="secret-id",
            model="gpt-4o-mini-2024-07-18",
            message=Message(role="assistant", parts=tuple(answer)),
            finish_reason="tool_call" if any(isinstance(part, ToolCallPart) for part in answer) else "stop",
            usage=Usage(input_tokens=11, output_tokens=7),
        )

    def stream(self, request: Request) -> Any:
        """Half an answer, then a failure."""
        self.asked.append(request)
        yield StreamStartEvent(model="gpt-4o-mini")
        yield StreamDeltaEvent(delta=TextDelta(text="half an ", part_index=0))
        yield StreamDeltaEvent(delta=TextDelta(text="answer", part_index=0))
        yield StreamEndEvent(finish_reason="stop", usage=Usage(input_tokens=1, output_tokens=2))

    def close(self) -> None:
        """Nothing is open."""


def provider_lm(*answers: Any, **options: Any) -> dspy.LM:
    """An LM on a provider that answers so."""
    return dspy.LM("openai/gpt-4o-mini", engine=Provider(*answers), cache=False, **options)


def test_every_part_of_an_answer_comes_back(path: Path) -> None:
    """Reasoning, text and tool calls, finish reason and usage are recorded and replayed."""
    answer = [
        ThinkingPart("hmm"),
        TextPart("calling"),
        ToolCallPart(id="c1", name="add", input={"a": 2, "b": [1, None]}),
    ]
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("2+2"),))
    with cassettes.record(provider_lm(answer), path) as lm:
        recorded = lm(request)
    replayed = cassettes.replay(path)(request)
    assert replayed.message == recorded.message
    assert replayed.finish_reason == "tool_call"
    assert replayed.usage == recorded.usage
    assert "secret-id" not in path.read_text()


def test_usage_and_cost_are_journaled_again(path: Path) -> None:
    """A replayed call has the recorded tokens and price, and is marked as replayed."""
    with cassettes.record(provider_lm([TextPart("4")]), path) as lm:
        lm("2+2")
    live = lm.journal[0]
    replayed = cassettes.replay(path)
    replayed("2+2")
    call = replayed.journal[0]
    assert (live.engine, live.mocked, call.engine, call.mocked) == ("record", False, "replay", True)
    assert call.usage.input_tokens == 11
    assert call.cost == live.cost == Decimal("0.00000585")


def test_capabilities_and_parameters_are_restored(path: Path) -> None:
    """The replaying LM advertises what the recorded one could do, so adapters ask the same."""
    with cassettes.record(provider_lm([TextPart("4")], temperature=0.7), path) as lm:
        lm("2+2")
    replayed = cassettes.replay(path)
    assert replayed.model == "openai/gpt-4o-mini"
    assert replayed.kwargs["temperature"] == 0.7
    assert replayed.supports_function_calling
    assert replayed.supports_reasoning
    assert "response_format" in replayed.supported_params


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_every_adapter_replays(path: Path, adapter: type[Any]) -> None:
    """A program recorded with an adapter replays with it, structured outputs included."""
    lm = MockLM.deterministic(
        {"2+2": {"answer": 4, "why": "because"}},
        capabilities=Capabilities(response_schema=True, params=frozenset({"response_format"})),
    )
    program = dspy.Predict("question -> answer: int, why: str")
    with cassettes.record(lm, path) as recorder, dspy.context(lm=recorder, adapter=adapter()):
        recorded = program(question="2+2")
    with dspy.context(lm=cassettes.replay(path), adapter=adapter()):
        assert program(question="2+2").toDict() == recorded.toDict() == {"answer": 4, "why": "because"}


def test_a_provider_failure_is_recorded_and_replayed_at_once(path: Path) -> None:
    """A rate limit comes back as DSPy's own class, without waiting and without retries."""
    failure = RateLimitError("slow down", status=429, retry_after=30.0, request_id="req_1")
    with (
        cassettes.record(provider_lm(failure, num_retries=0), path) as recorder,
        pytest.raises(dspy.LMRateLimitError) as live,
    ):
        recorder("2+2")
    with pytest.raises(dspy.LMRateLimitError, match="slow down") as caught:
        cassettes.replay(path)("2+2")
    assert caught.value.status == 429
    assert caught.value.retry_after == 30
    assert caught.value.request_id == "req_1"
    assert str(caught.value) == str(live.value)


def test_a_failure_that_a_retry_mended_leaves_no_trace(path: Path) -> None:
    """What is recorded is how the call ended, not how often it was tried."""
    lm = provider_lm(RateLimitError("wait", retry_after=0.0), [TextPart("4")], num_retries=2)
    with cassettes.record(lm, path) as recorder:
        assert recorder("2+2") == ["4"]
    assert len(lm.engine.asked) == 2
    assert len(yaml.safe_load(path.read_text())["interactions"]) == 1


def test_failures_can_be_left_out(path: Path) -> None:
    """With record_errors=False only answers are kept."""
    lm = provider_lm(RateLimitError("no"), [TextPart("4")], num_retries=0)
    with cassettes.record(lm, path, record_errors=False) as recorder:
        with pytest.raises(dspy.LMRateLimitError):
            recorder("2+2")
        recorder("2+2")
    assert cassettes.replay(path)("2+2") == ["4"]


def test_an_aborted_stream_is_recorded_as_far_as_it_was_read(path: Path) -> None:
    """Of a stream that its reader left, what was read is kept, and nothing else is made up."""
    cassette = cassettes.open_cassette(path, "once")
    events = cassette.lm_for(provider_lm()).engine.stream(
        Request(model="openai/gpt-4o-mini", messages=(Message.user("x"),))
    )
    next(events)
    next(events)
    events.close()
    cassette.commit()
    kept = cassettes.open_cassette(path).document.interactions[0]
    assert (kept.ended, len(kept.chunks or ()), kept.response) == ("closed", 2, None)


def test_a_stream_that_ends_too_early_is_recorded_as_the_failure_that_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal tells of it too, and the replay fails alike."""
    live = provider_lm([TextPart("4")])
    whole = live.engine.stream
    monkeypatch.setattr(live.engine, "stream", lambda request: (event for event in list(whole(request))[:-1]))
    request = Request(model="openai/gpt-4o-mini", messages=(Message.user("x"),))
    with cassettes.record(live, path) as lm, pytest.raises(LM15Error, match="without an end event"):
        list(lm.engine.stream(request))

    replayed = cassettes.replay(path)
    with pytest.raises(LM15Error, match="without an end event"):
        list(replayed.engine.stream(request))

    assert ["without an end event" in str(each.journal[0].error) for each in (lm, replayed)] == [True, True]


def test_another_model_may_answer_under_the_name_that_was_asked_for(path: Path) -> None:
    """Calls are kept under the requested model, and the cassette says who answered."""
    live = provider_lm([TextPart("4")])
    with cassettes.record(live, path, model="gemini/gemini-1.5-flash") as lm:
        assert lm("2+2") == ["4"]
    assert live.engine.asked[0].model == "openai/gpt-4o-mini"
    recording = yaml.safe_load(path.read_text())["interactions"][0]
    assert recording["request"]["body"]["model"] == "gemini/gemini-1.5-flash"
    assert recording["response"]["recording"]["live_model"] == "openai/gpt-4o-mini"
    assert cassettes.replay(path, model="gemini/gemini-1.5-flash")("2+2") == ["4"]


def test_a_missing_cassette_is_an_error(path: Path) -> None:
    """Replay without a recording says how to make one."""
    with pytest.raises(CassetteNotFoundError, match="record it first"):
        cassettes.replay(path)


def test_a_recording_that_recorded_nothing_is_an_error(path: Path, sums: MockLM) -> None:
    """A recorder that no LM call went through did not do what was asked."""
    with pytest.raises(NothingRecordedError), cassettes.record(sums, path):
        pass
    assert not path.exists()


def test_nothing_is_written_where_the_block_fails(path: Path, sums: MockLM, ask: Ask) -> None:
    """A recording is promoted only on success."""

    def fail_after_asking() -> None:
        with cassettes.record(sums, path) as lm:
            ask(lm, "2+2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_asking()
    assert not path.exists()


def test_a_swallowed_miss_fails_when_the_cassette_is_closed(path: Path, sums: MockLM, ask: Ask) -> None:
    """A program that catches everything does not hide a miss."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    with (
        pytest.raises(NoMatchingInteractionError),
        cassettes.record(sums, path, record_mode="none") as lm,
        pytest.raises(NoMatchingInteractionError),
    ):
        ask(lm, "something else")


def test_several_recorded_models_have_to_be_named(path: Path, ask: Ask) -> None:
    """One cassette may hold several LMs; replaying asks which is meant."""
    with cassettes.open_cassette(path, "once") as cassette:
        for model in ("a", "b"):
            ask(cassette.lm_for(MockLM.deterministic({"who": model}, model=model)), "who")
    with pytest.raises(UsageError, match="mock/a, mock/b"):
        cassettes.replay(path)
    assert ask(cassettes.replay(path, model="mock/b"), "who") == "b"


def test_copies_of_a_program_play_on_from_the_same_cassette(path: Path, ask: Ask) -> None:
    """Optimizers deep-copy programs; their copies share the recording and its positions."""
    with cassettes.record(MockLM.scripted([{"answer": "1"}, {"answer": "2"}]), path) as lm:
        ask(lm, "next")
        ask(lm, "next")
    program = dspy.Predict("question -> answer")
    program.set_lm(cassettes.replay(path))
    copied = program.deepcopy()
    assert [program(question="next").answer, copied(question="next").answer] == ["1", "2"]


def test_a_program_with_a_replaying_lm_can_be_saved(path: Path, sums: MockLM, ask: Ask) -> None:
    """The saved state names the cassette and loads as an LM that replays it."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    state = cassettes.replay(path).dump_state()
    assert ask(cassettes.CassetteLM.load_state(state), "2+2") == "4"


@pytest.mark.parametrize("copied", [copy, deepcopy, dspy.LM.copy], ids=["copy", "deepcopy", "LM.copy"])
def test_copies_of_a_replaying_lm_play_on_from_the_same_cassette(
    path: Path, ask: Ask, copied: Callable[[Any], Any]
) -> None:
    """However it is copied, the copy shares the recording, the position in it and the journal."""
    with cassettes.record(MockLM.scripted([{"answer": "1"}, {"answer": "2"}]), path) as lm:
        ask(lm, "next")
        ask(lm, "next")
    replayed = cassettes.replay(path)
    twin = copied(replayed)
    assert [ask(replayed, "next"), ask(twin, "next")] == ["1", "2"]
    assert len(replayed.journal) == 2
    assert twin.kwargs == replayed.kwargs


def test_a_program_saved_whole_replays_in_another_process_with_its_options(path: Path, sums: MockLM, ask: Ask) -> None:
    """`save(save_program=True)` names the cassette and how it is matched; no test's state and no secret goes along."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    program = dspy.Predict("question -> answer")
    program.set_lm(cassettes.replay(path, ignore=["config.temperature"], on_exhausted="cycle", secrets=["hush-9d81c2"]))
    program.lm.kwargs["temperature"] = 0.25
    saved = path.with_name("program")
    program.save(str(saved), save_program=True)
    assert not [file for file in saved.iterdir() if b"hush-9d81c2" in file.read_bytes()]
    code = (
        f"import dspy; program = dspy.load({str(saved)!r}, allow_pickle=True); print(program.lm.kwargs['temperature'], "
        "*[program(question='2+2').answer for _ in range(2)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("0.25 4 4\n", 0), done.stderr


SOUND = dspy.Audio(data="UklGRg==", audio_format="wav")
DOCUMENT = dspy.File(file_data="data:application/pdf;base64,JVBERg==", filename="a b.pdf")


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore")  # litellm's
@pytest.mark.parametrize("way", ["sync", "async", "streamed"])
@pytest.mark.parametrize(("kind", "value"), [(dspy.Audio, SOUND), (dspy.File, DOCUMENT)], ids=["sound", "named file"])
def test_what_dspy_hands_to_litellm_alone_is_recorded_and_replayed(path: Path, kind: Any, value: Any, way: str) -> None:
    """Sounds and named files come to the provider as without a recorder; a file's name is kept and compared."""
    program = dspy.Predict(dspy.Signature({"given": (kind, dspy.InputField()), "answer": (str, dspy.OutputField())}))

    def ask_about(lm: Any, given: Any) -> str:
        with dspy.context(lm=lm):
            if way == "sync":
                return str(program(given=given).answer)
            if way == "async":
                return str(run(program.acall(given=given)).answer)
            values = dspy.streamify(program, async_streaming=False)(given=given)
            return str(next(each for each in values if isinstance(each, dspy.Prediction)).answer)

    with ChatServer(answering("heard")) as server:
        lm = dspy.LM("openai/gpt-4o-mini", api_base=server.base, api_key="sk-local", num_retries=0, cache=False)
        with cassettes.record(lm, path) as recorder:
            assert ask_about(recorder, value) == "heard"
    sent = str(server.requests)
    assert ("UklGRg==" if kind is dspy.Audio else "'filename': 'a b.pdf'") in sent
    assert len(server.requests) == 1
    assert ask_about(cassettes.replay(path), value) == "heard"
    if kind is dspy.File:
        assert "it holds a named file" in plan_verification([path]).skipped[0]
        other = dspy.File(file_data=DOCUMENT.file_data, filename="other.pdf")
        with pytest.raises(NoMatchingInteractionError, match=r"other\.pdf"):
            ask_about(cassettes.replay(path), other)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.filterwarnings("ignore:.*messages=.*:DeprecationWarning")
def test_the_journal_says_of_replayed_calls_what_it_says_of_the_mocks(
    path: Path, program: Callable[[Any], str]
) -> None:
    """Signature, inputs, outputs, parts and tokens are those of the call that was recorded."""
    abilities = Capabilities(function_calling=True, response_schema=True, reasoning=True)
    mock = MockLM.random(7, provider="openai", model="gpt-5", capabilities=abilities)
    with cassettes.record(mock, path) as lm, dspy.context(lm=lm):
        program(lm)
    with dspy.context(lm=(replayed := cassettes.replay(path))):
        program(replayed)

    def told(calls: Any) -> list[tuple[Any, ...]]:
        return [(c.signature, c.inputs, c.outputs, c.completion, c.parts, c.usage, c.stream_chunks) for c in calls]

    assert told(replayed.journal) == told(mock.journal)
    assert all(call.inputs and call.outputs is not None for call in replayed.journal)


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore")  # litellm's
@pytest.mark.parametrize("stack", ["lm15", "litellm"])
def test_an_answer_to_a_schema_is_in_the_journal(path: Path, stack: str) -> None:
    """Recorded and replayed, though DSPy's own client reads it as data and not as a text."""

    def ask(lm: CassetteLM) -> LMCall:
        with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
            assert dspy.Predict("question -> answer: int")(question="2+2").answer == 4
        return lm.journal.calls()[-1]

    with ProviderSimulator() as simulator:
        target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": 4}})
        live = dspy.LM(target.model, engine=stack, api_base=target.api_base, api_key=target.api_key, cache=False)
        with cassettes.record(live, path) as lm:
            recorded = ask(lm)
    replayed = ask(cassettes.replay(path))

    assert recorded.outputs == replayed.outputs == {"answer": 4}
    assert json.loads(str(recorded.completion)) == json.loads(str(replayed.completion)) == {"answer": 4}

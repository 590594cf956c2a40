"""A stream takes its time over HTTP as it does at the LM seam: pauses, stalls and breaks, made on the wire."""

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dspy
import pytest

from dspex_testkit.mock_lm.clock import VirtualClock
from dspex_testkit.simulator import ProviderSimulator, Target
from tests.simulator.test_cassettes import write_stream
from tests.support.loops import run
from tests.support.waiting import eventually
from tests.support.web import ask

MESSAGES = [{"role": "user", "content": "hello"}]
PACED = {
    "responses": {"default": "one two three"},
    "latency_ms": 500,
    "stream": {"first_token_ms": 300, "between_tokens_ms": 40},
}
PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "text": "/v1/completions",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/m:streamGenerateContent",
    "cohere": "/v2/chat",
    "cohere_v1": "/v1/chat",
    "ollama": "/api/chat",
    "ollama_generate": "/api/generate",
}
BODIES: dict[str, dict[str, Any]] = {
    "responses": {"input": "hello"},
    "text": {"prompt": "hello"},
    "anthropic": {"messages": MESSAGES, "max_tokens": 100},
    "google": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
    "cohere_v1": {"message": "hello"},
    "ollama_generate": {"prompt": "hello"},
}


def stream(target: Target, wire: str, *, streamed: bool = True) -> Any:
    """Ask in a provider's format."""
    body = {"model": "m", **BODIES.get(wire, {"messages": MESSAGES})}
    return ask(target.root + PATHS[wire], body if wire == "google" else {**body, "stream": streamed})


@pytest.mark.parametrize("wire", PATHS)
def test_tokens_come_at_the_pace_of_the_spec(wire: str) -> None:
    """The latency before the first byte, then a pause before each token, in every format."""
    clock = VirtualClock()
    with ProviderSimulator(clock=clock) as sim:
        target = sim.target("openai/m", spec=PACED)

        reply = stream(target, wire)

        assert clock.slept == [0.5, 0.3, 0.04, 0.04]
        assert "three" in reply.text
        assert target.calls[0].latency_ms >= 880


def test_a_whole_answer_takes_its_latency_only() -> None:
    """There are no tokens to be waited for."""
    clock = VirtualClock()
    with ProviderSimulator(clock=clock) as sim:
        assert stream(sim.target("openai/m", spec=PACED), "openai", streamed=False).status == 200

        assert clock.slept == [0.5]


def test_tool_calls_and_reasoning_wait_for_their_turn() -> None:
    """Each has a pause of its own."""
    answer = {"$reasoning": "I look", "$tool_calls": [{"name": "count", "args": {"n": 1}}]}
    for wire in ("openai", "anthropic", "google", "cohere"):
        clock = VirtualClock()
        with ProviderSimulator(clock=clock) as sim:
            stream(sim.target("openai/m", spec={"script": [answer], "stream": PACED["stream"]}), wire)

            assert clock.slept == [0.3, 0.04, 0.04], wire


def test_a_frame_is_held_back_until_its_time_has_come() -> None:
    """A client has the first words while the server still waits with the next."""
    clock = VirtualClock(auto=False)
    stall = {"kind": "stall", "after_chunks": 2, "stall_ms": 60_000}
    spec = {"responses": {"default": "one two three"}, "faults": [stall]}
    with ProviderSimulator(clock=clock) as sim:
        target = sim.target("openai/m", spec=spec)
        with closing(post(target, streamed=True)) as client, client.getresponse() as reply:
            frames = iter(reply.readline, b"")
            assert b'" two"' in next(frame for frame in frames if b"two" in frame)
            eventually(lambda: clock.waiting == 1, "the stall")
            assert target.calls == []

            clock.advance(60)

            assert b"three" in b"".join(frames)
        assert target.calls[0].fault == "stall"


@pytest.mark.parametrize("wire", PATHS)
def test_a_dropped_stream_breaks_after_its_chunks(wire: str) -> None:
    """What came before arrives; the end never does, and the connection says so."""
    spec = {"responses": {"default": "one two three"}, "faults": [{"kind": "dropped_stream", "after_chunks": 2}]}
    with ProviderSimulator() as sim:
        target = sim.target("openai/m", spec=spec)

        with pytest.raises(http.client.IncompleteRead) as broken:
            stream(target, wire)

        assert b"two" in broken.value.partial
        assert b"three" not in broken.value.partial
        assert target.calls[0].fault == "dropped_stream"
        assert "Connection closed" in str(target.calls[0].error)


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
def test_a_program_meets_a_dropped_stream_as_a_broken_connection(sim: ProviderSimulator, model: str) -> None:
    """DSPy's own client raises what it raises in production; without a stream it is a connection that fails."""
    dropped = {"kind": "dropped_stream", "after_chunks": 9}
    spec = {"responses": {"default": "one two three four five"}, "faults": [dropped]}
    program = dspy.streamify(dspy.Predict("question -> answer"))

    async def collect() -> list[Any]:
        with dspy.context(lm=sim.target(model, spec=spec).lm()):
            return [chunk async for chunk in program(question="?")]

    with pytest.raises(dspy.LMTransportError):
        run(collect())
    with pytest.raises(dspy.LMTransportError):
        sim.target(model, spec=spec).lm()("hello")


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize(("realtime", "slept"), [(True, [0.25, 0.05]), (False, [])])
def test_a_recorded_stream_is_paced_where_it_is_asked_for(
    tmp_path: Path, wire: str, realtime: bool, slept: list[float]
) -> None:
    """`realtime` plays the pauses between the chunks as they were recorded."""
    path, clock = tmp_path / "c.yaml", VirtualClock()
    write_stream(path, [(0.0, "one"), (250.0, " two"), (300.0, " three")])
    with ProviderSimulator(clock=clock) as sim:
        options = {"realtime": realtime, "match_on": ["messages"]}
        target = sim.target("openai/m", cassette=path, cassette_options=options)

        assert "three" in stream(target, wire).text
        assert clock.slept == pytest.approx(slept)


@pytest.mark.parametrize(
    ("streamed", "slow"), [(False, {"latency_ms": 60_000}), (True, {"stream": {"between_tokens_ms": 60_000}})]
)
def test_a_client_that_leaves_is_in_the_journal(streamed: bool, slow: dict[str, Any]) -> None:
    """While a whole answer takes its time, and in the middle of a stream."""
    clock = VirtualClock(auto=False)
    with ProviderSimulator(clock=clock) as sim:
        target = sim.target("openai/m", spec={"responses": {"default": "one two"}, **slow})
        left = post(target, streamed=streamed)
        eventually(lambda: clock.waiting == 1, "the delay")
        left.close()
        eventually(lambda: target.calls, "the journal's entry")
        clock.advance(60)

        assert [call.error for call in target.calls] == ["the client closed the connection"]


def test_a_server_that_stops_does_not_wait_for_its_pauses() -> None:
    """Whoever hears a slow stream is let go."""
    with ProviderSimulator() as sim:
        target = sim.target("openai/m", spec={**PACED, "latency_ms": 0, "stream": {"first_token_ms": 3_600_000}})
        left = post(target, streamed=True)
        reply = left.getresponse()
        assert reply.status == 200
    reply.close()
    left.close()


def post(target: Target, *, streamed: bool) -> http.client.HTTPConnection:
    """A question, of which the answer is not waited for."""
    url = urlsplit(target.root)
    left = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": streamed})
    left.request("POST", f"{url.path}/v1/chat/completions", body, {"Content-Type": "application/json"})
    return left

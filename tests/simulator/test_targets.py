"""Targets on one server do not meet, and each kind of client finds its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from dspex_testkit.calls import Journal
from dspex_testkit.dspy_internals import price_list
from dspex_testkit.errors import InvalidMockSpecError, UsageError
from dspex_testkit.mock_lm.clock import VirtualClock
from dspex_testkit.simulator import ProviderSimulator, server
from tests.support.loops import run
from tests.support.versions import since
from tests.support.waiting import PATIENCE, eventually
from tests.support.web import ask

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def said(url: str, **headers: str) -> str:
    """What is answered at a URL."""
    body = ask(f"{url}/chat/completions", QUESTION, headers={name.replace("_", "-"): v for name, v in headers.items()})
    return str(body.json["choices"][0]["message"]["content"])


def test_a_target_is_found_by_its_url_its_header_or_its_key(sim: ProviderSimulator) -> None:
    """Whatever a client lets be set leads to the same answers."""
    one, other = (sim.target("openai/m", spec={"responses": {"default": name}}) for name in ("one", "other"))

    assert said(f"{one.root}/v1") == "one"
    assert said(f"{sim.url}/v1", x_dspex_target=one.id) == "one"
    assert said(f"{sim.url}/v1", Authorization=f"Bearer {other.api_key}") == "other"
    assert said(f"{sim.url}/anything/v1", x_api_key=other.api_key) == "other"
    assert said(f"{one.root}/v1", Authorization=f"Bearer {other.api_key}") == "one"


def test_parallel_scripts_do_not_mix(sim: ProviderSimulator) -> None:
    """Eight threads on eight targets: each gets its own script in order, and sees its own calls only."""
    targets = [sim.target("openai/gpt-4o-mini", spec={"script": [f"{i}-{n}" for n in range(10)]}) for i in range(8)]

    def use(target: Any) -> list[str]:
        lm = target.lm()
        return [lm("next")[0] for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(use, targets))

    assert answers == [[f"{i}-{n}" for n in range(10)] for i in range(8)]
    assert [len(target.calls) for target in targets] == [10] * 8


@pytest.mark.parametrize(
    ("model", "api_base", "litellm", "sdk"),
    [
        ("openai/gpt-4o-mini", "/v1", "/v1", "/v1"),
        ("anthropic/claude-sonnet-4-5", "/v1", "", ""),
        ("gemini/gemini-2.5-flash", "/v1beta", "/v1beta", ""),
        ("cohere_chat/command-r", "/v2/chat", "/v2/chat", ""),
        ("ollama_chat/llama3", "/v1", "", ""),
        ("house_vllm/x", "/v1", "/v1", "/v1"),
    ],
)
def test_every_client_is_given_the_base_that_it_wants(
    sim: ProviderSimulator, model: str, api_base: str, litellm: str, sdk: str
) -> None:
    """The bases are those of the page on wire formats."""
    target = sim.target(model)

    assert target.api_base == target.root + api_base
    assert target.litellm_api_base == target.root + litellm
    assert target.sdk_base_url == target.root + sdk


def test_keys_are_in_no_repr_and_no_journal(sim: ProviderSimulator) -> None:
    """Neither the key of a request nor what looks like one is kept."""
    target = sim.target("openai/gpt-4o-mini", spec={"responses": {"default": "echo sk-abcdefghijklmnopqrst1234"}})
    lm = dspy.LM("openai/m", api_base=target.api_base, api_key="correct-horse-battery", cache=False)

    lm("my key is correct-horse-battery and sk-proj-1234567890abcdefghijkl")

    kept = repr(target.calls) + repr(target)
    assert target.api_key not in kept
    assert "correct-horse" not in kept
    assert "1234567890abcdefgh" not in kept
    assert kept.count("[redacted]") == 4


def test_a_kept_prompt_holds_no_key_either() -> None:
    """A journal that keeps prompts is cleaned as thoroughly."""
    with ProviderSimulator(journal=Journal(keep_prompts=True)) as simulator:
        lm = dspy.LM("openai/m", api_base=f"{simulator.url}/v1", api_key="correct-horse-battery", cache=False)
        lm("my key is correct-horse-battery")

        (call,) = simulator.calls
        assert call.prompt is not None
        assert "my key is [redacted]" in str(call.prompt)
        assert "correct-horse" not in str(call.prompt)


def test_a_key_that_names_a_value_is_redacted_too(sim: ProviderSimulator) -> None:
    """Programs hand on objects of any shape."""
    target = sim.target("openai/m", spec={"default": {"answer": {"sk-abcdefghijklmnop1234": 1}}})
    dspy.Predict("question -> answer: dict")(question="?", lm=target.lm())

    assert target.calls[0].outputs == {"answer": {"[redacted]": 1}}


def test_rate_limits_fill_up_by_the_minute() -> None:
    """Requests and tokens are counted by buckets; the headers tell, and Retry-After says when."""
    clock = VirtualClock()
    with ProviderSimulator(clock=clock) as simulator:
        target = simulator.target("openai/m", limits={"requests_per_minute": 2})

        first, second, third = (ask(f"{target.api_base}/chat/completions", QUESTION) for _ in range(3))
        clock.advance(30)
        fourth = ask(f"{target.api_base}/chat/completions", QUESTION)

        assert [reply.status for reply in (first, second, third, fourth)] == [200, 200, 429, 200]
        assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == (
            "2",
            "1",
        )
        assert third.headers["Retry-After"] == "30"
        assert third.json["error"]["code"] == "rate_limit_exceeded"


def test_a_stream_tells_of_its_limits_too(sim: ProviderSimulator) -> None:
    """The headers come with its first byte."""
    target = sim.target("openai/m", limits={"requests_per_minute": 5})

    reply = ask(f"{target.api_base}/chat/completions", {**QUESTION, "stream": True})

    assert reply.headers["x-ratelimit-remaining-requests"] == "4"


def test_tokens_are_limited_too() -> None:
    """What an answer cost is missing for the next request."""
    with ProviderSimulator(clock=VirtualClock()) as simulator:
        spec = {"responses": {"default": "x" * 400}}
        target = simulator.target("anthropic/m", spec=spec, limits={"tokens_per_minute": 50})
        body = {**QUESTION, "max_tokens": 500}

        first, second = (ask(f"{target.api_base}/messages", body) for _ in range(2))

        assert (first.status, second.status) == (200, 429)
        assert second.headers["anthropic-ratelimit-tokens-limit"] == "50"


def test_the_same_seed_strikes_the_same_requests(sim: ProviderSimulator) -> None:
    """A share of requests fails by a seed, not by chance; reset begins anew."""
    fault = {"kind": "server_error", "rate": 0.5, "seed": 11}

    def statuses(target: Any) -> list[int]:
        return [ask(f"{target.api_base}/chat/completions", QUESTION).status for _ in range(12)]

    one, other = sim.target("openai/m", faults=[fault]), sim.target("openai/m", faults=[fault])
    seen = statuses(one)

    assert set(seen) == {200, 500}
    assert statuses(other) == seen
    one.configure()
    assert statuses(one) == seen


def test_a_stream_can_stall_and_be_cut(sim: ProviderSimulator) -> None:
    """A stall goes on afterwards; a cut stream ends as if it were complete, and breaks off what it was saying."""
    spec = {"responses": {"default": "one two three"}}
    stalled = sim.target("openai/m", spec=spec, faults=[{"kind": "stalled_stream", "delay_ms": 1}])
    cut = sim.target("openai/m", spec=spec, faults=[{"kind": "cut_stream", "after_chunks": 2}])

    whole = ask(f"{stalled.api_base}/chat/completions", {**QUESTION, "stream": True})
    part = ask(f"{cut.api_base}/chat/completions", {**QUESTION, "stream": True})

    assert whole.text.endswith("[DONE]\n\n")
    assert [event["choices"][0]["delta"].get("content") for event in part.events] == ["", "one"]
    assert cut.calls[0].fault == "cut_stream"
    assert cut.calls[0].stream_chunks == 2


CUT = {"openai/gpt-4o-mini": 14, "anthropic/claude-sonnet-4-5": 14, "gemini/gemini-2.5-flash": 10}
"""Chunks after which the answer is there and the end of the stream is not."""


@pytest.mark.parametrize("engine", ["auto", "litellm"])
@pytest.mark.parametrize("model", CUT)
def test_a_cut_stream_is_noticed_by_the_native_client_and_by_litellm_since_1_109(
    sim: ProviderSimulator, model: str, engine: str
) -> None:
    """DSPy's own client misses the end; an older litellm, and Gemini's on any, takes what came for the whole answer."""
    fault = {"kind": "cut_stream", "after_chunks": CUT[model]}
    target = sim.target(model, spec={"responses": {"default": "a b c d e f g"}}, faults=[fault])
    program = dspy.streamify(dspy.Predict("question -> answer"))

    async def collect() -> list[Any]:
        with dspy.context(lm=target.lm(engine=engine)):
            return [chunk async for chunk in program(question="?")]

    if engine == "auto":
        with pytest.raises(dspy.LMStreamAssemblyError):
            run(collect())
    elif since("litellm", "1.109") and not model.startswith("gemini/"):
        with pytest.raises(dspy.LMServerError, match="Stream ended"):
            run(collect())
    else:
        assert run(collect())[-1].answer.startswith("a b c")


def test_a_server_that_stops_leaves_nobody_hanging() -> None:
    """Whoever waits for an answer that never comes is let go, and the port is free."""
    simulator = ProviderSimulator(faults=["hang"]).start()
    ended = threading.Event()

    def hang() -> None:
        try:
            ask(f"{simulator.url}/v1/chat/completions", QUESTION)
        except OSError:
            ended.set()

    waiting = threading.Thread(target=hang)
    waiting.start()
    eventually(lambda: simulator.calls, "the call")
    simulator.stop()
    waiting.join(PATIENCE)

    assert ended.is_set()
    with ProviderSimulator(port=simulator.port):
        pass


def test_it_is_an_asynchronous_context_manager_too() -> None:
    """In asynchronous tests the server runs beside the loop."""

    async def use() -> str:
        async with ProviderSimulator({"responses": {"default": "hi"}}) as simulator:
            return str((await simulator.target("openai/m", spec={"script": ["yes"]}).lm().acall("?"))[0])

    assert run(use()) == "yes"


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"faults": ["rate_limt"]}, UsageError, "did you mean 'rate_limit'"),
        ({"faults": [{"kind": "reset", "call": [1]}]}, UsageError, "did you mean 'calls'"),
        ({"faults": [{"kind": "reset", "calls": [1], "rate": 0.5}]}, UsageError, "contradict"),
        ({"limits": {"requests": 3}}, UsageError, "requests_per_minute"),
        ({"limits": {"requests_per_minute": 0}}, UsageError, "above 0"),
        ({"spec": {"respnses": {}}}, InvalidMockSpecError, "did you mean 'responses'"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_given(
    sim: ProviderSimulator, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    """Misspelt faults, limits and specs say what was wanted."""
    with pytest.raises(error, match=says):
        sim.target("openai/m", **given)


def test_what_is_refused_changes_nothing(sim: ProviderSimulator) -> None:
    """Neither the answers that were given beside it, nor what a reset goes back to."""
    target = sim.target("openai/gpt-4o-mini", spec={"default": "first"})

    with pytest.raises(UsageError, match="tokens_per_minute"):
        target.configure(spec={"default": "second"}, limits={"tokens_per_minute": -1})
    target.configure(faults=[])

    assert target.lm()("?") == ["first"]


def test_no_request_waits_for_the_price_list() -> None:
    """It is read before the server listens; the first request would hold up all others."""
    price_list.priced_models.cache_clear()

    with ProviderSimulator():
        assert price_list.priced_models.cache_info().currsize == 1


def test_a_start_that_failed_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of it, neither its port nor the belief that it runs."""
    simulator = ProviderSimulator({"default": "served"})
    with monkeypatch.context() as patched:
        patched.setattr(server, "load_price_list", lambda: (_ for _ in ()).throw(OSError("gone")))
        with pytest.raises(OSError, match="gone"):
            simulator.start()

    with simulator:
        assert said(f"{simulator.url}/v1") == "served"


def test_a_model_without_a_provider_says_what_to_write(sim: ProviderSimulator) -> None:
    """A bare name is enough only where it tells."""
    assert sim.target("gpt-4o-mini").model == "openai/gpt-4o-mini"
    with pytest.raises(UsageError, match="provider/house-model"):
        sim.target("house-model")


def test_a_simulator_that_does_not_run_says_so() -> None:
    """A target needs an address; a port that is taken is told."""
    with pytest.raises(UsageError, match="with statement"):
        ProviderSimulator().target("openai/m")
    with ProviderSimulator() as one, pytest.raises(UsageError, match="cannot be had"):
        ProviderSimulator(port=one.port).start()


def test_a_target_that_is_not_there_answers_nobody(sim: ProviderSimulator) -> None:
    """Neither one that was removed nor one that never was is answered by another in its stead."""
    target = sim.target("openai/m")
    target.remove()

    for reply in (
        ask(f"{target.api_base}/chat/completions", QUESTION),
        ask(f"{sim.url}/v1/chat/completions", QUESTION, headers={"x-dspex-target": "t0"}),
    ):
        assert (reply.status, reply.json["error"]["code"]) == (404, "usage_error")
        assert "There is no target" in reply.json["error"]["message"]


def test_a_setting_that_is_none_is_told(sim: ProviderSimulator) -> None:
    """A slip of the pen changes nothing silently."""
    slip: Any = {"fault": ["auth"]}
    with pytest.raises(UsageError, match="did you mean 'faults'"):
        sim.target("openai/m", **slip)
    with pytest.raises(UsageError, match="did you mean 'faults'"):
        sim.target("openai/m").configure(**slip)

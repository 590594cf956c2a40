"""What a real LM said, recorded by `real_lm`, is replayed without it: by every door, in every way of asking."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit import cassettes
from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.simulator import ProviderSimulator
from real_lm.cases import (
    CLIENTS,
    MODEL,
    PARAMS,
    QUESTIONS,
    SESSION,
    WAYS,
    ask,
    bridged,
    broken_off,
    cancelled,
    given_up,
    predict,
)
from real_lm.record import FOLDER, OUTCOMES, embed, jobs
from tests.support.bridges import TRANSPORTS, InProcess, Process

pytest_plugins = ["pytester"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*messages=.*:DeprecationWarning"),
]

LIVE: Mapping[str, Any] = json.loads((FOLDER / OUTCOMES).read_text("utf-8"))["outcomes"]
"""What the programs made of the answers when they were recorded."""
NOWHERE = {"api_base": "http://127.0.0.1:9/v1", "api_key": "none"}
DOORS: dict[str, Callable[[Path], Any]] = {"replay": cassettes.replay, "MockLM": MockLM.replay}

doors = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
clients = pytest.mark.parametrize("client", CLIENTS)
ways = pytest.mark.parametrize("way", WAYS)


MADE_UP = "litellm", "streamed"
"""The client that counts tokens itself where a stream did not say how many there were."""


def essence(told: Mapping[str, Any], *, tokens: bool = True) -> dict[str, Any]:
    """What every client tells alike of answers: texts, finish, tokens, logprobs; of a failure, the server's words."""
    if "error" in told:
        found = re.search(
            r"request \(\d+ tokens\) exceeds the available context size \(\d+ tokens\)", str(told["error"])
        )
        return {"error": told["error"]["type"] if found is None else found.group()}
    return {
        "outcome": [_text(each) for each in told["outcome"]["outputs"]],
        "finish": [each for answer in told["answers"] for each in _finish(answer)],
        "tokens": [_tokens(each["usage"]) for each in told["answers"]] if tokens else [],
        "logprobs": [each for answer in told["answers"] for each in _logprobs(answer)],
    }


def _finish(answer: Mapping[str, Any]) -> list[str]:
    """Why it ended; of several answers at once, and of OpenAI's Responses, not every client says so."""
    finish = answer["finish"] or []
    known = [finish] if isinstance(finish, str) else finish
    return known if len(answer["outputs"]) == 1 else []


def _tokens(usage: Mapping[str, Any]) -> list[Any]:
    return [
        usage.get("prompt_tokens", usage.get("input_tokens")),
        usage.get("completion_tokens", usage.get("output_tokens")),
    ]


def _logprobs(answer: Mapping[str, Any]) -> list[Any]:
    scored = [each.get("logprobs") for each in answer["outputs"] if isinstance(each, dict)]
    return [
        (token["token"], round(token["logprob"], 5), len(token["top_logprobs"]))
        for each in scored
        if each is not None
        for token in each["content"]
    ]


def _text(output: Any) -> str:
    return str(output["text"] if isinstance(output, dict) else output)


def test_every_recording_that_can_be_made_is_there_and_small() -> None:
    """All of them together have at most a megabyte, and each has its outcome."""
    files = [*FOLDER.parent.rglob("*.*")]

    assert set(LIVE) == set(jobs())
    assert {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yaml")} == {f"{name}.yaml" for name in LIVE} | {
        f"{name}.lm.yaml" for name in LIVE if name.startswith("http/") and name != "http/not_implemented"
    }
    assert sum(file.stat().st_size for file in files) <= 1_000_000


@doors
@ways
@clients
def test_questions_are_answered_as_the_real_lm_did(door: Callable[[Path], Any], way: str, client: str) -> None:
    """However they are asked: values, usage, finish reason, logprobs and errors are those of the recording."""
    for question in QUESTIONS:
        name = f"lm/{client}/{question.name}"
        assert ask(door(FOLDER / f"{name}.yaml"), question, way) == LIVE[name], name


@doors
@clients
def test_a_program_whose_format_was_broken_fails_and_recovers_as_it_did(
    door: Callable[[Path], Any], client: str
) -> None:
    """The failed parse, DSPy's second question for JSON, and what came of that; streams have no second question."""
    for way in WAYS:
        name = f"lm/{client}/predict" + "_streamed" * ("streamed" in way)
        assert predict(door(FOLDER / f"{name}.yaml"), way) == LIVE[name], way


@doors
@clients
def test_streams_and_calls_without_an_end_end_as_they_did(door: Callable[[Path], Any], client: str) -> None:
    """A server that was killed, a stream that nobody read to its end, and two cancellations."""
    folder = FOLDER / "lm" / client

    assert broken_off(door(folder / "killed.yaml"), 4) == LIVE[f"lm/{client}/killed"]
    assert given_up(door(folder / "abandoned.yaml"), 3) == LIVE[f"lm/{client}/abandoned"]
    assert cancelled(door(folder / "cancelled.yaml"), 3) == LIVE[f"lm/{client}/cancelled"]


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@clients
def test_traffic_is_answered_as_the_real_server_did(asynchronous: bool, client: str) -> None:
    """To the client that was recorded, at an address where nobody is."""
    for question in QUESTIONS:
        name = f"http/{client}/{question.name}"
        way = {"sync": "async", "streamed": "async_streamed"}[question.way] if asynchronous else question.way
        options = {"model_type": question.model_type, "cache": False, "num_retries": 0, **NOWHERE, **PARAMS}
        with cassettes.http_cassette(FOLDER / f"{name}.yaml") as cassette:
            replayed = ask(dspy.LM(MODEL, engine=client, **options), question, way)
        assert comparable(replayed) == comparable(LIVE[name]), name
        assert cassette.report().unplayed == ()


def test_an_endpoint_that_is_not_there_refuses_as_it_did() -> None:
    """Status 501 with the server's own words."""
    with cassettes.http_cassette(FOLDER / "http" / "not_implemented.yaml"):
        assert embed(NOWHERE["api_base"]) == LIVE["http/not_implemented"]


@ways
@clients
def test_converted_traffic_answers_as_the_traffic_did(way: str, client: str) -> None:
    """LM calls made of HTTP traffic say the same, in every way of asking."""
    for question in QUESTIONS:
        name = f"http/{client}/{question.name}"
        # One request for several answers costs its prompt once, and DSPy's own client makes several requests.
        counted = question.name != "several" and (client, question.way) != MADE_UP
        live = LIVE[name] if question.model_type == "chat" else LIVE[f"http/lm15/{question.name}"]
        replayed = ask(cassettes.replay(FOLDER / f"{name}.lm.yaml"), question, way)
        assert essence(replayed, tokens=counted) == essence(live, tokens=counted), name


@pytest.fixture(scope="module")
def sim() -> Iterator[ProviderSimulator]:
    """Providers on this machine."""
    with ProviderSimulator() as running:
        yield running


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("asking", CLIENTS)
@ways
@clients
def test_the_simulator_answers_over_http_as_the_real_lm_did(
    sim: ProviderSimulator, asking: str, way: str, client: str
) -> None:
    """Either of DSPy's clients is answered from the recording of either."""
    for question in QUESTIONS:
        name = f"lm/{client}/{question.name}"
        if client == "litellm" and question.name == "responses_streamed":
            continue  # DSPy refused that itself, so there is no answer of a server.
        target = sim.target(MODEL, cassette=FOLDER / f"{name}.yaml")
        asked = target.lm(engine=asking, model_type=question.model_type, **PARAMS)
        got, want = essence(ask(asked, question, way)), essence(LIVE[name])
        # What litellm does not tell of a stream, of several answers, and of OpenAI's Responses.
        if question.name == "several" or (client, question.way) == MADE_UP:
            got["tokens"] = want["tokens"] = []
        if asking == "litellm" and "streamed" in way:
            got["tokens"] = want["tokens"] = got["logprobs"] = want["logprobs"] = []
        if asking == "litellm" and question.model_type == "responses":
            got["finish"] = want["finish"] = []
        assert got == want, name


@clients
def test_the_simulator_breaks_a_stream_off_where_it_did(sim: ProviderSimulator, client: str) -> None:
    """After the same pieces: where the server was killed, and where nobody read on."""
    for name, use in (("killed", partial(broken_off, after=4)), ("abandoned", partial(given_up, after=3))):
        target = sim.target(MODEL, cassette=FOLDER / "lm" / client / f"{name}.yaml")
        replayed, live = use(target.lm(**PARAMS)), LIVE[f"lm/{client}/{name}"]
        assert replayed["pieces"] == live["pieces"]
        assert bool(replayed.get("error")) == bool(live.get("error"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_bridge_answers_as_the_pool_did_that_was_recorded(transport: str) -> None:
    """In each of its modes, without key, address or model."""
    env = {"DSPEX_TESTKIT_OFFLINE_POLICY": "replay", "DSPEX_TESTKIT_CASSETTES": str(FOLDER)}
    if transport == "memory":
        client: Any = InProcess(BridgeSettings(offline_policy=OfflinePolicy.REPLAY, cassettes=str(FOLDER)))
    else:
        client = Process(mode=transport, worker_id="w" if transport == "pool-worker" else None, env=env)
    try:
        lm = {"provider": "openai", "model": MODEL.partition("/")[2], **PARAMS, "max_tokens": 24}
        client.call("configure_lm", {**lm, "session_id": SESSION})
        client.call("use_cassette", {"session_id": SESSION, "name": "pool"})
        assert bridged(client.ask) == LIVE["pool"]
        assert client.call("eject_cassette", {"session_id": SESSION, "passed": True})["unplayed"] == []
    finally:
        client.close()


SUITE = """
    import json
    import sys
    from pathlib import Path

    import dspy
    import pytest

    sys.path.insert(0, {root!r})
    from real_lm.cases import MODEL, PARAMS, QUESTIONS, WAYS, ask, predict

    LIVE = json.loads(Path({outcomes!r}).read_text("utf-8"))["outcomes"]
    asked = [
        pytest.param(client, question, way, marks=pytest.mark.lm_cassette(f"{{client}}/{{question.name}}"))
        for client in ("lm15", "litellm") for question in QUESTIONS for way in WAYS
    ]

    def lm(client, model_type="chat"):
        options = dict(model_type=model_type, cache=False, num_retries=0, api_key="none")
        return dspy.LM(MODEL, engine=client, **options, **PARAMS)

    @pytest.mark.parametrize(("client", "question", "way"), asked)
    def test_question(client, question, way):
        assert ask(lm(client, question.model_type), question, way) == LIVE[f"lm/{{client}}/{{question.name}}"]

    @pytest.mark.parametrize("client", [
        pytest.param(client, marks=pytest.mark.lm_cassette(f"{{client}}/predict")) for client in ("lm15", "litellm")
    ])
    def test_program(client):
        assert predict(lm(client), "sync") == LIVE[f"lm/{{client}}/predict"]
"""


def test_marked_tests_are_answered_as_the_real_lm_did(pytester: pytest.Pytester) -> None:
    """By the plugin, with LMs that the tests build as ever."""
    pytester.makepyfile(test_it=SUITE.format(root=str(FOLDER.parents[1]), outcomes=str(FOLDER / OUTCOMES)))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    shutil.copytree(FOLDER / "lm", pytester.path / "cassettes")

    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    done.assert_outcomes(passed=2 * len(QUESTIONS) * len(WAYS) + 2)


def comparable(value: Any) -> Any:
    """JSON without the ids that a client makes anew for each answer; litellm's two ways name a model in two ways."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key != "id"}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value.removeprefix("[openai/").removeprefix("[") if isinstance(value, str) else value


def test_the_page_tells_of_every_recording_and_of_what_made_it() -> None:
    """Each by name; the model, the versions and the command as they are noted beside the recordings."""
    page = (FOLDER.parents[1] / "docs" / "reference" / "recordings.md").read_text("utf-8")
    made = json.loads((FOLDER / OUTCOMES).read_text("utf-8"))["made"]
    told = set(re.findall(r"`[\w./…]*?(\w+)`", page))

    assert {name.rpartition("/")[2] for name in LIVE} - told == set()
    words = {*made["weights"].split(), *made["server"].split()}
    assert {word for word in words if word not in page} == set()
    assert made["command"] in page

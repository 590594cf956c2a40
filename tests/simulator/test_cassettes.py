"""What was recorded at the LM seam is replayed over HTTP, in every provider's format, to every kind of client."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_testkit import cassettes
from dspex_testkit.calls import Usage
from dspex_testkit.cassettes import cassette as cassette_file
from dspex_testkit.cassettes import document, misses
from dspex_testkit.errors import CassetteFormatError, CassetteNotFoundError, UsageError
from dspex_testkit.redaction import Secrets
from dspex_testkit.simulator import ProviderSimulator, Target
from tests.simulator.test_admin import admin
from tests.simulator.test_dspy import ROUTES
from tests.support.loops import run
from tests.support.web import ask

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*messages=.*:DeprecationWarning"),
]

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
MESSAGES = [{"role": "user", "content": "hello"}]


def look_up(city: str, days: int = 3) -> str:
    """Tell the weather."""
    return f"{city} {days}"


class Look(dspy.Signature):  # type: ignore[misc]
    """Say what is to be seen."""

    image: dspy.Image = dspy.InputField()
    answer: str = dspy.OutputField()


def predict() -> Any:
    """Few-shot examples make a conversation of several turns."""
    program = dspy.Predict("question -> answer, score: int")
    program.demos = [dspy.Example(question="2+2?", answer="4", score=1).with_inputs("question")]
    return program(question="Why?").toDict()


def with_schema() -> Any:
    """A response schema, which each client wraps in its own way, and older models do without."""
    with dspy.context(adapter=dspy.JSONAdapter()):
        return dspy.Predict("question -> answer, size: Literal['s', 'l']")(question="Why?").toDict()


def agent() -> Any:
    """Several calls, each with what the last one brought."""
    return dspy.ReAct("question -> answer", tools=[look_up], max_iters=2)(question="Rain?").toDict()


def picture() -> Any:
    """Something beside text."""
    return dspy.Predict(Look)(image=dspy.Image(PIXEL)).toDict()


def tool_turns() -> Any:
    """A conversation in which a tool was called; some formats have no ids for that."""
    called = {"id": "call_7", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_7", "name": "look_up", "content": "wet"},
    ]
    return dspy.settings.lm(messages=messages, temperature=0.5)


PROGRAMS = (predict, with_schema, agent, picture, tool_turns)


def recorded(
    sim: ProviderSimulator, path: Path, model: str, use: Callable[[], Any], *, spec: Any = None, engine: str = "auto"
) -> Any:
    """What a program made of a live LM, which is recorded."""
    target = sim.target(model, spec=spec or {"mode": "random", "seed": 5})
    with cassettes.record(target.lm(engine=engine), path) as lm, dspy.context(lm=lm):
        return use()


def say(lm_options: dict[str, Any] | None = None) -> Callable[[], Any]:
    """A program that says hello."""
    return lambda: dspy.settings.lm("hello", **(lm_options or {}))


def chat(target: Target, **body: Any) -> Any:
    """A request without any provider's client."""
    return ask(f"{target.api_base}/chat/completions", {"model": target.name, "messages": MESSAGES, **body})


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("model", "engine"), ROUTES)
def test_a_program_is_answered_as_it_was_when_it_was_recorded(
    sim: ProviderSimulator, tmp_path: Path, model: str, engine: str, program: Callable[[], Any]
) -> None:
    """Recorded on DSPy's own stack at the LM seam, the program hears the same again on either stack over HTTP."""
    live = recorded(sim, tmp_path / "c.yaml", model, program)

    target = sim.target(model, cassette=tmp_path / "c.yaml")
    with dspy.context(lm=target.lm(engine=engine)):
        replayed = program()

    assert replayed == live
    assert all(call.inputs and call.outputs for call in target.calls)
    report = target.cassette
    assert report is not None
    assert (report.unplayed, report.misses) == ((), ())
    assert {(call.engine, call.rule) for call in target.calls} == {("replay", "cassette:c")}


# Not Cohere, of whose second version litellm cannot read the stream (see test_litellm.py).
@pytest.mark.parametrize(("model", "engine"), ROUTES[:-1])
def test_recorded_answers_are_streamed_and_given_asynchronously(
    sim: ProviderSimulator, tmp_path: Path, model: str, engine: str
) -> None:
    """One recording, made without a stream, answers `acall` and a stream alike."""
    predict = dspy.Predict("question -> answer")
    spec = {"responses": {"default": "one two three four"}}
    recorded(sim, tmp_path / "c.yaml", model, lambda: predict(question="count"), spec=spec)
    target = sim.target(model, cassette=tmp_path / "c.yaml", cassette_options={"on_exhausted": "last"})
    program = dspy.streamify(predict, stream_listeners=[dspy.streaming.StreamListener(signature_field_name="answer")])

    async def both() -> tuple[Any, list[Any]]:
        with dspy.context(lm=target.lm(engine=engine)):
            return await predict.acall(question="count"), [chunk async for chunk in program(question="count")]

    answer, chunks = run(both())
    heard = [chunk.chunk for chunk in chunks if isinstance(chunk, dspy.streaming.StreamResponse)]
    assert answer.answer == chunks[-1].answer == "".join(heard).strip() == "one two three four"
    assert len(heard) > 1


def test_a_recorded_stream_comes_in_the_pieces_in_which_it_came(sim: ProviderSimulator, tmp_path: Path) -> None:
    """Chunks are those of the provider, not words; an answer asked for as a whole is the same."""
    path = tmp_path / "c.yaml"
    write_stream(path, [(0.0, "Par"), (20.0, "is is"), (30.0, " it")])
    target = sim.target("openai/gpt-4o-mini", cassette=path, cassette_options={"on_exhausted": "last"})

    events = chat(target, stream=True).events

    assert [event["choices"][0]["delta"].get("content") for event in events] == ["", "Par", "is is", " it", None]
    assert chat(target).json["choices"][0]["message"]["content"] == "Paris is it"


def test_tokens_and_cost_are_those_of_the_recording(sim: ProviderSimulator, tmp_path: Path) -> None:
    """What the provider counted reaches the client and the journal; no limit of the client cuts what was said."""
    counted = {"$value": "x" * 200, "$usage": {"input_tokens": 70, "output_tokens": 30}}
    recorded(sim, tmp_path / "c.yaml", "openai/gpt-4o-mini", say(), spec={"script": [counted]})
    (live,) = [call for call in sim.calls if call.completion == "x" * 200]
    target = sim.target("openai/gpt-4o-mini", cassette=tmp_path / "c.yaml")

    answer = chat(target, max_tokens=5).json

    assert answer["choices"][0]["message"]["content"] == "x" * 200
    assert answer["usage"]["completion_tokens"] == target.calls[0].usage.output_tokens == live.usage.output_tokens
    assert target.calls[0].cost is not None


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
def test_tokens_are_counted_alike_on_the_way_in_and_out(sim: ProviderSimulator, tmp_path: Path, model: str) -> None:
    """Cached and reasoning tokens come back as they were recorded, although providers count them differently."""
    used = {"input_tokens": 70, "output_tokens": 30, "reasoning_tokens": 9, "cached_tokens": 40}
    spec = {"script": [{"$value": "Paris", "$reasoning": "I look", "$usage": used}]}
    path, live = tmp_path / "c.yaml", sim.target(model, spec=spec)
    with cassettes.record(live.lm(), path) as lm:
        lm("hello")
    target = sim.target(model, cassette=path)

    target.lm()("hello")

    (before,), (after,) = live.calls, target.calls
    assert before.usage == Usage(**used)
    # How many were thoughts, one of the three does not tell.
    told = replace(after.usage, cache_write_tokens=None)
    assert told == (replace(before.usage, reasoning_tokens=None) if model.startswith("anthropic") else before.usage)


@pytest.mark.parametrize(
    "added",
    [
        {"max_tokens": 7},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "somebody", "service_tier": "default", "store": False, "parallel_tool_calls": True},
        {"seed": 3, "top_p": 0.5, "stop": ["END"]},
    ],
)
def test_what_clients_add_of_their_own_accord_does_not_count(
    sim: ProviderSimulator, tmp_path: Path, added: dict[str, Any]
) -> None:
    """Limits, identities and options of the transport leave the question what it is."""
    recorded(sim, tmp_path / "c.yaml", "openai/gpt-4o-mini", say())
    target = sim.target("openai/gpt-4o-mini", cassette=tmp_path / "c.yaml")

    assert chat(target, **added).status == 200


def test_the_temperature_counts_and_other_parameters_if_they_are_named(sim: ProviderSimulator, tmp_path: Path) -> None:
    """Two recordings that differ by it are told apart; `params` names others, `match_on` drops it."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/gpt-4o-mini", say({"temperature": 0.2, "max_tokens": 50}))

    def status(temperature: float, max_tokens: int, **options: Any) -> int:
        target = sim.target("openai/gpt-4o-mini", cassette=path, cassette_options=options)
        return int(chat(target, temperature=temperature, max_tokens=max_tokens).status)

    assert (status(0.2, 9), status(0.9, 50)) == (200, 400)
    assert (status(0.9, 50, params=["max_tokens"]), status(0.2, 9, params=["max_tokens"])) == (200, 400)
    assert status(0.9, 9, match_on=["model", "messages"]) == 200


def test_several_answers_at_once_are_several_recordings(sim: ProviderSimulator, tmp_path: Path) -> None:
    """`n` over the wire plays as many as it asks for, in their order."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/gpt-4o-mini", lambda: [say()() for _ in range(3)], spec={"script": ["a", "b", "c"]})
    target = sim.target("openai/gpt-4o-mini", cassette=path)

    answer = chat(target, n=3).json

    assert [choice["message"]["content"] for choice in answer["choices"]] == ["a", "b", "c"]


def test_equal_requests_play_in_order_and_a_reset_plays_anew(tmp_path: Path) -> None:
    """After the last one the target says that all were played, unless it may repeat them."""
    path = tmp_path / "c.yaml"
    with ProviderSimulator() as sim:
        recorded(sim, path, "openai/gpt-4o-mini", lambda: [say()(), say()()], spec={"script": ["a", "b"]})
        target = sim.target("openai/gpt-4o-mini", cassette=path)
        cycle = sim.target("openai/gpt-4o-mini", cassette=path, cassette_options={"on_exhausted": "cycle"})

        def hear(target: Target, times: int) -> list[str]:
            answers = [chat(target) for _ in range(times)]
            return [each.json["choices"][0]["message"]["content"] for each in answers if each.status == 200]

        assert hear(target, 2) == ["a", "b"]
        assert "all were played" in chat(target).json["error"]["message"]
        assert hear(cycle, 3) == ["a", "b", "a"]
        sim.reset()
        assert hear(target, 2) == ["a", "b"]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "error"])
@pytest.mark.parametrize("model", sorted({model for model, _ in ROUTES}))
def test_however_an_answer_ended_it_can_be_replayed(
    sim: ProviderSimulator, tmp_path: Path, model: str, finish: str
) -> None:
    """Each provider has a word for it, whole and streamed."""
    path = tmp_path / "c.yaml"
    write_stream(path, [(0.0, "Par"), (1.0, "is")], finish=finish)
    target = sim.target(model, cassette=path, cassette_options={"match_on": ["messages"], "on_exhausted": "last"})
    path_of = {"anthropic": "messages", "gemini": "models/m:generateContent", "cohere_chat": ""}
    ending = path_of.get(model.split("/")[0], "chat/completions")
    body = {"model": "m", "messages": MESSAGES, "max_tokens": 9, "contents": [{"parts": [{"text": "hello"}]}]}

    for stream in (False, True):
        url = f"{target.api_base}/{ending}".rstrip("/")
        url = url.replace("generateContent", "streamGenerateContent") if stream else url
        reply = ask(url, {**body, "stream": stream})
        assert reply.status == 200
        assert "Par" in reply.text


FAILURES = ("rate_limit", "auth", "permission", "context_length", "not_found", "server_error", "overloaded", "timeout")
PROVIDERS = ("openai/", "anthropic/", "gemini/")


@pytest.mark.parametrize(("model", "engine"), [route for route in ROUTES if route[0].startswith(PROVIDERS)])
@pytest.mark.parametrize("kind", FAILURES)
def test_a_recorded_failure_is_the_providers_own(
    sim: ProviderSimulator, tmp_path: Path, model: str, engine: str, kind: str
) -> None:
    """Status and body, and so the exception, are those that the live provider caused."""
    path, live = tmp_path / "c.yaml", sim.target(model, faults=[kind])
    record_failure(path, live)
    target = sim.target(model, cassette=path)

    with pytest.raises(dspy.LMError) as replayed:
        target.lm(engine=engine)("hello")
    with pytest.raises(dspy.LMError) as expected:
        live.lm(engine=engine)("hello")

    assert type(replayed.value) is type(expected.value)
    assert replayed.value.status == expected.value.status


def record_failure(path: Path, live: Target) -> None:
    """Record how an LM fails."""
    cassette = cassettes.open_cassette(path, "once")
    with pytest.raises(dspy.LMError):
        cassette.lm_for(live.lm())("hello")
    cassette.commit()


def test_a_connection_that_broke_breaks_again(sim: ProviderSimulator, tmp_path: Path) -> None:
    """No status was recorded, and none is invented."""
    path = tmp_path / "c.yaml"
    record_failure(path, sim.target("openai/gpt-4o-mini", faults=["reset"]))

    with pytest.raises(dspy.LMTransportError):
        sim.target("openai/gpt-4o-mini", cassette=path).lm()("hello")


@pytest.mark.parametrize(("model", "engine"), ROUTES)
def test_a_miss_is_told_once_and_says_what_is_nearest(
    sim: ProviderSimulator, tmp_path: Path, model: str, engine: str
) -> None:
    """The provider's own refusal of a bad request, which nobody retries and no adapter falls back from."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, model, lambda: dspy.Predict("question -> answer")(question="Is it Tuesday?"))
    target = sim.target(model, cassette=path)

    with dspy.context(lm=target.lm(engine=engine, num_retries=2)), pytest.raises(dspy.LMInvalidRequestError) as raised:
        dspy.Predict("question -> answer")(question="Is it Wednesday?")

    assert "Nearest is interaction 0" in str(raised.value)
    (call,) = target.calls
    assert "Wednesday" in str(call.error)
    assert call.inputs == {"question": "Is it Wednesday?"}
    report = target.cassette
    assert report is not None
    assert [miss.code for miss in report.misses] == ["no_matching_interaction"]


def test_a_miss_is_in_the_admin_api(tmp_path: Path) -> None:
    """A client in another language asks what was missed and what was never played."""
    with ProviderSimulator(cassettes=tmp_path) as sim:
        recorded(sim, tmp_path / "sub" / "c.yaml", "openai/gpt-4o-mini", say())
        made = admin(sim, "POST", "targets", {"model": "openai/gpt-4o-mini", "cassette": "sub/c"}).json
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "goodbye"}]}
        ask(f"{made['api_base']}/chat/completions", body)

        targets = admin(sim, "GET", "targets").json["targets"]
        told = next(target["cassette"] for target in targets if target["id"] == made["id"])
        assert (told["played"], told["unplayed"]) == (0, [0])
        assert "goodbye" in told["misses"][0]
        assert "goodbye" in admin(sim, "GET", f"journal?target={made['id']}").json["calls"][0]["error"]


@pytest.mark.parametrize("name", ["../c.yaml", "/etc/passwd", "..", "link/c.yaml", "", 7, ["c"]])
def test_no_file_outside_the_folder_is_opened_over_http(tmp_path: Path, name: Any) -> None:
    """Not by dots, not by a whole path, not by a link."""
    outside, folder = tmp_path / "outside", tmp_path / "cassettes"
    folder.mkdir()
    (folder / "link").symlink_to(outside, target_is_directory=True)
    with ProviderSimulator(cassettes=folder) as sim:
        recorded(sim, outside / "c.yaml", "openai/m", say())
        recorded(sim, tmp_path / "c.yaml", "openai/m", say())

        reply = admin(sim, "POST", "targets", {"model": "openai/m", "cassette": name})

        assert reply.status == 400
        assert reply.json["error_code"] in ("cassette_path", "invalid_args")
        assert len(admin(sim, "GET", "targets").json["targets"]) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"match_on": 7},
        {"match_on": ["everything"]},
        {"params": 7},
        {"ignore": ["a b"]},
        {"ignore_patterns": ["("]},
        {"on_exhausted": "never"},
        {"max_age": {}},
        {"secrets": ["x"]},
    ],
)
def test_bad_options_are_told_over_http(tmp_path: Path, options: dict[str, Any]) -> None:
    """Each is the caller's fault, and no target comes of it."""
    with ProviderSimulator(cassettes=tmp_path) as sim:
        recorded(sim, tmp_path / "c.yaml", "openai/m", say())
        body = {"model": "openai/m", "cassette": "c", "cassette_options": options}

        reply = admin(sim, "POST", "targets", body)

        assert (reply.status, reply.json["error_code"]) in [
            (400, code) for code in ("usage_error", "invalid_args", "unusable_pattern")
        ]


def test_without_a_folder_no_cassette_is_named_over_http(sim: ProviderSimulator, tmp_path: Path) -> None:
    """Also not to change a target that is there."""
    recorded(sim, tmp_path / "c.yaml", "openai/m", say())
    target = sim.target("openai/m")

    for method, path in (("POST", "targets"), ("PATCH", f"targets/{target.id}")):
        body = {"cassette": os.fspath(tmp_path / "c.yaml")} | ({"model": "openai/m"} if method == "POST" else {})
        reply = admin(sim, method, path, body)
        assert (reply.status, reply.json["error_code"]) == (400, "invalid_args")
        assert "cassettes=FOLDER" in reply.json["error"]


def test_what_cannot_be_played_is_told_at_once(sim: ProviderSimulator, tmp_path: Path) -> None:
    """Where the target is made, and not where somebody asks."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/m", say())
    http = tmp_path / "http.yaml"
    http.write_text("version: 1\ninteractions: []\n", encoding="utf-8")

    for error, says, given in (
        (CassetteNotFoundError, "There is no cassette", {"cassette": tmp_path / "missing.yaml"}),
        (CassetteFormatError, "HTTP traffic", {"cassette": http}),
        (UsageError, "spec or from a cassette", {"cassette": path, "spec": {}}),
        (UsageError, "Unknown cassette option", {"cassette": path, "cassette_options": {"filter_request": "x"}}),
        (UsageError, "give that too", {"cassette_options": {"realtime": True}}),
        (UsageError, "no regular expression", {"cassette": path, "cassette_options": {"ignore_patterns": ["("]}}),
    ):
        with pytest.raises(error, match=says):
            sim.target("openai/m", **given)


def test_a_recording_that_was_edited_into_nonsense_is_refused_where_it_is_asked_for(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    """Nobody tries again what a look into the file has to mend."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/m", say(), spec={"script": ["Paris"]})
    whole = path.read_text(encoding="utf-8")
    spoilt = whole.replace("- type: text\n            text: Paris", "- type: nonsense")
    assert spoilt != whole
    path.write_text(spoilt, encoding="utf-8")

    reply = chat(sim.target("openai/m", cassette=path))

    assert (reply.status, reply.json["error"]["code"]) == (400, "cassette_format")
    assert "record it again" in reply.json["error"]["message"]


def test_a_recorded_request_that_was_edited_into_nonsense_is_told_at_once(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    """The error names the interaction; nothing has to be asked for it."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/m", say(), spec={"script": ["Paris"]})
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("- role: user\n", "- rule: user\n"), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != whole

    with pytest.raises(CassetteFormatError, match=r"interactions\[0\]\.request cannot be read: KeyError\('role'\)"):
        sim.target("openai/m", cassette=path)


def test_others_are_served_while_the_nearest_recordings_of_a_miss_are_looked_for(
    sim: ProviderSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that held up the server would wait here for an answer of that very server."""
    path = tmp_path / "c.yaml"
    recorded(sim, path, "openai/m", say())
    other, meanwhile = sim.target("openai/m", spec={"default": "served"}), []

    def no_match(*args: Any, **options: Any) -> Any:
        meanwhile.append(chat(other).json["choices"][0]["message"]["content"])
        return misses.no_match(*args, **options)

    monkeypatch.setattr(cassette_file, "no_match", no_match)
    missed = chat(sim.target("openai/m", cassette=path), messages=[{"role": "user", "content": "goodbye"}])

    assert (missed.status, meanwhile) == (400, ["served"])


def test_others_are_served_while_a_cassette_is_opened_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be large, and whoever asks for it is not the only client."""
    with ProviderSimulator({"default": "served"}, cassettes=tmp_path) as sim:
        recorded(sim, tmp_path / "c.yaml", "openai/m", say())
        meanwhile = []

        def read_document(path: Path) -> Any:
            reply = ask(f"{sim.url}/v1/chat/completions", {"model": "m", "messages": MESSAGES})
            meanwhile.append(reply.json["choices"][0]["message"]["content"])
            return document.read_document(path)

        monkeypatch.setattr(cassette_file, "read_document", read_document)
        made = admin(sim, "POST", "targets", {"model": "openai/m", "cassette": "c"})

    assert (made.status, meanwhile) == (200, ["served"])


def test_the_default_target_answers_from_a_cassette_too(sim: ProviderSimulator, tmp_path: Path) -> None:
    """A client that can only be told a server."""
    recorded(sim, tmp_path / "c.yaml", "openai/gpt-4o-mini", say(), spec={"script": ["Paris"]})

    with ProviderSimulator(cassette=tmp_path / "c.yaml") as other:
        lm = dspy.LM("openai/gpt-4o-mini", api_base=f"{other.url}/v1", api_key="any", cache=False)
        assert lm("hello") == ["Paris"]


def write_stream(path: Path, chunks: list[tuple[float, str]], *, finish: str = "stop") -> None:
    """A cassette of one streamed answer to 'hello', with the milliseconds at which its pieces came."""
    from dspex_testkit.cassettes.document import Document
    from dspex_testkit.cassettes.interaction import Interaction
    from dspex_testkit.cassettes.saving import save

    text = "".join(piece for _, piece in chunks)
    asked = {"role": "user", "parts": [{"type": "text", "text": "hello"}]}
    request = {"model": "openai/gpt-4o-mini", "messages": [asked]}
    message = {"role": "assistant", "parts": [{"type": "text", "text": text}]}
    response = {"model": "gpt-4o-mini", "message": message, "finish_reason": finish, "usage": {}}
    events = [
        {"at_ms": at, "event": {"type": "delta", "delta": {"type": "text", "text": piece, "part_index": 0}}}
        for at, piece in chunks
    ]
    save(path, Document((Interaction(request, response=response, chunks=tuple(events)),)), secrets=Secrets())

"""Plain vcrpy cassettes of providers' traffic become LM cassettes, whichever client spoke and however it was kept."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import dspy
import pytest
import vcr
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes.convert import Conversion, convert
from dspex_testkit.cassettes.saving import save
from dspex_testkit.cassettes.traffic import Exchange
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.redaction import Secret, Secrets
from dspex_testkit.simulator import ProviderSimulator
from tests.support.programs_of_all_kinds import PROGRAMS, conversation, schema, several, text, thoughts

Program = Callable[[Any], str]
MODELS = [
    "openai/gpt-4o-mini",
    "openai/gpt-5",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-3-5-sonnet-20241022",
    "gemini/gemini-2.5-flash",
]
BY_LITELLM = [
    *(("openai/gpt-4o-mini", each) for each in PROGRAMS if each is not thoughts),
    ("openai/gpt-5", thoughts),
    *(("anthropic/claude-sonnet-4-5", each) for each in PROGRAMS if each is not several),
    ("anthropic/claude-3-5-sonnet-20241022", schema),  # which litellm asks for by a tool
    # Not a conversation: on Gemini's wire litellm leaves out the ids of tool calls, by which it asks again.
    *(("gemini/gemini-2.5-flash", each) for each in PROGRAMS if each is not conversation),
]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*instance is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*messages=.*:DeprecationWarning"),
    pytest.mark.usefixtures("collected"),
]


def run(program: Program, lm: Any) -> str:
    """What a program makes of an LM."""
    with dspy.context(lm=lm):
        return program(lm)


def replayed(program: Program, conversion: Conversion, path: Path) -> str:
    """What the program makes of the converted recording."""
    save(path, conversion.document, secrets=Secrets())
    return run(program, cassettes.replay(path))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("model", [*MODELS, "responses"])
def test_traffic_of_dspys_own_client_replays_as_lm_calls(tmp_path: Path, model: str, program: Program) -> None:
    """Text, streams, pictures, schemas, several answers, thoughts and tools, with the server gone."""
    options = {"model_type": "responses"} if model == "responses" else {}
    raw = tmp_path / "raw.yaml"
    with ProviderSimulator() as simulator:
        target = simulator.target("openai/gpt-5-mini" if options else model, spec={"mode": "random", "seed": 1})
        with cassettes.http_cassette(raw, record_mode="once"):
            recorded = run(program, target.lm(**options))
    conversion = convert(raw)
    assert conversion.skipped == ()
    assert replayed(program, conversion, tmp_path / "lm.yaml") == recorded


@pytest.mark.parametrize(("model", "program"), BY_LITELLM)
def test_traffic_of_litellm_replays_as_lm_calls(tmp_path: Path, model: str, program: Program) -> None:
    """What vcrpy alone recorded of litellm, with the server gone."""
    raw = tmp_path / "raw.yaml"
    with ProviderSimulator() as simulator:
        target = simulator.target(model, spec={"mode": "random", "seed": 1})
        with vcr.use_cassette(str(raw), record_mode="once", match_on=["method", "path", "body"]):
            recorded = run(program, target.lm(engine="litellm"))
    conversion = convert(raw)
    assert conversion.skipped == ()
    assert replayed(program, conversion, tmp_path / "lm.yaml") == recorded


def test_reading_an_exchange_leaves_its_record_alone() -> None:
    """It may be what vcrpy is about to play."""
    request = {"method": "POST", "uri": "https://llm.test/v1/chat/completions", "body": "{}"}
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": "{}"}}
    record = {"request": request, "response": response}
    before = deepcopy(record)

    assert Exchange.from_record(record).answered == b"{}"

    assert record == before


def test_tokens_prices_and_parameters_come_along(tmp_path: Path) -> None:
    """A converted call costs what the recorded one did, and its LM has the parameters that all its calls share."""
    raw = tmp_path / "raw.yaml"
    with ProviderSimulator() as simulator:
        target = simulator.target("anthropic/claude-sonnet-4-5", spec={"mode": "random"})
        with cassettes.http_cassette(raw, record_mode="once"):
            run(text, target.lm(temperature=0.5, max_tokens=77))
    replayed(text, convert(raw), tmp_path / "lm.yaml")
    lm = cassettes.replay(tmp_path / "lm.yaml")
    assert (lm.kwargs["temperature"], lm.kwargs["max_tokens"]) == (0.5, 77)
    run(text, lm)
    assert lm.journal[0].usage.input_tokens
    assert lm.journal[0].cost


CHAT = "https://api.openai.com/v1/chat/completions"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash"
HI: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
HELLO: dict[str, Any] = {
    "model": "gpt-4o-mini-2024",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}


def interaction(uri: str, body: Any, answer: Any, status: int = 200, **headers: str) -> dict[str, Any]:
    """A vcrpy interaction."""
    return {
        "request": {"method": "POST", "uri": uri, "headers": {}, "body": json.dumps(body)},
        "response": {
            "status": {"code": status, "message": ""},
            "headers": {name.replace("_", "-"): [value] for name, value in headers.items()},
            "body": {"string": answer if isinstance(answer, str | bytes) else json.dumps(answer)},
        },
    }


def converted(path: Path, *items: dict[str, Any]) -> Conversion:
    """A file of these interactions, read."""
    path.write_text(yaml.safe_dump({"version": 1, "interactions": list(items)}))
    return convert(path)


def answers(conversion: Conversion) -> list[str]:
    """The answers' texts, or errors."""
    return [each.text for each in conversion.document.interactions]


def old_httpx(item: dict[str, Any]) -> dict[str, Any]:
    """The form in which vcrpy kept httpx's responses before its version 6."""
    body = item["response"]["body"]["string"]
    return {**item, "response": {"status_code": 200, "http_version": "HTTP/1.1", "headers": {}, "content": body}}


def in_base64(item: dict[str, Any]) -> dict[str, Any]:
    """A body as vcrpy kept binary ones in JSON."""
    body = base64.b64encode(item["response"]["body"]["string"].encode()).decode()
    return {**item, "response": {**item["response"], "body": {"base64_string": body}}}


def zipped(item: dict[str, Any]) -> dict[str, Any]:
    """A body as it came over the wire."""
    body = gzip.compress(item["response"]["body"]["string"].encode())
    return {**item, "response": {**item["response"], "headers": {"Content-Encoding": "gzip"}, "body": {"string": body}}}


def in_bytes(item: dict[str, Any]) -> dict[str, Any]:
    """A request's body as clients hand it over."""
    return {**item, "request": {**item["request"], "body": item["request"]["body"].encode()}}


@pytest.mark.parametrize("form", [old_httpx, in_base64, zipped, in_bytes])
def test_bodies_are_read_however_they_were_kept(tmp_path: Path, form: Any) -> None:
    """Compressed, in base64, as bytes, and in the forms of older versions of vcrpy."""
    conversion = converted(tmp_path / "raw.yaml", form(interaction(CHAT, HI, HELLO)))
    assert (answers(conversion), conversion.skipped) == (["hello"], ())


def test_json_cassettes_are_read(tmp_path: Path) -> None:
    """Vcrpy's other serializer, with what YAML would read otherwise: tabs, and characters beyond 16 bits."""
    raw = tmp_path / "raw.json"
    said = {**HELLO, "choices": [{**HELLO["choices"][0], "message": {"content": "a 😀"}}]}
    raw.write_text(json.dumps({"version": 1, "interactions": [interaction(CHAT, HI, json.dumps(said))]}, indent="\t"))
    assert answers(convert(raw)) == ["a 😀"]


ENDS: list[tuple[str, dict[str, str]]] = [("hel", {}), ("lo", {"finishReason": "STOP"})]


def test_gemini_streams_as_one_json_array_too(tmp_path: Path) -> None:
    """Without alt=sse the stream is an array."""
    pieces: list[dict[str, Any]] = [
        {"candidates": [{"content": {"parts": [{"text": piece}], "role": "model"}, "index": 0, **end}]}
        for piece, end in ENDS
    ]
    asked = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    conversion = converted(tmp_path / "raw.yaml", interaction(f"{GEMINI}:streamGenerateContent", asked, pieces))
    assert answers(conversion) == ["hello"]
    assert len(conversion.document.interactions[0].chunks or ()) > 2


def test_what_geminis_tools_returned_is_what_they_said(tmp_path: Path) -> None:
    """Text within a wrapping of the client's is the text, and an object of several fields is its JSON."""
    returned = [{"result": "7"}, {"people": 8, "of": "them"}]
    contents: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "count", "args": {}}} for _ in returned]},
        {"role": "user", "parts": [{"functionResponse": {"name": "count", "response": each}} for each in returned]},
    ]
    item = interaction(f"{GEMINI}:generateContent", {"contents": contents}, {}, 500)
    request = converted(tmp_path / "raw.yaml", item).document.interactions[0].request
    results = [part["content"][0]["text"] for part in request["messages"][-1]["parts"]]
    assert results == ["7", '{"people": 8, "of": "them"}']


def test_several_answers_in_one_stream_are_told_apart(tmp_path: Path) -> None:
    """Their pieces come mixed; what they cost is counted once."""
    events: list[dict[str, Any]] = []
    events += [{"choices": [{"index": i, "delta": {"content": f"{word}{i} "}}]} for word in "ab" for i in (0, 1)]
    events += [{"choices": [{"index": i, "delta": {}, "finish_reason": "stop"}]} for i in (0, 1)]
    events += [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    conversion = converted(tmp_path / "raw.yaml", interaction(CHAT, {**HI, "n": 2, "stream": True}, body))
    assert answers(conversion) == ["a0 b0 ", "a1 b1 "]
    usages = [(each.response or {}).get("usage") or {} for each in conversion.document.interactions]
    assert [usage.get("input_tokens") for usage in usages] == [3, None]


BACKGROUND = {"model": "gpt-5", "input": "hi", "background": True}


def response_of(status: str, number: str = "resp_1", said: str = "") -> dict[str, Any]:
    """What OpenAI says of an answer that it makes in the background."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]}
    return {"id": number, "object": "response", "status": status, "model": "gpt-5", "output": [message] if said else []}


@pytest.mark.parametrize("status", ["queued", "in_progress", "failed", "cancelled"])
def test_an_answer_that_is_none_yet_is_named(tmp_path: Path, status: str) -> None:
    """What still runs in the background, or came to nothing, is no finished answer."""
    url = "https://api.openai.com/v1/responses"
    conversion = converted(
        tmp_path / "raw.yaml", interaction(url, BACKGROUND, response_of(status)), interaction(CHAT, HI, HELLO)
    )
    assert answers(conversion) == ["hello"]
    assert f"interactions[0]: its answer is {status}" in conversion.skipped[0]


def test_the_answer_of_a_call_in_the_background_is_what_came_later(tmp_path: Path) -> None:
    """Two calls run at once; each has the answer for which it was asked again."""
    url = "https://api.openai.com/v1/responses"

    def later(number: str, *body: Any) -> dict[str, Any]:
        item = interaction(f"{url}/{number}", {}, *body)
        item["request"]["method"] = "GET"
        return item

    conversion = converted(
        tmp_path / "raw.yaml",
        interaction(url, BACKGROUND, response_of("queued", "a")),
        interaction(url, {**BACKGROUND, "input": "ho"}, response_of("queued", "b")),
        later("a", response_of("in_progress", "a")),
        later("b", response_of("completed", "b", "second")),
        later("a", response_of("completed", "a", "first")),
    )
    assert answers(conversion) == ["first", "second"]
    assert conversion.skipped == ()


@pytest.mark.parametrize("host", ["mine.openai.azure.com", "llm.test"])
def test_azure_names_the_model_in_its_address(tmp_path: Path, host: str) -> None:
    """A request without `model` is one to the deployment of its address."""
    asked = {"messages": HI["messages"]}
    url = f"https://{host}/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    conversion = converted(tmp_path / "raw.yaml", interaction(url, asked, HELLO))
    assert conversion.document.interactions[0].model == "azure/my-gpt"
    assert answers(conversion) == ["hello"]


def test_failures_become_the_recorded_errors(tmp_path: Path) -> None:
    """Status, body and the wish to wait come out of the replay as DSPy's own error."""
    slow = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    conversion = converted(tmp_path / "raw.yaml", interaction(CHAT, HI, slow, 429, retry_after="7"))
    save(tmp_path / "lm.yaml", conversion.document, secrets=Secrets())
    with pytest.raises(dspy.LMRateLimitError, match="slow down"):
        cassettes.replay(tmp_path / "lm.yaml")("hi")
    assert (conversion.document.interactions[0].error or {})["retry_after"] == 7.0


def test_a_stream_that_failed_becomes_its_error(tmp_path: Path) -> None:
    """An error among the events of a stream is what the program met."""
    broken = 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}\n\n'
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": HI["messages"], "stream": True}
    assert "busy" in answers(converted(tmp_path / "raw.yaml", interaction(ANTHROPIC, asked, broken)))[0]


@pytest.mark.parametrize(
    ("host", "model"),
    [
        ("api.groq.com/openai", "groq/gpt-4o-mini"),
        ("mine.openai.azure.com/openai/deployments/d", "azure/gpt-4o-mini"),
        ("llm.example.test", "openai/gpt-4o-mini"),
    ],
)
def test_the_host_tells_whose_model_it_is(tmp_path: Path, host: str, model: str) -> None:
    """Providers that speak OpenAI's format keep their prefix; whoever is not known is OpenAI's like."""
    conversion = converted(tmp_path / "raw.yaml", interaction(f"https://{host}/v1/chat/completions", HI, HELLO))
    assert conversion.document.interactions[0].model == model


STRANGERS = [
    ("https://example.test/weather", {}, "/weather is no path of an LM"),
    (CHAT, {**HI, "audio": {"voice": "alloy"}}, "audio"),
    (CHAT, {"model": "gpt-4o"}, "lacks 'messages'"),
    (CHAT, [], "no JSON object"),
    (
        ANTHROPIC,
        {"model": "claude", "max_tokens": 9, "messages": [], "tools": [{"type": "web_search_20250305", "name": "w"}]},
        r"tools\[0\]: .*runs at the provider",
    ),
    (
        ANTHROPIC,
        {
            "model": "claude",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True}]}],
        },
        r"messages\[0\]\.content\[0\]\.is_error",
    ),
    (f"{GEMINI}:generateContent", {"contents": [{"parts": [{"executableCode": {}}]}]}, r"contents\[0\]\.parts\[0\]"),
    (f"{GEMINI}:generateContent", {"contents": [{"parts": [{"text": "x"}]}], "cachedContent": "c"}, "cachedContent"),
]


@pytest.mark.parametrize(("uri", "body", "reason"), STRANGERS)
def test_what_cannot_be_converted_is_named_and_the_rest_goes_through(
    tmp_path: Path, uri: str, body: Any, reason: str
) -> None:
    """File, position and reason of each; the calls beside it are there."""
    raw = tmp_path / "raw.yaml"
    conversion = converted(raw, interaction(uri, body, HELLO), interaction(CHAT, HI, HELLO))
    assert answers(conversion) == ["hello"]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(conversion.skipped[0])
    assert conversion.skipped[0].startswith(f"{raw}: interactions[0]: ")


@pytest.mark.parametrize("broken", [None, 7, {}, {"request": {}}, {"request": {"method": "POST"}, "response": []}])
def test_what_is_no_interaction_is_named_too(tmp_path: Path, broken: Any) -> None:
    """Hand-edited nonsense takes nothing else down."""
    conversion = converted(tmp_path / "raw.yaml", broken, interaction(CHAT, HI, HELLO))
    assert answers(conversion) == ["hello"]
    assert "interactions[0]: it is no request" in conversion.skipped[0]


@pytest.mark.parametrize(("encoding", "reason"), [("gzip", "no text"), ("zstd", "needs another package")])
def test_bodies_that_cannot_be_decompressed_are_named(tmp_path: Path, encoding: str, reason: str) -> None:
    """A body that was cut short, or compressed otherwise, does not stop the others."""
    item = zipped(interaction(CHAT, HI, HELLO))
    item["response"]["body"]["string"] = item["response"]["body"]["string"][:-9]
    item["response"]["headers"] = {"content-encoding": [encoding]}
    assert reason in converted(tmp_path / "raw.yaml", item, interaction(CHAT, HI, HELLO)).skipped[0]


def test_nothing_to_convert_is_an_error(tmp_path: Path, sums: MockLM, path: Path) -> None:
    """A file of strangers only, and one of LM calls, say so."""
    with pytest.raises(CassetteFormatError, match="no call of OpenAI"):
        converted(tmp_path / "raw.yaml", interaction("https://example.test/x", {}, {}))
    with cassettes.record(sums, path) as lm:
        asyncio.run(lm.acall("2+2"))
    with pytest.raises(CassetteFormatError, match="already"):
        convert(path)


def test_keys_in_traffic_do_not_come_along(tmp_path: Path) -> None:
    """Redaction sees what is converted as it sees what is recorded, pieces of streams included."""
    key = "sk-" + "a1B2" * 6
    pieces = [key[:9], key[9:]]
    events: list[dict[str, Any]] = []
    events += [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"my key is {key}"}]}
    conversion = converted(tmp_path / "raw.yaml", interaction(CHAT, asked, body))
    save(tmp_path / "lm.yaml", conversion.document, secrets=Secrets([Secret(key)]))
    assert key[:9] not in (tmp_path / "lm.yaml").read_text()

"""`dspex-testkit serve --record-mode`: between a program and the real provider, what they say is kept, and replayed."""

import json
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes import RecordMode
from dspex_testkit.cassettes.cassette import OpenCassette
from dspex_testkit.cli import main
from dspex_testkit.simulator import ProviderSimulator
from dspex_testkit.simulator.proxy import RecordingProxy, Upstream
from tests.support.waiting import eventually
from tests.support.web import ask

KEY = "sk-live-4f9Q2xZ7kLm3Vb8N"
QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where?"}], "temperature": 0.5}
ASKING = f"""
import os, sys, urllib.request as u
body = {json.dumps(json.dumps(QUESTION))}.encode()
head = {{"Content-Type": "application/json", "Authorization": "Bearer {KEY}"}}
print(u.urlopen(u.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, head)).read().decode())
"""


@pytest.fixture(autouse=True)
def _may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_TESTKIT_OFFLINE_POLICY", "record")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the recording goes."""
    return tmp_path / "kept.yaml"


@contextmanager
def proxied(root: str, path: Path | None = None, mode: str = "once") -> Iterator[RecordingProxy]:
    """A proxy before one provider."""
    cassette = None if path is None else OpenCassette(path, RecordMode.of(mode))
    with RecordingProxy({"openai": Upstream(root)}, cassette=cassette) as proxy:
        yield proxy
    proxy.discard()


def recorded(path: Path, root: str, *options: str, program: str = ASKING) -> int:
    """Run a program that is recorded; its exit status."""
    record = ["serve", "--cassette", str(path), "--record-mode", "once", "--upstream", f"openai={root}", *options]
    return main([*record, "--", sys.executable, "-c", program])


def interactions(path: Path) -> list[dict[str, Any]]:
    """What a recording holds."""
    return list(yaml.safe_load(path.read_text("utf-8"))["interactions"])


class Provider:
    """A server on this machine that writes whatever a test tells it to, to one connection after the other.

    Args:
        answer: Takes the request's bytes, and a function that sends.
    """

    def __init__(self, answer: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                lengths = [
                    line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length:")
                ]
                while len(body) < int((lengths or [b"0"])[0]):
                    body += connection.recv(65536)
                self.asked.append(head + b"\r\n\r\n" + body)
                self._answer(self.asked[-1], connection.sendall)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


@pytest.fixture
def provider() -> Iterator[Callable[..., Provider]]:
    """Starts providers, which end with the test."""
    started: list[Provider] = []

    def start(answer: Callable[[bytes, Callable[[bytes], None]], None]) -> Provider:
        started.append(Provider(answer))
        return started[-1]

    yield start
    for each in started:
        each.close()


def chunk(data: str) -> bytes:
    """A server-sent event, as one chunk."""
    event = f"data: {data}\n\n".encode()
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def delta(text: str | None = None, finish: str | None = None) -> bytes:
    """A piece of OpenAI's stream."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    return chunk(json.dumps({**head, "choices": [choice]}))


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_a_program_was_answered_is_answered_again_without_the_provider(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same body, as far as a body says anything; the key went to the provider and nowhere else."""
    with ProviderSimulator({"script": ["In Paris"]}) as provider:
        assert recorded(path, provider.url) == 0
    live = json.loads(capfd.readouterr().out)

    assert main(["serve", "--cassette", str(path), "--", sys.executable, "-c", ASKING]) == 0
    replayed = json.loads(capfd.readouterr().out)

    assert [each["choices"][0]["message"]["content"] for each in (live, replayed)] == ["In Paris"] * 2
    assert live["usage"] == replayed["usage"]
    assert KEY not in path.read_text("utf-8")


def test_a_key_is_forwarded_and_never_written_even_where_it_is_quoted(
    path: Path, provider: Callable[..., Provider]
) -> None:
    """By the provider's answer."""
    body = json.dumps({"choices": [{"index": 0, "message": {"content": f"Yours is {KEY}."}, "finish_reason": "stop"}]})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    asked = provider(lambda request, send: send((head + body).encode()))

    assert recorded(path, asked.root) == 0

    assert f"Authorization: Bearer {KEY}".encode() in asked.asked[0]
    assert KEY not in path.read_text("utf-8")
    assert "Yours is " in path.read_text("utf-8")


def test_a_key_that_a_provider_says_back_stands_in_no_journal_without_a_cassette_either(
    provider: Callable[..., Provider],
) -> None:
    """Neither in what is answered nor in what it complains of; the tokens are all there."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    said = {"index": 0, "message": {"role": "assistant", "content": f"Yours is {KEY}."}, "finish_reason": "stop"}
    bodies = [
        ("200 OK", {"choices": [said], "usage": usage, "model": "gpt-4o-mini"}),
        ("401 Unauthorized", {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}),
    ]

    def answer(request: bytes, send: Callable[[bytes], None]) -> None:
        status, said = bodies.pop(0)
        body = json.dumps(said)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        send((head + body).encode())

    with proxied(provider(answer).root) as proxy:
        for _ in range(2):
            with suppress(HTTPError):
                headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
                url = f"{proxy.base('openai')}/v1/chat/completions"
                urlopen(Request(url, json.dumps(QUESTION).encode(), headers), timeout=60).close()
    proxy.commit()

    answered, refused = proxy.calls
    assert KEY not in str([call.to_dict() for call in (answered, refused)])
    assert "Yours is " in str(answered.completion)
    assert "Incorrect API key" in str(refused.error)
    assert (answered.usage.input_tokens, answered.usage.output_tokens, answered.usage.cached_tokens) == (9, 2, 4)


def test_a_stream_is_passed_on_piece_by_piece(path: Path, provider: Callable[..., Provider]) -> None:
    """The second piece is sent only when the client has read the first."""
    read = threading.Event()

    def answer(request: bytes, send: Callable[[bytes], None]) -> None:
        send(STREAM_HEAD + delta("In "))
        assert read.wait(60)
        send(delta("Paris") + delta(finish="stop") + chunk("[DONE]") + b"0\r\n\r\n")

    with proxied(provider(answer).root, path) as proxy:
        body = json.dumps({**QUESTION, "stream": True}).encode()
        with urlopen(Request(f"{proxy.base('openai')}/v1/chat/completions", body), timeout=60) as response:
            first = response.readline()
            read.set()
            rest = response.read()
        proxy.stop()
        proxy.commit()

    assert b"In " in first
    assert b"Paris" in rest
    lm = cassettes.replay(path)
    assert lm("Where?", temperature=0.5) == ["In Paris"]
    events = interactions(path)[0]["response"]["body"]["events"]
    assert [event["delta"]["text"] for event in events if event["type"] == "delta"] == ["In ", "Paris"]


def test_a_provider_that_dies_in_mid_stream_does_so_for_the_client_and_in_the_recording(
    path: Path, provider: Callable[..., Provider]
) -> None:
    """With the pieces that had come."""
    broken = provider(lambda request, send: send(STREAM_HEAD + delta("Once ") + delta("upon ")))

    with proxied(broken.root, path) as proxy:
        body = json.dumps({**QUESTION, "stream": True}).encode()
        with (
            pytest.raises((IncompleteRead, OSError)),
            urlopen(Request(f"{proxy.base('openai')}/v1/chat/completions", body), timeout=60) as response,
        ):
            response.read()
        proxy.stop()
        proxy.commit()

    kept = interactions(path)[0]["response"]["body"]
    assert [event["delta"]["text"] for event in kept["events"] if event["type"] == "delta"] == ["Once ", "upon "]
    assert kept["error"]["code"] == "transport"


def test_a_client_that_leaves_in_mid_stream_has_its_pieces_kept(path: Path, provider: Callable[..., Provider]) -> None:
    """As a stream that was read no further."""
    left = threading.Event()

    def answer(request: bytes, send: Callable[[bytes], None]) -> None:
        send(STREAM_HEAD + delta("Once "))
        left.wait(60)

    with proxied(provider(answer).root, path) as proxy:
        body = json.dumps({**QUESTION, "stream": True}).encode()
        with urlopen(Request(f"{proxy.base('openai')}/v1/chat/completions", body), timeout=60) as response:
            response.readline()
        left.set()
        proxy.stop()
        proxy.commit()

    kept = interactions(path)[0]["response"]["body"]
    assert kept["ended"] == "closed"
    assert [event["delta"]["text"] for event in kept["events"] if event["type"] == "delta"] == ["Once "]


def test_new_questions_are_recorded_beside_those_that_are_played(path: Path) -> None:
    """In mode `new_episodes`; several answers to one question are several recordings."""
    several = {**QUESTION, "n": 2}
    with ProviderSimulator({"script": ["a", "b", "c"]}) as provider:
        for expected in ((2, 0), (1, 2)):
            with proxied(provider.url, path, "new_episodes") as proxy:
                reply = ask(f"{proxy.base('openai')}/v1/chat/completions", several)
                assert [each["message"]["content"] for each in reply.json["choices"]] == ["a", "b"]
                if expected[1]:
                    other = {**QUESTION, "messages": [{"role": "user", "content": "Who?"}]}
                    ask(f"{proxy.base('openai')}/v1/chat/completions", other)
                proxy.stop()
                report = proxy.commit()
                assert report is not None
                assert (report.recorded, report.played) == expected
    assert len(interactions(path)) == 3


@pytest.mark.parametrize(
    ("route", "headers", "status", "says"),
    [
        ("/to/openai/v1/chat/completions", {"Host": "evil.example"}, 403, "Host"),
        ("/to/openai/v1/chat/completions", {"Origin": "http://evil.example"}, 403, "web page"),
        ("/to/openai/v1/chat/completions", {"Origin": "null"}, 403, "web page"),
        ("/to/openai/oauth/token", {}, 403, "credentials"),
        ("/to/openai/v1/../oauth/token", {}, 400, "leads out"),
        ("/to/openai/v1/%2e%2e/oauth/token", {}, 400, "leads out"),
        ("/to/nobody/v1/chat/completions", {}, 404, "/to/openai/"),
        ("/v1/chat/completions", {}, 404, "/to/openai/"),
        ("/to/openai", {}, 404, "/to/openai/"),
        ("//to/openai/v1/chat/completions", {}, 404, "/to/openai/"),
    ],
)
def test_what_is_not_to_be_passed_on_is_refused(
    provider: Callable[..., Provider], route: str, headers: dict[str, str], status: int, says: str
) -> None:
    """Rebound names, web pages, tokens, and every address but those that were fixed; nobody is asked."""
    asked = provider(lambda request, send: send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))

    with proxied(asked.root) as proxy:
        reply = ask(f"{proxy.url}{route}", QUESTION, headers=headers)

    assert reply.status == status
    assert says in reply.json["error"]["message"]
    assert asked.asked == []


def test_a_redirect_is_the_clients_to_follow(provider: Callable[..., Provider]) -> None:
    """The proxy goes nowhere but to its upstream."""
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n"
    asked = provider(lambda request, send: send(moved))

    with proxied(asked.root) as proxy, pytest.raises(URLError):
        urlopen(Request(f"{proxy.base('openai')}/v1/models"), timeout=60)

    eventually(lambda: len(asked.asked) == 1)


def test_an_upstream_that_is_down_is_told_and_nothing_is_recorded(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where the program makes light of it."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        root = f"http://127.0.0.1:{closed.getsockname()[1]}"
    careless = f"try:\n    exec({ASKING!r})\nexcept Exception as error: print(error)"

    assert recorded(path, root, program=careless) == 1

    told = capfd.readouterr()
    assert "502" in told.out
    assert f"dspex-testkit: nothing was recorded: {root} cannot be reached" in told.err
    assert not path.exists()


def test_a_command_that_fails_leaves_no_recording(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its status is passed on."""
    with ProviderSimulator() as provider:
        assert recorded(path, provider.url, program=ASKING + "sys.exit(3)") == 3

    assert "nothing was recorded: the command ended with status 3" in capfd.readouterr().err
    assert not path.exists()


def test_what_is_no_call_of_an_lm_is_passed_on_and_told(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By name, beside what was kept."""
    program = ASKING + "u.urlopen(os.environ['OPENAI_BASE_URL'] + '/models').read()"
    with ProviderSimulator() as provider:
        assert recorded(path, provider.url, program=program) == 0

    told = capfd.readouterr().err
    assert "kept.yaml: 1 recorded, 0 played" in told
    assert "not kept: GET https://api.openai.com/v1/models: no call of an LM" in told


def test_servers_of_ones_own_are_not_mistaken_for_a_provider(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their variables stay as they are, unless their addresses are given."""
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:11434")
    program = ASKING + "print(os.environ['OLLAMA_HOST'], os.environ.get('HOSTED_VLLM_API_BASE'))"
    with ProviderSimulator() as provider:
        assert recorded(path, provider.url, "--upstream", f"vllm={provider.url}", program=program) == 0

    ollama, vllm = capfd.readouterr().out.split()[-2:]
    assert ollama == "http://127.0.0.1:11434"
    assert vllm.endswith("/to/vllm/v1")


def test_a_command_that_asks_nobody_records_nothing(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """That is an error, as with every recording."""
    assert recorded(path, "http://127.0.0.1:9", program="pass") == 2
    assert "no LM was called" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--record-mode once", "--cassette"),
        ("--record-mode all --cassette c.yaml --rules r.yaml", "--rules is for simulated providers"),
        ("--record-mode all --cassette c.yaml --fault reset", "--fault is for simulated providers"),
        ("--record-mode all --cassette c.yaml --alias m", "--local-lm"),
        ("--record-mode all --cassette c.yaml --upstream nobody=http://x", "PROVIDER=URL"),
        ("--record-mode all --cassette c.yaml --upstream openai=ftp://x", "PROVIDER=URL"),
        ("--upstream openai=http://x", "needs --record-mode"),
        ("--local-lm missing.gguf", "cannot be read"),
        ("--local-lm missing.gguf --upstream openai=http://x", "leave --upstream out"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anybody is asked."""
    monkeypatch.chdir(tmp_path)

    assert main(["serve", *shlex.split(arguments), "--", "true"]) == 2

    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("policy", [None, "mock", "replay"])
def test_providers_are_asked_only_where_that_is_said(
    policy: str | None, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the offline policy, whose default is to ask nobody."""
    monkeypatch.delenv("DSPEX_TESTKIT_OFFLINE_POLICY")
    if policy is not None:
        monkeypatch.setenv("DSPEX_TESTKIT_OFFLINE_POLICY", policy)

    assert recorded(path, "http://127.0.0.1:9") == 2

    assert "DSPEX_TESTKIT_OFFLINE_POLICY=record" in capsys.readouterr().err

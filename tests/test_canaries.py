"""No key gets out: canaries are put wherever a key may stand, and looked for wherever anything comes out.

What is a secret is decided by its place: `api_key` and the fields of tokens, in maps and lists of pairs, at any depth
of a command's arguments, of a setting or of a marker; the headers and query parameters that say who asks; user and
password in an address. A canary in a question, in a program's inputs or in the answers that a mock was given is no
secret: it is what was asked and answered, and arrives as it was given (`_CONTENT` below). A key on a command line is
seen by every user of the machine before anything of ours can hide it; what we start shows none.

Searched are replies, logs, recordings, remembered answers, reports, artifacts, the terminal, every file that was left,
and the list of processes: for canaries as they are, URL-encoded, in base64, escaped, spread over pieces, or shortened.
"""

import base64
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.cassettes.http.opening import http_cassette
from dspex_testkit.errors import UsageError
from dspex_testkit.protocol import Request
from dspex_testkit.runtime.settings import load
from dspex_testkit.setting_table import SETTINGS
from dspex_testkit.simulator import ProviderSimulator
from tests.support.bridges import Process
from tests.support.canaries import (
    address_with,
    canaries_in,
    canaries_in_files,
    canaries_in_json,
    canaries_in_process_list,
    new_canary,
)
from tests.support.chat_server import ChatServer, completion
from tests.support.hostile import PLACES, PREPARED, Place, samples

_CONTENT = {"inputs", "input", "outputs", "fields", "value", "responses", "rules", "script", "mock", "answers", "demos"}
"""What stands below one of these is what clients ask, and what mocks are to answer."""

Start = Callable[..., Process]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the processes of a test leave whatever they leave."""
    for name in ("tmp", "home", "cassettes"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """Has everything that is written at all written into the folder: logs, caches, recordings, temporary files."""
    return {
        "DSPEX_TESTKIT_LOG": str(folder / "bridge.log"),
        "DSPEX_TESTKIT_LOG_LEVEL": "debug",
        "DSPEX_TESTKIT_JOURNAL_PROMPTS": "1",
        "DSPEX_TESTKIT_CASSETTES": str(folder / "cassettes"),
        "DSPEX_TESTKIT_CACHE_DIR": str(folder / "answers"),
        "XDG_CACHE_HOME": str(folder / "home"),
        "DSPY_CACHEDIR": str(folder / "home" / "dspy"),
        "TMPDIR": str(folder / "tmp"),
    }


@pytest.fixture(params=["standalone", "pool-worker"])
def bridges(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Callable[..., list[Process]]]:
    """Starts a standalone bridge, or two workers of one pool: what one is told, the other can be asked for."""
    with ExitStack() as stack:

        def start(**more: str) -> list[Process]:
            env = {**environment, **more}
            if request.param == "standalone":
                return [stack.enter_context(Process(env=env))]
            env["DSPEX_TESTKIT_POOL"] = new_canary()[-5:] + str(os.getpid())
            return [
                stack.enter_context(Process(mode="pool-worker", worker_id=f"worker_{number}", env=env))
                for number in (1, 2)
            ]

        yield start


def leaks(bridge: Process, command: str, args: Mapping[str, Any] | None = None) -> list[str]:
    """What a reply shows that it should not."""
    reply = json.loads(json.dumps(bridge.ask(command, args).to_wire()))
    return [f"{command}: {found}" for found in canaries_in_json(reply)]


def leaks_of_listings(bridges: list[Process]) -> Iterator[str]:
    """What every bridge shows of what it remembers, whoever was told."""
    for bridge in bridges:
        for command in ("get_lm", "list_lms", "get_costs", "get_stats", "get_cache_stats", "list_programs"):
            yield from leaks(bridge, command)
        yield from leaks(bridge, "get_journal", {"prompts": True})
        for program in bridge.call("list_programs")["programs"]:
            named = {"program_id": program["id"], "session_id": program["session_id"] or "anonymous"}
            yield from leaks(bridge, "get_program_info", named)


def with_canaries(place: Place) -> tuple[str, dict[str, Any]]:
    """A request with everything that is secret by its place at this place."""
    canary = new_canary()
    secrets = {
        "api_key": canary,
        "access_token": canary,
        "api_base": address_with(canary),
        "headers": {"Authorization": f"Bearer {canary}"},
        "options": [["api_key", canary], ["temperature", 0.1]],
        "lm": {"api_key": canary},
    }
    return place.request(secrets)


def beside(place: Place) -> tuple[str, dict[str, Any]]:
    """The request in order, but for a key and an address in the map around this place."""
    canary = new_canary()
    command, args = Place(place.command, (*place.path[:-1], "api_key"), place.sample).request(canary)
    at: Any = args
    for step in place.path[:-1]:
        at = at[step]
    at["api_base"] = address_with(canary)
    return command, args


def maps_around(places: list[Place]) -> list[Place]:
    """One place for each map that stands within the arguments of a command."""
    found: dict[tuple[Any, ...], Place] = {}
    for place in places:
        at: Any = samples()[place.command][place.sample]
        for step in place.path[:-1]:
            at = at[int(step)] if isinstance(at, list) else at.get(step)
            if not isinstance(at, dict | list):
                break
        if isinstance(at, dict):
            found.setdefault((place.command, place.sample, place.path[:-1]), place)
    return list(found.values())


SECRET_PLACES = [place for place in PLACES if _CONTENT.isdisjoint(place.path)]


def test_no_canary_of_any_argument_comes_out(bridges: Callable[..., list[Process]], folder: Path) -> None:
    """At every place of every command, in successes and in errors; also of what another worker was told."""
    workers = bridges()
    first, last = workers[0], workers[-1]
    requests = [*map(with_canaries, SECRET_PLACES), *map(beside, maps_around(SECRET_PLACES))]
    found: list[str] = []
    failed = 0
    for (command, args), place in zip(requests, [*SECRET_PLACES, *maps_around(SECRET_PLACES)], strict=True):
        if command in ("reset_state", "cleanup", "delete_program") or place is SECRET_PLACES[0]:
            for prepared in PREPARED:
                first.ask(*prepared)
        reply = first.ask(command, args)
        failed += not reply.success
        said = json.loads(json.dumps(reply.to_wire()))
        found += [f"{place}: {leak}" for leak in canaries_in_json(said)]
        if reply.success:
            for follow in place.follow_up(args):
                found += [f"{place}, then {leak}" for leak in leaks(last, *follow)]
    found += leaks_of_listings(workers)
    found += canaries_in_process_list()
    found += canaries_in_files(folder)
    assert found == []
    assert 100 < failed < len(requests) - 100, "both successes and errors are to be provoked"


def forms_of(canary: str) -> list[str]:
    """How a provider may say a key back."""
    return [
        canary,
        quote(canary, safe=""),
        base64.b64encode(f"user:{canary}".encode()).decode(),
        json.dumps(json.dumps({"key": canary})),
    ]


@pytest.mark.parametrize("policy", ["live", "record"])
def test_no_key_comes_out_that_a_provider_says_back(
    bridges: Callable[..., list[Process]], folder: Path, policy: str
) -> None:
    """In answers and in errors, of one LM and of a failed member of an ensemble, remembered and recorded."""
    keys = [new_canary(), new_canary()]
    found: list[str] = []

    def say_back(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        # Those with which it was asked so far.
        said = " and ".join(form for key in keys if key in server.keys for form in forms_of(key))
        if body["model"] == "failing":
            return 401, {"error": {"message": f"Incorrect API key provided: {said}", "type": "auth", "code": "auth"}}
        return 200, completion(f"[[ ## answer ## ]]\nYour keys are {said}.\n\n[[ ## completed ## ]]")

    with ChatServer(say_back) as server:
        workers = bridges(DSPEX_TESTKIT_OFFLINE_POLICY=policy, DSPEX_TESTKIT_RESPONSE_CACHE="disk")
        first, last = workers[0], workers[-1]
        # Two keys of one model: the second does not take the first one's place.
        one, two = [server.config(api_key=key) for key in keys]
        failing = server.config(model="failing", api_key=keys[0])
        chain = {"kind": "ensemble", "strategy": "first_success", "members": [failing, two], "on_errors": ["auth"]}
        vote = {"kind": "ensemble", "strategy": "majority", "members": [failing, one, two]}
        first.call("create_program", {"id": "p", "signature": "question -> answer", "lm_config": one})
        answered = 0
        for number, lm in enumerate([one, two, failing, chain, vote]):
            for bridge in workers:
                args = {"program_id": "p", "inputs": {"question": f"{number}?"}, "lm_config": lm, "session_id": "s"}
                reply = bridge.ask("execute_program", args).to_wire()
                answered += bool(reply["success"])
                found += canaries_in_json(json.loads(json.dumps(reply)))
        found += leaks(last, "configure_lm", {**failing, "verify": True})
        found += leaks_of_listings(workers)
        found += canaries_in_process_list()
        for bridge in workers:
            bridge.call("shutdown")
            found += canaries_in(bridge.end()[1])
    assert server.requests
    assert answered == 4 * len(workers), found
    assert found + canaries_in_files(folder) == []
    if policy == "record":
        assert "[redacted]" in "".join(path.read_text() for path in (folder / "cassettes").glob("*.yaml"))


def test_no_canary_of_any_setting_is_shown(environment: dict[str, str], folder: Path) -> None:
    """By what refuses a setting, and by a bridge whose default LM has a key."""
    found: list[str] = []
    for setting in SETTINGS:
        if setting.name == "config":
            continue  # the path of a file, and shown as one
        for value in (address_with(new_canary()), json.dumps({"api_key": new_canary(), "nonsense": 1})):
            try:
                load(environ={setting.env: value})
            except UsageError as error:
                found += [f"{setting.name}: {leak}" for leak in canaries_in(f"{error} {error.details}")]
    default = {"provider": "openai", "model": "gpt-4", "api_key": new_canary(), "api_base": address_with(new_canary())}
    found += canaries_in(repr(BridgeSettings(default_lm=default)))
    for lm in (default, {**default, "nonsense": 1}, {**default, "temperature": default["api_key"]}):
        env = {**environment, "DSPEX_TESTKIT_DEFAULT_LM": json.dumps(lm)}
        with Process(env=env) as bridge:
            bridge.send(Request(1, "predict", {"input": "?"}))
            bridge.send(Request(2, "get_lm"))
            found += canaries_in_process_list()
            # Until both are answered, or the bridge has said why it cannot be.
            said = [frame for _ in range(2) if (frame := bridge.receive_frame()) is not None]
            assert bridge.process.stdin is not None
            bridge.process.stdin.close()
            assert bridge.process.stderr is not None
            said.append(bridge.process.stderr.read())
            found += canaries_in(b"\n".join(said).decode())
    doctor = [sys.executable, "-m", "dspex_testkit.cli", "doctor"]
    done = subprocess.run(doctor, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    found += canaries_in(done.stdout + done.stderr)
    assert found + canaries_in_files(folder) == []


SUITE = '''
    """A suite that has a key everywhere."""

    import os

    import dspy
    import httpx
    import pytest

    KEY, BASE = os.environ["KEY"], os.environ["BASE"]
    LM = {"provider": "openai", "model": "m", "api_key": KEY, "api_base": BASE}
    FAILING = {**LM, "model": "failing"}
    MOCK = {**LM, "mock": {"responses": {"default": "Ada"}}}


    @pytest.mark.lm(**MOCK)
    def test_mocked(bridge):
        assert bridge.create_program("question -> answer")(question="?").answer == "Ada"


    @pytest.mark.lm(**MOCK, nonsense=[KEY])
    def test_refused(bridge):
        bridge.create_program("question -> answer")


    @pytest.mark.lm_policy("live")
    @pytest.mark.parametrize("lm", [LM, FAILING], ids=["answers", "fails"])
    def test_live(bridge, lm):
        bridge.create_program("question -> answer", lm=lm)(question="?")


    @pytest.mark.parametrize("model", ["m", "failing"])
    def test_watched(model, lm_journal):
        lm = dspy.LM(f"openai/{model}", api_key=KEY, api_base=BASE, cache=False, num_retries=0)
        dspy.Predict("question -> answer")(question="?", lm=lm)


    @pytest.mark.lm_cassette(record_mode="all")
    @pytest.mark.parametrize("model", ["m", "failing"])
    def test_recorded(lm_cassette, model):
        lm = lm_cassette.lm_for(dspy.LM(f"openai/{model}", api_key=KEY, api_base=BASE, cache=False, num_retries=0))
        dspy.Predict("question -> answer")(question="?", lm=lm)


    HEADERS = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "x-amz-security-token"]


    @pytest.mark.lm_cassette(level="http", record_mode="all")
    def test_traffic(lm_cassette):
        secret = {name: f"Bearer {KEY}" if name == "authorization" else KEY for name in HEADERS}
        query = {"key": KEY, "access_token": KEY, "api-key": KEY, "alt": "sse"}
        body = {"model": "m", "api_key": KEY, "messages": [{"role": "user", "content": "?"}]}
        httpx.post(f"{BASE}/chat/completions", headers=secret, params=query, json=body)
        httpx.post(f"{BASE}/oauth/token", json={"grant_type": "client_credentials", "client_secret": KEY})
'''


def test_no_canary_of_a_test_run_is_left_anywhere(folder: Path, environment: dict[str, str]) -> None:
    """Neither in the terminal, nor in journal, report, artifacts, recordings and JUnit's file."""
    key = new_canary()

    def say_back(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        said = " and ".join(forms_of(key))
        if body.get("model") == "failing":
            return 401, {"error": {"message": f"Incorrect API key provided: {said}", "type": "auth", "code": "auth"}}
        text = f"[[ ## answer ## ]]\nYour key is {said}.\n\n[[ ## completed ## ]]"
        return 200, {**completion(text), "access_token": key, "client_secret": key}

    suite = folder / "suite"
    suite.mkdir()
    (suite / "test_keys.py").write_text(textwrap.dedent(SUITE).lstrip())
    options = [
        *("--lm-journal=journal.jsonl", "--lm-report=report.html", "--lm-artifacts=artifacts", "--junitxml=junit.xml"),
        *("--lm-live", "--bridge-mode=all", "-v", "-rA", "-p", "no:cacheprovider"),
    ]
    with ChatServer(say_back) as server:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=suite,
            env={**os.environ, **environment, "KEY": key, "OPENAI_API_KEY": key, "BASE": server.base},
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout, done.stderr)
    assert "passed" in done.stdout
    assert "failed" in done.stdout
    for left in ("journal.jsonl", "report.html", "junit.xml", "artifacts"):
        assert (suite / left).exists(), left
    assert canaries_in(done.stdout + done.stderr) == []
    assert canaries_in_files(folder) == []


def test_no_key_of_a_request_is_kept_by_the_simulator() -> None:
    """Of every header and query parameter that says who asks; in replies and in the journal."""
    found: list[str] = []
    with ProviderSimulator() as simulator:
        simulator.target("openai/m", spec={"responses": {"default": "Ada"}})
        for name in ("Authorization", "x-api-key", "x-goog-api-key", "api-key"):
            for path, content in (("/v1/chat/completions", "?"), ("/v1/nowhere", "?"), ("/v1/chat/completions", None)):
                key = new_canary()
                headers = {name: f"Bearer {key}" if name == "Authorization" else key}
                body = {"model": "m", "messages": [{"role": "user", "content": content and f"{content} {key}"}]}
                said = httpx.post(f"{simulator.url}{path}", headers=headers, params={"key": key}, json=body)
                found += canaries_in(said.text)
        found += canaries_in(repr(simulator.calls) + json.dumps([call.to_dict() for call in simulator.calls]))
    assert found == []


CARRIED: dict[str, Callable[[str], dict[str, Any]]] = {
    "authorization": lambda key: {"headers": {"Authorization": f"Bearer {key}"}},
    "x-api-key": lambda key: {"headers": {"x-api-key": key}},
    "basic": lambda key: {"auth": ("user", key)},
    "query": lambda key: {"params": {"key": key}},
    "body": lambda key: {"json": {"model": "m", "api_key": key}},
    "map in the body": lambda key: {"json": {"model": "m", "client_secret": {"value": key, "expires_at": 1}}},
    "list in the body": lambda key: {"json": {"model": "m", "access_token": [key]}},
}


@pytest.mark.parametrize("place", CARRIED)
@pytest.mark.parametrize("status", [200, 401])
def test_no_key_that_only_a_request_carries_gets_into_recorded_traffic(tmp_path: Path, place: str, status: int) -> None:
    """It is in no variable and no option; the provider says it back in each form, and a prompt quotes it too."""
    key = new_canary()
    file = tmp_path / "traffic.yaml"
    answer = completion(" and ".join(forms_of(key)))
    with ChatServer(lambda body: (status, answer)) as server, http_cassette(file, record_mode="all"):
        carried = CARRIED[place](key)
        body = {"model": "m", "messages": [{"role": "user", "content": key}], **carried.pop("json", {})}
        httpx.post(f"{server.base}/chat/completions", json=body, **carried)
    assert canaries_in_files(tmp_path) == []
    assert "[redacted]" in file.read_text()


def test_a_placeholder_for_a_key_is_not_cut_out_of_what_is_looked_up(tmp_path: Path) -> None:
    """A replay with any text in place of a key finds what was recorded with one."""
    file = tmp_path / "traffic.yaml"
    body = {"model": "m", "messages": [{"content": "is anything the matter?"}]}
    with ChatServer(lambda body: (200, completion("no"))) as server:
        for mode, key in (("all", new_canary()), ("none", "anything")):
            with http_cassette(file, record_mode=mode):
                headers = {"Authorization": f"Bearer {key}"}
                said = httpx.post(f"{server.base}/chat/completions", headers=headers, json=body)
            assert said.json()["choices"][0]["message"]["content"] == "no"
        assert len(server.requests) == 1

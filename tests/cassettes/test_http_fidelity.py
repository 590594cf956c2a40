"""What a client needs of its provider's traffic is kept, compared and played as it was, whichever client it is."""

import asyncio
import io
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes import IncompleteRecordingWarning, StaleCassetteWarning
from dspex_testkit.errors import CassetteError, NoMatchingInteractionError, NothingRecordedError, UsageError
from tests.support.pages import Asked, Page, Pages, serving


@pytest.fixture
def pages() -> Iterator[Pages]:
    """A server that tells what it was asked, and how often it was."""
    count = iter(range(1_000_000))
    with serving(lambda asked: Page(json.dumps({"path": asked.path, "number": next(count)}))) as running:
        yield running


def get(url: str, **more: Any) -> httpx.Response:
    """Ask through plain httpx."""
    with httpx.Client() as client:
        return client.get(url, **more)


def post(url: str, **more: Any) -> httpx.Response:
    """Send through plain httpx."""
    with httpx.Client() as client:
        return client.post(url, **more)


def interactions(path: Path) -> list[dict[str, Any]]:
    """What stands in a file."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["interactions"]
    return found


def test_query_parameters_are_kept_and_compared(path: Path, pages: Pages) -> None:
    """Pages that differ in their query alone are told apart, in whichever order they are asked for."""
    with cassettes.http_cassette(path, record_mode="once"):
        for after in "abc":
            get(f"{pages.url}/v1/files", params={"after": after, "api_key": "hidden-hidden-hidden"})
    assert [each["request"]["uri"].partition("?")[2] for each in interactions(path)] == [
        "after=a",
        "after=b",
        "after=c",
    ]
    with cassettes.http_cassette(path):
        answers = [get(f"{pages.url}/v1/files", params={"after": after}).json()["path"] for after in "cab"]
    assert ["after=c" in answers[0], "after=a" in answers[1], "after=b" in answers[2]] == [True] * 3
    with cassettes.http_cassette(path, ignore=["query.after"]):
        assert get(f"{pages.url}/v1/files", params={"after": "z"}).json()["number"] == 0


def test_a_redirect_leads_where_it_led(path: Path) -> None:
    """The address in a recorded redirect is kept, without the host, and followed."""

    def answer(asked: Asked) -> Page:
        if asked.path == "/v1/old":
            return Page(status=307, headers={"Location": f"http://{asked.headers['Host']}/v1/new?sig=hidden-hidden"})
        return Page('{"here": true}', headers={"Set-Cookie": "a=b", "OpenAI-Organization": "acme", "X-Kept": "yes"})

    with serving(answer) as pages, cassettes.http_cassette(path, record_mode="once"):
        recorded = get(f"{pages.url}/v1/old", follow_redirects=True)
    with cassettes.http_cassette(path):
        replayed = get(f"{pages.url}/v1/old", follow_redirects=True)
    assert (replayed.status_code, replayed.json()) == (200, recorded.json())
    assert replayed.headers["x-kept"] == "yes"
    text = path.read_text().lower()
    assert not [word for word in ("127.0.0.1", "hidden", "set-cookie", "acme") if word in text]


def test_headers_of_requests_are_kept_where_that_is_asked_for(path: Path, pages: Pages) -> None:
    """The allow-list can be widened."""
    with cassettes.http_cassette(path, record_mode="once", keep_headers=["X-Feature"]):
        get(f"{pages.url}/v1/a", headers={"X-Feature": "new", "X-Other": "o"})
    kept = interactions(path)[0]["request"]["headers"]
    assert kept["x-feature"] == ["new"]
    assert "x-other" not in kept


def upload_with_httpx(url: str, number: int) -> Any:
    """A file beside a field."""
    fields = {"purpose": "batch", "settings": json.dumps({"a": number})}
    return post(url, data=fields, files={"file": ("a.bin", bytes([0, 255, number]) * 9)}).json()


def upload_with_requests(url: str, number: int) -> Any:
    """The same by another client."""
    files = {"file": ("a.bin", bytes([0, 255, number]) * 9)}
    return requests.post(url, data={"purpose": "batch"}, files=files, timeout=60).json()


def upload_an_open_file(url: str, number: int) -> Any:
    """A body that is read from a file."""
    return requests.post(url, data=io.BytesIO(b"line %d" % number), timeout=60).json()


def upload_from_a_generator(url: str, number: int) -> Any:
    """A body that is made piece by piece."""
    return requests.post(url, data=(piece for piece in [b"piece ", b"%d" % number]), timeout=60).json()


@pytest.mark.parametrize(
    "upload", [upload_with_httpx, upload_with_requests, upload_an_open_file, upload_from_a_generator]
)
def test_uploads_replay(path: Path, pages: Pages, upload: Callable[[str, int], Any]) -> None:
    """Bodies are compared part by part, for the boundary between the parts is another one each time."""
    url = f"{pages.url}/v1/files"
    with cassettes.http_cassette(path, record_mode="once"):
        recorded = [upload(url, 1), upload(url, 2)]
    with cassettes.http_cassette(path):
        assert [upload(url, 2), upload(url, 1)] == recorded[::-1]
    with pytest.raises(NoMatchingInteractionError), cassettes.http_cassette(path):
        upload(url, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"allow_playback_repeats": True}, [0, 1, 2, 2, 2]),
        ({"on_exhausted": "last"}, [0, 1, 2, 2, 2]),
        ({"on_exhausted": "cycle"}, [0, 1, 2, 0, 1]),
    ],
)
def test_repeats_play_through_before_they_repeat(
    path: Path, pages: Pages, options: dict[str, Any], expected: list[int]
) -> None:
    """A job that was queued, running and done is so again; and what is recorded is not played meanwhile."""
    with cassettes.http_cassette(path, record_mode="once", **options):
        assert [get(f"{pages.url}/v1/job").json()["number"] for _ in range(3)] == [0, 1, 2]
    with cassettes.http_cassette(path, **options):
        assert [get(f"{pages.url}/v1/job").json()["number"] for _ in range(5)] == expected


def test_what_is_recorded_now_is_not_played_now(path: Path, pages: Pages) -> None:
    """New episodes are all asked of the provider, also where they are equal."""
    with cassettes.http_cassette(path, record_mode="once"):
        get(f"{pages.url}/v1/other")
    with cassettes.http_cassette(path, record_mode="new_episodes"):
        assert [get(f"{pages.url}/v1/job").json()["number"] for _ in range(3)] == [1, 2, 3]


def test_equal_requests_are_kept_in_the_order_of_asking(path: Path) -> None:
    """Of two equal requests the first is answered last, and stays the first."""
    first_came, go_on, numbers = threading.Event(), threading.Event(), iter(range(9))

    def answer(asked: Asked) -> Page:
        number = next(numbers)
        if number == 0:
            first_came.set()
            go_on.wait(60)
        return Page(json.dumps({"number": number}))

    async def ask_both(url: str, *, live: bool) -> list[int]:
        async with httpx.AsyncClient(timeout=60) as client:
            slow = asyncio.ensure_future(client.get(url))
            if live:
                await asyncio.to_thread(first_came.wait, 60)
            else:
                await asyncio.sleep(0)
            quick = (await client.get(url)).json()["number"]
            go_on.set()
            return [(await slow).json()["number"], quick]

    with serving(answer) as pages:
        url = f"{pages.url}/v1/sample"
        with cassettes.http_cassette(path, record_mode="once"):
            assert asyncio.run(ask_both(url, live=True)) == [0, 1]
    with cassettes.http_cassette(path):
        assert asyncio.run(ask_both(url, live=False)) == [0, 1]


EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r", "user": "bob-private", "metadata": {"of": "bob-private"}}},
    {"type": "delta", "safety_identifier": "bob-private", "text": "hello"},
]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps({**EVENTS[0]["response"], "text": "hello"})),
        ("text/event-stream", "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS)),
        ("application/x-ndjson", "".join(f"{json.dumps(event)}\n" for event in EVENTS)),
    ],
)
def test_who_asked_is_kept_in_no_shape_of_body(path: Path, kind: str, body: str) -> None:
    """One filter for whole answers, events and lines; what else they say stays."""
    with (
        serving(lambda asked: Page(body, headers={"Content-Type": kind})) as pages,
        cassettes.http_cassette(path, record_mode="once"),
    ):
        post(f"{pages.url}/v1/responses", json={"model": "m", "user": "bob-private"})
        post(f"{pages.url}/v1/form", data={"model": "m", "user": "bob-private"})
    text = path.read_text()
    assert "bob-private" not in text
    assert "hello" in text
    with cassettes.http_cassette(path):
        post(f"{pages.url}/v1/responses", json={"model": "m", "user": "eve-private"})
        post(f"{pages.url}/v1/form", data={"model": "m", "user": "eve-private"})


@pytest.mark.parametrize(
    "events",
    [
        ["hello", "planted-", "key-1234 ", "goodbye", "[DONE]"],
        ['"hello"', '"planted-"', '"key-1234 "', '"goodbye"', "[DONE]"],
        ["hello access_token=0paqueValue99", "goodbye"],
        ["hello", '{"access_token": 12345678}', "goodbye"],
    ],
)
def test_no_key_is_kept_of_events_that_are_texts(
    path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str]
) -> None:
    """It may be spread over them; whatever else they say stays."""
    monkeypatch.setenv("PLANTED_API_KEY", "planted-key-1234")
    body = "".join(f"event: word\ndata: {event}\n\n" for event in events)
    with (
        serving(lambda asked: Page(body, headers={"Content-Type": "text/event-stream"})) as pages,
        cassettes.http_cassette(path, record_mode="once"),
    ):
        post(f"{pages.url}/v1/words", json={"model": "m"})
    with cassettes.http_cassette(path):
        replayed = post(f"{pages.url}/v1/words", json={"model": "m"})
    said = replayed.text.replace("event: word\n", "").replace("\n\n", "")
    assert not any(part in said for part in ("planted", "key-1234", "0paque", "12345678"))
    assert said.replace('"', "").startswith("data: hello")
    assert "[redacted]" in said
    assert "goodbye" in said


def test_half_a_surrogate_pair_is_kept(path: Path) -> None:
    """What is no Unicode loses no recording, and comes out as it went in."""
    body = '{"text": "half \\ud83d of it", "user": "bob"}'
    with serving(lambda asked: Page(body)) as pages, cassettes.http_cassette(path, record_mode="once"):
        get(f"{pages.url}/v1/a")
    with cassettes.http_cassette(path):
        assert get(f"{pages.url}/v1/a").json() == {"text": "half \ud83d of it"}


def test_an_answer_that_nothing_can_decompress_is_not_kept(path: Path) -> None:
    """Nobody could say whether a secret stands in it; the client has its answer, the recording is refused."""

    def record(url: str) -> None:
        with cassettes.http_cassette(path, record_mode="once"):
            assert get(url).content == b"\x00\x01"

    headers = {"Content-Encoding": "x-rare"}
    with (
        serving(lambda asked: Page(b"\x00\x01", headers=headers)) as pages,
        pytest.raises(CassetteError, match="compressed as x-rare"),
    ):
        record(f"{pages.url}/v1/a")
    assert not path.exists()


def test_filters_of_the_user_change_what_is_kept_and_compared(path: Path, pages: Pages) -> None:
    """They take data, and return what may stay of it; None keeps nothing."""

    def without_time(asked: dict[str, Any]) -> dict[str, Any] | None:
        if asked["uri"].endswith("/secret"):
            return None
        return {**asked, "body": {**asked["body"], "time": "some time"}}

    def shorter(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "body": {"cut": True}}

    options: dict[str, Any] = {"filter_request": without_time, "filter_response": shorter}
    with cassettes.http_cassette(path, record_mode="once", **options):
        post(f"{pages.url}/v1/a", json={"q": 1, "time": "now"})
        post(f"{pages.url}/v1/secret", json={})
    assert len(interactions(path)) == 1
    with cassettes.http_cassette(path, **options):
        assert post(f"{pages.url}/v1/a", json={"q": 1, "time": "then"}).json() == {"cut": True}
    before = len(pages.asked)
    with pytest.raises(NoMatchingInteractionError), cassettes.http_cassette(path, **options):
        post(f"{pages.url}/v1/secret", json={})
    assert len(pages.asked) == before


def test_failures_are_left_out_where_that_is_asked_for(path: Path) -> None:
    """With record_errors off, answers of status 400 and more are not kept, and the report says so."""
    with (
        serving(lambda asked: Page("{}", status=500 if asked.path.endswith("bad") else 200)) as pages,
        cassettes.http_cassette(path, record_mode="once", record_errors=False) as cassette,
    ):
        get(f"{pages.url}/v1/bad")
        get(f"{pages.url}/v1/good")
    assert len(interactions(path)) == 1
    assert "record_errors is off" in cassette.report().not_kept[0]


def test_what_counts_can_be_chosen(path: Path, pages: Pages) -> None:
    """Some of method, host, path, query and body."""
    with cassettes.http_cassette(path, record_mode="once"):
        post(f"{pages.url}/v1/a", json={"q": 1})
    with cassettes.http_cassette(path, match_on=["method", "path"]):
        assert post(f"{pages.url}/v1/a", json={"q": 2}).json()["number"] == 0
    with (
        pytest.raises(UsageError, match="match_on at the HTTP level knows no 'messages'"),
        cassettes.http_cassette(path, match_on=["messages"]),
    ):
        pass


def test_old_traffic_is_told(path: Path, pages: Pages) -> None:
    """Recordings have a date at this level too; where there is none, that is told."""
    with cassettes.http_cassette(path, record_mode="once"):
        get(f"{pages.url}/v1/a")
    with cassettes.http_cassette(path, max_age="90d", on_stale="fail"):
        pass
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    path.write_text(path.read_text().replace(date, "2020-01-01"))
    with (
        pytest.raises(CassetteError, match=r"recorded .* days ago"),
        cassettes.http_cassette(path, max_age="90d", on_stale="fail"),
    ):
        pass
    with pytest.warns(StaleCassetteWarning), cassettes.http_cassette(path, max_age="90d") as cassette:
        pass
    assert cassette.report().stale is not None


@pytest.mark.parametrize(
    ("level", "options", "message"),
    [
        ("http", {"params": ["temperature"]}, "level='http' has no 'params'"),
        ("http", {"realtime": True}, "level='http' has no 'realtime'"),
        ("lm", {"canonical_host": None}, "level='lm' has no 'canonical_host'"),
        ("lm", {"keep_headers": ["x"]}, "level='lm' has no 'keep_headers'"),
        ("lm", {"ignore": ["query.a"]}, "LM calls have none"),
        ("lm", {"ignroe": ["a"]}, "did you mean 'ignore'"),
        ("http", {"ignroe": ["a"]}, "did you mean 'ignore'"),
        ("http", {"on_stale": "perhaps"}, "on_stale is warn or fail"),
        ("http", {"max_age": "soon"}, "is no age"),
        ("lm", {"ignore": [None, None]}, "ignore is a list of texts, and null is among them"),
        ("http", {"ignore": "seed"}, "ignore is a list of texts, not 'seed'"),
        ("lm", {"match_on": 5}, "match_on is a list of texts, not 5"),
        ("lm", {"secrets": "letters"}, "secrets is a list of texts, not 'letters'"),
    ],
)
def test_an_option_is_honoured_or_refused_by_name(
    path: Path, level: str, options: dict[str, Any], message: str
) -> None:
    """No option is accepted and ignored, at either level."""
    path.parent.mkdir()
    path.write_text("version: 1\ninteractions: []\n")
    opened = cassettes.open_cassette if level == "lm" else cassettes.http_cassette
    with pytest.raises(UsageError, match=message), opened(path, **options):
        pass


def test_what_got_no_answer_is_told(path: Path, pages: Pages) -> None:
    """A request whose connection fails is named at the end of the recording."""

    def record() -> None:
        with cassettes.http_cassette(path, record_mode="once"):
            get(f"{pages.url}/v1/a")
            with pytest.raises(httpx.ConnectError):
                get("http://127.0.0.1:9/v1/b")

    with pytest.warns(IncompleteRecordingWarning, match="GET https://llm.test/v1/b: no whole answer came"):
        record()
    path.unlink()
    with (
        pytest.raises(NothingRecordedError, match="nothing could be kept"),
        cassettes.http_cassette(path, record_mode="once"),
        pytest.raises(httpx.ConnectError),
    ):
        get("http://127.0.0.1:9/v1/b")


def test_other_recorders_files_play_by_the_old_rules(path: Path, pages: Pages) -> None:
    """A file that names no format is played without its query, and stays one of its kind when more is added."""
    record = {
        "request": {"method": "GET", "uri": "https://api.example.com/v1/a?page=1", "body": None, "headers": {}},
        "response": {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": "{}"}},
    }
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"version": 1, "interactions": [record]}))
    with cassettes.http_cassette(path):
        assert get(f"{pages.url}/v1/a?page=7").json() == {}
    with cassettes.http_cassette(path, record_mode="new_episodes"):
        get(f"{pages.url}/v1/b")
    assert "metadata" not in yaml.safe_load(path.read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cassettes.http_cassette(path):
            get(f"{pages.url}/v1/b")

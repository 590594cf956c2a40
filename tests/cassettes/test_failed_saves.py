"""A recording that cannot be kept poisons nothing: what comes after it records and replays as ever."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import urllib3.connectionpool

from dspex_testkit import cassettes
from dspex_testkit.cassettes import yaml_text
from dspex_testkit.errors import CassetteWriteError, NoMatchingInteractionError
from dspex_testkit.plugin.cassette_plans import CassettePlan
from dspex_testkit.plugin.cassettes import CaseCassettes
from tests.support.pages import Page, Pages, serving


@pytest.fixture
def pages() -> Iterator[Pages]:
    """A server that counts."""
    with serving(lambda asked: Page(f'{{"asked": "{asked.path}"}}')) as running:
        yield running


def get(url: str) -> str:
    """Ask through plain httpx."""
    with httpx.Client() as client:
        return client.get(url).text


def fail_to_save(path: Path, url: str) -> None:
    """Record, and lose the place where the recording was to lie."""
    with cassettes.http_cassette(path, record_mode="once"):
        get(url)
        path.mkdir(parents=True)


def fail_to_write_down(path: Path, url: str) -> None:
    """Record what cannot be written down."""

    def dump(document: object) -> str:
        raise ValueError("this is no YAML")

    with pytest.MonkeyPatch.context() as patch, cassettes.http_cassette(path, record_mode="once"):
        get(url)
        patch.setattr(yaml_text, "dump", dump)


@pytest.mark.parametrize("fail", [fail_to_save, fail_to_write_down])
def test_a_save_that_fails_leaves_the_network_closed_to_replays(
    tmp_path: Path, pages: Pages, fail: Callable[[Path, str], None]
) -> None:
    """After a recording that could not be written, the next cassette replays without asking anybody."""
    with cassettes.http_cassette(tmp_path / "sound.yaml", record_mode="once"):
        recorded = get(f"{pages.url}/v1/a")
    clients = (httpx.HTTPTransport.handle_request, urllib3.connectionpool.HTTPConnectionPool.ConnectionCls)
    with pytest.raises((CassetteWriteError, ValueError)) as caught:
        fail(tmp_path / "lost.yaml", f"{pages.url}/v1/b")
    # A failure that somebody looks at later holds on to whatever its frames held.
    assert caught.tb is not None
    assert (httpx.HTTPTransport.handle_request, urllib3.connectionpool.HTTPConnectionPool.ConnectionCls) == clients
    with cassettes.http_cassette(tmp_path / "sound.yaml"):
        assert json.loads(get(f"{pages.url}/v1/a")) == json.loads(recorded)
    assert len(pages.asked) == 2
    assert get(f"{pages.url}/v1/c") == '{"asked": "/v1/c"}'


def test_a_save_that_fails_lets_go_of_the_file(tmp_path: Path, pages: Pages) -> None:
    """The next recorder of the same file is not told that somebody else has it."""
    path = tmp_path / "a.yaml"
    with pytest.raises(CassetteWriteError):
        fail_to_save(path, f"{pages.url}/v1/a")
    path.rmdir()
    with cassettes.http_cassette(path, record_mode="once"):
        get(f"{pages.url}/v1/a")
    assert path.is_file()


def test_a_test_whose_lm_recording_cannot_be_kept_still_gives_back_its_clients(tmp_path: Path, pages: Pages) -> None:
    """Whatever ends badly first, the HTTP cassette of the same test is closed."""
    plan = CassettePlan(folder=tmp_path, name="a.yaml", mode="once", level="http", asked_for=True)
    case = CaseCassettes(plan, uses_bridge=False)
    case.start()
    get(f"{pages.url}/v1/a")
    case._opened = BrokenCassette()  # type: ignore[assignment]
    with pytest.raises(OSError, match="disk"):
        case.finish(passed=True)
    before = len(pages.asked)
    with pytest.raises(NoMatchingInteractionError), cassettes.http_cassette(tmp_path / "a.yaml"):
        get(f"{pages.url}/v1/unheard-of")
    assert len(pages.asked) == before


class BrokenCassette:
    """A cassette whose end fails in a way that nobody foresaw."""

    def commit(self) -> None:
        """Fail."""
        raise OSError("the disk is gone")

    def discard(self) -> None:
        """Nothing is held."""

    def report(self) -> cassettes.CassetteReport:
        """Nothing came of it."""
        return cassettes.CassetteReport(
            Path("x"), cassettes.RecordMode.ONCE, 0, 0, 0, (), (), (), None, committed=False
        )

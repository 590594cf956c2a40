"""Files that are missing, damaged, dangerous or not ours to write: a clear error each, and the file untouched."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vcr
import yaml
from vcr.persisters.filesystem import FilesystemPersister
from vcr.serializers import yamlserializer

from dspex_testkit import cassettes
from dspex_testkit.cassettes import index_cache
from dspex_testkit.cassettes.files import resolve_inside, write_atomically
from dspex_testkit.cli import main
from dspex_testkit.errors import (
    CassetteError,
    CassetteFormatError,
    CassettePathError,
    CassetteReadOnlyError,
    CassetteWriteError,
)
from dspex_testkit.mock_lm import MockLM

Ask = Callable[..., str]

BOMB = b"version: 1\na0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n".encode() for i in range(1, 12)
)
"""Some hundred bytes that stand for 9^12 values."""


@pytest.fixture
def recorded(path: Path, sums: MockLM, ask: Ask) -> Path:
    """A sound cassette."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
        ask(lm, "2+3")
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"just words", "no 'interactions'"),
        (b"- a\n- b\n", "no 'interactions'"),
        (b"version: 2\ninteractions: []\n", "version 2"),
        (b"interactions: []\n", "version None"),
        (b"version: 1\ninteractions: {}\n", "must be a list"),
        (b"version: 1\ninteractions: [\n", "not YAML, or was cut short"),
        (b"version: 1\na: &a [x]\ninteractions: *a\n", "alias \\*a in line 3"),
        (BOMB, "alias \\*a0 in line 3"),
        (b"version: 1\ninteractions: " + b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
        (b"version: 1\ninteractions: !!python/object/apply:os.system ['touch owned']\n", "plain data only"),
        (b"version: 1\ninteractions: !!python/name:os.system\n", "plain data only"),
        (b"version: 1\nmetadata: {dspex_testkit: {level: lm, format: 9}}\ninteractions: []\n", "format 9"),
        (
            b"version: 1\nmetadata: {dspex_testkit: {level: lm, format: 1}}\ninteractions: [{request: 3}]\n",
            r"interactions\[0\].request must be a map",
        ),
    ],
)
def test_a_damaged_cassette_is_refused_and_left_alone(path: Path, content: bytes, message: str, sums: MockLM) -> None:
    """Neither replaying nor recording over it hides or changes a file that cannot be read."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CassetteFormatError, match=message):
        cassettes.replay(path, model="openai/x")
    with pytest.raises(CassetteFormatError), cassettes.record(sums, path, record_mode="new_episodes"):
        pass
    assert path.read_bytes() == content
    assert not Path("owned").exists()


REQUEST = ("request", "body")
RESPONSE = ("response", "body", "response")
EDITS: list[tuple[tuple[str, ...], Any, str]] = [
    (("request",), None, "request must be a map"),
    ((*REQUEST, "model"), 5, "needs 'model' and 'messages'"),
    ((*REQUEST, "messages"), ["x"], r"messages\[0\] must be a map"),
    ((*REQUEST, "messages"), [{"role": "user", "parts": ["x"]}], r"messages\[0\] needs parts"),
    ((*REQUEST, "config"), "hot", "config must be a map"),
    ((*RESPONSE, "message"), "x", "message must be a map"),
    ((*RESPONSE, "message"), {"parts": ["x"]}, "message needs parts"),
    ((*RESPONSE, "finish_reason"), None, "finish_reason"),
    ((*RESPONSE, "usage"), "many", "usage must be a map"),
    (("response", "body", "error"), {}, "either 'response' or 'error'"),
    (("response", "body", "chunks"), "x", "chunks must be a list"),
    (("response", "body", "chunks"), [{"event": "x"}], r"chunks\[0\].event must be a map"),
    (("response", "body", "chunks"), [{"event": {}, "at_ms": "soon"}], "at_ms must be a number"),
    (("response", "recording", "cost"), "cheap", "recording cannot be read"),
    (("response", "recording", "recorded_at"), "yesterday", "recording cannot be read"),
    (("response", "recording", "elapsed_ms"), "long", "recording cannot be read"),
]


def edited(path: Path, place: tuple[str, ...], value: Any) -> bytes:
    """The file with something else at one place of its first interaction."""
    record = yaml.safe_load(path.read_text())
    found = record["interactions"][0]
    for key in place[:-1]:
        found = found[key]
    found[place[-1]] = value
    path.write_text(yaml.safe_dump(record))
    return path.read_bytes()


@pytest.mark.parametrize(("place", "value", "message"), EDITS)
def test_what_was_edited_into_nonsense_is_named(
    recorded: Path, place: tuple[str, ...], value: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, place and what is wanted, for whoever reads it; the file stays as it is."""
    content = edited(recorded, place, value)
    with pytest.raises(CassetteFormatError, match=message):
        cassettes.replay(recorded)
    for action in ("list", "stats", "show", "scrub", "verify"):
        assert main(["cassettes", action, str(recorded)]) == 2
        assert str(recorded) in capsys.readouterr().err
    assert recorded.read_bytes() == content


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*RESPONSE, "finish_reason"), "because"),
        ((*RESPONSE, "message"), {"role": "assistant", "parts": [{"type": "nonsense"}]}),
    ],
)
def test_what_only_dspy_knows_to_be_nonsense_is_told_when_it_is_played(
    recorded: Path, ask: Ask, place: tuple[str, ...], value: Any
) -> None:
    """The other recordings of the file still play."""
    edited(recorded, place, value)
    lm = cassettes.replay(recorded)
    with pytest.raises(CassetteFormatError, match="answers this request and cannot be read"):
        ask(lm, "2+2")
    assert ask(lm, "2+3") == "5"


@pytest.mark.parametrize("value", ["x", {"request": {}}, {"request": {"method": "POST", "uri": 5}, "response": {}}])
def test_http_cassettes_edited_into_nonsense_are_refused_too(path: Path, value: Any) -> None:
    """Before anything is asked, and whatever the mode."""
    path.parent.mkdir()
    content = yaml.safe_dump({"version": 1, "interactions": [value]}).encode()
    path.write_bytes(content)
    for mode in ("none", "new_episodes", "verify"):
        with (
            pytest.raises(CassetteFormatError, match=r"interactions\[0\]"),
            cassettes.http_cassette(path, record_mode=mode),
        ):
            pass
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
def test_a_truncated_cassette_is_refused(recorded: Path, part: float) -> None:
    """A file that was cut anywhere within its interactions does not replay half."""
    content = recorded.read_bytes()
    cut = content[: int(len(content) * part)].rstrip(b" \n") + b"\n      - 'unfinished"
    recorded.write_bytes(cut)
    with pytest.raises(CassetteFormatError):
        cassettes.replay(recorded)
    assert recorded.read_bytes() == cut


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "", "nul\0", "..\\up"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    """A cassette's name is relative and stays inside."""
    with pytest.raises(CassettePathError):
        resolve_inside(tmp_path, name)


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    """A link is followed before it is judged."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "door").symlink_to(outside)
    (inside / "file.yaml").symlink_to(outside / "file.yaml")
    (inside / "window").symlink_to(inside)
    for name in ("door/test", "file"):
        with pytest.raises(CassettePathError, match="leads out"):
            resolve_inside(inside, name)
    assert resolve_inside(inside, "window/test") == inside / "test.yaml"


def test_a_read_only_cassette_is_not_recorded_over(recorded: Path, sums: MockLM) -> None:
    """A file without write permission is refused before any LM is asked, for root too."""
    recorded.chmod(0o444)
    before = recorded.read_bytes()
    with pytest.raises(CassetteReadOnlyError), cassettes.record(sums, recorded, record_mode="rewrite"):
        pass
    assert recorded.read_bytes() == before
    assert len(sums.journal) == 2
    cassettes.replay(recorded)


def test_a_folder_in_place_of_the_file_is_an_error(path: Path) -> None:
    """What is no file is no cassette."""
    path.mkdir(parents=True)
    with pytest.raises(CassetteError):
        cassettes.replay(path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails before the rename, the old content and no rubbish is there."""
    file = tmp_path / "a.yaml"
    write_atomically(file, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CassetteWriteError, match="No space"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_vcrpy_reads_lm_cassettes(recorded: Path) -> None:
    """The loader of vcrpy reads the file, with bodies as structured data."""
    requests, responses, metadata = FilesystemPersister.load_cassette(recorded, yamlserializer)
    assert [request.uri for request in requests] == ["lm:///openai/gpt-4o-mini"] * 2
    assert requests[0].body["model"] == "openai/gpt-4o-mini"
    assert responses[0]["body"]["response"]["finish_reason"] == "stop"
    assert metadata["dspex_testkit"]["level"] == "lm"
    with vcr.use_cassette(str(recorded), record_mode="none") as cassette:
        assert len(cassette) == 2


def test_people_can_read_the_texts(recorded: Path) -> None:
    """Prompts and answers stand in the file line by line."""
    assert "            [[ ## question ## ]]\n            2+2\n" in recorded.read_text()


def test_the_index_copy_is_only_believed_where_it_is_sound(recorded: Path, ask: Ask, own_cache: Path) -> None:
    """A damaged copy is ignored, a missing one made again, and an edited cassette has none."""
    copies = list(own_cache.rglob("*.json"))
    assert len(copies) == 1
    assert not list(recorded.parent.glob("*.json"))
    copies[0].write_bytes(copies[0].read_bytes().replace(b"## ]]\\n4", b"## ]]\\n7"))
    assert ask(cassettes.replay(recorded), "2+2") == "4"
    recorded.write_text(recorded.read_text().replace("              4\n", "              8\n"))
    assert ask(cassettes.replay(recorded), "2+2") == "8"
    assert index_cache.clear() == 2
    assert ask(cassettes.replay(recorded), "2+2") == "8"


def test_hand_edited_yaml_still_loads(recorded: Path, ask: Ask) -> None:
    """A cassette rewritten by another YAML tool, with unquoted dates, is the same cassette."""
    document = yaml.safe_load(recorded.read_text())
    text = yaml.safe_dump(document).replace("'2", "2").replace("+00:00'", "+00:00")
    recorded.write_text(text)
    assert ask(cassettes.replay(recorded), "2+2") == "4"

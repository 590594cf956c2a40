"""A file of LM calls, read back and drawn by the command."""

import json
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.cli import main
from dspex_testkit.errors import JournalFileError
from dspex_testkit.report import read_entries
from tests.support.lm_records import call, change


def lines(*records: Any) -> str:
    """Records as lines of JSON."""
    return "".join(f"{json.dumps(record)}\n" for record in records)


def test_calls_and_changes_are_told_apart(tmp_path: Path) -> None:
    """Blank lines are none of both."""
    path = tmp_path / "calls.jsonl"
    path.write_text(lines(call(test="t::one"), change("a/1")) + "\n" + lines(call()), encoding="utf-8")
    entries = read_entries(path)

    assert [entry.get("test") for entry in entries.calls] == ["t::one", None]
    assert [entry["kind"] for entry in entries.changes] == ["configured"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}\n", "line 1: a line of type 'call' has 'provider' and 'model' as text; this one has the keys (none)"),
        (lines(call()) + "oops\n", "line 2: wanted a JSON object per line, got 'oops'"),
        ("[1]\n", "line 1: wanted a JSON object, got '[1]'"),
        ('{"type": "tset"}\n', "line 1: wanted one of the types call, lm_changed, got 'tset'"),
    ],
)
def test_a_line_that_is_neither_is_named(tmp_path: Path, text: str, says: str) -> None:
    """With its number, and what was wanted."""
    path = tmp_path / "calls.jsonl"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(JournalFileError) as caught:
        read_entries(path)
    assert says in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no text."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(JournalFileError, match="No such file"):
        read_entries(tmp_path / "missing.jsonl")
    with pytest.raises(JournalFileError, match="not UTF-8"):
        read_entries(binary)


def test_the_command_writes_the_page_beside_the_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or where it is told to."""
    path = tmp_path / "calls.jsonl"
    path.write_text(lines(call(), call()), encoding="utf-8")

    assert main(["report", str(path)]) == 0
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'calls.html'}: 2 LM calls.\n"
    assert main(["report", str(path), "-o", str(tmp_path / "sub" / "r.html"), "--title", "Run 7"]) == 0
    assert "<title>Run 7</title>" in (tmp_path / "sub" / "r.html").read_text(encoding="utf-8")


def test_the_command_says_what_is_wrong_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with status 2."""
    assert main(["report", str(tmp_path / "missing.jsonl")]) == 2
    assert "missing.jsonl: No such file" in capsys.readouterr().err

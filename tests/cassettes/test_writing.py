"""Nothing is left behind by writers that were killed, and nothing is lost that could not be written."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspex_testkit.atomic_files import remove_drafts, replace_file
from dspex_testkit.cassettes import open_cassette
from dspex_testkit.cassettes.files import write_atomically
from dspex_testkit.cli import main
from dspex_testkit.errors import CassetteWriteError
from tests.support.disks import read_only, small_disk

KILLED = """
import os, signal, sys
from pathlib import Path
from dspex_testkit.atomic_files import replace_file
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
replace_file(Path(sys.argv[1]), b"half")
"""
WAITING = """
import os, sys, time
from pathlib import Path
from dspex_testkit.atomic_files import replace_file
def wait(handle):
    os.fsync = lambda handle: None
    print("written", flush=True)
    sys.stdin.readline()
os.fsync = wait
replace_file(Path(sys.argv[1]), b"whole")
"""


def test_the_next_writer_removes_what_a_killed_one_has_left(tmp_path: Path) -> None:
    """Whatever the file is called that is written next in that folder."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.yaml")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    replace_file(tmp_path / "b.yaml", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]


def test_the_next_recorder_removes_it_when_it_begins(tmp_path: Path) -> None:
    """Also where it keeps nothing in the end."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.yaml")], check=False)
    assert len(list(tmp_path.iterdir())) == 1

    opened = open_cassette(tmp_path / "b.yaml", "once")

    assert not [path for path in tmp_path.iterdir() if path.name.endswith("-draft")]
    opened.discard()


def test_a_writer_that_lives_keeps_its_draft(tmp_path: Path) -> None:
    """However long it takes."""
    command = [sys.executable, "-c", WAITING, str(tmp_path / "a.yaml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert remove_drafts(tmp_path) == 0
        replace_file(tmp_path / "b.yaml", b"content")
        writer.communicate("go on\n")
    assert writer.returncode == 0
    assert (tmp_path / "a.yaml").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]


def test_a_full_disk_leaves_the_old_content_and_no_draft() -> None:
    """The error names the file and what to do."""
    with small_disk() as disk:
        path = disk.folder / "a.yaml"
        write_atomically(path, b"old")
        disk.fill()
        with pytest.raises(CassetteWriteError, match=r"a\.yaml cannot be written: .*; make room there") as failed:
            write_atomically(path, b"new" * 100_000)
        assert failed.value.details["path"] == str(path)
        disk.free()
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in disk.folder.iterdir() if entry.name != "filler"] == ["a.yaml"]


def test_a_read_only_folder_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a user whom the folder's mode keeps out."""
    with small_disk() as disk, read_only(disk.folder):
        with pytest.raises(CassetteWriteError, match="make the folder writable"):
            write_atomically(disk.folder / "a.yaml", b"new")
        with pytest.raises(CassetteWriteError):
            write_atomically(disk.folder / "deeper" / "a.yaml", b"new")


def part_of(recorded: Path, waiting: Path) -> None:
    """A waiting room with one recording of the session `s`."""
    waiting.mkdir()
    (waiting / "s~1-1-000001.yaml").write_bytes(recorded.read_bytes())


def test_recordings_that_could_not_be_written_wait_for_the_next_run(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says where they are; the next run writes them, and only then is the waiting room gone."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "s.yaml").write_bytes(recorded.read_bytes())
    (folder / "s.yaml").chmod(0o444)
    record = ["record", "--cassettes", str(folder), "--mode", "new_episodes", "--", sys.executable, "-c"]
    code = f"""
import os, pathlib, shutil
shutil.copy({str(recorded)!r}, pathlib.Path(os.environ["DSPEX_TESTKIT_RECORD_STAGING"]) / "s~1-1-000001.yaml")
"""
    assert main([*record, code]) == 2
    assert str(folder / ".unwritten-") in capsys.readouterr().err
    (folder / "s.yaml").chmod(0o644)
    assert main([*record, "pass"]) == 0
    assert [path.name for path in folder.iterdir()] == ["s.yaml"]
    assert len(yaml.safe_load((folder / "s.yaml").read_text(encoding="utf-8"))["interactions"]) == 2 * interactions(
        recorded
    )


def test_the_waiting_room_of_a_killed_run_goes_with_the_next_one(recorded: Path, tmp_path: Path) -> None:
    """Nobody knows whether its command would have succeeded, so its recordings go too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    part_of(recorded, folder / ".recording-killed")
    (folder / "known.yaml").write_bytes(recorded.read_bytes())
    assert main(["record", "--cassettes", str(folder), "--", sys.executable, "-c", "pass"]) == 0
    assert [path.name for path in folder.iterdir()] == ["known.yaml"]


def interactions(path: Path) -> int:
    """How many there are in a cassette."""
    return len(yaml.safe_load(path.read_text(encoding="utf-8"))["interactions"])


@pytest.fixture
def recorded(path: Path, sums: Any, ask: Any) -> Path:
    """A sound cassette."""
    from dspex_testkit import cassettes

    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    return path

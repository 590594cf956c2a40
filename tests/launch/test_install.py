"""Installing loses no file that is not ours."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.launch.install import BACKUP, LAUNCHER, install, is_ours, script_path, uninstall
from dspex_testkit.setting_table import FILE_NAME
from tests.support.disks import small_disk

THEIRS = "class DSPyBridge:\n    def handle_command(self): ...\ndef main(): ...\n"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder with DSPex's own file in it."""
    (tmp_path / LAUNCHER).write_text(THEIRS, encoding="utf-8")
    return tmp_path


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def test_a_new_folder_gets_launcher_and_settings_and_loses_them_again(tmp_path: Path) -> None:
    """Uninstalling leaves nothing of ours."""
    folder = tmp_path / "deep" / "python"
    assert install(folder) == folder / LAUNCHER
    assert names(folder) == {LAUNCHER, FILE_NAME}
    assert uninstall(folder) == [folder / LAUNCHER, folder / FILE_NAME]
    assert names(folder) == set()


def test_a_launcher_of_ours_is_renewed_and_edited_settings_are_kept(tmp_path: Path) -> None:
    """Installing again is how an environment is changed."""
    launcher = install(tmp_path)
    launcher.write_text(launcher.read_text(encoding="utf-8") + "# old\n", encoding="utf-8")
    (tmp_path / FILE_NAME).write_text("seed = 5\n", encoding="utf-8")
    install(tmp_path)
    assert "# old" not in launcher.read_text(encoding="utf-8")
    assert uninstall(tmp_path) == [launcher]
    assert (tmp_path / FILE_NAME).read_text(encoding="utf-8") == "seed = 5\n"


def test_a_file_that_is_not_ours_stays(theirs: Path) -> None:
    """Unless somebody says what should become of it."""
    with pytest.raises(UsageError, match="is not ours; --in-place puts it aside"):
        install(theirs)
    assert (theirs / LAUNCHER).read_text(encoding="utf-8") == THEIRS
    with pytest.raises(UsageError, match="is not ours; nothing was removed"):
        uninstall(theirs)
    assert names(theirs) == {LAUNCHER}


def test_in_place_puts_it_aside_and_uninstall_brings_it_back(theirs: Path) -> None:
    """Also after a second installation."""
    install(theirs, in_place=True)
    install(theirs, in_place=True)
    assert is_ours(theirs / LAUNCHER)
    assert (theirs / BACKUP).read_text(encoding="utf-8") == THEIRS
    uninstall(theirs)
    assert names(theirs) == {LAUNCHER}
    assert (theirs / LAUNCHER).read_text(encoding="utf-8") == THEIRS


def test_what_was_put_aside_is_never_overwritten(theirs: Path) -> None:
    """Somebody restored the file by hand and kept the copy."""
    (theirs / BACKUP).write_text("older", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        install(theirs, in_place=True)
    assert (theirs / BACKUP).read_text(encoding="utf-8") == "older"


def test_force_overwrites(theirs: Path) -> None:
    """Without a copy."""
    install(theirs, force=True)
    assert names(theirs) == {LAUNCHER, FILE_NAME}


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    """What it points to is somebody else's."""
    target = tmp_path / "original.py"
    target.write_text(THEIRS, encoding="utf-8")
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / LAUNCHER).symlink_to(target)
    install(folder, in_place=True)
    assert target.read_text(encoding="utf-8") == THEIRS
    uninstall(folder)
    assert (folder / LAUNCHER).is_symlink()


def test_a_folder_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot install into"):
        install(tmp_path / "file" / "python")
    with pytest.raises(UsageError, match="does not exist; nothing was removed"):
        uninstall(tmp_path)


def test_a_full_disk_leaves_what_was_there_and_nothing_half() -> None:
    """Neither a launcher that is cut off nor a draft of one, and the next try succeeds."""
    with small_disk() as disk:
        launcher = install(disk.folder / "python")
        before = launcher.read_bytes()
        disk.fill()
        with pytest.raises(UsageError, match="make room there"):
            install(disk.folder / "python")
        disk.free()
        assert launcher.read_bytes() == before
        assert names(disk.folder / "python") == {LAUNCHER, FILE_NAME}
        assert install(disk.folder / "python") == launcher


KILLED = """
import os, signal, sys
from pathlib import Path
from dspex_testkit.launch.install import install
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
install(Path(sys.argv[1]))
"""


def test_what_a_killed_installation_left_goes_with_the_next(tmp_path: Path) -> None:
    """No draft stays beside a launcher."""
    folder = tmp_path / "python"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(folder) != {LAUNCHER, FILE_NAME}

    install(folder)

    assert names(folder) == {LAUNCHER, FILE_NAME}


def test_the_script_path_leads_from_dspex_own_priv_folder(tmp_path: Path) -> None:
    """DSPex appends it there, whatever it is."""
    priv = tmp_path / "deps" / "dspex" / "priv"
    (priv / "python").mkdir(parents=True)
    assert script_path(priv / "python" / LAUNCHER) == f"python/{LAUNCHER}"
    (tmp_path / "bridge").mkdir()
    assert script_path(tmp_path / "bridge" / LAUNCHER) == f"../../../bridge/{LAUNCHER}"
    assert script_path(Path("/nowhere") / LAUNCHER) is None

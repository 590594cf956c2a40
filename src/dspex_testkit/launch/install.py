"""Writes the launcher where DSPex looks for it, and takes it away again.

What is not ours is never lost: an existing file is only replaced when asked for, and put aside when asked to.
"""

import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

import dspex_testkit
from dspex_testkit.atomic_files import replace_file
from dspex_testkit.errors import UsageError
from dspex_testkit.launch.python_wrapper import WRAPPER, is_wrapper, wrapper_text
from dspex_testkit.setting_table import FILE_NAME, SETTINGS, Setting

LAUNCHER = "dspy_bridge.py"
BACKUP = LAUNCHER + ".before-dspex-testkit"
_MARK = "answered by dspex-testkit"
_BLANK = "= {}  # filled in by the installation"


def install(folder: Path, *, force: bool = False, in_place: bool = False) -> Path:
    """Write the launcher and, unless there is one, a settings file in which every line is a comment.

    Args:
        folder: Where DSPex looks for ``dspy_bridge.py``; made if it does not exist.
        force: Overwrite a file of that name that is not ours.
        in_place: Put such a file aside, so that `uninstall` can bring it back.

    Returns:
        The launcher.

    Raises:
        UsageError: A file that is not ours is in the way, or the folder cannot be written.
    """
    launcher = folder / LAUNCHER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _exists(launcher) and not is_ours(launcher) and not force:
            _put_aside(launcher, allowed=in_place)
        _write(launcher, _launcher_text(), mode=0o755)
        config = folder / FILE_NAME
        if not _exists(config):
            _write(config, settings_template(), mode=0o644)
    except OSError as error:
        raise UsageError(
            f"cannot install into {folder}: {error.strerror}; make room there, or make it writable"
        ) from None
    # Without compiled modules the first ping takes more than twice as long, and not every start may write them.
    compileall.compile_dir(Path(dspex_testkit.__file__).parent, quiet=2)
    return launcher


def install_python(folder: Path) -> Path:
    """Write beside the launcher an interpreter that answers DSPex's probes without importing dspy.

    Returns:
        The wrapper, for ``python_executable``.

    Raises:
        UsageError: A file of that name is not ours, or the folder cannot be written.
    """
    wrapper = folder / WRAPPER
    if _exists(wrapper) and not is_wrapper(wrapper):
        raise UsageError(f"{wrapper} exists and is not ours; move it away")
    try:
        _write(wrapper, wrapper_text(), mode=0o755)
    except OSError as error:
        raise UsageError(
            f"cannot install into {folder}: {error.strerror}; make room there, or make it writable"
        ) from None
    return wrapper


def uninstall(folder: Path) -> list[Path]:
    """Remove the launcher, and a settings file that was never edited; bring back what was put aside.

    Returns:
        The files that were removed or brought back.

    Raises:
        UsageError: There is no launcher of ours, or the folder cannot be written.
    """
    launcher, backup, config = folder / LAUNCHER, folder / BACKUP, folder / FILE_NAME
    if not is_ours(launcher):
        found = "is not ours" if _exists(launcher) else "does not exist"
        raise UsageError(f"{launcher} {found}; nothing was removed")
    touched = [launcher]
    try:
        if _exists(backup):
            backup.replace(launcher)
        else:
            launcher.unlink()
        if is_wrapper(folder / WRAPPER):
            (folder / WRAPPER).unlink()
            touched.append(folder / WRAPPER)
        if config.is_file() and config.read_text(encoding="utf-8") == settings_template():
            config.unlink()
            touched.append(config)
    except OSError as error:
        raise UsageError(f"cannot uninstall from {folder}: {error.strerror}; make it writable") from None
    return touched


def is_ours(path: Path) -> bool:
    """Whether a file is a launcher that an installation wrote."""
    try:
        return _MARK in path.read_text(encoding="utf-8")[:400]
    except (OSError, UnicodeDecodeError):
        return False


def script_path(launcher: Path) -> str | None:
    """What DSPex wants as ``script_path``, which it appends to its own ``priv`` folder; None where that is unknown."""
    launcher = Path(os.path.abspath(launcher))
    for parent in launcher.parents:
        if parent.name == "priv":
            return str(launcher.relative_to(parent))
        priv = parent / "deps" / "dspex" / "priv"
        if priv.is_dir():
            return os.path.relpath(launcher.resolve(), priv.resolve())
    return None


def settings_template() -> str:
    """A settings file with every setting in it as a comment."""
    lines = [
        "# Settings of the bridge beside this file. Environment variables win over what is said here.",
        "",
    ]
    for setting in SETTINGS:
        if setting.key:
            lines += [f"# {setting.help} [{setting.env}]", f"# {setting.key} = {_example(setting)}", ""]
    return "\n".join(lines)


def _example(setting: Setting) -> str:
    if setting.name == "default_lm":
        return '"openai/gpt-4"'
    if isinstance(setting.default, tuple):
        return json.dumps(list(setting.default))
    return json.dumps(setting.default)


def _put_aside(launcher: Path, *, allowed: bool) -> None:
    backup = launcher.with_name(BACKUP)
    if not allowed:
        raise UsageError(
            f"{launcher} exists and is not ours; --in-place puts it aside and lets 'uninstall' bring it back, "
            "--force overwrites it"
        )
    if _exists(backup):
        raise UsageError(f"{backup} exists already, so {launcher} cannot be put aside; move one of them away")
    launcher.replace(backup)


def _launcher_text() -> str:
    template = Path(__file__).with_name(LAUNCHER).read_text(encoding="utf-8")
    assert _BLANK in template
    return template.replace(_BLANK, f"= {json.dumps(_describe_interpreter(), indent=4)}")


def _describe_interpreter() -> dict[str, object]:
    # A fresh interpreter's own search path: this one's may have been added to, by pytest for example.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import json, sys; print(json.dumps(sys.path))"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=environ,
    )
    path = json.loads(found.stdout)
    package = str(Path(dspex_testkit.__file__).parents[1])
    return {
        "python": sys.executable,
        "prefix": sys.prefix,
        "base": [sys.base_prefix, sys.implementation.cache_tag, list(sys.version_info[:3])],
        "path": path if package in path else [*path, package],
    }


def _write(path: Path, text: str, *, mode: int) -> None:
    # In one step, so that nobody ever starts half a launcher and no link is written through.
    replace_file(path, text.encode(), mode=mode)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)

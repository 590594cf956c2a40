"""Install into `.venv` what a command needs, exactly as the lock says: `python .ci/install.py PURPOSE`.

    demo    the package and its command line
    tools   what runs the checks and fills a wheelhouse
    all     the package as editable, with every extra, and everything that the checks need

uv installs: the one on the PATH, or the locked one, which pip then puts into `.venv` first. What is there already and
still as the lock says is left alone. Whatever cannot be had ends this with one line that says what to do. It runs on
any Python and needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "locks" / "project.txt"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV_AT_LEAST = (0, 8)
PAGE = "docs/howto/run-offline.md"
SETTINGS = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
"""How uv is run where nobody says otherwise: it fetches no interpreter, and trusts whom pip trusts."""
PURPOSES = {
    "demo": ["--editable", ".[cli]"],
    "tools": ["--group", "tools"],
    "all": ["--requirement", "pyproject.toml", "--all-extras", "--editable", "."]
    + [part for group in ("test", "judges", "lint", "types", "tools") for part in ("--group", group)],
}
UNREACHABLE = re.compile(
    r"Failed to fetch|error sending request|NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError"
    r"|Failed to establish a new connection|No matching distribution found"
)
"""What uv and pip say where nobody answers."""


class CannotInstall(Exception):
    """What stood in the way and what to do, in one line."""


def main(arguments: list[str]) -> int:
    """Install for one purpose.

    Returns:
        0 where all of it is there, else 1; 2 where no purpose is named.
    """
    if len(arguments) != 1 or arguments[0] not in PURPOSES:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        refuse_what_cannot_work()
        install(arguments[0])
    except CannotInstall as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def refuse_what_cannot_work() -> None:
    """Look at the interpreter, the system and the settings before anything is made or asked."""
    oldest, newest = versions()
    if not oldest <= sys.version_info[:2] <= newest:
        raise CannotInstall(
            f"{sys.executable} is Python {_version()}, and the lock is for Python {oldest[0]}.{oldest[1]} to "
            f"{newest[0]}.{newest[1]}: name another one, as in `make PYTHON=python{oldest[0]}.{oldest[1]} …`."
        )
    if sys.platform not in ("linux", "darwin"):
        raise CannotInstall(f"The lock is for Linux and macOS, and this is {sys.platform}; on Windows, use WSL.")
    config = os.environ.get("UV_CONFIG_FILE")
    if config and not Path(config).is_file():
        raise CannotInstall(
            f"UV_CONFIG_FILE names {config}, which is not there: fill a wheelhouse where there is an index "
            f"(make wheelhouse) and name its uv.toml, as {PAGE} shows."
        )
    without_index = [name for name in ("PIP_NO_INDEX", "UV_NO_INDEX") if _is_set(name)]
    if without_index and not uv_is_without_index():
        raise CannotInstall(
            f"{without_index[0]} is set, and uv, which installs, does not heed it: "
            f"export UV_CONFIG_FILE=WHEELHOUSE/uv.toml beside it, as {PAGE} shows."
        )


def uv_is_without_index() -> bool:
    """Whether uv is told to ask nobody; it has no variable for that, but a setting."""
    config = os.environ.get("UV_CONFIG_FILE")
    text = Path(config).read_text(encoding="utf-8") if config else ""
    return _is_set("UV_OFFLINE") or re.search(r"^\s*no-index\s*=\s*true", text, re.MULTILINE) is not None


def versions() -> tuple[tuple[int, int], tuple[int, int]]:
    """Read from the lock which Pythons it is for: the oldest and the newest."""
    first = LOCK.read_text(encoding="utf-8").partition("\n")[0]
    match = re.search(r"for Python (\d+)\.(\d+) to (\d+)\.(\d+),", first)
    if match is None:
        raise CannotInstall(f"{LOCK.relative_to(ROOT)} does not say what it is for; take it from the repository again.")
    return (int(match[1]), int(match[2])), (int(match[3]), int(match[4]))


def install(purpose: str) -> None:
    """Make `.venv` where there is none for this interpreter, and install; what was done is noted in `.venv`."""
    stamp = VENV / f".installed-{purpose}"
    state = "\n".join(
        [hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest(), _version()]
    )
    if stamp.exists() and stamp.read_text(encoding="utf-8") == state and PYTHON.exists():
        return
    if VENV.exists() and _version_of_venv() != _version():
        print(f"Making .venv anew, for Python {_version()}.")
        shutil.rmtree(VENV)
    uv = uv_on_path()
    if uv and not PYTHON.exists():
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(VENV)], "make .venv")
    uv = uv or uv_from_pip()
    locked = ["--constraints", str(LOCK), "--build-constraints", str(LOCK)]
    _run([uv, "pip", "install", "--quiet", "--python", str(PYTHON), *locked, *PURPOSES[purpose]], "install")
    stamp.write_text(state, encoding="utf-8")


def uv_on_path() -> str | None:
    """Find a uv that is new enough."""
    found = shutil.which("uv")
    return found if found and _is_new_enough(found) else None


def uv_from_pip() -> str:
    """Let pip install the locked uv into `.venv`, unless an earlier run did."""
    uv = VENV / "bin" / "uv"
    if uv.exists() and _is_new_enough(str(uv)):
        return str(uv)
    if not PYTHON.exists():
        _run([sys.executable, "-c", "import venv, ensurepip"], "make .venv")
        _run([sys.executable, "-m", "venv", str(VENV)], "make .venv")
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place:
        only_uv = Path(place) / "uv.txt"
        only_uv.write_text(locked_lines("uv"), encoding="utf-8")
        quick = [] if "PIP_RETRIES" in os.environ else ["--retries", "1"]
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *quick]
        _run([*pip, "--require-hashes", "--requirement", str(only_uv)], "install uv")
    return str(uv)


def locked_lines(name: str) -> str:
    """Cut one package out of the lock."""
    found = re.search(rf"^{re.escape(name)}==.*\n(?: .*\n)+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise CannotInstall(f"{LOCK.relative_to(ROOT)} does not hold {name}: run `make lock` where uv is on the PATH.")
    return found[0]


def _run(command: list[str], doing: str) -> None:
    environment = {"UV_HTTP_RETRIES": "1", **SETTINGS, **os.environ}
    done = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode == 0:
        sys.stderr.write(done.stderr)
        return
    if "ensurepip" in done.stderr:
        raise CannotInstall(
            f"There is no uv on the PATH, and {sys.executable} cannot make virtual environments: install uv or, "
            "on Debian, python3-venv (apt-get install python3-venv), or name another one: make PYTHON=/path/to/python …"
        )
    if (uv_is_without_index() or _is_set("PIP_NO_INDEX")) and "hash" not in done.stderr.lower():
        config = os.environ.get("UV_CONFIG_FILE")
        folder = Path(config).parent if config else os.environ.get("PIP_FIND_LINKS", "(unnamed)")
        raise CannotInstall(
            f"Could not {doing}: the wheelhouse {folder} lacks what {LOCK.relative_to(ROOT)} names for Python "
            f"{_version()} on {sys.platform}; fill it on a machine like this one, with this Python: make wheelhouse."
        )
    if "certificate" in done.stderr:
        raise CannotInstall(
            f"Could not {doing}: the index shows a certificate that this machine does not trust; "
            "name the file of the authority that signed it in SSL_CERT_FILE, and in PIP_CERT for pip."
        )
    if UNREACHABLE.search(done.stderr):
        raise CannotInstall(
            f"Could not {doing}: no index answers. Connect to one, name yours (UV_DEFAULT_INDEX and PIP_INDEX_URL), "
            f"or install from a wheelhouse, as {PAGE} shows."
        )
    # Nothing that is known: the tool's own words are the best there are.
    sys.stderr.write(done.stderr)
    raise CannotInstall(f"Could not {doing}: '{Path(command[0]).name}' said why, above.")


def _is_new_enough(uv: str) -> bool:
    try:
        said = subprocess.run([uv, "--version"], capture_output=True, encoding="utf-8", check=False).stdout
    except OSError:
        return False
    version = re.match(r"uv (\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= UV_AT_LEAST


def _version_of_venv() -> str | None:
    """The version of the Python that `.venv` runs on; None where it does not run."""
    try:
        said = subprocess.run([str(PYTHON), "--version"], capture_output=True, encoding="utf-8", check=False).stdout
    except OSError:
        return None
    return said.removeprefix("Python ").strip()


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false", "no", "off", "n", "f")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

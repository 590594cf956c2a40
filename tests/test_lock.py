"""What is installed for the checks is what the locks say, and the locks hold all that is wanted, from anywhere."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINE = re.compile(
    r"""\# .*                                             # a remark
    |   [a-z0-9-]+==[0-9][a-z0-9.]*(?P<marker>\ ;\ .*)?\ \\  # a package of one version, and where it is wanted
    |   \ {4}--hash=sha256:[0-9a-f]{64}(\ \\)?            # a file of that version""",
    re.VERBOSE,
)
MACHINES = [
    {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.4", "sys_platform": platform} | machine
    for minor in range(11, 15)
    for platform, machine in (
        ("linux", {"platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}),
        ("darwin", {"platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"}),
    )
]


def wanted() -> Iterator[tuple[str, Requirement]]:
    """Every requirement of pyproject.toml, and the place that it stands in."""
    places = {
        "dependencies": PROJECT["project"]["dependencies"],
        "build-system": PROJECT["build-system"]["requires"],
        **PROJECT["project"]["optional-dependencies"],
        **PROJECT["dependency-groups"],
    }
    for place, requirements in places.items():
        for requirement in requirements:
            yield place, Requirement(requirement)


def pinned(lock: Path, machine: dict[str, str]) -> dict[str, list[str]]:
    """The versions of each package that a lock gives to a machine."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==([^ ]+)(?: ; (.*))? \\", line):
            name, version, marker = match.groups()
            if marker is None or Marker(marker).evaluate(machine):
                found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: f"{each['sys_platform']}-{each['python_version']}")
def test_the_lock_holds_all_that_the_project_wants(machine: dict[str, str]) -> None:
    """On every Python and system that the project is for, each requirement finds one version, and one that fits."""
    pins = pinned(ROOT / "locks" / "project.txt", machine)

    amiss = [
        f"{place}: {requirement} (locked: {pins.get(requirement.name)})"
        for place, requirement in wanted()
        if requirement.marker is None or requirement.marker.evaluate(machine)
        if len(pins.get(requirement.name, [])) != 1 or pins[requirement.name][0] not in requirement.specifier
    ]

    assert not amiss, f"run `make lock`: {amiss}"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda each: each.name)
def test_a_lock_names_versions_and_hashes_and_nowhere_to_fetch_them_from(lock: Path) -> None:
    """Whoever has these files may serve them: an index, a mirror, a folder."""
    lines = lock.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not LINE.fullmatch(line)] == []


@pytest.mark.parametrize("release", ["3.2", "3.3"])
def test_an_older_dspy_has_a_lock_of_its_own(release: str) -> None:
    """The simulated providers are tried before a DSPy that does not change from run to run."""
    for machine in MACHINES:
        (version,) = pinned(ROOT / "locks" / f"dspy-{release}.txt", machine)["dspy"]
        assert version.startswith(f"{release}.")


def test_a_requirement_has_one_floor_wherever_it_stands() -> None:
    """What an extra promises is what the tests of the oldest versions install."""
    floors: dict[str, set[str]] = {}
    for _, requirement in wanted():
        if requirement.specifier:
            floors.setdefault(requirement.name, set()).add(str(requirement.specifier))

    # The official SDKs and the floors of what DSPy brings along speak of one package on purpose.
    floors.pop("openai")
    assert {name: each for name, each in floors.items() if len(each) > 1} == {}

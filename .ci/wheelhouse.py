"""Fetch everything that the tests install, as wheels in one folder: `python .ci/wheelhouse.py FOLDER`.

What is wanted is read from pyproject.toml: the package's dependencies, its dependency groups and what builds it; and
tox. All of it is resolved together, so that every environment made from the folder finds what goes together. What
exists only as source is built here.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
TOX = "tox>=4.31"
EDITABLES = "editables"
"""What hatchling asks for when it installs a checkout as editable."""


def wanted() -> list[str]:
    """The requirements, each as pip takes it."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    groups = [requirement for group in settings["dependency-groups"].values() for requirement in group]
    return sorted(
        {*settings["project"]["dependencies"], *settings["build-system"]["requires"], *groups, TOX, EDITABLES}
    )


def main(arguments: list[str]) -> int:
    """Fill the folder; what is there already and still fits stays.

    Returns:
        The exit status of pip.
    """
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place:
        requirements = Path(place) / "requirements.txt"
        requirements.write_text("\n".join(wanted()) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        status = subprocess.run(
            [*pip, "wheel", "--quiet", "--wheel-dir", str(folder), "--requirement", str(requirements)], check=False
        ).returncode
    if status == 0:
        wheels = list(folder.glob("*.whl"))
        size = sum(wheel.stat().st_size for wheel in wheels) // 1_000_000
        print(f"{len(wheels)} wheels, {size} MB, in {folder}. To install from nothing else:")
        print(f"    export PIP_NO_INDEX=1 PIP_FIND_LINKS={folder}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

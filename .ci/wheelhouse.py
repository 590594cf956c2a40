"""Fetch everything that the lock names for this Python and system, into one folder: `python .ci/wheelhouse.py FOLDER`.

pip fetches, since uv cannot, and takes only files whose hashes the lock has: the package's dependencies, its extras and
dependency groups, what builds it, and uv and tox themselves. With the folder alone, every environment can be made.
"""

import subprocess
import sys
from pathlib import Path

import install

FOR_UV = """# uv, which has no variable for it: nothing from an index, everything from this folder.
no-index = true
find-links = ["."]
"""


def main(arguments: list[str]) -> int:
    """Fill the folder; what is there already and still fits stays.

    Returns:
        The exit status of pip.
    """
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(folder)]
    status = subprocess.run([*pip, "--require-hashes", "--requirement", str(install.LOCK)], check=False).returncode
    if status == 0:
        (folder / "uv.toml").write_text(FOR_UV, encoding="utf-8")
        files = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
        size = sum(each.stat().st_size for each in files) // 1_000_000
        print(f"{len(files)} files, {size} MB, in {folder}. To install from nothing else:")
        print(f"    export PIP_NO_INDEX=1 PIP_FIND_LINKS={folder}")
        print(f"    export UV_CONFIG_FILE={folder / 'uv.toml'}")
    else:
        print("Run this where there is an index, with this Python, and carry the folder along.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

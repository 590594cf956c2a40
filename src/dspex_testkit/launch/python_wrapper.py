"""A `python_executable` for DSPex that does not import dspy twice before anything has started.

Before each start DSPex runs its interpreter four times: for the version, twice to import dspy, and for each required
package. The wrapper is a few lines of shell that answer the two questions about imports from what is installed, when
nothing on the search path could change the answer, and run the real interpreter for everything else. (It need not
answer ``--version``: an interpreter does so before it loads anything.)
"""

import shlex
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

WRAPPER = "dspex_python"
_MARK = "answers DSPex's probes for dspex-testkit"

_TEXT = f"""\
#!/bin/sh
# {_MARK}; everything else runs the interpreter below.
# Written by `dspex-testkit install --python`; `dspex-testkit uninstall` takes it away again.
python=@PYTHON@
site=@SITE@

version() {{
    # Exactly one dspy, all of it there; else the interpreter shall say what is wrong.
    set -- "$site"/dspy-[0-9]*.dist-info/METADATA
    [ "$#" -eq 1 ] && [ -f "$1" ] && [ -f "$site/dspy/__init__.py" ] || return 1
    while read -r key value; do
        [ "$key" = Version: ] && printf '%s\\n' "$value" && return 0
        [ -z "$key" ] && return 1
    done <"$1"
    return 1
}}

if [ "$#" -eq 2 ] && [ "$1" = -c ] && [ -z "$PYTHONPATH$PYTHONHOME" ] && [ -x "$python" ]; then
    case $2 in
    'import dspy; print(dspy.__version__)')
        version && exit 0
        ;;
    'import dspy')
        version >/dev/null && exit 0
        ;;
    'import '*[!A-Za-z0-9_]*)
        ;;
    'import '*)
        [ -f "$site/${{2#import }}/__init__.py" ] && exit 0
        ;;
    esac
fi
exec "$python" "$@"
"""


def wrapper_text() -> str:
    """The wrapper of the interpreter that runs now."""
    try:
        site = str(distribution("dspy").locate_file("")).rstrip("/")
    except PackageNotFoundError:
        site = sysconfig.get_path("purelib")
    return _TEXT.replace("@PYTHON@", shlex.quote(sys.executable)).replace("@SITE@", shlex.quote(site))


def is_wrapper(path: Path) -> bool:
    """Whether a file is a wrapper that an installation wrote."""
    try:
        return _MARK in path.read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        return False


def wrapped(path: Path) -> str:
    """The interpreter that a wrapper runs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return shlex.split(next(line for line in lines if line.startswith("python=")).removeprefix("python="))[0]

"""Odd environments, for real: a bridge answers there, or says why not where somebody sees it.

Each is a shell's line around the command that starts a bridge. What needs a file system of its own gets one in a
namespace of mounts.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.processes import Bridge, Sandbox, eventually

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""Debian's `libfaketime`."""

_UNSHARE = "unshare --mount" if os.geteuid() == 0 else "unshare --user --map-root-user --mount"
_MOUNTS = _UNSHARE + """ --propagation private sh -ec '{}; exec "$@"' sh "$@" """
_ONLY_THESE_DEVICES = (
    "mkdir $DEV; mount -t tmpfs none $DEV; "
    "for d in null zero random urandom; do : > $DEV/$d; mount --bind /dev/$d $DEV/$d; done; "
    "mount --rbind $DEV /dev"
)
_FULL = "mount -t tmpfs -o size=4k,nr_inodes=1 none {}"


@dataclass(frozen=True, slots=True)
class Environment:
    """Somewhere odd."""

    name: str
    around: str = 'exec "$@"'
    """The shell's line; the bridge's command line is `"$@"`, and the sandbox's folders are `$TMPDIR` and `$HOME`."""
    flags: tuple[str, ...] = ()
    """Of the interpreter."""
    env: Mapping[str, str] = field(default_factory=dict)
    may_refuse: bool = False
    """Whether it is enough that the bridge says why it cannot answer."""
    needs_root: bool = False
    """Whether nobody else can try it."""
    mute: bool = False
    """Whether stderr is closed, so that the status alone can tell."""
    jumps: bool = False
    """Whether the clock jumps meanwhile."""


_UNICODE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

ENVIRONMENTS = (
    Environment("as usual"),
    Environment("no /dev/shm", _MOUNTS.format(_ONLY_THESE_DEVICES)),
    Environment("a read-only /dev/shm", _MOUNTS.format("mount -t tmpfs -o ro none /dev/shm")),
    Environment("a full TMPDIR", _MOUNTS.format(_FULL.format("$TMPDIR")), may_refuse=True),
    Environment("a full folder of sockets", _MOUNTS.format(_FULL.format("$XDG_RUNTIME_DIR"))),
    Environment("a full HOME", _MOUNTS.format(_FULL.format("$HOME"))),
    Environment("ten descriptors", 'ulimit -n 10; exec "$@"'),
    Environment("LANG=C", env=_UNICODE),
    Environment("warnings are errors", flags=("-W", "error")),
    Environment("no docstrings and no assertions", flags=("-OO",)),
    Environment("Python's development mode", flags=("-X", "dev")),
    Environment(
        "another user",
        "chown -R 65534:65534 $TMPDIR $HOME $XDG_RUNTIME_DIR; "
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+dac_read_search "
        '--ambient-caps=-all,+dac_read_search "$@"',
        needs_root=True,
    ),
    Environment("stderr is closed", 'exec "$@" 2>&-', mute=True),
    Environment("stdout is closed", 'exec "$@" >&-', may_refuse=True),
    Environment("stdin is closed", 'exec "$@" <&-', may_refuse=True),
    Environment("stdout and stderr are closed", 'exec "$@" >&- 2>&-', may_refuse=True, mute=True),
    Environment("nothing is open", 'exec "$@" <&- >&- 2>&-', may_refuse=True, mute=True),
    Environment("stderr is full", 'exec "$@" 2>/dev/full'),
    Environment("the working directory is gone", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'),
    Environment("TMPDIR is not there", 'TMPDIR=$TMPDIR/absent exec "$@"', may_refuse=True),
    Environment("HOME is not there", 'HOME=$HOME/absent exec "$@"'),
    Environment("no HOME, no PATH", 'exec env -u HOME -u PATH "$@"'),
    Environment("nobody may write", 'umask 777; exec "$@"'),
    Environment("a clock that jumps", jumps=True),
)


_QUESTION = "Größe von 漢字 \N{GRINNING FACE}?"
_ANSWER = "Zürich \N{GRINNING FACE}"
_JUMPS = ("+3650d", "-3650d", "+1h", "-1s", "+0")


@dataclass(slots=True)
class Outcome:
    """What became of a bridge there."""

    name: str
    answered: bool
    status: int
    said: str
    """On stderr, or as an error."""
    problem: str | None = None

    def __str__(self) -> str:
        told = "answers" if self.answered else f"refuses with status {self.status}: {self.said or 'nobody can be told'}"
        return f"{self.name}: {f'{self.problem} ({told})' if self.problem else told}"


def attempt(environment: Environment, *, host: bool) -> Outcome:
    """Start a bridge there and have a program run.

    Args:
        environment: Where.
        host: Whether by way of a warm host, as a pool's worker; else in the launched process, standalone.
    """
    with Sandbox() as sandbox:
        env = sandbox.environment(
            DEV=str(sandbox.folder / "dev"), DSPEX_TESTKIT_HOST="auto" if host else "off", **environment.env
        )
        clock = sandbox.folder / "clock"
        clock.write_text("+0", encoding="ascii")
        if environment.jumps:
            assert FAKETIME is not None, "Debian's libfaketime is not installed"
            env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
            env |= {"DONT_FAKE_MONOTONIC": "1"}
        sandbox.folder.chmod(0o755)
        line = [sys.executable, *environment.flags, "-m", "dspex_testkit.runtime.main"]
        line += ["--mode", "pool-worker" if host else "standalone"]
        bridge = Bridge(sandbox, argv=["sh", "-c", environment.around, "sh", *line], environ=env)
        refusal = _use(bridge, clock if environment.jumps else None)
        status, said = bridge.end()
        name = f"{environment.name}, {'host' if host else 'no host'}"
        outcome = Outcome(name, refusal is None, status, said.strip() or refusal or "")
        outcome.problem = _problem(environment, outcome)
        if not eventually(lambda: not any(kind in ("launcher", "worker") for _, kind in sandbox.processes())):
            outcome.problem = f"left behind: {list(sandbox.processes())}"
        return outcome


def _use(bridge: Bridge, clock: Path | None) -> str | None:
    """Have a bridge do what it is for, wherever the clock is; gives the error with which it refuses, or nothing."""
    lm = {"provider": "mock", "responses": {"default": _ANSWER}, "cache": "memory"}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("ping", {}),
        ("configure_lm", {**lm, "session_id": "s"}),
        ("create_program", {"id": "qa", "signature": "question -> answer", "session_id": "s"}),
        *[("execute_program", {"program_id": "qa", "inputs": {"question": _QUESTION}, "session_id": "s"})] * 3,
        ("get_journal", {}),
        ("get_stats", {}),
    ]
    for number, (command, args) in enumerate(requests):
        if clock is not None:
            clock.write_text(_JUMPS[number % len(_JUMPS)], encoding="ascii")
        reply = bridge.try_to_ask(command, args, number)
        if reply is None:
            return ""
        if not reply["success"]:
            return str(reply["error"])
        if command == "execute_program" and reply["result"]["answer"] != _ANSWER:
            return f"wrong answer {reply['result']['answer']!r}"
    return None


def _problem(environment: Environment, outcome: Outcome) -> str | None:
    if outcome.status < 0:
        return f"died of signal {-outcome.status}"
    if outcome.answered:
        return f"status {outcome.status}, and on stderr {outcome.said!r}" if outcome.status or outcome.said else None
    if not environment.may_refuse:
        return "does not answer"
    if not outcome.said and not (environment.mute and outcome.status):
        return "does not say why"
    return None

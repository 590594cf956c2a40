"""Processes killed at random moments, recordings under way: what is left behind, and what is lost that was kept."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dspex_testkit.simulator import ProviderSimulator
from fuzz.processes import PATIENCE, Kind, Mode, Port, Sandbox, command_line, eventually, is_alive, wait_for

KILLS: Sequence[tuple[str, Sequence[int]]] = (
    ("SIGKILL", (signal.SIGKILL,)),
    ("SIGTERM", (signal.SIGTERM,)),
    ("SIGSTOP and SIGKILL", (signal.SIGSTOP, signal.SIGKILL)),
)
_EXECUTIONS = 4
"""Recorded in one cassette."""
_UNRECORDED = 4
"""Executions of a mock that each bridge has under way."""


@dataclass(slots=True)
class Tally:
    """What was counted."""

    kills: dict[str, int] = field(default_factory=dict)
    """By kind of process."""
    orphans: int = 0
    files: int = 0
    """Left behind."""
    kept: int = 0
    """Recordings that a bridge said it has kept."""
    lost: int = 0
    """Of them, not there, or not whole."""
    half_written: int = 0
    """Cassettes that cannot be read."""
    mute: int = 0
    """Bridges that did not answer after somebody else was killed."""
    refused: int = 0
    """Replies of bridges that nobody had killed, other than they should be."""
    notes: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """What ought to be 0."""
        return self.orphans + self.files + self.lost + self.half_written + self.mute + self.refused

    @property
    def total(self) -> int:
        """All kills."""
        return sum(self.kills.values())

    def note(self, text: str) -> None:
        """Keep an example."""
        if len(self.notes) < 12:
            self.notes.append(text)

    def add(self, other: "Tally") -> None:
        """Count another's, too."""
        for kind, number in other.kills.items():
            self.kills[kind] = self.kills.get(kind, 0) + number
        for name in ("orphans", "files", "kept", "lost", "half_written", "mute", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} of {kind}s" for kind, number in sorted(self.kills.items()))
        return (
            f"{self.total} kills ({kinds}): {self.orphans} orphans, {self.files} files left, "
            f"{self.lost} of {self.kept} kept recordings lost, {self.half_written} half-written, "
            f"{self.mute} bridges mute afterwards, {self.refused} unexpected replies"
        )


class Owner:
    """A process that starts bridges, and can be killed."""

    def __init__(self, sandbox: Sandbox) -> None:
        ours, theirs = socket.socketpair()
        self._orders = ours
        with theirs:
            program = str(Path(__file__).with_name("owner.py"))
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", program],
                stdin=theirs.fileno(),
                env=sandbox.environment(),
                cwd=sandbox.folder,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start(self, argv: Sequence[str], env: Mapping[str, str], name: str) -> tuple[int, Port]:
        """Start a bridge; its process id, and the port to it."""
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        told = json.dumps({"argv": list(argv), "env": dict(env)}).encode()
        socket.send_fds(self._orders, [told], [stdin, stdout])
        os.close(stdin)
        os.close(stdout)
        return int(self._orders.recv(64)), Port(our_stdin, our_stdout, name)

    def close(self) -> None:
        """Let it go, or bury it."""
        self._orders.close()
        self._process.wait(PATIENCE)


Heard = Callable[[dict[str, Any]], None]


class Client:
    """Keeps one bridge busy: executions of a mock without end, and one recording after the other.

    Args:
        port: The port to it.
        live: The config of a provider that answers.
        names: Gives the name of the next recording; the one that was interrupted comes again.
        tally: Where it is counted.
        kept: Learns what was kept: name, and number of interactions.
    """

    def __init__(
        self, port: Port, live: dict[str, Any], names: Callable[[], str], tally: Tally, kept: dict[str, int]
    ) -> None:
        self.port = port
        self.name: str | None = None
        """The recording under way."""
        self.answers = 0
        self._live = live
        self._names = names
        self._tally = tally
        self._kept = kept
        self._ids = 0
        self._waiting: dict[int, Heard] = {}
        self._recorded = 0

    def begin(self) -> None:
        """Ask for the first of everything."""
        for _ in range(_UNRECORDED):
            self._execute_mock()
        self._begin_recording()

    def hear(self) -> None:
        """Follow up what has been answered."""
        replies, self.port.replies = self.port.replies, []
        for reply in replies:
            self.answers += 1
            self._waiting.pop(reply["id"])(reply)

    def _send(self, command: str, args: dict[str, Any], heard: Heard) -> None:
        self._ids += 1
        self._waiting[self._ids] = heard
        self.port.request(self._ids, command, args)

    def _execute_mock(self) -> None:
        mock = {"provider": "mock", "responses": {"default": "as ever"}, "latency_ms": 2}
        args = {"signature": "question -> answer", "inputs": {"question": "?"}, "lm_config": mock}

        def heard(reply: dict[str, Any]) -> None:
            self._expect(reply, "answer", "as ever")
            self._execute_mock()

        self._send("predict", args, heard)

    def _begin_recording(self) -> None:
        self.name = self._names()
        session = {"session_id": self.name}
        self._recorded = 0
        # A pool goes on where a worker that was killed has stopped; this test begins anew.
        self._send("eject_cassette", {**session, "passed": False}, lambda reply: None)
        use = {**session, "name": self.name, "mode": "rewrite"}
        self._send("use_cassette", use, lambda reply: self._expect(reply, "status", "in_use"))
        self._send("configure_lm", {**session, **self._live}, lambda reply: self._expect(reply, "mocked", False))
        for number in range(_EXECUTIONS):
            args = {"signature": "question -> answer", "inputs": {"question": f"{self.name} {number}?"}, **session}
            self._send("predict", args, self._heard_live)

    def _heard_live(self, reply: dict[str, Any]) -> None:
        self._expect(reply, "answer", "recorded")
        self._recorded += 1
        if self._recorded == _EXECUTIONS:
            self._send("eject_cassette", {"session_id": self.name, "passed": True}, self._heard_eject)

    def _heard_eject(self, reply: dict[str, Any]) -> None:
        self._expect(reply, "committed", True)
        if reply.get("success"):
            assert self.name is not None
            self._kept[self.name] = _EXECUTIONS
            self._tally.kept += 1
        self.name = None
        self._begin_recording()

    def _expect(self, reply: dict[str, Any], key: str, value: object) -> None:
        if not reply.get("success") or reply["result"].get(key) != value:
            self._tally.refused += 1
            self._tally.note(f"{self.port.name}, recording {self.name}: {json.dumps(reply)[:600]}")


@dataclass(frozen=True, slots=True)
class Setting:
    """How the bridges run that are killed, or whose like are."""

    name: str
    mode: Mode
    bridges: int
    host: bool
    victims: Mapping[Kind, int]
    """Which kinds of process are killed, how often."""


SETTINGS = (
    Setting("standalone", "standalone", 2, True, {"launcher": 4, "worker": 4, "host": 1, "owner": 1}),
    Setting("pool of three", "pool-worker", 3, True, {"launcher": 4, "worker": 4, "host": 2, "owner": 1}),
    Setting("pool of two without a host", "pool-worker", 2, False, {"launcher": 5, "owner": 1}),
)


class Crew:
    """The bridges of one owner, their clients, and what is killed among them."""

    def __init__(
        self, setting: Setting, sandbox: Sandbox, live: dict[str, Any], tally: Tally, dice: random.Random
    ) -> None:
        self._setting = setting
        self._sandbox = sandbox
        self._live = live
        self._tally = tally
        self._dice = dice
        self._kept: dict[str, int] = {}
        self._interrupted: list[str] = []
        self._names = 0
        self._owner = Owner(sandbox)
        self._bridges: dict[int, Client] = {}
        """By process id."""

    def fill(self) -> None:
        """Start what is missing; each new bridge has to answer."""
        new = []
        while len(self._bridges) < self._setting.bridges:
            number = len(self._bridges)
            env = self._sandbox.environment(
                DSPEX_TESTKIT_OFFLINE_POLICY="record", DSPEX_TESTKIT_HOST="auto" if self._setting.host else "off"
            )
            argv = command_line(self._setting.mode, number)
            pid, port = self._owner.start(argv, env, f"{self._setting.name}, bridge {number}")
            client = self._bridges[pid] = Client(port, self._live, self._next_name, self._tally, self._kept)
            new.append(client)
            client.begin()
        wanted = {client: client.answers + _UNRECORDED + 2 for client in new}
        self._talk(lambda: all(client.answers >= number for client, number in wanted.items()), PATIENCE)
        for client in new:
            if client.answers < wanted[client]:
                self._tally.mute += 1
                self._tally.note(f"{client.port.name} gave {client.answers} answers and no more")

    def kill_one(self) -> None:
        """Kill somebody while everybody is busy, and see to it that nothing else is amiss."""
        (kind,) = self._dice.choices(list(self._setting.victims), list(self._setting.victims.values()))
        name, signals = self._dice.choice(KILLS)
        self._talk(lambda: False, self._dice.choice((0.0, 0.01, 0.05, 0.1)))
        victims = self._sandbox.of_kind(kind)
        if not victims:
            return
        victim = self._dice.choice(victims)
        for number in signals:
            with suppress(ProcessLookupError):
                os.kill(victim, number)
            if number != signals[-1]:
                self._talk(lambda: False, self._dice.choice((0.0, 0.05)))
        self._tally.kills[kind] = self._tally.kills.get(kind, 0) + 1
        story = f"{name} of a {kind} ({self._setting.name})"
        if kind == "owner":
            self._after_the_owner(story)
        elif not self._talk(self._is_settled, PATIENCE):
            self._count_orphans(story)
        self._bury()
        self.fill()
        self._look_for_files(story)
        self._look_at_recordings(story)

    def close(self) -> None:
        """Let everybody go; nothing may be left."""
        for client in self._bridges.values():
            client.port.close()
        self._bridges.clear()
        self._owner.close()
        if not eventually(lambda: not list(self._sandbox.processes())):
            self._count_orphans("the end of everything")
        # What was killed together with its owner is swept by whoever comes next.
        self._owner = Owner(self._sandbox)
        self.fill()
        for client in self._bridges.values():
            client.port.close()
        eventually(lambda: not self._sandbox.of_kind("launcher"))
        self._owner.close()
        if not eventually(lambda: not list(self._sandbox.processes())):
            self._count_orphans("the very end")
        eventually(lambda: not self._sandbox.files())
        if left := self._sandbox.files() + self._beside_cassettes():
            self._tally.files += len(left)
            self._tally.note(f"left after the end of everything: {left}")
        self._look_at_recordings("the end of everything", every=True)

    def _next_name(self) -> str:
        if self._interrupted:
            return self._interrupted.pop()
        self._names += 1
        return f"recording-{self._names}"

    def _talk(self, done: Callable[[], bool], seconds: float) -> bool:
        """Go on with everything until something is the case; whether it is, in time."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= deadline:
                return False
            wait_for([client.port for client in self._bridges.values()], min(0.02, max(0.0, seconds)))
            for client in self._bridges.values():
                client.hear()
        return True

    def _is_settled(self) -> bool:
        """Whether there is nobody but a launcher and a worker per bridge that is connected, and their host."""
        now = list(self._sandbox.processes())
        of = {kind: [pid for pid, its in now if its == kind] for kind in ("launcher", "worker", "host", "other")}
        living = sorted(pid for pid, client in self._bridges.items() if not client.port.ended)
        if sorted(of["launcher"]) != living or of["other"]:
            return False
        if not self._setting.host:
            return not of["worker"] and not of["host"]
        return len(of["worker"]) == len(living) and len(of["host"]) <= 1 and (bool(of["host"]) or not living)

    def _after_the_owner(self, story: str) -> None:
        if not self._setting.host:
            # Nobody tells these but their clients.
            for client in self._bridges.values():
                client.port.hang_up()
        if not eventually(lambda: not list(self._sandbox.processes())):
            self._count_orphans(story)
        for client in self._bridges.values():
            client.port.ended = True
        self._owner.close()
        self._owner = Owner(self._sandbox)

    def _bury(self) -> None:
        for pid, client in list(self._bridges.items()):
            if client.port.ended:
                if client.name is not None:
                    self._interrupted.append(client.name)
                client.port.close()
                del self._bridges[pid]

    def _count_orphans(self, story: str) -> None:
        connected = {pid for pid, client in self._bridges.items() if not client.port.ended}
        left = [(pid, kind) for pid, kind in self._sandbox.processes() if pid not in connected | {self._owner.pid}]
        self._tally.orphans += max(1, len(left) - 2 * len(connected))
        self._tally.note(f"after {story} there are {left} beside the bridges {connected}")
        for pid, _ in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for client in self._bridges.values():
            client.port.ended = True

    def _look_for_files(self, story: str) -> None:
        """Scratch folders of the dead, and whatever is beside cassettes that is none."""

        def left() -> list[str]:
            of_the_dead = [path.name for path in self._sandbox.tmp.iterdir() if not _is_of_the_living(path.name)]
            return of_the_dead + self._beside_cassettes()

        # Folders go shortly after the process, drafts with the next recording that is kept; the living make new ones.
        first = set(left())
        if not self._talk(lambda: first.isdisjoint(left()), PATIENCE):
            stayed = sorted(first & set(left()))
            self._tally.files += len(stayed)
            self._tally.note(f"left after {story}: {stayed}")
            for path in self._sandbox.tmp.iterdir():
                if not _is_of_the_living(path.name):
                    subprocess.run(["rm", "-rf", str(path)], check=True)

    def _beside_cassettes(self) -> list[str]:
        return [str(path) for path in self._sandbox.cassettes.rglob("*") if path.suffix != ".yaml"]

    def _look_at_recordings(self, story: str, *, every: bool = False) -> None:
        """What was kept is there, and whatever is there is whole."""
        for path in self._sandbox.cassettes.glob("*.yaml"):
            found = _interactions(path)
            wanted = self._kept.get(path.stem)
            if found is None or (found != _EXECUTIONS):
                self._tally.half_written += 1
                self._tally.note(f"{path.name} has {found} interactions after {story}")
            if wanted is not None and not every:
                path.unlink()
                del self._kept[path.stem]
        for name in list(self._kept):
            if not (self._sandbox.cassettes / f"{name}.yaml").exists():
                self._tally.lost += 1
                self._tally.note(f"{name} was kept, and is gone after {story}")
                del self._kept[name]


def _interactions(path: Path) -> int | None:
    """How many a cassette has; None where it cannot be read."""
    try:
        return len(yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["interactions"])
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        return None


def _is_of_the_living(name: str) -> bool:
    """Whether a scratch folder's process lives."""
    parts = name.split("-")
    return name.startswith("dspex-testkit-") and len(parts) > 2 and parts[2].isdigit() and is_alive(int(parts[2]))


def attack(setting: Setting, kills: int, seed: int) -> Tally:
    """Kill processes at random moments, and count what should not be."""
    tally = Tally()
    dice = random.Random(f"{seed} {setting.name}")
    with Sandbox() as sandbox, ProviderSimulator() as simulator:
        crew = Crew(setting, sandbox, _live(simulator), tally, dice)
        crew.fill()
        while tally.total < kills:
            crew.kill_one()
        crew.close()
    return tally


def _live(simulator: ProviderSimulator) -> dict[str, Any]:
    """The config of a provider that answers after a moment."""
    target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"default": "recorded"}, "latency_ms": 3})
    return {"provider": "openai", "model": target.name, "api_base": target.api_base, "api_key": target.api_key}


def attack_recorders(kills: int, seed: int) -> Tally:
    """Kill processes that record without a bridge, LM calls and HTTP traffic: whole cassettes, or none."""
    tally = Tally()
    dice = random.Random(f"{seed} recorders")
    with Sandbox() as sandbox, ProviderSimulator() as simulator:
        live = _live(simulator)
        program = [sys.executable, "-m", "fuzz.recorder", str(sandbox.cassettes)]
        program += [live["api_base"], live["model"], live["api_key"], str(_EXECUTIONS)]
        env = sandbox.environment(LITELLM_LOCAL_MODEL_COST_MAP="True", PYTHONPATH=str(Path(__file__).parents[1]))
        recorder = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert recorder.stdin is not None
        assert recorder.stdout is not None
        usual = 0.0
        for number in range(kills + 2):
            name = f"{dice.choice(('lm', 'http')) if number > 1 else ('lm', 'http')[number]}-{number}"
            print(name.partition("-")[0], name, file=recorder.stdin, flush=True)
            pid, began = int(recorder.stdout.readline().split()[2]), time.monotonic()
            # The first two are left alone: they tell how long it takes.
            if number > 1:
                _, signals = dice.choice(KILLS)
                time.sleep(dice.uniform(0, usual * 1.1))
                for one in signals:
                    os.kill(pid, one)
                tally.kills["recorder"] = tally.kills.get("recorder", 0) + 1
            print("enough", file=recorder.stdin, flush=True)
            said = recorder.stdout.readline().split()[0]
            if said == "kept":
                recorder.stdout.readline()
                tally.kept += 1
            usual = max(usual, time.monotonic() - began) if number < 2 else usual
            path = sandbox.cassettes / f"{name}.yaml"
            found = _interactions(path) if path.exists() else 0
            if path.exists() and found != _EXECUTIONS:
                tally.half_written += 1
                tally.note(f"{name} has {found} interactions")
            if said == "kept" and found != _EXECUTIONS:
                tally.lost += 1
                tally.note(f"{name} was kept, and has {found} interactions")
        recorder.communicate()
        beside = [path.name for path in sandbox.cassettes.rglob("*") if path.suffix != ".yaml"]
        if beside:
            tally.files += len(beside)
            tally.note(f"left beside cassettes: {beside}")
    return tally

"""Bridges under commands for a long time: memory, descriptors and threads are sampled, and have to stay as they are."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.commands import SETTINGS as COMMANDS
from fuzz.commands import Attack, Conversation, Machine, Remembered, Setting
from fuzz.commands import Tally as Commands
from fuzz.model import Model
from fuzz.processes import Bridge, Kind, Sandbox

MEMORY_MB = 24.0
DESCRIPTORS = 2
THREADS = 2
"""How much more a process may have at its most in the last third of the samples than in the second: what it keeps has
bounds (journal, compiled programs, configs), and the first third is there to reach them."""

SETTINGS = (COMMANDS[0], COMMANDS[2])
_BRIDGES_PER_ROUND = 2
"""Started and ended beside those that stay."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process has."""

    memory_mb: float
    """Of its own: not shared with its host, or with it alone."""
    descriptors: int
    threads: int


@dataclass(slots=True)
class Tally:
    """What was sampled."""

    name: str
    commands: Commands = field(default_factory=Commands)
    bridges: int = 0
    """Started and ended meanwhile."""
    samples: dict[tuple[Kind, int], list[Sample]] = field(default_factory=dict)
    """By kind and process id."""

    def growth(self) -> Iterator[tuple[Kind, Sample]]:
        """Of each process, what it has more at its most in the last third than in the second."""
        for (kind, _), samples in self.samples.items():
            third = len(samples) // 3
            before, after = _most(samples[third : 2 * third]), _most(samples[2 * third :])
            yield (
                kind,
                Sample(
                    round(after.memory_mb - before.memory_mb, 1),
                    after.descriptors - before.descriptors,
                    after.threads - before.threads,
                ),
            )

    @property
    def problems(self) -> list[str]:
        """What grew beyond the bounds."""
        beyond = [
            f"{self.name}: a {kind} grew by {grown}"
            for kind, grown in self.growth()
            if grown.memory_mb > MEMORY_MB or grown.descriptors > DESCRIPTORS or grown.threads > THREADS
        ]
        return beyond + self.commands.notes

    def __str__(self) -> str:
        grown = "; ".join(
            f"{kind} {one.memory_mb:+.1f} MB, {one.descriptors:+d} descriptors, {one.threads:+d} threads"
            for kind, one in self.growth()
        )
        return f"{self.name}, {self.commands.commands} commands, {self.bridges} more bridges: {grown}"


def attack(setting: Setting, rounds: int, commands: int, seed: int) -> Tally:
    """Send commands in rounds, with bridges coming and going, and sample between them."""
    tally = Tally(setting.name)
    dice = random.Random(f"{seed} soak {setting.name}")
    # Small, so that the bounds are reached, and what is behind them is seen: threads are started as executions meet.
    settings = {"journal_size": "500", "concurrency": "4"}
    with Sandbox() as sandbox, ExitStack() as stack:
        bridges = [
            stack.enter_context(Bridge(sandbox, setting.mode, n, settings=settings)) for n in range(setting.workers)
        ]
        memory: list[Remembered] = []
        in_order = setting.mode == "pool-worker"
        conversations = [Conversation(bridge.port, tally.commands, in_order=in_order) for bridge in bridges]
        machine = Machine(dice, Model(replaces=in_order), memory)
        swarm = Attack([(machine, conversations)], tally.commands, dice)
        for _ in range(rounds):
            swarm.run(commands)
            for number in range(_BRIDGES_PER_ROUND):
                # A standalone one: it leaves the pool's state alone.
                with Bridge(sandbox, "standalone", 10 + number, settings=settings) as visitor:
                    assert visitor.ask("get_stats")["success"]
                tally.bridges += 1
            for pid, kind in sandbox.processes():
                if sample := _sample(pid):
                    tally.samples.setdefault((kind, pid), []).append(sample)
        # Those that were seen each time, and not the last breath of a visitor.
        tally.samples = {key: samples for key, samples in tally.samples.items() if len(samples) == rounds}
    return tally


def _sample(pid: int) -> Sample | None:
    folder = Path(f"/proc/{pid}")
    try:
        sizes = dict(line.split(":") for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        private = sum(int(sizes[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
        descriptors, threads = len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))
    except (OSError, KeyError):
        return None
    return Sample(private / 1024, descriptors, threads)


def _most(samples: list[Sample]) -> Sample:
    return Sample(
        max(one.memory_mb for one in samples),
        max(one.descriptors for one in samples),
        max(one.threads for one in samples),
    )

"""The attacks of `fuzz`, in small: do they still work, and do they see what they are to see?"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz import commands, environments, kills, packets, soak
from fuzz.processes import Port, frame
from fuzz.sizes import LONG, SMOKE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [0, 2], ids=["standalone", "pool"])
def test_a_few_random_commands_are_answered_as_the_model_says(number: int) -> None:
    """The model and the bridges agree."""
    tally = commands.attack(commands.SETTINGS[number], SMOKE.commands // 2, seed=1)
    assert tally.commands >= SMOKE.commands // 2
    assert tally.executions > 20
    assert not tally.faults, "\n".join(tally.notes)


class Liar:
    """A conversation whose bridge is this test."""

    def __init__(self, *, in_order: bool) -> None:
        stdin, self._commands = os.pipe()[::-1]
        self._out, self._replies = os.pipe()
        self.tally = commands.Tally()
        self.port = Port(stdin, self._out)
        self.conversation = commands.Conversation(self.port, self.tally, in_order=in_order)

    def ask(self, command: str = "ping") -> None:
        """Send a command that is to succeed with the status `ok`."""
        self.conversation.send((command, {}, None, lambda result: commands.differs(result, {"status": "ok"})))

    def reply(self, *payloads: bytes) -> None:
        """Answer."""
        os.write(self._replies, b"".join(frame(payload) for payload in payloads))
        self.port.turn()
        self.conversation.hear()

    def close(self) -> None:
        """Close the pipes."""
        self.port.close()
        os.close(self._commands)
        os.close(self._replies)


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A pool's worker that may say anything."""
    liar = Liar(in_order=True)
    yield liar
    liar.close()


def right(id: int) -> bytes:
    """The reply that is wanted."""
    return b'{"id": %d, "success": true, "result": {"status": "ok"}}' % id


def test_what_is_wrong_with_replies_is_counted(liar: Liar) -> None:
    """A wrong answer, one that nobody asked for, one that came before, one out of turn, and one that never comes."""
    for _ in range(4):
        liar.ask()
    liar.reply(b'{"id": 0, "success": true, "result": {"status": "lost"}}')
    assert liar.tally.wrong == 1
    liar.reply(right(0))
    assert liar.tally.doubled == 1
    liar.reply(right(2))
    assert liar.tally.late == 1
    liar.reply(right(99), b"[]", b'{"id": 1, "success": false, "error": "no [no]", "error_code": "no"}')
    assert liar.tally.wrong == 4
    liar.conversation.lose()
    assert liar.tally.lost == 1
    assert liar.tally.faults == 7


def test_a_few_hostile_packets_neither_end_a_bridge_nor_find_a_defect() -> None:
    """Every readable request is answered once."""
    usual = sys.get_int_max_str_digits()
    with packets.integers_of_any_length():
        tally = packets.attack(packets.SETTINGS[0], SMOKE.packets, seed=1)
    assert tally.answered > SMOKE.packets
    assert sys.get_int_max_str_digits() == usual == sys.int_info.default_max_str_digits, "the attack is over"
    assert not tally.faults, "\n".join([str(tally), *tally.notes.values()])


def test_a_few_clients_that_go_within_a_frame_leave_nothing_behind() -> None:
    """The bridge goes with them, with status 0."""
    with packets.integers_of_any_length():
        tally = packets.lie_at_the_end(SMOKE.ends, seed=1)
    assert not tally.faults, "\n".join(tally.notes.values())


def test_a_few_kills_leave_nothing_behind_and_take_nothing_along() -> None:
    """No orphan, no file, no recording lost, and the next bridge answers."""
    tally = kills.attack(kills.SETTINGS[1], SMOKE.kills, seed=4)
    assert tally.total == SMOKE.kills
    assert not tally.faults, "\n".join([str(tally), *tally.notes])


def test_a_recorder_that_is_killed_leaves_a_whole_cassette_or_none() -> None:
    """Without a bridge, too; and what it said it has kept is there."""
    tally = kills.attack_recorders(SMOKE.kills, seed=1)
    assert tally.kept >= 2
    assert not tally.faults, "\n".join([str(tally), *tally.notes])


def test_a_short_soak_samples_every_process() -> None:
    """Launcher, worker and host are looked at, and a process that grows is told."""
    tally = soak.attack(soak.SETTINGS[0], SMOKE.soak_rounds, SMOKE.soak_commands, seed=1)
    assert {kind for kind, _ in tally.samples} == {"launcher", "worker", "host"}
    assert not tally.problems
    growing = [soak.Sample(memory, 9, 1) for memory in (1.0, 1.0, 1.0 + 2 * soak.MEMORY_MB)]
    tally.samples["host", 0] = growing
    assert len(tally.problems) == 1


def test_a_bridge_answers_with_hardly_a_descriptor() -> None:
    """Programs run and figures are told, but for one that would take a descriptor more."""
    (environment,) = [one for one in environments.ENVIRONMENTS if one.name == "ten descriptors"]
    outcome = environments.attempt(environment, host=True)
    assert outcome.problem is None, str(outcome)
    assert outcome.answered, str(outcome)


def test_the_page_names_every_attack() -> None:
    """A part that is new, gone or renamed is so on the page, too."""
    named = re.findall(r"^\| `(fuzz/test_\w+\.py)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "fuzz").glob("test_*.py"))


def test_the_options_of_the_page_begin_a_run() -> None:
    """Those of all its commands, in one."""
    options = " ".join(re.findall(r"^tox run -e fuzz -- (.+)$", PAGE, re.MULTILINE)).split()
    assert {"--long", "--seed", "--scale"} <= set(options)
    command = [sys.executable, "-m", "pytest", "fuzz", "--collect-only", "-q", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_scale_makes_every_count_smaller_but_leaves_rounds_to_compare() -> None:
    """A soak with fewer rounds would compare nothing, and nothing is attacked less than once."""
    small = LONG.scaled(0.0001)
    assert small.commands == 10
    assert small.ends == 1
    assert small.soak_rounds == LONG.soak_rounds

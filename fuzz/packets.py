"""Packets that no well-meaning client sends, to live bridges; none may end one, silence one, or meet a defect.

Values and the places for them are those of `tests.support.hostile`. On the wire come damaged JSON and damaged frames:
flipped bits, cut and stitched texts, frames that are too large, arrive in pieces or lie about their length.
"""

import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fuzz.processes import PATIENCE, Bridge, Mode, Sandbox, eventually, frame, wait_for
from tests.support.hostile import HOSTILE, KEYS, PLACES, PREPARED, Place, samples

_LARGEST = 1 << 20
"""Bytes that a bridge under attack takes in one frame."""
_BATCH = 60
"""Packets between two pings that have to be answered."""
_BATCHES_BETWEEN_RESETS = 6
_TIME_LIMIT_MS = 250
"""For executions, which may have been given a mock that takes its time."""
_FIRST_ID = 1 << 20
_DAMAGED_IDS = 9 * 10**14
"""From here on count the ids of packets whose id may itself be damaged; none begins with that of another packet."""

RAW = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e-999",
        "01",
        "+1",
        "1.",
        ".5",
        "0x10",
        "nul",
        "TRUE",
        "'x'",
    ),
    *(
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\x00"',
        '"\\u00"',
        '"\n"',
        '"\\',
        '"',
        "\\",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "",
    ),
    *("[" * 2_000, "[" * 2_000 + "]" * 2_000, '{"a":' * 2_000 + "1" + "}" * 2_000, "9" * 6_000, "0." + "1" * 6_000),
    *('{"a":1,"a":2}', '{"id":7,"id":8}', "/* x */ 1", "\ufeff1", "1 2", '"a" "b"', "[1,]", '{"a":1,}', "{1:2}"),
    *('"\x7f"', '"\u2028"', '"\U0001f600"', "-", "--1", "1e", "1e+", '"' + "x" * 70_000 + '"'),
)
"""Texts in place of a JSON value, sound and unsound."""


@dataclass(slots=True)
class Tally:
    """What was counted."""

    packets: int = 0
    answered: int = 0
    deaths: int = 0
    hung: int = 0
    """Bridges that did not answer any more."""
    internal_errors: int = 0
    unanswered: int = 0
    """Requests with a readable id that were passed over."""
    doubled: int = 0
    garbled: int = 0
    """Replies that are no JSON object."""
    noise: int = 0
    """Bridges that wrote something to stderr."""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        """What ought to be 0."""
        counts = self.deaths, self.hung, self.internal_errors, self.unanswered, self.doubled, self.garbled, self.noise
        return sum(counts)

    def note(self, kind: str, text: str) -> None:
        """Keep one example of a kind."""
        if len(self.notes) < 40:
            self.notes.setdefault(kind, text)

    def add(self, other: "Tally") -> None:
        """Count another's, too."""
        names = "packets answered deaths hung internal_errors unanswered doubled garbled noise"
        for name in names.split():
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes = {**other.notes, **self.notes}

    def __str__(self) -> str:
        return (
            f"{self.packets} packets ({self.answered} answered): {self.deaths} deaths, {self.hung} hung, "
            f"{self.internal_errors} internal_error, {self.unanswered} passed over, {self.doubled} answered twice, "
            f"{self.garbled} garbled replies, {self.noise} wrote to stderr"
        )


@dataclass(frozen=True, slots=True)
class Packet:
    """What is written, and what it is."""

    data: bytes
    name: str
    id: int | None = None
    """That of a request which has to be answered exactly once."""
    pieces: Sequence[int] = ()
    """Where the data is cut, to be written piece by piece."""
    then: Sequence[tuple[str, dict[str, Any]]] = ()
    """Requests that have a bridge use what it has accepted."""


class Maker:
    """Makes up hostile packets.

    Args:
        dice: Decides.
    """

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._ids = _FIRST_ID
        self._kinds: Sequence[tuple[int, Callable[[], Packet]]] = (
            (45, self._hostile_value),
            (8, self._hostile_key),
            (6, self._two_values),
            (8, self._raw_json),
            (8, self._envelope),
            (18, self._damaged_bytes),
            (3, self._in_pieces),
            (2, self._oversized),
            (2, self._swallows_the_next),
        )

    def next(self) -> Packet:
        """A packet."""
        (make,) = self._dice.choices([make for _, make in self._kinds], [weight for weight, _ in self._kinds])
        return make()

    def request(self, command: str, args: Mapping[str, Any], name: str, **more: Any) -> Packet:
        """A request that is sound JSON."""
        id = self._new_id()
        text = json.dumps({"id": id, "command": command, "args": args}, allow_nan=True)
        return Packet(frame(text.encode()), name, id, **more)

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    def _sample(self) -> tuple[str, dict[str, Any]]:
        command = self._dice.choice(sorted(samples()))
        return command, _bounded(command, self._dice.choice(samples()[command]))

    def _hostile_value(self) -> Packet:
        place, (name, value) = self._dice.choice(PLACES), self._dice.choice(list(HOSTILE.items()))
        command, args = place.request(value)
        args = _bounded(command, args, place)
        then = [(command, _bounded(command, more)) for command, more in _uses(command, args)]
        return self.request(command, args, f"{name} at {place}", then=then)

    def _hostile_key(self) -> Packet:
        while True:
            place, (name, key) = self._dice.choice(PLACES), self._dice.choice(list(KEYS.items()))
            if (made := place.request_with_key(key)) is not None:
                return self.request(made[0], _bounded(*made, place), f"{name} as a key at {place}")

    def _two_values(self) -> Packet:
        first = self._dice.choice(PLACES)
        others = [one for one in PLACES if one.command == first.command and one.sample == first.sample]
        second = self._dice.choice(others)
        (name, value), (other_name, other) = self._dice.choices(list(HOSTILE.items()), k=2)
        command, args = first.request(value)
        with suppress(KeyError, IndexError, TypeError, AttributeError):
            at: Any = args
            for step in second.path[:-1]:
                at = at[step]
            at[second.path[-1]] = other
        name = f"{name} at {first} and {other_name} at {second}"
        return self.request(command, _bounded(command, args, first, second), name)

    def _raw_json(self) -> Packet:
        place, raw = self._dice.choice(PLACES), self._dice.choice(RAW)
        command, args = place.request("@here@")
        id = _DAMAGED_IDS + self._new_id()
        text = json.dumps({"id": id, "command": command, "args": _bounded(command, args, place)}, allow_nan=True)
        data = text.replace('"@here@"', raw).encode("utf-8", "surrogatepass")
        return Packet(frame(data), f"the text {raw[:40]!r} at {place}")

    def _envelope(self) -> Packet:
        command, args = self._sample()
        id = _DAMAGED_IDS + self._new_id()
        request: dict[str, Any] = {"id": id, "command": command, "args": args, "timestamp": "2026-01-01T00:00:00Z"}
        key = self._dice.choice(("id", "command", "args", "timestamp", "extra"))
        (name, value) = self._dice.choice(list(HOSTILE.items()))
        shape = self._dice.choice(("value", "value", "missing", "list", "alone", "twice"))
        if shape == "value":
            request[key] = value
        elif shape == "missing":
            request.pop(key, None)
        text = json.dumps(request, allow_nan=True)
        if shape == "list":
            text = f"[{text}]"
        elif shape == "alone":
            text = json.dumps(value, allow_nan=True)
        elif shape == "twice":
            text = text[:-1] + f', "{key}": {json.dumps(value, allow_nan=True)}}}'
        return Packet(frame(text.encode()), f"{name} as {key} of the envelope ({shape})")

    def _damaged_bytes(self) -> Packet:
        command, args = self._sample()
        id = _DAMAGED_IDS + self._new_id()
        data = bytearray(json.dumps({"id": id, "command": command, "args": args}).encode())
        kind = self._dice.choice(("flip", "flip", "cut", "insert", "repeat", "noise", "stitch", "term", "empty"))
        if kind == "flip":
            for _ in range(self._dice.choice((1, 1, 2, 8, 64))):
                data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
        elif kind == "cut":
            del data[self._dice.randrange(len(data)) :]
        elif kind == "insert":
            at = self._dice.randrange(len(data))
            data[at:at] = self._dice.randbytes(self._dice.choice((1, 4, 100)))
        elif kind == "repeat":
            data *= 2
        elif kind == "noise":
            data = bytearray(self._dice.randbytes(self._dice.choice((1, 3, 50, 5_000))))
        elif kind == "stitch":
            other = json.dumps(self._sample()[1]).encode()
            data[self._dice.randrange(len(data)) :] = other[self._dice.randrange(len(other)) :]
        elif kind == "term":
            data = bytearray(b"\x83h\x02d\x00\x02okm\x00\x00\x00\x05hello")
        else:
            data.clear()
        return Packet(frame(bytes(data)), f"{kind} of {command}")

    def _in_pieces(self) -> Packet:
        command, args = self._sample()
        packet = self.request(command, args, f"{command} in pieces")
        pieces = self._dice.sample(range(1, len(packet.data)), min(6, len(packet.data) - 1))
        return Packet(packet.data, packet.name, packet.id, sorted({1, 3, 4, *pieces}))

    def _oversized(self) -> Packet:
        command, args = self._sample()
        return self.request(command, {**args, "padding": "x" * (_LARGEST + self._dice.randrange(70_000))}, "oversized")

    def _swallows_the_next(self) -> Packet:
        """A length that reaches into a second request."""
        first, second = self.request(*self._sample(), "lie"), self.request(*self._sample(), "lie")
        swallowed = first.data[4:] + second.data
        return Packet(frame(swallowed), "a length that lies")


def _bounded(command: str, args: dict[str, Any], *places: Place) -> dict[str, Any]:
    """An execution with a time limit, unless that is what is hostile: a mock may be told to take hours."""
    executes = command in ("execute_program", "execute_gemini_program", "predict")
    if not executes or any("timeout_ms" in place.path for place in places):
        return args
    return {**args, "timeout_ms": _TIME_LIMIT_MS}


def _uses(command: str, args: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that have a bridge use what it may have accepted."""
    session = {"session_id": args.get("session_id")}
    asks = {"signature": "question -> answer, numbers: list[int]", "inputs": {"question": "Who?"}}
    if command in ("configure_lm", "use_cassette", "set_budget"):
        yield "predict", {**asks, **session}
    elif command == "define_lm":
        yield "predict", {**asks, "lm_config": {"lm": args.get("name")}}
        yield "undefine_lm", {"name": args.get("name")}
    elif command in ("create_program", "create_gemini_program"):
        yield "execute_program", {"program_id": args.get("id"), "inputs": {"question": "Who?"}, **session}
        yield "get_program_info", {"program_id": args.get("id"), **session}


class Target:
    """A bridge under attack; another one takes its place where it is gone.

    Args:
        start: Starts one.
        tally: Where it is counted.
    """

    def __init__(self, start: Callable[[], Bridge], tally: Tally) -> None:
        self._start = start
        self._tally = tally
        self._bridge = start()
        self._waiting: dict[int, str] = {}
        self._answered: set[int] = set()
        self._last: deque[str] = deque(maxlen=_BATCH + 5)

    def send(self, packet: Packet) -> None:
        """Write a packet, in its pieces."""
        port = self._bridge.port
        self._tally.packets += 1
        self._last.append(packet.name)
        if packet.id is not None:
            self._waiting[packet.id] = packet.name
        start = 0
        for end in (*packet.pieces, len(packet.data)):
            port.write(packet.data[start:end])
            start = end
            if packet.pieces:
                port.turn()
        # Else both ends could wait for the other to read.
        while port.unwritten > 1 << 20 and self._hear():
            pass

    def settle(self, ping: Packet) -> None:
        """Have a ping answered, and with it all that came before; give up on a bridge that does not."""
        self.send(ping)
        self._tally.packets -= 1
        deadline = time.monotonic() + PATIENCE
        while self._waiting and self._hear():
            if time.monotonic() > deadline:
                if ping.id in self._waiting:
                    self._tally.hung += 1
                    self._tally.note("hung", self._story())
                    self._replace()
                else:
                    self._tally.unanswered += len(self._waiting)
                    for name in self._waiting.values():
                        self._tally.note(f"passed over: {name}", name)
                self._waiting.clear()
        self._answered.clear()

    def end(self) -> None:
        """Hang up: it has to end with status 0 and in silence."""
        try:
            status, said = self._bridge.end()
        except AssertionError as error:
            self._tally.hung += 1
            self._tally.note("hung", str(error))
            return
        if status != 0:
            self._tally.deaths += 1
            self._tally.note("death", f"status {status} at the end; {said}")
        if said:
            self._tally.noise += 1
            self._tally.note("noise", said[:2000])

    def _hear(self) -> bool:
        """Read for a while; whether the bridge lives."""
        port = self._bridge.port
        wait_for([port], 1.0)
        replies, port.replies = port.replies, []
        for reply in replies:
            self._tally.answered += 1
            self._count(reply)
        self._tally.garbled += port.garbled
        port.garbled = 0
        if not port.ended:
            return True
        self._tally.deaths += 1
        status, said = self._bridge.end()
        self._tally.note(f"death {status}", f"status {status}: {said[-1500:]}\n{self._story()}")
        self._waiting.clear()
        self._replace(ended=True)
        return False

    def _count(self, reply: dict[str, Any]) -> None:
        id = reply.get("id")
        name = "damaged"
        if isinstance(id, int) and id in self._waiting:
            name = self._waiting.pop(id)
            self._answered.add(id)
        elif id in self._answered:
            self._tally.doubled += 1
            self._tally.note("doubled", str(reply)[:500])
        if reply.get("error_code") == "internal_error":
            self._tally.internal_errors += 1
            error = str(reply.get("error"))
            self._tally.note(f"internal_error {error[:70]}", f"{error[:400]} ← {name}")

    def _story(self) -> str:
        return "the last packets: " + "; ".join(self._last)

    def _replace(self, *, ended: bool = False) -> None:
        if not ended:
            self._bridge.process.kill()
            with suppress(AssertionError):
                self._bridge.end()
        self._bridge = self._start()


@dataclass(frozen=True, slots=True)
class Setting:
    """How the bridge under attack runs."""

    name: str
    mode: Mode
    settings: Mapping[str, str]


SETTINGS = (
    Setting("standalone", "standalone", {}),
    Setting("standalone without a host", "standalone", {"host": "off"}),
    Setting("pool worker", "pool-worker", {}),
    Setting("pool worker that replays, without a host", "pool-worker", {"host": "off", "offline_policy": "replay"}),
)


@contextmanager
def integers_of_any_length() -> Iterator[None]:
    """Let this client write the integers that Python by itself refuses to; around all attacks that run at a time."""
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(usual)


def attack(setting: Setting, packets: int, seed: int) -> Tally:
    """Send hostile packets to a live bridge, and count what they do to it."""
    tally = Tally()
    dice = random.Random(f"{seed} {setting.name}")
    maker = Maker(dice)
    settings = {**setting.settings, "max_frame_size": str(_LARGEST)}
    with Sandbox() as sandbox:
        target = Target(lambda: Bridge(sandbox, setting.mode, settings=settings), tally)
        batches = 0
        while tally.packets < packets:
            if batches % _BATCHES_BETWEEN_RESETS == 0:
                # What was accepted must not stand in the way of what comes.
                target.send(maker.request("reset_state", {}, "reset_state"))
                for command, args in PREPARED:
                    target.send(maker.request(command, args, command))
                tally.packets -= 1 + len(PREPARED)
            batches += 1
            for _ in range(_BATCH):
                packet = maker.next()
                target.send(packet)
                for command, args in packet.then:
                    target.send(maker.request(command, args, f"{command} after {packet.name}"))
                    tally.packets -= 1
            target.settle(maker.request("ping", {}, "ping"))
        target.end()
    return tally


def lie_at_the_end(count: int, seed: int) -> Tally:
    """Frames that are never completed, because the client goes: the bridge has to go too, with status 0."""
    tally = Tally()
    dice = random.Random(f"{seed} ends")
    maker = Maker(dice)
    with Sandbox() as sandbox:
        for number in range(count):
            tally.packets += 1
            bridge = Bridge(sandbox, dice.choice(("standalone", "pool-worker")), number)
            data = maker.next().data
            lie = dice.choice(
                (data[: dice.randrange(len(data))], b"\xff\xff\xff\xff" + data, data[:4], b"\0", dice.randbytes(9), b"")
            )
            bridge.port.write(lie[: 1 << 16])
            bridge.port.turn()
            try:
                status, said = bridge.end()
            except AssertionError as error:
                tally.hung += 1
                tally.note("hung", f"{error}: {lie[:80]!r}")
                continue
            if status != 0:
                tally.deaths += 1
                tally.note("death", f"status {status} after {lie[:80]!r}: {said}")
        if not eventually(lambda: not sandbox.of_kind("launcher") and not sandbox.of_kind("worker")):
            tally.hung += 1
            tally.note("orphans", str(list(sandbox.processes())))
    return tally

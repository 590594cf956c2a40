"""How a call walks through the house: `python -m benchmarks.walks` prints it, `--list` with every file on the way.

Which files of the package one request enters, in order, as `sys.setprofile` sees the calls. A walk that comes back to
a file it has left is one that a reader has to make too, and a call of a higher room is one that the rooms are to rule
out. It measures no time, so it says the same on every machine.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import dspy

import dspex_testkit
from dspex_testkit import cassettes
from dspex_testkit.bridge import Bridge
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.protocol import (
    Frame,
    FrameDecoder,
    Request,
    encode_frame,
    encode_request,
    encode_response,
    parse_request,
)

PACKAGE = Path(dspex_testkit.__file__).parent
ROOMS = ("protocol", "calls", "dspy_internals", "engines", "mock_lm", "cassettes", "lm", "bridge", "runtime")
"""The rooms that a call can enter, from the ground up."""
TABLE = {"What is the capital of France?": "Paris"}
QUESTION = next(iter(TABLE))


def files_entered(walk: Callable[[], Any]) -> list[str]:
    """The files that are entered, in order: one entry each time that the flow goes on in another file than before."""
    entered: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in path.parents:
            name = path.relative_to(PACKAGE).with_suffix("").as_posix()
            if entered[-1:] != [name]:
                entered.append(name)

    sys.setprofile(profile)
    try:
        walk()
    finally:
        sys.setprofile(None)
    return entered


def returns(entered: Sequence[str]) -> int:
    """How often the flow comes back to a file that it has left."""
    return len(entered) - len(set(entered))


def climbs(walk: Callable[[], Any]) -> set[tuple[str, str]]:
    """Calls of a function in a higher room, as pairs of the two files; what lies between them is not this package."""
    found: set[tuple[str, str]] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        called, caller = _file(frame), frame.f_back and _file(frame.f_back)
        if event == "call" and called and caller and _floor(called) > _floor(caller):
            found.add((caller, called))

    sys.setprofile(profile)
    try:
        walk()
    finally:
        sys.setprofile(None)
    return found


def mock_call() -> Callable[[], Any]:
    """One call of a mock with a table, by a program that has called it before."""
    lm, program = MockLM.deterministic(TABLE), dspy.Predict("question -> answer")

    def walk() -> None:
        with dspy.context(lm=lm):
            assert program(question=QUESTION).answer == TABLE[QUESTION]

    walk()
    return walk


def execution() -> Callable[[], Any]:
    """One `execute_program`, from the bytes of its frame to the bytes of the reply; the program has run before."""
    bridge = Bridge()
    lm = {"provider": "mock", "mock": {"responses": TABLE}}
    created = bridge.handle(
        Request(1, "create_program", {"program_id": "qa", "signature": "question -> answer", "lm_config": lm})
    )
    assert created.success, created.error
    arguments = {"program_id": "qa", "inputs": {"question": QUESTION}}
    asked = encode_frame(encode_request(Request(2, "execute_program", arguments)))

    def walk() -> bytes:
        decoder = FrameDecoder()
        decoder.feed_data(asked)
        frame = decoder.next_event()
        assert isinstance(frame, Frame)
        return encode_frame(encode_response(bridge.handle(parse_request(frame.payload))))

    answer = walk()
    assert TABLE[QUESTION].encode() in answer, answer
    return walk


def replayed_call(place: Path) -> Callable[[], Any]:
    """One call that a cassette answers, by a program that has called it before."""
    path, program = place / "walk.yaml", dspy.Predict("question -> answer")
    with cassettes.record(MockLM.deterministic(TABLE), path) as lm, dspy.context(lm=lm):
        program(question=QUESTION)
    lm = cassettes.replay(path, allow_playback_repeats=True)

    def walk() -> None:
        with dspy.context(lm=lm):
            assert program(question=QUESTION).answer == TABLE[QUESTION]

    walk()
    return walk


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the walks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walks", description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print every file on the way")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="dspex-testkit-walks-") as place:
        walks = {"mock call": mock_call(), "execution": execution(), "replayed call": replayed_call(Path(place))}
        for name, walk in walks.items():
            entered = files_entered(walk)
            print(f"{name}: {len(set(entered))} files, {returns(entered)} returns, {len(climbs(walk))} climbs")
            if options.list:
                print(*(f"    {file}" for file in entered), sep="\n")
                print(*(f"    climbs: {caller} calls {called}" for caller, called in sorted(climbs(walk))), sep="\n")
    return 0


def _file(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).with_suffix("").as_posix() if PACKAGE in path.parents else None


def _floor(file: str) -> int:
    room = file.partition("/")[0]
    return ROOMS.index(room) if room in ROOMS else -1


if __name__ == "__main__":
    sys.exit(main())

"""A disk that is full, read-only or damaged costs what would have been written there, and nothing else."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.protocol import Response
from dspex_testkit.simulator import ProviderSimulator
from tests.interaction.conftest import Connect
from tests.support.bridges import Client, InProcess, Process, as_environment
from tests.support.disks import SmallDisk, read_only, small_disk

CACHED = {"provider": "mock", "model": "scripted", "script": [f"answer {n}" for n in range(100)], "cache": "disk"}


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A disk that has room."""
    with small_disk() as disk:
        yield disk


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user may look into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def prepare(bridge: Client) -> None:
    """A program whose LM gives another answer each time, and is to be remembered on disk."""
    bridge.call("configure_lm", CACHED)
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})


def answer(bridge: Client, question: str = "?") -> str:
    """What the program answers."""
    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": question}})
    heard: str = result["outputs"]["answer"]
    return heard


def assert_told(bridge: Client, folder: Path) -> None:
    """Nothing is remembered, whoever looks sees why, and whoever clears is told what to do."""
    told = bridge.call("get_cache_stats")["disk"]
    assert told["faults"] > 0
    assert told["last_fault"]
    refused = bridge.ask("clear_cache", {"mode": "disk"})
    assert refused.code == "cache_unavailable", refused
    assert str(folder) in (refused.message or "")
    assert "DSPEX_TESTKIT_CACHE_DIR" in (refused.message or "")


def test_a_full_disk_remembers_nothing_and_fails_no_execution(connect: Connect, disk: SmallDisk) -> None:
    """With room again, answers are remembered again, by the same bridge."""
    folder = disk.folder / "answers"
    bridge = connect(BridgeSettings(cache_dir=str(folder)))
    prepare(bridge)
    disk.fill()
    assert [answer(bridge), answer(bridge)] == ["answer 0", "answer 1"]
    assert_told(bridge, folder)
    disk.free()
    assert [answer(bridge), answer(bridge)] == ["answer 2", "answer 2"]
    assert bridge.call("clear_cache", {"mode": "disk"})["entries_cleared"] == 1


def test_a_disk_that_becomes_full_forgets_nothing(connect: Connect, disk: SmallDisk) -> None:
    """What is there is found as long as it can be read; only new answers are lost."""
    bridge = connect(BridgeSettings(cache_dir=str(disk.folder / "answers")))
    prepare(bridge)
    assert answer(bridge, "before") == "answer 0"
    disk.fill()
    asked = [answer(bridge, "x" * 5000 + str(n)) for n in range(40)]
    assert len(set(asked)) == 40
    disk.free()
    assert answer(bridge, "before") == "answer 0"
    assert answer(bridge, "after") == answer(bridge, "after")


@pytest.mark.parametrize("damage", ["nonsense", "half"])
def test_a_damaged_database_remembers_nothing_and_fails_no_execution(
    connect: Connect, folder: Path, damage: str
) -> None:
    """Whether it never was one, or was cut off."""
    if damage == "nonsense":
        (folder / "cache.db").write_bytes(b"this is no database" * 1000)
    else:
        other = InProcess(BridgeSettings(cache_dir=str(folder)))
        prepare(other)
        answer(other)
        other.bridge.close()  # type: ignore[attr-defined]
        content = (folder / "cache.db").read_bytes()
        (folder / "cache.db").write_bytes(content[: len(content) // 3] + b"\1" * 4096)
        for journal in folder.glob("cache.db-*"):
            journal.unlink()
    bridge = connect(BridgeSettings(cache_dir=str(folder)))
    prepare(bridge)
    assert [answer(bridge), answer(bridge)] == ["answer 0", "answer 1"]
    assert_told(bridge, folder)


def test_a_read_only_folder_remembers_nothing_and_fails_no_execution(folder: Path) -> None:
    """As a user whom the folder's mode keeps out."""
    bridge: Any = InProcess(BridgeSettings(cache_dir=str(folder)))
    prepare(bridge)
    answer(bridge)
    bridge.call("clear_cache", {"mode": "disk"})
    bridge.bridge.close()
    with read_only(folder):
        closed: Any = InProcess(BridgeSettings(cache_dir=str(folder / "deeper")))
        prepare(closed)
        assert [answer(closed), answer(closed)] == ["answer 0", "answer 1"]
        assert_told(closed, folder / "deeper")


def test_an_entry_that_cannot_be_read_is_asked_for_again(folder: Path) -> None:
    """Written by another version, or by nobody who knows how; it is written anew."""
    bridge: Any = InProcess(BridgeSettings(cache_dir=str(folder)))
    prepare(bridge)
    assert answer(bridge) == "answer 0"
    cache = bridge.bridge.lms.factory.cache
    read = cache.get
    spoilt: list[str] = []

    def spoil(where: Any, key: str, decode: Any) -> Any:
        if not spoilt:
            spoilt.append(key)
            cache.put(where, key, {"response": {"of": "another version"}}, None)
        return read(where, key, decode)

    cache.get = spoil
    assert [answer(bridge), answer(bridge)] == ["answer 1", "answer 1"]
    assert bridge.call("get_cache_stats")["disk"]["faults"] == 1


# Recordings


@pytest.fixture
def simulator() -> Iterator[ProviderSimulator]:
    """A provider that can add."""
    with ProviderSimulator() as running:
        yield running


def recorder(connect: Connect, disk: SmallDisk, simulator: ProviderSimulator) -> Client:
    """A bridge that records onto a disk."""
    target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"1+1": "2", "2+2": "4"}})
    lm = {"provider": "openai", "model": target.name, "api_base": target.api_base, "api_key": target.api_key}
    settings = BridgeSettings(offline_policy=OfflinePolicy.RECORD, cassettes=str(disk.folder / "cassettes"))
    bridge = connect(settings)
    bridge.call("configure_lm", {**lm, "session_id": "s"})
    bridge.call("create_program", {"id": "p", "signature": "question -> answer", "session_id": "s"})
    return bridge


def add(bridge: Client, question: str) -> Response:
    """What comes of one execution."""
    args = {"program_id": "p", "inputs": {"question": question}, "session_id": "s"}
    return bridge.ask("execute_program", args)


def assert_not_written(response: Response, name: str) -> None:
    """A code of its own, with the file, the reason and what to do."""
    assert response.code == "cassette_write_failed", response
    for wanted in (name, "cannot be written", "make room", "What was recorded is kept"):
        assert wanted in (response.message or "")


def assert_recorded(disk: SmallDisk, name: str, interactions: int) -> None:
    """The file is whole, and nothing lies beside it."""
    folder = disk.folder / "cassettes"
    assert [path.name for path in folder.iterdir()] == [name]
    assert len(yaml.safe_load((folder / name).read_text(encoding="utf-8"))["interactions"]) == interactions


def test_a_named_recording_is_kept_until_it_can_be_written(
    connect: Connect, disk: SmallDisk, simulator: ProviderSimulator
) -> None:
    """Ejecting says what is wrong, as often as it is tried, and loses nothing; with room it succeeds."""
    bridge = recorder(connect, disk, simulator)
    bridge.call("use_cassette", {"session_id": "s", "name": "adds", "mode": "once"})
    assert add(bridge, "1+1").result["answer"] == "2"
    disk.fill()
    for _ in range(2):
        assert_not_written(bridge.ask("eject_cassette", {"session_id": "s", "passed": True}), "adds.yaml")
    assert add(bridge, "2+2").result["answer"] == "4"
    disk.free()
    assert bridge.call("eject_cassette", {"session_id": "s", "passed": True})["recorded"] == 2
    assert_recorded(disk, "adds.yaml", 2)


def test_a_recording_without_a_name_is_kept_until_it_can_be_written(
    connect: Connect, disk: SmallDisk, simulator: ProviderSimulator
) -> None:
    """The execution says that its recording is not written; the next one, or the session's end, writes it too."""
    bridge = recorder(connect, disk, simulator)
    disk.fill()
    assert_not_written(add(bridge, "1+1"), "s.yaml")
    bridge.call("cleanup_session", {"session_id": "s"})
    disk.free()
    bridge.call("cleanup_session", {"session_id": "s"})
    bridge.call("reset_state")
    assert_recorded(disk, "s.yaml", 1)


def test_the_end_of_a_bridge_is_the_last_try_to_write(disk: SmallDisk, simulator: ProviderSimulator) -> None:
    """Where its client went away in between."""

    def start(settings: BridgeSettings) -> Process:
        return Process(env={**as_environment(settings), "DSPEX_TESTKIT_HOST": "off"})

    bridge: Any = recorder(start, disk, simulator)
    with bridge:
        disk.fill()
        assert_not_written(add(bridge, "1+1"), "s.yaml")
        disk.free()
        bridge.process.stdin.close()
        assert bridge.end() == (0, "")
    assert_recorded(disk, "s.yaml", 1)


def test_a_test_that_has_failed_gives_its_recording_up_on_a_full_disk_too(
    connect: Connect, disk: SmallDisk, simulator: ProviderSimulator
) -> None:
    """Nothing is to be written, so nothing is in the way."""
    bridge = recorder(connect, disk, simulator)
    bridge.call("use_cassette", {"session_id": "s", "name": "adds", "mode": "once"})
    add(bridge, "1+1")
    disk.fill()
    assert not bridge.ask("eject_cassette", {"session_id": "s", "passed": True}).success
    assert bridge.call("eject_cassette", {"session_id": "s", "passed": False})["committed"] is False
    assert bridge.call("use_cassette", {"session_id": "s", "name": "others", "mode": "once"})["status"] == "in_use"


def test_a_folder_that_becomes_read_only_is_told_and_loses_nothing(folder: Path, simulator: ProviderSimulator) -> None:
    """As a user whom the folder's mode keeps out."""
    (folder / "cassettes").mkdir(mode=0o755)
    bridge = recorder(lambda settings: InProcess(settings), SmallDisk(folder, mounted=True), simulator)
    bridge.call("use_cassette", {"session_id": "s", "name": "adds", "mode": "once"})
    add(bridge, "1+1")
    with read_only(folder / "cassettes"):
        refused = bridge.ask("eject_cassette", {"session_id": "s", "passed": True})
        opened = bridge.ask("use_cassette", {"session_id": "t", "name": "more", "mode": "once"})
    assert refused.code == "cassette_read_only"
    assert "What was recorded is kept" in (refused.message or "")
    assert opened.code == "cassette_read_only"
    assert str(folder / "cassettes") in (opened.message or "")
    assert bridge.call("eject_cassette", {"session_id": "s", "passed": True})["committed"] is True

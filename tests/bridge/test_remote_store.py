"""A store in another process is the same store: values survive the way, and nothing that is remembered is wrong."""

import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dspex_testkit.bridge.state.in_process import InProcessStore
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.bridge.state.remote.board import Board
from dspex_testkit.bridge.state.remote.client import RemoteStore
from dspex_testkit.bridge.state.remote.link import Link, StoreLostError
from dspex_testkit.bridge.state.remote.service import StoreService
from dspex_testkit.bridge.state.remote.values import pack, unpack
from dspex_testkit.calls import ANY_SESSION, LMCall, Scope, Usage
from dspex_testkit.errors import LocalProtocolError
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.resolution import Assignment
from dspex_testkit.protocol import NEED_DATA, Frame, FrameDecoder, codec, encode_frame
from tests.support.waiting import eventually

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner) | st.tuples(inner),
    max_leaves=20,
)


def travel(value: Any) -> Any:
    """The value on the other side."""
    return unpack(codec.loads(codec.dumps(pack(value))))


@given(PLAIN)
def test_what_json_nearly_knows_arrives_as_it_was(value: Any) -> None:
    """Tuples, infinities and keys that look like our own included."""
    assert travel(value) == value
    assert travel({"$": value, "x": [value]}) == {"$": value, "x": [value]}


def test_records_arrive_with_all_that_is_in_them() -> None:
    """Keys too: another worker has to be able to use them."""
    config = LMConfig(provider="openai", model="gpt-4o", params={"temperature": 0.1}, api_key=SecretStr("sk-secret"))
    record = ProgramRecord(
        "p", "a", {"inputs": [{}]}, "d", "q -> a", tools=({"name": "t"},), lm=Assignment(Scope.PROGRAM, config, "l")
    )
    call = LMCall("mock", "m", scope=Scope.SESSION, usage=Usage(1, None), cost=Decimal("0.10"), inputs={"q": (1, {2})})

    there = travel(record)

    assert there == record
    assert there.lm.value.api_key.get_secret_value() == "sk-secret"
    assert travel(call) == call
    assert travel(ANY_SESSION) is ANY_SESSION
    assert travel({1: b"bytes", None: frozenset("ab")}) == {1: b"bytes", None: frozenset("ab")}


def test_only_values_of_this_package_are_built() -> None:
    """A message cannot name anything else."""
    with pytest.raises(LocalProtocolError, match="cannot travel"):
        pack(threading.Lock())
    for name in ("subprocess:Popen", "dspex_testkit.bridge.state.in_process:InProcessStore", "os:system"):
        with pytest.raises(ValueError, match="is no"):
            unpack({"$": [name, {}]})


class Shop:
    """A store behind a socket, and as many remote ones before it as are asked for."""

    def __init__(self) -> None:
        self.board = Board()
        self.store = InProcessStore()
        self.service = StoreService(self.store, self.board)
        self.asked: list[str] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def remote(self) -> RemoteStore:
        """Another worker's view."""
        ours, theirs = socket.socketpair()
        self._open += [ours, theirs]
        thread = threading.Thread(target=self._serve, args=(ours,))
        thread.start()
        self._threads.append(thread)
        return RemoteStore(Link(theirs), self.board, remembered_for=600)

    def _serve(self, connection: socket.socket) -> None:
        decoder = FrameDecoder()
        while data := connection.recv(1 << 16):
            decoder.feed_data(data)
            while (event := decoder.next_event()) is not NEED_DATA:
                assert isinstance(event, Frame)
                for _, *call in codec.loads(event.payload):
                    self.asked.append(call[2])
                    if (answer := self.service.answer(call)) is not None:
                        connection.sendall(encode_frame(answer))

    def close(self) -> None:
        """End every conversation."""
        for theirs in self._open[1::2]:
            theirs.shutdown(socket.SHUT_WR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A store for several workers."""
    shop = Shop()
    yield shop
    shop.close()


def record(program_id: str, session_id: str | None = None) -> ProgramRecord:
    """A program that only has a name."""
    return ProgramRecord(program_id, session_id, definition={}, digest="d", signature=None)


def test_what_nobody_changes_is_asked_once(shop: Shop) -> None:
    """An execution's reads cost no round trip; counting and journaling do not end that."""
    one, other = shop.remote(), shop.remote()
    one.put_program(record("p"))
    for _ in range(3):
        assert other.get_program("p", None) == record("p")
        assert other.get_lm(None) is None
        other.journal.record(LMCall("mock", "m"))
        other.count_execution("p", None)
    assert shop.asked.count("get_program") == shop.asked.count("get_lm") == 1
    assert len(other.journal) == 3
    assert one.programs()[0].execution_count == 3


def test_a_change_is_seen_at_once(shop: Shop) -> None:
    """Before whoever made it has the answer."""
    one, other = shop.remote(), shop.remote()
    for number in range(5):
        assignment = Assignment(Scope.GLOBAL, LMConfig(provider="mock", model=f"m{number}"), f"l{number}")
        one.set_lm(None, assignment)
        assert other.get_lm(None) == assignment
    one.put_program(record("p"))
    assert other.get_program("p", "a") == record("p")
    other.reset()
    assert (one.get_program("p", "a"), one.get_lm(None), one.epoch) == (None, None, 1)


def test_what_was_told_arrives_when_it_is_settled(shop: Shop) -> None:
    """At once, in one message, and before anything that is asked later."""
    one, other = shop.remote(), shop.remote()
    for _ in range(3):
        one.journal.record(LMCall("mock", "m"))
    assert len(other.journal) == 0
    assert len(one.journal) == 3
    one.journal.record(LMCall("mock", "m"))
    one.settle()
    one.settle()
    eventually(lambda: len(other.journal) == 4)


def test_counters_are_shared_and_never_give_a_number_twice(shop: Shop) -> None:
    """From any thread of any worker."""
    workers = [shop.remote() for _ in range(3)]
    numbers: list[int] = []

    def count(worker: RemoteStore) -> None:
        numbers.extend(worker.counters("lm").next_index("script") for _ in range(50))

    threads = [threading.Thread(target=count, args=(worker,)) for worker in workers for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(300))


def test_what_the_store_raises_is_raised_here(shop: Shop) -> None:
    """With its message; the conversation goes on."""
    remote = shop.remote()
    with pytest.raises(Exception, match="the shared state failed"):
        remote.drop_session([1])
    assert remote.programs() == []
    with pytest.raises(AttributeError):
        remote.no_such_method()


def test_a_store_that_is_gone_is_reported_to_whoever_must_know(shop: Shop) -> None:
    """A worker then ends; nothing is answered from memory in the meantime."""
    ours, theirs = socket.socketpair()
    lost: list[bool] = []
    remote = RemoteStore(Link(theirs, lost=lambda: lost.append(True)), shop.board)
    ours.close()
    with pytest.raises(StoreLostError):
        remote.programs()
    remote.journal.record(LMCall("mock", "m"))
    with pytest.raises(StoreLostError):
        remote.settle()
    assert lost == [True, True]
    theirs.close()

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
from dspex_testkit.bridge.state.remote.client import RemoteAccounts, RemoteCounters, RemoteJournal, RemoteStore
from dspex_testkit.bridge.state.remote.deck import PoolDeck, RemoteDeck
from dspex_testkit.bridge.state.remote.link import Link, StoreLostError
from dspex_testkit.bridge.state.remote.rules import RULES, Rule
from dspex_testkit.bridge.state.remote.service import StoreService
from dspex_testkit.bridge.state.remote.values import pack, unpack
from dspex_testkit.bridge.state.store import CallAccounts, CallJournal, StateStore
from dspex_testkit.calls import ANY_SESSION, Accounts, Counters, Journal, LMCall, LocalCounters, Scope, Usage
from dspex_testkit.cassettes.interfaces import Deck
from dspex_testkit.cassettes.session_cassettes import CassetteDeck
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
                    self.asked.append(call[1])
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
    assert shop.asked.count("store.get_program") == shop.asked.count("store.get_lm") == 1
    assert other.journal.count() == 3
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
    assert other.journal.count() == 0
    assert one.journal.count() == 3
    one.journal.record(LMCall("mock", "m"))
    one.settle()
    one.settle()
    eventually(lambda: other.journal.count() == 4)


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
        remote.drop_session([1])  # type: ignore[arg-type]  # what nothing of ours sends
    assert remote.programs() == []
    with pytest.raises(AttributeError):
        remote.no_such_method()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["store.no_such_method", "store.__init__", "store.close", "accounts.clear", "journal"])
def test_only_what_is_named_travels(shop: Shop, name: str) -> None:
    """Not what the worker answers itself, and not what belongs to the store alone."""
    answer = shop.service.answer([True, name, [], []])

    assert answer is not None
    assert "is nothing that travels" in codec.loads(answer)["error"]["message"]


PROTOCOLS = {
    "store": (StateStore, RemoteStore, InProcessStore),
    "journal": (CallJournal, RemoteJournal, Journal),
    "accounts": (CallAccounts, RemoteAccounts, Accounts),
    "counters": (Counters, RemoteCounters, LocalCounters),
    "deck": (Deck, RemoteDeck, CassetteDeck),
}


def named(kind: type) -> set[str]:
    """The public names of a class, inherited ones included."""
    return {name for each in kind.__mro__ for name in vars(each) if not name.startswith("_")}


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_every_method_says_how_it_travels(kind: str) -> None:
    """Whoever adds one to a protocol is told to say it, and whoever takes one away to strike it."""
    protocol, remote, real = PROTOCOLS[kind]
    ruled = {name.partition(".")[2] for name in RULES if name.startswith(f"{kind}.")}
    wanted = named(protocol) | (named(PoolDeck) if kind == "deck" else set())

    assert ruled == wanted
    assert wanted <= named(remote)
    for name in wanted:
        assert name in named(real) or name in {"journal", "accounts", "epoch"}


CHANGED_BY = {
    "get_program": ("put_program", "delete_program", "drop_session", "drop_programs", "reset"),
    "was_deleted": ("put_program", "delete_program", "reset"),
    "get_lm": ("set_lm", "drop_session", "reset"),
    "find_lm": ("define_lm", "undefine_lm", "reset"),
    "named_lms": ("define_lm", "undefine_lm", "reset"),
    "has_budgets": ("drop_session", "reset"),
}


def test_whatever_changes_what_is_remembered_is_noticed() -> None:
    """For each answer that a worker keeps, the methods after which it may be wrong."""
    remembered = {name.partition(".")[2] for name, rule in RULES.items() if rule is Rule.REMEMBERED}

    assert remembered == CHANGED_BY.keys() | {"recorded_lm"}
    changes = {f"store.{name}" for names in CHANGED_BY.values() for name in names}
    changes |= {"accounts.set_budget", "deck.use", "deck.eject"}
    assert {name for name in changes if RULES[name] is not Rule.CHANGES} == set()


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

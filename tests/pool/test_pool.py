"""Two workers that serve everybody: what DSPex's own pool tests promise."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from dspex_testkit.errors import PoolClosedError, PoolExhaustedError, RemoteCommandError, UsageError, WorkerBusyError
from dspex_testkit.pool import ANONYMOUS, STANDALONE, V2, BridgePool, SessionAffinity, leftovers
from tests.pool.conftest import MOCKED, patient

QA = "question -> answer"
ASK = {"question": "Who?"}


def programs_of(pool: BridgePool, session_id: str) -> list[str]:
    """What a session sees, on whichever worker answers."""
    return [entry["id"] for entry in pool.session(session_id).call("list_programs")["programs"]]


def test_a_worker_answers_a_ping_with_what_it_is(pool: BridgePool) -> None:
    """Status, mode, and the id that the pool gave it."""
    for worker_id, process in pool.processes().items():
        ping = process.call("ping")
        assert (ping["status"], ping["dspy_available"]) == ("ok", True)
        assert (ping["mode"], ping["worker_id"]) == ("pool-worker", worker_id)


def test_workers_have_names_of_their_own(pool: BridgePool) -> None:
    """And processes of their own."""
    workers = pool.status().workers

    assert len({worker.worker_id for worker in workers}) == len({worker.pid for worker in workers}) == 2


def test_any_worker_serves_any_session(pool: BridgePool) -> None:
    """Five sessions at once, all answered."""

    def ping(session_id: str) -> object:
        return pool.session(session_id).call("ping")["current_session"]

    with ThreadPoolExecutor(5) as callers:
        names = [f"session_{number}" for number in range(5)]
        assert list(callers.map(ping, names)) == names


def test_idle_workers_take_turns(pool: BridgePool) -> None:
    """The one that has been idle longest is next."""
    served = [pool.call("ping")["worker_id"] for _ in range(4)]

    assert served[:2] == served[2:]
    assert len(set(served)) == 2


def test_requests_are_numbered_once_for_all_workers(pool: BridgePool) -> None:
    """No id is used twice, and later requests have larger ones."""
    ids = [pool.ask("ping").id for _ in range(6)]

    assert ids == sorted(set(ids))


def test_errors_do_not_spread(pool: BridgePool) -> None:
    """Of six calls at once every other one fails, and only those."""
    pool.anonymous().call("create_program", {"id": "p", "signature": QA})

    def run(number: int) -> bool:
        program_id = "p" if number % 2 == 0 else "nobody"
        return pool.anonymous().ask("execute_program", {"program_id": program_id, "inputs": ASK}).success

    with ThreadPoolExecutor(6) as callers:
        assert list(callers.map(run, range(6))) == [True, False] * 3
    assert pool.status().count("idle") == 2, "an answered error says nothing against the worker"


def test_a_program_of_a_session_runs_on_every_worker(pool: BridgePool) -> None:
    """What the pool remembers of it is enough, also on a worker that has never seen it."""
    alice = pool.session("alice")
    alice.call(
        "create_program", {"id": "p", "signature": {"inputs": [{"name": "q"}], "outputs": [{"name": "verdict"}]}}
    )

    answers = [alice.call("execute_program", {"program_id": "p", "inputs": {"q": "?"}}) for _ in range(4)]

    assert {tuple(answer["outputs"]) for answer in answers} == {("verdict",)}


def test_a_program_without_a_session_runs_on_every_worker(pool: BridgePool) -> None:
    """For every caller that names none."""
    pool.anonymous().call("create_program", {"id": "p", "signature": QA})

    assert all(
        caller.call("execute_program", {"program_id": "p", "inputs": ASK})["answer"]
        for caller in (pool.anonymous(), pool.session(ANONYMOUS), pool, pool.anonymous())
    )


def test_sessions_are_kept_apart(pool: BridgePool) -> None:
    """One id, two programs; and nobody reaches the other's."""
    pool.session("alice").call("create_program", {"id": "p", "signature": "question -> answer"})
    pool.session("bob").call("create_program", {"id": "p", "signature": "question -> verdict"})
    run = {"program_id": "p", "inputs": ASK}

    outputs = {
        name: {tuple(pool.session(name).call("execute_program", run)["outputs"]) for _ in range(4)}
        for name in ("alice", "bob")
    }

    assert outputs == {"alice": {("answer",)}, "bob": {("verdict",)}}
    with pytest.raises(RemoteCommandError, match="Program not found"):
        pool.session("carol").call("execute_program", run)


def test_a_session_sent_as_an_argument_is_the_same_session(pool: BridgePool) -> None:
    """Who writes the wire's arguments by hand gets what `session` gives."""
    pool.call("create_program", {"id": "p", "signature": QA, "session_id": "alice"})

    assert pool.session("alice").call("execute_program", {"program_id": "p", "inputs": ASK})["answer"]
    assert [session.session_id for session in pool.status().sessions] == ["alice"]


def test_an_event_loop_has_many_callers(pool: BridgePool) -> None:
    """More than there are workers; each is answered in its session."""

    async def ask() -> list[str]:
        sessions = [pool.session(f"s{number}") for number in range(10)]
        return [answer["current_session"] for answer in await asyncio.gather(*(s.acall("ping") for s in sessions))]

    assert asyncio.run(ask()) == [f"s{number}" for number in range(10)]


def test_a_checked_out_worker_serves_its_holder_only(pool: BridgePool) -> None:
    """Several commands in a row go to one worker; others get another one meanwhile."""
    with pool.checkout() as mine:
        here = [mine.call("ping")["worker_id"] for _ in range(3)]
        there = [pool.call("ping")["worker_id"] for _ in range(3)]

    assert set(here) == {mine.worker_id}
    assert mine.worker_id not in there


def test_a_caller_waits_for_a_worker_only_so_long(pool: BridgePool) -> None:
    """The error says who has the workers; the place in line is given up."""
    with pool.checkout() as one, pool.checkout() as two:
        with pytest.raises(PoolExhaustedError) as failure, pool.checkout(timeout=0.02):
            pass
        for worker in (one, two):
            assert f"{worker.worker_id} is busy" in failure.value.message
        assert pool.status().waiting == 0
        with pytest.raises(PoolExhaustedError):
            asyncio.run(_enter(pool, timeout=0.02))

    assert pool.call("ping")["status"] == "ok"


def test_a_caller_that_gives_up_while_it_waits_takes_no_worker(pool: BridgePool) -> None:
    """A cancelled task leaves the line."""

    async def give_up() -> None:
        task = asyncio.create_task(_enter(pool, timeout=60))
        while not pool.status().waiting:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with pool.checkout(), pool.checkout():
        asyncio.run(give_up())
        assert pool.status().waiting == 0

    assert pool.status().count("idle") == 2


def test_idle_workers_are_found_healthy(pool: BridgePool) -> None:
    """A busy one of V2 cannot be asked."""
    with pool.checkout() as busy:
        healthy = pool.check_health()

    [other] = set(pool.processes()) - {busy.worker_id}
    assert healthy == {other: True}


def test_a_pool_is_reset_for_the_next_test(pool: BridgePool) -> None:
    """Programs, LMs and sessions are gone from every worker; one in somebody's hands is an error."""
    pool.session("alice").call("create_program", {"id": "p", "signature": QA})
    pool.broadcast("create_program", {"id": "everywhere", "signature": QA})
    with pool.checkout() as held, pytest.raises(WorkerBusyError, match=f"while {held.worker_id} is checked out"):
        pool.reset()

    pool.reset()

    assert pool.sessions.sessions() == ()
    counts = [response.result["total_count"] for response in pool.broadcast("list_programs").values()]
    assert counts == [0, 0]


def test_the_status_counts_what_workers_did(pool: BridgePool) -> None:
    """Requests, errors and sessions."""
    before = pool.status()
    pool.session("alice").call("ping")
    pool.session("alice").ask("no_such_command")
    after = pool.status()

    def total(name: str) -> int:
        return sum(
            getattr(now, name) - getattr(then, name) for now, then in zip(after.workers, before.workers, strict=True)
        )

    assert (total("requests"), total("errors"), total("checkouts")) == (2, 1, 2)
    assert [(session.session_id, session.operations) for session in after.sessions] == [("alice", 1)]
    assert str(after) == "2 of 2 workers (2 idle), 0 waiting"


def test_affinity_keeps_a_session_on_its_worker() -> None:
    """So that what a worker keeps to itself is there the next time, here the list of a session's programs."""
    with BridgePool(2, launch=MOCKED, affinity=SessionAffinity(strict=True)) as pool:
        pool.warm_up()
        names = [f"session_{number}" for number in range(4)]
        for name in names:
            pool.session(name).call("create_program", {"id": f"of {name}", "signature": QA})

        served = {name: {pool.session(name).call("ping")["worker_id"] for _ in range(3)} for name in names}

        assert all(len(workers) == 1 for workers in served.values())
        assert set.union(*served.values()) == set(pool.processes())
        assert [programs_of(pool, name) for name in names] == [[f"of {name}"] for name in names]


def test_a_lazy_pool_starts_workers_one_by_one_when_they_are_missed() -> None:
    """None with the pool itself, one for a single caller, no more than its size ever."""
    with BridgePool(2, launch=MOCKED) as pool:
        assert pool.status().workers == ()
        for _ in range(3):
            pool.call("ping")
        assert len(pool.status().workers) == 1

        with ThreadPoolExecutor(6) as callers:
            list(callers.map(lambda _: pool.call("ping"), range(12)))
        assert 1 <= pool.status().started <= 2


def test_an_event_loop_runs_a_pool() -> None:
    """By `async with`, checkouts included."""

    async def live() -> tuple[str, str]:
        async with BridgePool(1, launch=MOCKED) as pool, pool.checkout("alice") as worker:
            return worker.worker_id, (await worker.acall("ping"))["worker_id"]

    held, answered = asyncio.run(live())
    assert held == answered


def test_a_stopped_pool_leaves_nothing_behind() -> None:
    """Every worker has ended by itself, with status 0; what is asked afterwards is an error."""
    with BridgePool(2, launch=MOCKED, dialect=patient(V2), eager=True) as pool:
        pids = {worker.pid for worker in pool.status().workers}

    assert len(pids) == 2
    assert not pids & set(leftovers.left())
    assert [(ending.by, ending.status) for ending in pool.endings] == [("command", 0)] * 2
    with pytest.raises(PoolClosedError):
        pool.call("ping")
    pool.stop()


def test_a_pool_that_makes_no_sense_is_refused() -> None:
    """No workers, or workers that are none."""
    with pytest.raises(UsageError, match="at least one worker"):
        BridgePool(0)
    with pytest.raises(UsageError, match="V1, V2 or V3"):
        BridgePool(dialect=STANDALONE)


async def _enter(pool: BridgePool, *, timeout: float) -> None:
    async with pool.checkout(timeout=timeout):
        pass

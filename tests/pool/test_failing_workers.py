"""Workers that hang, lie, crash or never start: they are judged, removed and replaced as in DSPex."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dspex_testkit.errors import (
    MalformedMessageError,
    PoolClosedError,
    ResponseMismatchError,
    UsageError,
    WorkerBusyError,
    WorkerExitedError,
    WorkerTimeoutError,
)
from dspex_testkit.pool import (
    V2,
    V3,
    BridgePool,
    BridgeProcess,
    Ending,
    Launch,
    SpawnedProcess,
    Spawner,
    chaos,
    leftovers,
)
from tests.pool.conftest import ALONE, patient
from tests.support.waiting import PATIENCE, eventually


class GatedSpawner(Spawner):
    """Starts processes as long as its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, stderr: int) -> SpawnedProcess:
        """Start a process, once the gate is open."""
        assert self.gate.wait(PATIENCE)
        return super().start(argv, env=env, cwd=cwd, stderr=stderr)


@pytest.fixture
def single() -> Iterator[BridgePool]:
    """One worker of V2, started."""
    with BridgePool(1, launch=ALONE, dialect=patient(V2)) as pool:
        pool.warm_up()
        yield pool


def only(pool: BridgePool) -> BridgeProcess:
    """The process of the only worker."""
    [process] = pool.processes().values()
    return process


def time_out(pool: BridgePool) -> None:
    """Let one call get no answer in time."""
    chaos.lose(only(pool))
    with pytest.raises(WorkerTimeoutError):
        pool.ask("ping", timeout=0.02)
    # The lost answer has come and gone before the next call is made.
    eventually(lambda: only(pool).tamper is None, "the answer that gets lost")


def test_a_worker_is_removed_after_three_failures_in_a_row(single: BridgePool) -> None:
    """And replaced when it is missed."""
    first = only(single)
    time_out(single)
    time_out(single)
    assert single.status().workers[0].failures == 2

    chaos.lose(first)
    with pytest.raises(WorkerTimeoutError):
        single.ask("ping", timeout=0.02)

    assert single.status().workers == ()
    assert single.call("ping")["worker_id"] != first.worker_id
    eventually(lambda: first.ending == Ending("command", 0), "the end of the removed worker")


def test_a_success_clears_the_count_of_failures(single: BridgePool) -> None:
    """Two failures, a success, two failures: the worker stays."""
    first = only(single)
    for _ in range(2):
        time_out(single)
        time_out(single)
        assert single.call("ping")["worker_id"] == first.worker_id

    assert single.status().workers[0].failures == 0


def test_a_late_answer_fails_the_next_call_of_that_worker(single: BridgePool) -> None:
    """It meets a packet with a stale id; the call after it is served as usual."""
    chaos.hold_back(only(single))
    with pytest.raises(WorkerTimeoutError):
        single.ask("ping", timeout=0.02)

    with pytest.raises(ResponseMismatchError, match=r"Expected ID \d+, got \d+"):
        single.ask("ping")

    assert single.status().workers[0].failures == 2
    eventually(lambda: only(single).unanswered == 0, "the answer that nobody waits for")
    assert single.call("ping")["status"] == "ok"


def test_an_unreadable_answer_is_a_failure_of_the_worker(single: BridgePool) -> None:
    """The caller is told at once, and the worker stays for now."""
    chaos.garble(only(single))

    with pytest.raises(MalformedMessageError, match="sent what is no answer"):
        single.ask("ping")

    assert single.status().workers[0].failures == 1
    assert single.call("ping")["status"] == "ok"


def test_an_answer_that_comes_twice_is_dropped_the_second_time(single: BridgePool) -> None:
    """Nobody was waiting for it."""
    chaos.repeat(only(single))

    assert single.call("ping")["status"] == "ok"
    eventually(lambda: only(single).strays.unknown == 1, "the repeated answer")
    assert single.call("ping")["status"] == "ok"


def test_a_worker_that_crashes_is_replaced(single: BridgePool) -> None:
    """The caller hears status 1; the next one gets a new worker, which needs no memory of the old one."""
    alice = single.session("alice")
    alice.call("create_program", {"id": "p", "signature": "question -> answer"})
    first = only(single)

    with pytest.raises(WorkerExitedError, match="ended with status 1"):
        single.ask("crash_worker")

    assert alice.call("execute_program", {"program_id": "p", "inputs": {"question": "?"}})["answer"]
    assert single.status().removed == 1
    assert only(single).worker_id != first.worker_id


def test_a_worker_that_is_killed_while_idle_is_not_handed_out(single: BridgePool) -> None:
    """Its place is taken by a new one."""
    chaos.kill(only(single))

    assert single.call("ping")["status"] == "ok"
    assert (single.status().started, single.status().removed) == (2, 1)


def test_a_worker_whose_input_ends_after_it_was_given_back_is_replaced(single: BridgePool) -> None:
    """A port that closes with the client that held it: the process ends by itself, and nobody is given it."""
    with single.checkout() as worker:
        first = worker.process

    chaos.hang_up(first)

    assert first.wait(PATIENCE)
    assert first.exit_status == 0
    assert single.call("ping")["worker_id"] != first.worker_id
    assert first.pid not in leftovers.left()


def test_a_worker_crashes_only_if_it_was_allowed_to() -> None:
    """Otherwise the command is unknown, and the helper says what to set."""
    with (
        BridgeProcess(Launch(env={"DSPEX_TESTKIT_HOST": "off"})) as process,
        pytest.raises(UsageError, match="DSPEX_TESTKIT_ALLOW_CRASH=1"),
    ):
        chaos.crash(process)


def test_a_client_that_fails_while_it_holds_a_worker_loses_it(single: BridgePool) -> None:
    """Nobody knows what state the worker is in, so it goes; a failed command alone does no harm."""
    first = only(single)

    def fail() -> None:
        with single.checkout() as worker:
            assert worker.ask("no_such_command").success is False
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    eventually(lambda: first.ending == Ending("command", 0), "the end of the removed worker")
    assert single.call("ping")["worker_id"] != first.worker_id


def test_a_cancelled_task_loses_its_worker(single: BridgePool) -> None:
    """As a client process that dies in the middle of a call."""
    first = only(single)

    async def give_up() -> None:
        with chaos.freeze(first):
            task = asyncio.create_task(single.aask("ping"))
            while not first.unanswered:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())

    eventually(lambda: first.ending is not None, "the end of the removed worker")
    assert single.call("ping")["worker_id"] != first.worker_id


def test_every_caller_hears_why_no_worker_starts(tmp_path: Path) -> None:
    """With the worker's last words, and without waiting for the end of its patience."""
    script = tmp_path / "dspy_bridge.py"
    script.write_text("raise SystemExit('the environment is broken')", encoding="utf-8")
    launch = Launch(script=script)

    with BridgePool(2, launch=launch) as pool, ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(pool.ask, "ping") for _ in range(4)]
        for call in calls:
            with pytest.raises(WorkerExitedError, match="the environment is broken"):
                call.result()
    with pytest.raises(WorkerExitedError, match="the environment is broken"):
        BridgePool(2, launch=launch, eager=True).start()


def test_stopping_ends_calls_under_way_and_callers_in_line() -> None:
    """One hears that the worker is gone, the other that the pool is; the worker hears nothing and is killed."""
    impatient = replace(V2, eof_patience=0.02, kill_after=0.02)
    pool = BridgePool(1, launch=ALONE, dialect=impatient, eager=True).start()
    worker = only(pool)

    with ThreadPoolExecutor(2) as callers, chaos.freeze(worker):
        under_way = callers.submit(pool.ask, "ping")
        eventually(lambda: worker.unanswered, "a call under way")
        in_line = callers.submit(pool.ask, "ping")
        eventually(lambda: pool.status().waiting, "a caller in line")

        pool.stop()

        assert isinstance(under_way.exception(), WorkerExitedError)
        assert isinstance(in_line.exception(), PoolClosedError)
    assert pool.endings == [Ending("SIGKILL", 137)]


def test_a_swallowed_checkin_loses_the_worker_for_good() -> None:
    """The fault of DSPex's start-up: given back while another one starts, it takes up room and serves nobody."""
    gated = GatedSpawner()
    with BridgePool(2, launch=replace(ALONE, starter=gated), swallow_checkins=True) as pool:
        with pool.checkout() as first:
            gated.gate.clear()
            second = threading.Thread(target=pool.call, args=("ping",))
            second.start()
            eventually(lambda: pool.status().starting == 1, "a start under way")
        gated.gate.set()
        second.join()

        assert pool.status().count("lost") == 1
        assert first.process.wait(PATIENCE), "its port closes with the client that held it"
        served = {pool.call("ping")["worker_id"] for _ in range(4)}
        assert len(served) == 1
        assert first.worker_id not in served
        assert pool.status().started == 2


class TestV3:
    """The pool in which each worker owns its port for life."""

    @pytest.fixture
    def pool(self) -> Iterator[BridgePool]:
        """One worker."""
        with BridgePool(1, launch=ALONE, dialect=patient(V3)) as pool:
            yield pool

    def test_workers_start_with_the_pool(self, pool: BridgePool) -> None:
        """All of them, before anybody asks."""
        assert pool.status().count("idle") == 1

    def test_a_timed_out_worker_is_handed_out_and_refuses_until_its_late_answer(self, pool: BridgePool) -> None:
        """It stays busy, which its pool does not know."""
        worker = only(pool)
        chaos.hold_back(worker)
        with pytest.raises(WorkerTimeoutError):
            pool.ask("ping", timeout=0.02)

        with pytest.raises(WorkerBusyError, match="has not answered ping"):
            pool.ask("ping")
        assert pool.check_health() == {worker.worker_id: True}, "a health ping may go beside it"

        eventually(lambda: worker.unanswered == 0, "the late answer")
        assert pool.call("ping")["worker_id"] == worker.worker_id
        assert pool.status().removed == 0

    def test_two_requests_wait_in_one_worker_and_both_are_answered(self, pool: BridgePool) -> None:
        """A health ping while a command runs."""
        worker = only(pool)
        with chaos.freeze(worker):
            command = worker.submit("get_stats")
            ping = worker.submit("ping", {"health_check": True}, health=True)

        assert worker.result(command).success
        assert worker.result(ping).success

    def test_a_busy_worker_that_hangs_is_found_unhealthy(self, pool: BridgePool) -> None:
        """And counted."""
        worker = only(pool)
        with chaos.freeze(worker):
            assert pool.check_health(timeout=0.02) == {worker.worker_id: False}

        assert pool.status().workers[0].failed_health_pings == 1

    def test_a_monitor_pings_by_itself(self) -> None:
        """As often as it was told to."""
        with BridgePool(1, launch=ALONE, dialect=V3, health_interval=0.01) as pool:
            with chaos.freeze(only(pool)):
                pool.check_health(timeout=0.02)
            worker = only(pool)
            pings = worker.call("get_stats")["command_count"]
            eventually(lambda: worker.call("get_stats")["command_count"] > pings + 3, "pings of the monitor")

    def test_a_worker_that_ends_is_replaced_at_once(self, pool: BridgePool) -> None:
        """Nobody has to miss it first."""
        first = only(pool)

        chaos.kill(first)

        eventually(lambda: pool.status().started == 2 and pool.status().count("idle") == 1, "the replacement")
        assert pool.call("ping")["worker_id"] != first.worker_id

    def test_a_worker_is_sent_away_by_a_signal(self, pool: BridgePool) -> None:
        """SIGTERM, which it obeys with status 0."""
        pool.stop()

        assert pool.endings == [Ending("SIGTERM", 0)]


class TestUnderFire:
    """Faults injected on purpose, one at a time and under load; the pool recovers from each."""

    @pytest.fixture
    def pool(self) -> Iterator[BridgePool]:
        """Two workers, started."""
        with BridgePool(2, launch=ALONE) as pool:
            pool.warm_up()
            yield pool

    def recovered(self, pool: BridgePool) -> bool:
        """Whether as many different workers answer as there should be."""
        with pool.checkout() as one, pool.checkout() as two:
            return all(worker.call("ping")["status"] == "ok" for worker in (one, two))

    @pytest.mark.parametrize("targets", [1, 2])
    def test_killed_workers_are_replaced(self, pool: BridgePool, targets: int) -> None:
        """One of them, or all."""
        for process in list(pool.processes().values())[:targets]:
            chaos.kill(process)

        assert self.recovered(pool)
        assert pool.status().removed == targets

    @pytest.mark.parametrize(
        "fault",
        [
            chaos.send_garbage,
            lambda process: [chaos.send_garbage(process, seed=seed, size=1 << seed) for seed in range(12)],
            lambda process: chaos.send_short_frame(process, announced=9, sent=b'{"no": 1}'),
            lambda process: chaos.announce(process, 0),
        ],
        ids=["garbage", "much garbage", "no request", "an empty packet"],
    )
    def test_a_bridge_survives_packets_that_make_no_sense(
        self, pool: BridgePool, fault: Callable[[BridgeProcess], object]
    ) -> None:
        """The next command is answered by the same worker."""
        with pool.checkout() as worker:
            fault(worker.process)

            assert worker.call("ping")["worker_id"] == worker.worker_id

    @pytest.mark.parametrize(
        "fault",
        [chaos.send_short_frame, lambda process: chaos.announce(process, 0xFFFFFFFF), chaos.hang_up],
        ids=["a short frame", "an oversized length", "the end of its input"],
    )
    def test_a_stream_that_cannot_be_repaired_costs_one_worker(
        self, pool: BridgePool, fault: Callable[[BridgeProcess], object]
    ) -> None:
        """What is sent next disappears in the packet that was begun, and the worker is replaced."""
        with pool.checkout() as worker:
            fault(worker.process)
            with suppress(WorkerTimeoutError, WorkerExitedError):
                worker.ask("ping", timeout=0.05)
            worker.note(RuntimeError("the stream is broken"))

        assert self.recovered(pool)
        assert pool.status().removed == 1

    def test_calls_go_on_while_workers_crash(self, pool: BridgePool) -> None:
        """Each call is answered, or says that its worker is gone; afterwards everything works."""

        def ask(number: int) -> str:
            try:
                return str(pool.call("crash_worker" if number % 5 == 4 else "ping")["status"])
            except WorkerExitedError:
                return "gone"

        with ThreadPoolExecutor(6) as callers:
            results = list(callers.map(ask, range(20)))

        assert results.count("ok") >= 5
        assert all(result == "gone" for result in results[4::5])
        assert self.recovered(pool)

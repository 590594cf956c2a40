"""Answers find their requests in each of DSPex's three ways."""

import pytest

from dspex_testkit.errors import MalformedMessageError, PoolError, ResponseMismatchError, WorkerBusyError
from dspex_testkit.pool.connection import ById, FirstPacket, OneAtATime
from dspex_testkit.protocol import Request, Response


def answer(id: int) -> Response:
    """An answer that can be told from others."""
    return Response.ok(id, {"of": id})


def test_by_id_answers_may_come_in_any_order() -> None:
    """Each request gets its own."""
    table = ById("w")
    pending = [table.add(Request(id, "ping")) for id in (1, 2, 3)]

    for id in (3, 1, 2):
        table.receive(answer(id))

    assert [each.future.result(0).result for each in pending] == [{"of": 1}, {"of": 2}, {"of": 3}]


def test_late_repeated_and_unknown_answers_are_counted_and_go_nowhere() -> None:
    """A caller is never given what belongs to another request."""
    table = ById("w")
    given_up = table.add(Request(1, "ping"))
    table.give_up(given_up)
    waiting = table.add(Request(2, "ping"))

    for id in (1, 7, 2, 2):
        table.receive(answer(id))

    assert waiting.future.result(0) == answer(2)
    assert (table.strays.late, table.strays.unknown) == (1, 2)


def test_a_broken_answer_with_a_readable_id_fails_its_request_only() -> None:
    """Others wait on."""
    table = ById("w")
    broken, other = table.add(Request(1, "ping")), table.add(Request(2, "ping"))

    table.receive_undecodable(MalformedMessageError("not JSON", request_id=1), 1)

    assert isinstance(broken.future.exception(0), MalformedMessageError)
    assert not other.future.done()


def test_the_end_of_a_process_fails_what_is_in_flight() -> None:
    """Each caller hears about its own request."""
    table = ById("w")
    pending = [table.add(Request(id, "ping")) for id in (1, 2)]

    table.fail_all(lambda request: PoolError(f"request {request.id}"))

    assert [str(each.future.exception(0)) for each in pending] == ["request 1", "request 2"]
    assert table.unanswered == 0


def test_first_packet_with_another_id_fails_whoever_waits() -> None:
    """That is how DSPex's client meets the late answer to the call before its own."""
    table = FirstPacket("worker_1")
    table.give_up(table.add(Request(5, "slow")))
    waiting = table.add(Request(6, "ping"))

    table.receive(answer(5))
    table.receive(answer(6))

    error = waiting.future.exception(0)
    assert isinstance(error, ResponseMismatchError)
    assert "Expected ID 6, got 5" in error.message
    assert error.details == {"expected": 6, "actual": 5, "worker_id": "worker_1"}
    assert table.add(Request(7, "ping")), "the worker is free again"


def test_first_packet_that_comes_between_calls_is_dropped() -> None:
    """The pool, not the next client, gets it."""
    table = FirstPacket("w")
    table.give_up(table.add(Request(5, "slow")))

    table.receive(answer(5))
    waiting = table.add(Request(6, "ping"))
    table.receive(answer(6))

    assert waiting.future.result(0) == answer(6)
    assert table.strays.late == 1


def test_first_packet_may_be_unreadable() -> None:
    """Whoever waits is told, whatever id could be made out."""
    table = FirstPacket("w")
    waiting = table.add(Request(6, "ping"))

    table.receive_undecodable(MalformedMessageError("not JSON", request_id=5), 5)

    assert isinstance(waiting.future.exception(0), MalformedMessageError)


@pytest.mark.parametrize("kind", [FirstPacket, OneAtATime])
def test_a_second_command_is_refused_while_one_runs(kind: type[ById]) -> None:
    """The error names the one that runs."""
    table = kind("worker_1")
    table.add(Request(1, "execute_program"))

    with pytest.raises(WorkerBusyError, match=r"execute_program \(id 1\)"):
        table.add(Request(2, "ping"))


def test_one_at_a_time_stays_busy_until_the_late_answer_comes() -> None:
    """A call that was given up still keeps the worker, as in V3."""
    table = OneAtATime("w")
    table.give_up(table.add(Request(1, "slow")))
    with pytest.raises(WorkerBusyError):
        table.add(Request(2, "ping"))

    table.receive(answer(1))

    assert table.add(Request(2, "ping"))


def test_one_at_a_time_lets_health_pings_through() -> None:
    """A monitor asks while a command runs, and a command may run while a monitor waits."""
    table = OneAtATime("w")
    command = table.add(Request(1, "execute_program"))
    ping = table.add(Request(2, "ping"), health=True)

    table.receive(answer(1))
    table.receive(answer(2))

    assert (command.future.result(0), ping.future.result(0)) == (answer(1), answer(2))

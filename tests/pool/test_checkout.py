"""Idle workers and waiting callers meet in a fair order."""

from dspex_testkit.pool import AnyWorker, SessionAffinity
from dspex_testkit.pool.checkout_queue import CheckoutQueue


def given(queue: CheckoutQueue) -> list[tuple[str | None, str]]:
    """Who gets which worker now."""
    return [(ticket.session_id, worker_id) for ticket, worker_id in queue.match()]


def queue_of(*workers: str, affinity: AnyWorker | SessionAffinity | None = None) -> CheckoutQueue:
    """A queue with idle workers."""
    queue = CheckoutQueue(affinity or AnyWorker())
    for worker_id in workers:
        queue.put(worker_id)
    return queue


def test_the_worker_that_was_idle_longest_goes_first() -> None:
    """One that comes back goes to the end of the row."""
    queue = queue_of("w1", "w2")

    served = []
    for _ in range(4):
        queue.join(None)
        [(_, worker_id)] = given(queue)
        served.append(worker_id)
        queue.put(worker_id)

    assert served == ["w1", "w2", "w1", "w2"]


def test_who_came_first_is_served_first() -> None:
    """Nobody overtakes."""
    queue = queue_of()
    for name in ("a", "b", "c"):
        queue.join(name)

    queue.put("w1")
    queue.put("w2")

    assert given(queue) == [("a", "w1"), ("b", "w2")]
    assert queue.waiting == 1


def test_who_has_left_gets_nothing() -> None:
    """And hears whether it was too late to leave."""
    queue = queue_of()
    gone, there = queue.join("gone"), queue.join("there")

    assert queue.leave(gone)
    queue.put("w1")

    assert given(queue) == [("there", "w1")]
    assert not queue.leave(there)


def test_affinity_gives_a_session_its_own_worker_again() -> None:
    """Although another one has been idle longer."""
    queue = queue_of("w1", "w2", affinity=SessionAffinity())
    queue.join("alice")
    assert given(queue) == [("alice", "w1")]
    queue.put("w1")

    queue.join("alice")
    queue.join("bob")

    assert given(queue) == [("alice", "w1"), ("bob", "w2")]


def test_affinity_takes_another_worker_rather_than_wait() -> None:
    """Unless it is strict."""
    queue = queue_of("w1", "w2", affinity=SessionAffinity())
    for _ in range(2):
        queue.join("alice")

    assert given(queue) == [("alice", "w1"), ("alice", "w2")]


def test_strict_affinity_waits_for_its_worker_and_others_pass() -> None:
    """No new worker is wanted for who waits for a living one."""
    queue = queue_of("w1", "w2", affinity=SessionAffinity(strict=True))
    queue.join("alice")
    assert given(queue) == [("alice", "w1")]
    queue.join("alice")
    queue.join("bob")

    assert given(queue) == [("bob", "w2")]
    assert queue.in_need_of_a_new_worker == 0
    queue.put("w2")
    assert given(queue) == []
    queue.put("w1")
    assert given(queue) == [("alice", "w1")]


def test_strict_affinity_ends_with_the_worker() -> None:
    """A session whose worker is gone takes any other."""
    queue = queue_of("w1", "w2", affinity=SessionAffinity(strict=True))
    queue.join("alice")
    given(queue)
    queue.join("alice")

    queue.remove("w1")

    assert given(queue) == [("alice", "w2")]

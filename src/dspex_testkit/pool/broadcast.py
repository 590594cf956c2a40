"""One command to several workers at once."""

import time
from collections.abc import Iterable, Mapping

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.pool.client import Args
from dspex_testkit.pool.correlation import Pending
from dspex_testkit.pool.outcomes import outcome_of
from dspex_testkit.pool.workers import Worker, Workers
from dspex_testkit.protocol import Response

Answers = Mapping[Worker, Response | DSPexTestkitError]
"""What each worker answered, or why it did not."""


def ask_each(
    workers: Iterable[Worker], command: str, args: Args | None, *, timeout: float, health: bool = False
) -> Answers:
    """Ask all of them, then wait for all of them; nobody waits for somebody else's turn.

    Args:
        workers: Who is asked.
        command: The command.
        args: Its arguments.
        timeout: Seconds that all of them may take together.
        health: Whether workers that run a command are asked beside it, where they take one at a time.
    """
    sent: dict[Worker, Pending | DSPexTestkitError] = {}
    for worker in workers:
        try:
            sent[worker] = worker.process.submit(command, args, health=health)
        except DSPexTestkitError as error:
            sent[worker] = error
    deadline = time.monotonic() + timeout
    return {worker: _answer(worker, pending, deadline) for worker, pending in sent.items()}


def ask_idle(workers: Workers, command: str, args: Args | None, *, timeout: float) -> Answers:
    """Ask all workers that are idle, as `ask_each` does; meanwhile nobody else gets them."""
    idle = workers.take_idle()
    answers: Answers = {}
    try:
        answers = ask_each(idle, command, args, timeout=timeout)
    finally:
        for worker in idle:
            answer = answers.get(worker)
            workers.give_back(worker, outcome_of(answer if isinstance(answer, Exception) else None))
    return answers


def _answer(worker: Worker, pending: Pending | DSPexTestkitError, deadline: float) -> Response | DSPexTestkitError:
    if isinstance(pending, DSPexTestkitError):
        return pending
    try:
        return worker.process.result(pending, timeout=max(0.0, deadline - time.monotonic()))
    except DSPexTestkitError as error:
        return error

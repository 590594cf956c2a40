"""Where a test's bridges come from: made in this process, or processes that are kept for the tests that follow."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dspex_testkit.errors import DSPexTestkitError, PoolError
from dspex_testkit.plugin.bridge_plans import Plan
from dspex_testkit.pool import BridgeClient, BridgePool, BridgeProcess, InProcessBridge, Launch, WarmStarter

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found

_RESET_TIMEOUT = 10.0
"""Seconds that a bridge of a former test may take to forget it."""
_MOST_KEPT = 4
"""Bridges that are kept for later tests; the one that was longest without a test goes first."""


class BridgeSource:
    """Gives bridges to tests, clean ones, and takes them back.

    Args:
        folder: Where the bridges' processes keep their caches; a scratch folder if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._idle: dict[str, list[BridgeProcess | BridgePool]] = {}
        self._lent: list[tuple[Plan, BridgeClient]] = []

    def lend(self, plan: Plan) -> BridgeClient:
        """A bridge with nothing in it, for one test.

        Raises:
            PoolError: It could not be started.
            UsageError: The plan cannot be carried out.
        """
        client = self._make_here(plan) if plan.mode == "inproc" else self._find(plan) or self._start(plan)
        self._lent.append((plan, client))
        return client

    def take_back(self, *, keep: bool) -> None:
        """End the test's use of its bridges.

        Args:
            keep: Whether another test may have them.
        """
        lent, self._lent = self._lent, []
        for plan, client in lent:
            if isinstance(client, InProcessBridge):
                with suppress(AttributeError):
                    client.bridge.close()  # type: ignore[attr-defined]  # a bridge of ours has one
            elif isinstance(client, BridgeProcess | BridgePool):
                if keep and _is_whole(client):
                    # The most recently used stand at the end.
                    kept = self._idle.pop(plan.key, [])
                    self._idle[plan.key] = [*kept, client]
                else:
                    client.stop()
        while sum(map(len, self._idle.values())) > _MOST_KEPT:
            oldest = next(iter(self._idle))
            self._idle[oldest].pop(0).stop()
            if not self._idle[oldest]:
                del self._idle[oldest]

    def release(self) -> None:
        """End every process that is kept."""
        idle, self._idle = self._idle, {}
        for clients in idle.values():
            for client in clients:
                client.stop()

    def close(self) -> None:
        """End everything and remove what was left on disk."""
        self.take_back(keep=False)
        self.release()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _find(self, plan: Plan) -> BridgeClient | None:
        while idle := self._idle.get(plan.key):
            client = idle.pop()
            if not idle:
                del self._idle[plan.key]
            try:
                reset(client)
            except DSPexTestkitError:
                client.stop()
            else:
                return client
        return None

    def _start(self, plan: Plan) -> BridgeClient:
        if self._folder is None:
            from dspex_testkit.runtime.scratch import make_scratch, remove_left_scratch

            remove_left_scratch()
            self._folder = Path(make_scratch())
        env = {"DSPY_CACHEDIR": str(self._folder), **plan.environment}
        launch = Launch(env=env, starter=WarmStarter())
        if plan.mode == "standalone":
            client: BridgeProcess | BridgePool = BridgeProcess(launch).start()
        else:
            client = BridgePool(plan.workers, launch=launch, eager=True).start()
        # Pools that were given one name from outside share their state, and a new one would find what others have left.
        reset(client)
        return client

    def _make_here(self, plan: Plan) -> BridgeClient:
        from dspex_testkit.bridge import Bridge
        from dspex_testkit.runtime.settings import load

        here = {name: value for name, value in plan.settings.items() if name != "default_lm"}
        settings = load(environ=replace(plan, settings=here).environment).for_bridge()
        # Given as it is: in this process it may hold functions.
        return InProcessBridge(Bridge(replace(settings, default_lm=plan.settings.get("default_lm"))))


def processes_of(client: BridgeClient) -> dict[str, BridgeProcess]:
    """The processes behind a client, by worker id."""
    if isinstance(client, BridgePool):
        return client.processes()
    if isinstance(client, BridgeProcess):
        return {client.worker_id or "standalone": client}
    return {}


def reset(client: BridgeClient) -> None:
    """Let a bridge forget everything; a pool on each worker, for they need not share their state.

    Raises:
        DSPexTestkitError: It does not.
    """
    if isinstance(client, BridgePool):
        client.sessions.clear()
    for one in each_of(client):
        one.call("reset_state", timeout=_RESET_TIMEOUT)


def ask_each(client: BridgeClient, command: str, args: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The answer of each process behind a client, without those that have ended or are checked out."""
    said = []
    with ExitStack() as leases:
        for one in _free(client, leases):
            with suppress(DSPexTestkitError):
                said.append(one.call(command, args, timeout=_RESET_TIMEOUT))
    return said


def _free(client: BridgeClient, leases: ExitStack) -> Iterator[BridgeClient]:
    """The workers of a pool that nobody uses, lent so that nobody does; at least one, which may take a moment."""
    if not isinstance(client, BridgePool):
        yield client
        return
    for _ in range(max(1, client.status().count("idle"))):
        with suppress(PoolError):
            yield leases.enter_context(client.checkout(timeout=_RESET_TIMEOUT))


def each_of(client: BridgeClient) -> list[BridgeClient]:
    """The processes behind a client, or the client itself where it is one bridge of this process."""
    return [*processes_of(client).values()] or [client]


def _is_whole(client: BridgeProcess | BridgePool) -> bool:
    """Whether another test would find it as new."""
    if isinstance(client, BridgeProcess):
        return client.alive and not client.unanswered and client.tamper is None
    status = client.status()
    processes = client.processes().values()
    return (
        status.count("idle") == status.size
        and not status.waiting
        and not status.starting
        and all(process.alive and not process.unanswered and process.tamper is None for process in processes)
    )

"""A standalone bridge that is watched and restarted, as DSPex's monitor and supervisor do."""

import asyncio
import threading
from typing import Self

from dspex_testkit.errors import DSPexTestkitError, PoolClosedError
from dspex_testkit.managed import Managed
from dspex_testkit.pool.client import Args, BridgeClient
from dspex_testkit.pool.launch import Launch
from dspex_testkit.pool.process import BridgeProcess
from dspex_testkit.protocol import Response


class SupervisedBridge(Managed[None], BridgeClient):
    """A standalone bridge that is restarted when its process ends or stops answering pings.

    A process that ends is replaced at once, one that misses its pings after a while. What was in flight fails; what
    the process knew is forgotten.

    Args:
        launch: How processes are started.
        ping_interval: Seconds between pings.
        ping_timeout: Seconds that a ping may take.
        failure_limit: Missed pings in a row after which the process is replaced.
    """

    def __init__(
        self,
        launch: Launch | None = None,
        *,
        ping_interval: float = 1.0,
        ping_timeout: float = 5.0,
        failure_limit: int = 2,
    ) -> None:
        self.restarts = 0
        """Processes that were replaced."""
        self._launch = launch
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._failure_limit = failure_limit
        self._replacing = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._process: BridgeProcess | None = None
        self._monitor = threading.Thread(target=self._watch, name="bridge monitor", daemon=True)

    def start(self) -> Self:
        """Start the first process, and the monitor.

        Raises:
            PoolError: The process did not start.
        """
        self._process = self._make().start()
        self._monitor.start()
        return self

    def stop(self) -> None:
        """End the process and the monitor."""
        self._stopped = True
        self._wake.set()
        if self._monitor.is_alive():
            self._monitor.join()
        if self._process is not None:
            self._process.stop()

    @property
    def process(self) -> BridgeProcess:
        """The process of the moment; waits while it is being replaced.

        Raises:
            PoolClosedError: There is none.
        """
        with self._replacing:
            if self._process is None or self._stopped:
                raise PoolClosedError("the supervised bridge was not started, or has been stopped")
            return self._process

    def ask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """The answer of the process of the moment, as of `BridgeProcess.ask`."""
        return self.process.ask(command, args, timeout=timeout)

    async def aask(self, command: str, args: Args | None = None, *, timeout: float | None = None) -> Response:
        """`ask` for an event loop."""
        process = await asyncio.to_thread(lambda: self.process)
        return await process.aask(command, args, timeout=timeout)

    def _make(self) -> BridgeProcess:
        return BridgeProcess(self._launch, on_end=lambda process: self._wake.set())

    def _watch(self) -> None:
        missed = 0
        while not self._stopped:
            self._wake.wait(self._ping_interval)
            self._wake.clear()
            missed = 0 if self._stopped or self._answers() else missed + 1
            if missed and (missed >= self._failure_limit or not self._alive()):
                missed = 0
                self._replace()

    def _answers(self) -> bool:
        assert self._process is not None
        try:
            return self._process.ask("ping", {"health_check": True}, timeout=self._ping_timeout).success
        except DSPexTestkitError:
            return False

    def _alive(self) -> bool:
        assert self._process is not None
        return self._process.alive

    def _replace(self) -> None:
        """Put a new process in the place of the old one; where that fails, the next round tries again."""
        assert self._process is not None
        with self._replacing:
            self._process.stop(by_force=True)
            process = self._make()
            try:
                process.start()
            except DSPexTestkitError:
                return
            self._process = process
            self.restarts += 1

"""The one thread that imports, once the first reply is out.

Two threads racing through DSPy's imports can see half of a module, so nobody else imports: a command waits until the
bridge is made (most of a second sooner than DSPy is there), an execution until DSPy is there.
"""

import gc
import threading

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.runtime import environment
from dspex_testkit.runtime.execution_threads import ExecutionThreads
from dspex_testkit.runtime.library_log import listen_to_libraries
from dspex_testkit.runtime.log import Log, current_traceback
from dspex_testkit.runtime.scratch import remove_left_scratch
from dspex_testkit.runtime.shutdown import leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from dspex_testkit.bridge import Bridge
    from dspex_testkit.runtime.settings import Settings

    Fail = Callable[[str, str, int], NoReturn]
    """Ends the process: why, in one line and at length, and with which status."""


class Loader:
    """Makes the bridge of a server in the background.

    Args:
        settings: What the bridge is told.
        log: Where failures are written down, and from now on what libraries log.
        make: Makes the bridge, in a process that has been prepared for it.
        adopt: Takes the bridge over; it may find that the client is gone.
        fail: Ends the process where there will be no bridge.
    """

    def __init__(
        self,
        settings: "Settings",
        log: Log,
        *,
        make: "Callable[[], Bridge]",
        adopt: "Callable[[Bridge], None]",
        fail: "Fail",
    ) -> None:
        self._settings = settings
        self._log = log
        self._make = make
        self._adopt = adopt
        self._fail = fail
        self._made = threading.Event()
        self._warm = threading.Event()
        self._bridge: Bridge | None = None
        self.threads = ExecutionThreads(settings.concurrency)

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._load, name="loader", daemon=True).start()

    def wait_for_bridge(self) -> "Bridge":
        """Wait until commands can be answered."""
        self._made.wait()
        assert self._bridge is not None
        return self._bridge

    def wait_until_warm(self) -> None:
        """Wait until executions can run, or until it is known why they cannot."""
        if not self._warm.is_set():
            self._warm.wait()

    def _load(self) -> None:
        gc.disable()  # importing makes a great many objects and no garbage
        try:
            remove_left_scratch()
            environment.prepare(self._settings)
            listen_to_libraries(self._log)
            bridge = self._bridge = self._make()
            self._adopt(bridge)
            self._made.set()
        except ConnectionError:
            leave(0)
        except DSPexTestkitError as error:
            self._fail(error.message, "", 2)
        except BaseException as error:
            self._fail(f"the bridge cannot be started: {error}", current_traceback(), 1)
        try:
            bridge.warm_up()
        except BaseException:
            # Commands that need no DSPy go on; an execution meets the same error and reports it.
            self._log.error(f"warming up failed\n{current_traceback()}")
        # What was imported stays; without this every full collection would walk through all of it.
        gc.freeze()
        gc.enable()
        self._warm.set()


class WarmLoader(Loader):
    """Makes the bridge in the thread that asks for it, because nothing is left to be imported."""

    def start(self) -> None:
        """Make it."""
        environment.prepare(self._settings)
        listen_to_libraries(self._log)
        try:
            self._bridge = self._make()
        except DSPexTestkitError as error:
            self._fail(error.message, "", 2)
        self._adopt(self._bridge)
        self._made.set()
        self._warm.set()

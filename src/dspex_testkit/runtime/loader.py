"""The one thread that imports, once the first reply is out.

Two threads racing through DSPy's imports can see half of a module, so nobody else imports: a command waits until the
bridge is made (most of a second sooner than DSPy is there), an execution until DSPy is there.
"""

import gc
import threading

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.runtime import environment, watchdog
from dspex_testkit.runtime.leaving import leave
from dspex_testkit.runtime.library_log import listen_to_libraries
from dspex_testkit.runtime.log import current_traceback
from dspex_testkit.runtime.scratch import remove_left_scratch
from dspex_testkit.runtime.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.bridge import Bridge
    from dspex_testkit.bridge.state import StateStore
    from dspex_testkit.runtime.serve import Server


class Loader:
    """Makes the bridge of a server in the background.

    Args:
        server: Adopts the bridge.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._made = threading.Event()
        self._warm = threading.Event()
        self._bridge: Bridge | None = None
        self.workers = Workers(server.settings.concurrency)

    def start(self) -> None:
        """Begin."""
        server = self._server
        watchdog.watch(server.wire, server.log, server.signals)
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
        server = self._server
        gc.disable()  # importing makes a great many objects and no garbage
        try:
            remove_left_scratch()
            environment.prepare(server.settings)
            listen_to_libraries(server.log)
            bridge = self._bridge = self._make()
            server.adopt(bridge)
            self._made.set()
        except ConnectionError:
            leave(0)
        except DSPexTestkitError as error:
            server.fail(error.message, status=2)
        except BaseException as error:
            server.fail(f"the bridge cannot be started: {error}", current_traceback())
        try:
            bridge.warm_up()
        except BaseException:
            # Commands that need no DSPy go on; an execution meets the same error and reports it.
            server.log.error(f"warming up failed\n{current_traceback()}")
        # What was imported stays; without this every full collection would walk through all of it.
        gc.freeze()
        gc.enable()
        self._warm.set()

    def _make(self, store: "StateStore | None" = None) -> "Bridge":
        from dspex_testkit.bridge import Bridge
        from dspex_testkit.protocol import use_orjson

        use_orjson()
        server = self._server
        bridge = Bridge(
            server.settings.for_bridge(),
            mode=server.mode,
            worker_id=server.worker_id,
            store=store,
            started=server.started,
        )
        server.log.scrub = bridge.scrub
        return bridge


class WarmLoader(Loader):
    """Makes the bridge in the thread that asks for it, because nothing is left to be imported.

    Args:
        server: Adopts the bridge.
        store: Where its state lives; in this process if None.
        host: Hangs up when the process ends that this one was forked from; looked after from now on.
    """

    def __init__(self, server: "Server", store: "StateStore | None", host: int) -> None:
        super().__init__(server)
        self._store = store
        watchdog.watch(server.wire, server.log, server.signals, host)

    def start(self) -> None:
        """Make it."""
        server = self._server
        environment.prepare(server.settings)
        listen_to_libraries(server.log)
        try:
            self._bridge = self._make(self._store)
        except DSPexTestkitError as error:
            server.fail(error.message, status=2)
        server.adopt(self._bridge)
        self._made.set()
        self._warm.set()

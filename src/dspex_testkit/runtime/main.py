"""The process of a bridge: what `dspex-bridge` and the launcher run."""

import os
import sys
import time

from dspex_testkit.errors import UsageError
from dspex_testkit.runtime.arguments import read_arguments
from dspex_testkit.runtime.leaving import leave
from dspex_testkit.runtime.log import Log, current_traceback
from dspex_testkit.runtime.settings import load
from dspex_testkit.runtime.signals import leave_on_signals
from dspex_testkit.runtime.stdio import claim, open_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from dspex_testkit.bridge.state import StateStore
    from dspex_testkit.runtime.arguments import Arguments
    from dspex_testkit.runtime.settings import Settings
    from dspex_testkit.runtime.stdio import Wire


def main(argv: "Sequence[str] | None" = None, *, home: "str | None" = None) -> "NoReturn":
    """Serve the client at standard input and output, then end the process.

    The exit status is 0 however the client ends it, 2 where the command line or a setting is wrong, and 1 for an
    internal failure; the last two are explained on standard error.

    Args:
        argv: The command line without the program's name; that of the process if None.
        home: Folder in which the settings file is looked for.
    """
    started = time.monotonic()
    arguments = read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        wire = claim()
    except OSError as error:
        # Without an error stream a print would go to standard output, which is for frames; the status has to do.
        if sys.stderr is not None:
            print(f"dspex-bridge: standard input and output must be open: {error.strerror}", file=sys.stderr)
        os._exit(2)
    serve(wire, arguments, home=home, started=started)


def serve(
    wire: "Wire",
    arguments: "Arguments",
    *,
    home: "str | None",
    started: float,
    unread: bytes = b"",
    answered: int = 0,
    store: "Callable[[Settings], StateStore | None] | None" = None,
    host: "int | None" = None,
) -> "NoReturn":
    """Serve the client at a wire, then end the process.

    Args:
        wire: Taken away from everybody else.
        arguments: The command line, read.
        home: Folder in which the settings file is looked for.
        started: `time.monotonic` when the process that the client sees started.
        unread: What another process has read from the wire and not answered.
        answered: How many commands it has answered.
        store: Gives the state that the client's other bridges share, if any.
        host: In a worker of the warm host, a descriptor that hangs up when the host ends.
    """
    try:
        settings = load(arguments.flags, home=home)
        log = Log(open_log(wire, settings.log), settings.log_level)
    except UsageError as error:
        wire.complain(error.message)
        leave(2)
    except OSError as error:
        wire.complain(f"the log cannot be opened: {error}")
        leave(2)
    signals = leave_on_signals(log)
    for warning in settings.warnings:
        log.warning(warning)
    if host is None and settings.host == "auto":
        from dspex_testkit.runtime.host.launcher import Launcher

        launcher = Launcher(wire, log, settings, arguments, home=home, started=started, signals=signals)
        try:
            launcher.run()
        except ConnectionError:
            leave(0)
        except OSError as error:
            wire.complain(f"the client cannot be read or answered: {error.strerror}")
            leave(1)
        unread, answered = launcher.unread, launcher.answered
    log.info(f"{arguments.mode} started" + (f" as {arguments.worker_id}" if arguments.worker_id else ""))
    from dspex_testkit.runtime.serve import Server

    server = Server(
        wire,
        log,
        settings,
        mode=arguments.mode,
        worker_id=arguments.worker_id,
        started=started,
        signals=signals,
    )
    try:
        if host is not None:
            server.begin_warm(store(settings) if store else None, host)
        server.resume(unread, answered)
        server.run()
    except ConnectionError:
        log.info("leaving: nobody reads the answers")
    except BaseException as error:
        server.fail(f"internal failure: {type(error).__name__}: {error}", current_traceback())
    leave(0)


if __name__ == "__main__":
    main()

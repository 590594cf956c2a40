"""The process of a bridge: what `dspex-bridge` and the launcher run."""

import os
import sys
import time

from dspex_testkit.runtime.arguments import read_arguments
from dspex_testkit.runtime.shutdown import leave
from dspex_testkit.runtime.startup import start_up
from dspex_testkit.runtime.stdio import claim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: "Sequence[str] | None" = None, *, home: "str | None" = None) -> "NoReturn":
    """Serve the client at standard input and output, then end the process.

    The exit status is 0 however the client ends it, 2 where the command line or a setting is wrong, and 1 for an
    internal failure; the last two are explained on standard error.

    Args:
        argv: The command line without the program's name; that of the process if None.
        home: Folder in which the settings file is looked for.
    """
    at = time.monotonic()
    arguments = read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        wire = claim()
    except OSError as error:
        # Without an error stream a print would go to standard output, which is for frames; the status has to do.
        if sys.stderr is not None:
            print(f"dspex-bridge: standard input and output must be open: {error.strerror}", file=sys.stderr)
        os._exit(2)
    process = start_up(wire, arguments, home=home, at=at)
    unread, answered = b"", 0
    if process.settings.host == "auto":
        from dspex_testkit.host.launcher import Launcher

        launcher = Launcher(process)
        try:
            launcher.run()
        except ConnectionError:
            leave(0)
        except OSError as error:
            wire.complain(f"the client cannot be read or answered: {error.strerror}")
            leave(1)
        unread, answered = launcher.unread, launcher.answered
    from dspex_testkit.runtime.serve import serve

    serve(process, unread=unread, answered=answered)


if __name__ == "__main__":
    main()

"""What every process of a bridge does first, launched or forked: read its settings, open its log, mind its signals."""

from dspex_testkit.errors import UsageError
from dspex_testkit.runtime.log import Log
from dspex_testkit.runtime.settings import load
from dspex_testkit.runtime.shutdown import leave
from dspex_testkit.runtime.signals import leave_on_signals
from dspex_testkit.runtime.stdio import open_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.runtime.arguments import Arguments
    from dspex_testkit.runtime.settings import Settings
    from dspex_testkit.runtime.stdio import Wire


class Started:
    """A started process: its arguments, settings, log, descriptors and signals.

    Args:
        wire: Where frames come from and go to.
        log: Where it is written what happens.
        settings: What the bridge was told.
        arguments: The command line.
        home: Folder in which the settings file is looked for.
        at: `time.monotonic` when the process that the client sees started.
        signals: A descriptor on which the number of each signal can be read.
    """

    __slots__ = ("arguments", "at", "home", "log", "settings", "signals", "wire")

    def __init__(
        self,
        wire: "Wire",
        log: Log,
        settings: "Settings",
        arguments: "Arguments",
        *,
        home: "str | None",
        at: float,
        signals: int,
    ) -> None:
        self.wire = wire
        self.log = log
        self.settings = settings
        self.arguments = arguments
        self.home = home
        self.at = at
        self.signals = signals


def start_up(wire: "Wire", arguments: "Arguments", *, home: "str | None", at: float) -> Started:
    """Read the settings and open the log; where either is wrong, say so on the error stream and end with status 2."""
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
    return Started(wire, log, settings, arguments, home=home, at=at, signals=signals)

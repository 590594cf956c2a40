"""What libraries say through `logging` goes to the bridge's log, keys taken out."""

import logging

from dspex_testkit.runtime.log import Log


class _Formatter(logging.Formatter):
    """Writes records as lines of the bridge's log."""

    def __init__(self, log: Log) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
        self._log = log

    def format(self, record: logging.LogRecord) -> str:
        return self._log.scrub(super().format(record))


def hush_libraries() -> None:
    """Switch the logging of libraries off; there is no log to which they could write."""
    _set_levels(logging.CRITICAL, logging.CRITICAL)


def listen_to_libraries(log: Log) -> None:
    """Send what libraries log to the bridge's log; their chatter below a warning may hold whole requests."""
    if log.fd is None:
        hush_libraries()
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(log))
    logging.getLogger().addHandler(handler)
    _set_levels(logging.WARNING, logging.getLevelName(log.level.upper()))


def _set_levels(libraries: int, kit: int) -> None:
    for name, level in ((None, libraries), ("dspex_testkit", kit)):
        logger = logging.getLogger(name)
        # Setting a level goes to every logger there is; a fork would copy the memory of each.
        if logger.level != level:
            logger.setLevel(level)

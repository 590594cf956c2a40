"""The launched process where there is a host: the hand-over to a worker, then the wait.

Where the host runs already, the worker is there before this process could have imported what a ping's answer takes,
so everything is handed over as it is. Until a host has been started, pings are answered here.
"""

import os

from dspex_testkit.runtime.startup import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_testkit.host.early import EarlyAnswers
    from dspex_testkit.host.messages import Lines

_TRIES = 3
_AT_ONCE = 0.05
"""Seconds in which a host that is not busy importing has forked a worker."""


class Launcher:
    """Brings a client and a worker together.

    Args:
        process: This process, with what it was told.
    """

    def __init__(self, process: Started) -> None:
        self._process = process
        self._log = process.log
        self._early: EarlyAnswers | None = None

    @property
    def unread(self) -> bytes:
        """What was read and not answered."""
        return b"" if self._early is None else bytes(self._early.unread)

    @property
    def answered(self) -> int:
        """How many commands were answered."""
        return 0 if self._early is None else self._early.answered

    def run(self) -> None:
        """Serve through a worker and end with it; returns where there is none to be had.

        Then what `unread` holds is still to be answered, by this process.

        Raises:
            ConnectionError: Nobody reads the answers any more.
        """
        from dspex_testkit.host.place import Unavailable

        try:
            for _ in range(_TRIES):
                lines = self._reach()
                message = self._first_word(lines)
                if message is not None and "refused" in message:
                    raise Unavailable(str(message["refused"]))
                # The host may have been on its way out, or been killed.
                if message is not None and self._hand_over(lines):
                    self._stay(lines, int(message["worker"]))
        except Unavailable as reason:
            self._log.warning(f"running without the warm host: {reason}")
        else:
            self._log.warning("running without the warm host: it ends as soon as it is started")

    def _reach(self) -> "Lines":
        """The way to the host, which is started if it is not there; the first ping does not wait for that.

        Raises:
            Unavailable: There can be none.
        """
        from dspex_testkit.host.place import find_place

        place = find_place(os.getppid())
        # Not every system that has no host could import these.
        from dspex_testkit.host.contact import connect, reach
        from dspex_testkit.host.messages import Lines

        connection = connect(place)
        if connection is None:
            # A client that was heard before may be waiting, and say nothing more.
            if self._early is None:
                self._answer_early().take_in()
            connection = reach(place, linger=self._process.settings.host_linger)
        return Lines(connection)

    def _first_word(self, lines: "Lines") -> "dict[str, Any] | None":
        """What the host says to a new connection; None where it has ended.

        Raises:
            Unavailable: It says nothing.
        """
        from dspex_testkit.host.place import Unavailable

        if self._early is None:
            try:
                return lines.next_within(_AT_ONCE)
            except TimeoutError:
                pass  # it is still importing
        try:
            return self._answer_early().until(lines)
        except TimeoutError as error:
            raise Unavailable(str(error)) from None

    def _answer_early(self) -> "EarlyAnswers":
        if self._early is None:
            from dspex_testkit.host.early import EarlyAnswers

            self._early = EarlyAnswers(self._process)
        return self._early

    def _hand_over(self, lines: "Lines") -> bool:
        """Whether there was still somebody to take everything; if not, nothing is lost."""
        from dspex_testkit.host.messages import HandOver

        wire, arguments = self._process.wire, self._process.arguments
        told = HandOver.of_this_process(
            mode=arguments.mode,
            worker_id=arguments.worker_id,
            flags=arguments.flags,
            home=self._process.home,
            started=self._process.at,
            answered=self.answered,
            unread=self.unread,
            descriptors=[wire.fd_in, wire.fd_out, *([] if wire.fd_err is None else [wire.fd_err])],
        )
        try:
            told.send(lines.connection)
        except ConnectionError:
            return False
        os.close(wire.fd_out)
        return True

    def _stay(self, lines: "Lines", worker: int) -> None:
        from dspex_testkit.host.companion import Companion

        process = self._process
        Companion(lines, worker, client=process.wire.fd_in, signals=process.signals, log=process.log).stay()

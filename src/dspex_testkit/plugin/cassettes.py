"""The recordings of one test: played or made by LMs of this process and by its bridges, kept where the test passed."""

import sys
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.arguments import ANONYMOUS
from dspex_testkit.errors import CassetteError, NothingRecordedError, UsageError
from dspex_testkit.plugin.cassette_plans import CassettePlan, recordings_of, report_of, was_used

if TYPE_CHECKING:
    from dspex_testkit.cassettes import CassetteReport, HTTPCassette, OpenCassette
    from dspex_testkit.plugin.bridge_cassettes import BridgeCassettes, Recordable

__tracebackhide__ = True  # a test whose recording is missing shows its own lines

ASKING = frozenset({"execute_program", "predict", "execute_gemini_program"})
"""The commands of a bridge that ask LMs."""


class CassetteFixture:
    """What the fixture `lm_cassette` gives.

    Args:
        cassettes: The test's recordings.
    """

    def __init__(self, cassettes: "CaseCassettes") -> None:
        self._cassettes = cassettes
        plan = cassettes.plan
        self.path = plan.path
        """The file; sessions of bridges have further ones beside it."""
        self.mode = plan.mode
        """What it does: `none` also where `once` was wanted and there is a recording."""
        self.level = plan.level
        """`lm` or `http`."""

    @property
    def cassette(self) -> "OpenCassette | HTTPCassette":
        """The cassette as the library gives it."""
        return self._cassettes.http if self.level == "http" else self._cassettes.opened()

    def lm_for(self, lm: Any = None, *, model: str | None = None) -> Any:
        """A `dspy.LM` that answers from this cassette, for LMs that are no provider's, such as a `MockLM`.

        LMs of providers need no such thing: whatever asks one in this test is answered from the cassette.

        Args:
            lm: The LM that is recorded; None to replay only.
            model: The name under which its calls are kept.

        Raises:
            UsageError: The cassette records HTTP traffic.
            CassetteError: It cannot be opened.
        """
        if self.level == "http":
            raise UsageError("A cassette of HTTP traffic gives no LM; ask any dspy.LM, and its traffic is recorded")
        return self._cassettes.opened().lm_for(lm, model=model)

    def report(self) -> "CassetteReport":
        """What was played, recorded and missed so far."""
        return self._cassettes.http.report() if self.level == "http" else self._cassettes.opened().report()

    def __repr__(self) -> str:
        return f"<lm_cassette {self.path} {self.mode}>"


class CaseCassettes:
    """What one run of one test plays and records.

    Args:
        plan: Of the test.
        uses_bridge: Whether bridges may be all that asks LMs.
    """

    def __init__(self, plan: CassettePlan, *, uses_bridge: bool) -> None:
        self.plan = plan
        self._uses_bridge = uses_bridge
        self._opened: OpenCassette | None = None
        self._http: HTTPCassette | None = None
        self._entered: AbstractContextManager[Any] | None = None
        self._bridges: BridgeCassettes | None = None
        self.reports: list[dict[str, Any]] = []
        """What came of them, once the test has ended."""

    def start(self) -> None:
        """Open what is needed from the start, so that a test without a recording says so before it does anything.

        Raises:
            CassetteError: It cannot be opened.
        """
        plan = self.plan
        if plan.level == "http":
            if plan.asked_for or plan.asks or plan.path.exists():
                self._enter_http()
        elif plan.asked_for and not (self._uses_bridge and (plan.asks or recordings_of(plan))):
            self.opened()

    @property
    def http(self) -> "HTTPCassette":
        """The cassette of HTTP traffic.

        Raises:
            CassetteError: There is none.
        """
        if self._http is None:
            raise CassetteError(f"There is no cassette {self.plan.path}; {self.plan.rerecord} records it")
        return self._http

    def opened(self) -> "OpenCassette":
        """The cassette of LM calls of this process, opened when it is first needed.

        Raises:
            CassetteError: It cannot be opened.
        """
        from dspex_testkit.cassettes import open_cassette

        if self._opened is None:
            plan = self.plan
            self._opened = open_cassette(plan.path, plan.mode, rerecord=plan.rerecord, **plan.options)
        return self._opened

    def enter(self, bridge: "Recordable", command: str, session_id: str | None) -> None:
        """Have a bridge's session play or record its cassette, from the first command that asks an LM on.

        Raises:
            DSPexTestkitError: It cannot.
        """
        if command not in ASKING:
            return
        if self.plan.level == "http":
            if bridge.mode != "inproc":
                raise UsageError(
                    f"level='http' records this process, and the bridge runs {bridge.mode}; use level='lm'"
                )
            return
        if self._bridges is None:
            from dspex_testkit.plugin.bridge_cassettes import BridgeCassettes

            self._bridges = BridgeCassettes(self.plan)
        self._bridges.enter(bridge, None if session_id == ANONYMOUS else session_id)

    def leave(self, bridge: "Recordable", session_id: str | None, *, every: bool) -> None:
        """End the use of cassettes that a bridge is about to forget."""
        if self._bridges is not None:
            self._bridges.leave(bridge, session_id, every=every)

    def finish(self, *, passed: bool) -> None:
        """Keep what was recorded where the test has passed, and say what came of it.

        Raises:
            CassetteError: A miss was swallowed, nothing was recorded, or it cannot be kept.
        """
        errors: list[Exception] = []
        for finish in (self._finish_lm, self._finish_http, self._finish_bridges):
            # Whatever one of them raises, the others have clients, locks and bridges to give back.
            try:
                finish(passed)
            except Exception as error:
                errors.append(error)
        for report in self.reports:
            report["passed"] = passed
        grave = [error for error in errors if not isinstance(error, NothingRecordedError)]
        if grave:
            raise grave[0]
        if passed and self._lacks(bool(errors)):
            raise NothingRecordedError(
                f"{self.plan.path} was to be recorded, and the test asked no LM of a provider; take the marker "
                "lm_cassette away, or give lm_cassette.lm_for() the LM that is to be recorded",
                details={"path": str(self.plan.path)},
            )

    @property
    def misses(self) -> list[str]:
        """What was asked and not recorded, in the words of the errors."""
        return [miss for report in self.reports for miss in report["misses"]]

    def _lacks(self, refused: bool) -> bool:
        """Whether a recording was asked for and nothing came of it."""
        if not self.plan.asked_for or not self.plan.asks or any(map(was_used, self.reports)):
            return False
        return refused or self.plan.mode != "new_episodes" or not recordings_of(self.plan)

    def _finish_lm(self, passed: bool) -> None:
        cassette, self._opened = self._opened, None
        if cassette is None:
            return
        try:
            if passed:
                cassette.commit()
        finally:
            cassette.discard()
            self._add(cassette.report())

    def _enter_http(self) -> None:
        from dspex_testkit.cassettes import http_cassette

        plan = self.plan
        manager = http_cassette(plan.path, record_mode=plan.mode, rerecord=plan.rerecord, **plan.options)
        self._http = manager.__enter__()
        self._entered = manager

    def _finish_http(self, passed: bool) -> None:
        manager, self._entered = self._entered, None
        if manager is None:
            return
        try:
            if passed:
                manager.__exit__(None, None, None)
            else:
                _discard(manager)
        finally:
            self._add(self.http.report())

    def _finish_bridges(self, passed: bool) -> None:
        if self._bridges is not None:
            try:
                self._bridges.finish(passed=passed)
            finally:
                self.reports += self._bridges.reports

    def _add(self, report: "CassetteReport") -> None:
        self.reports.append(report_of(report.to_dict(), level=self.plan.level))


class _TestFailedError(Exception):
    """Tells an HTTP cassette that nothing is to be kept."""


def _discard(manager: AbstractContextManager[Any]) -> None:
    try:
        raise _TestFailedError
    except _TestFailedError:
        # A miss, if there was one, is in the report.
        with suppress(_TestFailedError, CassetteError):
            manager.__exit__(*sys.exc_info())

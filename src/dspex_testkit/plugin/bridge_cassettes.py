"""The cassettes of a test's bridges: one per session, opened and ejected over the wire, wherever the bridge runs."""

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dspex_testkit.errors import (
    CassetteDriftError,
    CassetteError,
    CassetteWriteError,
    DSPexTestkitError,
    NoMatchingInteractionError,
    NothingRecordedError,
    RemoteCommandError,
    UsageError,
)
from dspex_testkit.plugin.bridges import each_of
from dspex_testkit.plugin.cassette_plans import CassettePlan, report_of

if TYPE_CHECKING:
    from dspex_testkit.plugin.options import Mode
    from dspex_testkit.pool import BridgeClient

__tracebackhide__ = True  # a test whose recording is missing shows its own lines


class Recordable(Protocol):
    """A bridge as far as its recordings go: where it runs, and how it is reached."""

    mode: "Mode"

    @property
    def client(self) -> "BridgeClient":
        """How it is reached."""
        ...


class BridgeCassettes:
    """Sessions of bridges with their cassettes.

    Args:
        plan: Of the test.
    """

    def __init__(self, plan: CassettePlan) -> None:
        self._plan = plan
        self._options = _sendable(plan)
        self._in_use: dict[tuple[Recordable, str | None], list[BridgeClient]] = {}
        self._left: set[str | None] = set()
        self._before: dict[Path, bytes | None] = {}
        self._errors: list[DSPexTestkitError] = []
        self.reports: list[dict[str, Any]] = []

    def enter(self, bridge: "Recordable", session_id: str | None) -> None:
        """Give a session its cassette, unless it has it.

        Raises:
            DSPexTestkitError: It cannot be opened.
        """
        if (bridge, session_id) in self._in_use:
            return
        plan = self._plan
        path = self._path(session_id)
        if not plan.asks and not path.exists():
            # Perhaps mocks answer all that this session asks; a provider's LM will say that there is no recording.
            return
        self._before.setdefault(path, path.read_bytes() if path.exists() else None)
        # What was recorded before the session was forgotten belongs to the same test, and is replayed in order.
        mode = "new_episodes" if plan.asks and session_id in self._left and plan.mode != "verify" else plan.mode
        args: dict[str, Any] = {"name": plan.name_for(session_id), "mode": mode, **_session(session_id)}
        given = self._in_use[bridge, session_id] = []
        try:
            for client in each_of(bridge.client):
                said = client.call("use_cassette", {**args, **self._options})
                given.append(client)
                if said["shared"]:
                    break  # the other workers of the pool have it too
        except BaseException:
            # Those that had said yes would keep it, and with it the lock of its file.
            self._eject(bridge, session_id, passed=False)
            raise

    def leave(self, bridge: "Recordable", session_id: str | None, *, every: bool) -> None:
        """End the use of a session's cassette, or of all, before the bridge forgets them.

        Nobody knows yet whether the test passes: what was recorded is kept for now.
        """
        for known, name in list(self._in_use):
            if known is bridge and (every or name == session_id):
                self._eject(known, name, passed=True)
                self._left.add(name)

    def finish(self, *, passed: bool) -> None:
        """End the use of all, and take back what a failed test had recorded already.

        Raises:
            DSPexTestkitError: A miss was swallowed, or a recording cannot be kept.
        """
        with ExitStack() as clean_up:
            if not passed:
                clean_up.callback(self._restore)
            for bridge, session_id in list(self._in_use):
                clean_up.callback(self._eject, bridge, session_id, passed=passed)
        if not passed:
            return
        if self._errors:
            grave = [error for error in self._errors if error.code != NothingRecordedError.code]
            raise (grave or self._errors)[0]

    def _eject(self, bridge: "Recordable", session_id: str | None, *, passed: bool) -> None:
        for client in self._in_use.pop((bridge, session_id)):
            try:
                said = client.call("eject_cassette", {"passed": passed, **_session(session_id)})
            except RemoteCommandError as error:
                if error.remote_code == CassetteWriteError.code:
                    # It waits to be written, and nobody will come back for it.
                    with suppress(DSPexTestkitError):
                        client.call("eject_cassette", {"passed": False, **_session(session_id)})
                self._errors.append(_as_cassette_error(error))
                self.reports.append(self._failed(session_id, error))
            except DSPexTestkitError as error:
                # The process has ended, and with it what it recorded.
                if passed and self._plan.asks:
                    self._errors.append(error)
            else:
                self.reports.append(report_of(said, level="lm"))

    def _failed(self, session_id: str | None, error: RemoteCommandError) -> dict[str, Any]:
        """What is known of a cassette that could not be ended well."""
        codes = {"misses": NoMatchingInteractionError.code, "drifts": CassetteDriftError.code}
        lists = {name: [error.remote_message] if error.remote_code == code else [] for name, code in codes.items()}
        counts = dict.fromkeys(("interactions", "played", "recorded", "committed"), 0)
        where: dict[str, Any] = {
            "path": str(self._path(session_id)),
            "mode": self._plan.mode,
            "stale": None,
            "unplayed": [],
        }
        return report_of({**where, **counts, **lists}, level="lm")

    def _restore(self) -> None:
        from dspex_testkit.cassettes.files import write_atomically

        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != content:
                write_atomically(path, content)

    def _path(self, session_id: str | None) -> Path:
        from dspex_testkit.cassettes.files import resolve_inside

        return resolve_inside(self._plan.folder, self._plan.name_for(session_id))


def _session(session_id: str | None) -> dict[str, str]:
    return {} if session_id is None else {"session_id": session_id}


def _sendable(plan: CassettePlan) -> dict[str, Any]:
    """The plan's options as arguments of the command.

    Raises:
        UsageError: One of them is an object or a function.
    """
    for name, value in plan.options.items():
        try:
            json.dumps(value)
        except TypeError:
            raise UsageError(
                f"the marker lm_cassette: a bridge cannot be told {name}={value!r}; use texts, numbers and lists"
            ) from None
    return {"options": {**plan.options, "rerecord": plan.rerecord}}


def _as_cassette_error(error: RemoteCommandError) -> DSPexTestkitError:
    if error.remote_code == NothingRecordedError.code:
        return NothingRecordedError(error.remote_message)
    return CassetteError(error.remote_message)

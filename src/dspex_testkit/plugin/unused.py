"""What a test said of its LMs and nobody asked for: markers `lm` that no call reached, answers that were not used up.

A test fails by its own marker: one beside a program that asks another model would leave it green for nothing. Tables
and rules are stubs, which a helper may write for many tests; they, and markers of classes and modules, are judged over
everything that ran under them, and reported at the end of the run.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from dspex_testkit.plugin import markers
from dspex_testkit.plugin.items import UNUSED_ATTRIBUTE, cell_of, process_of
from dspex_testkit.plugin.options import Options

if TYPE_CHECKING:
    from dspex_testkit.calls import LMCall
    from dspex_testkit.plugin.case import Case

DESELECTED = pytest.StashKey[set[str]]()
"""The places of markers of which not every test runs."""


@dataclass(slots=True)
class Promise:
    """What a mock spec has for its callers, by name."""

    limited: dict[str, int] = field(default_factory=dict)
    """Answers that are there to be used up, each with how often."""
    stubs: list[str] = field(default_factory=list)
    """Answers for whoever may come."""
    faults: dict[str, int] = field(default_factory=dict)
    """Faults of certain calls, by kind, with how many."""


def judge(case: "Case") -> tuple[list[str], list[dict[str, Any]]]:
    """What of a test's markers was in vain: for the test itself, and for the end of the run."""
    if cell_of(case.item) is not None or case.config_was_replaced:
        return [], []
    marks = markers.lm_markers(case.item)
    faults = [mark for mark in case.item.own_markers if mark.name == "lm_faults"]
    if not marks and not faults:
        return [], []
    calls = [call for call in case.calls.entries(all=True)[0] if call.parent_id is None]
    configs = [_read(mark.config) for mark in marks]
    by_mark: dict[int, list[LMCall]] = {}
    for call in calls:
        if (index := _asked(call, configs)) is not None:
            by_mark.setdefault(index, []).append(call)
    problems, told = [], []
    for index, (mark, config) in enumerate(zip(marks, configs, strict=True)):
        if config is None:
            continue  # an ensemble, or a name that its bridge knows
        mine = by_mark.get(index, [])
        plays = not case.live and case.cassettes is None
        promise = _promise(config) if plays else Promise()
        unused = mark.unused or case.options.unused
        if mark.own and unused in (None, "fail"):
            problems += _problems(_name(mark.config), promise, mine)
        if unused != "allow":
            told.append(
                {
                    "place": mark.place,
                    "marker": _name(mark.config),
                    "own": mark.own,
                    "fail": unused == "fail",
                    "reached": bool(mine),
                    "stubs": promise.stubs,
                    "used": sorted({call.rule for call in mine if call.rule}),
                    "partly": mark.place in case.item.config.stash.get(DESELECTED, set()),
                }
            )
    if case.options.unused in (None, "fail") and not case.live:
        wanted: dict[str, int] = {}
        for scheduled in map(_scheduled, faults):
            for kind, count in scheduled.items():
                wanted[kind] = wanted.get(kind, 0) + count
        problems += _missed_faults("the marker lm_faults", wanted, calls)
    return problems, told


def _asked(call: "LMCall", configs: "list[Any]") -> int | None:
    """Which marker's LM a call was to; an LM of a bridge's narrower scope is nobody's."""
    if call.scope is not None and str(call.scope) != "default":
        return None
    known = [index for index, config in enumerate(configs) if config is not None]
    same = [index for index in known if (configs[index].provider, configs[index].model) == (call.provider, call.model)]
    general = [index for index in known if configs[index].is_mock] if call.mocked and call.scope is None else []
    return next(iter(same + general), None)


def _read(raw: Any) -> Any:
    from dspex_testkit.lm.config.reading import parse_lm_config
    from dspex_testkit.lm.config.values import LMConfig
    from dspex_testkit.plugin.lm_configs import config_of

    value = parse_lm_config(config_of(raw)).value
    return value if isinstance(value, LMConfig) and value.ensemble is None else None


def _promise(config: Any) -> Promise:
    from dspex_testkit.mock_lm.spec import parse_mock_spec

    spec = parse_mock_spec(config.mock or {})
    promise = Promise()
    if spec.on_exhausted == "error":
        promise.limited |= {f"script[{index}]": 1 for index in range(len(spec.script or ()))}
    for index, rule in enumerate(spec.rules):
        name = rule.name or f"rules[{index}]"
        if rule.times is not None:
            promise.limited[name] = rule.times
        else:
            promise.stubs.append(name)
    promise.stubs += [f"responses[{key!r}]" for key in spec.responses or () if key != "default"]
    for fault in spec.faults:
        if fault.calls:
            promise.faults[fault.kind] = promise.faults.get(fault.kind, 0) + len(fault.calls)
    return promise


def _scheduled(mark: pytest.Mark) -> dict[str, int]:
    """The faults of a marker that strike certain calls."""
    calls = mark.kwargs.get("calls")
    return {str(kind): len(calls) for kind in mark.args} if isinstance(calls, list | tuple) else {}


def _problems(name: str, promise: Promise, calls: "list[LMCall]") -> list[str]:
    if not calls:
        return [f"no call reached {name}"]
    problems = []
    for answer, wanted in promise.limited.items():
        given = sum(_is_of(call.rule, answer) for call in calls)
        if given < wanted:
            times = f" {given} of {wanted} times" if wanted > 1 else ""
            problems.append(f"{name}: {answer} was {'used' if times else 'not used'}{times}")
    return problems + _missed_faults(name, promise.faults, calls)


def _missed_faults(name: str, wanted: Mapping[str, int], calls: "Iterable[LMCall]") -> list[str]:
    struck = [call.fault for call in calls]
    return [
        f"{name}: the fault {kind} struck {struck.count(kind)} of {count} calls"
        for kind, count in wanted.items()
        if struck.count(kind) < count
    ]


def _is_of(rule: str | None, answer: str) -> bool:
    """Whether a call was answered by an answer, or by one within it."""
    return rule is not None and (rule == answer or rule.startswith(f"{answer}["))


def _name(config: Any) -> str:
    if isinstance(config, str):
        return f"the marker lm({config!r})"
    keys = ", ".join(str(key) for key in config) if isinstance(config, Mapping) else type(config).__name__
    return f"the marker lm({keys})"


def explain(problems: list[str]) -> str:
    """Why a test that passed fails all the same, and what to do."""
    return (
        "What this test says of its LMs was not used:\n"
        + "".join(f"  {problem}\n" for problem in problems)
        + "Take it away, or ask that LM; `unused='report'` on the marker, or --lm-unused=report, lets it pass."
    )


class UnusedHooks:
    """Judges markers over all tests that ran under them, and reports what was in vain.

    Args:
        options: What was said for the run.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._told: dict[tuple[str, str], dict[str, Any]] = {}
        self._stopped = False

    @pytest.hookimpl
    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Say nothing of what some of its tests may have used."""
        for item in items:
            places = item.config.stash.setdefault(DESELECTED, set())
            places |= {mark.place for mark in markers.lm_markers(item, checked=False)}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came of a test's markers."""
        for each in json.loads(getattr(report, UNUSED_ATTRIBUTE, "[]")):
            known = self._told.setdefault((each["place"], each["marker"]), each)
            known["used"] = sorted({*known["used"], *each["used"]})
            for name in ("reached", "partly", "fail"):
                known[name] = known[name] or each[name]

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that is to have nothing unused."""
        self._stopped = bool(session.shouldstop or session.shouldfail)
        if process_of(session.config) is None and any(each["fail"] for each, _ in self._unused()):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was not used."""
        unused = self._unused()
        if not unused:
            return
        terminalreporter.section("unused LM answers")
        for each, what in unused:
            terminalreporter.write_line(f"{each['place']}: {each['marker']}: {what}", red=each["fail"], yellow=True)

    def _unused(self) -> list[tuple[dict[str, Any], str]]:
        found = []
        for each in () if self._stopped else self._told.values():
            if each["partly"]:
                continue
            if not each["reached"]:
                # By its own marker the test has failed already, unless it is only to be told.
                found.append((each, "no call reached it"))
            elif left := [name for name in each["stubs"] if not any(_is_of(rule, name) for rule in each["used"])]:
                found.append((each, f"not used: {', '.join(left)}"))
        return found


def incomplete(item: pytest.Item) -> list[dict[str, Any]]:
    """What a test that did not pass says of its markers: that others cannot be judged without it."""
    return [
        {
            "place": mark.place,
            "marker": _name(mark.config),
            "own": mark.own,
            "fail": False,
            "reached": False,
            "stubs": [],
            "used": [],
            "partly": True,
        }
        for mark in markers.lm_markers(item, checked=False)
    ]

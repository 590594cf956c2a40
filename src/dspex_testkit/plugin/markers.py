"""The markers: how they are declared, and what a test says with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.plugin.lm_configs import check_keys
from dspex_testkit.plugin.options import MODES, POLICIES, UNUSED, Mode, Policy

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found

MARKERS = {
    "bridge": "bridge(mode=None, workers=None, **settings): where this test's bridge runs, and what it is told.",
    "lm": "lm(model=None, /, unused=…, **config): an LM config; the nearest is the default, all serve the policy mock.",
    "lm_faults": "lm_faults(kind, /, **schedule): what goes wrong with the LMs that the fixtures give.",
    "lm_policy": "lm_policy(policy): who answers for each dspy.LM in this test: mock, replay, record or live.",
    "lm_cassette": "lm_cassette(path=None, record_mode=None, level='lm', **options): this test's recording.",
    "lm_live": "lm_live: this test asks real providers; it needs --lm-live, and may use the network.",
    "lm_seeds": "lm_seeds(n, min_pass=1.0): run the test with n seeds; so large a share of them has to pass.",
    "lm_matrix": "lm_matrix(*lms): run the test once per LM; those that are no mocks need --lm-live.",
}

# Of these alone a test says nothing about LMs of its own: `bridge` is a word that others may use for their markers.
_CONCERNING_ALL_LMS = frozenset(MARKERS) - {"bridge"}


def declare(config: pytest.Config) -> None:
    """Make the markers known, so that --strict-markers accepts them."""
    for text in MARKERS.values():
        config.addinivalue_line("markers", text)


def concerns_lms(item: pytest.Item) -> bool:
    """Whether the markers of a test speak of its LMs, with or without a fixture of ours."""
    return any(item.get_closest_marker(name) is not None for name in _CONCERNING_ALL_LMS)


def wants_cassette(item: pytest.Item) -> bool:
    """Whether a test asks for a recording of its own."""
    return item.get_closest_marker("lm_cassette") is not None or "lm_cassette" in getattr(item, "fixturenames", ())


@dataclass(frozen=True, slots=True)
class BridgeMark:
    """What a test says of its bridge."""

    mode: Mode | None = None
    workers: int | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SeedsMark:
    """With how many seeds a test runs, and which share has to pass."""

    count: int
    min_pass: float = 1.0


def bridge_mark(node: pytest.Item | pytest.Collector | Any) -> BridgeMark:
    """What a test says of its bridge; what stands nearer to it wins.

    Raises:
        UsageError: The marker is written wrongly.
    """
    mode: Mode | None = None
    workers: int | None = None
    settings: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("bridge"))):
        if len(mark.args) > 1:
            raise UsageError(f"the marker bridge takes the mode alone without a name, got {mark.args!r}")
        given = dict(mark.kwargs)
        named = given.pop("mode", mark.args[0] if mark.args else None)
        if named is not None:
            if named not in MODES:
                hint = nearest_hint(str(named), MODES)
                raise UsageError(f"the marker bridge: mode is one of {', '.join(MODES)}, got {named!r}{hint}")
            mode = named
        count = given.pop("workers", None)
        if count is not None:
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise UsageError(f"the marker bridge: workers is a number of at least 1, got {count!r}")
            workers = count
        settings.update(given)
    return BridgeMark(mode, workers, settings)


@dataclass(frozen=True, slots=True)
class LMMark:
    """One marker `lm`: its config, where it stands, and what becomes of the test where nobody asks for it."""

    config: Any
    own: bool
    """Whether it stands at the test itself, not at its class or module."""
    place: str
    """The node at which it stands, without parameters."""
    unused: str | None = None


def lm_marks(node: Any) -> list[Any]:
    """The LM configs of a test, the nearest first.

    Raises:
        UsageError: A marker is written wrongly.
    """
    return [mark.config for mark in lm_markers(node)]


def lm_markers(node: Any, *, checked: bool = True) -> list[LMMark]:
    """The markers `lm` of a test, the nearest first.

    Args:
        node: The test.
        checked: Whether one that is written wrongly is an error; otherwise it is left out.

    Raises:
        UsageError: A marker is written wrongly.
    """
    found = []
    for owner, mark in node.iter_markers_with_node("lm"):
        try:
            config, unused = _lm_config(mark)
        except UsageError:
            if checked:
                raise
            continue
        own = owner is node
        found.append(LMMark(config, own, owner.nodeid.split("[", 1)[0] if own else owner.nodeid, unused))
    return found


def _lm_config(mark: pytest.Mark) -> tuple[Any, str | None]:
    given = dict(mark.kwargs)
    unused = given.pop("unused", None)
    if unused not in (None, *UNUSED):
        hint = nearest_hint(str(unused), UNUSED)
        raise UsageError(f"the marker lm: unused is one of {', '.join(UNUSED)}, got {unused!r}{hint}")
    if len(mark.args) > 1 or not (mark.args or given):
        raise UsageError(
            "the marker lm takes a model or a config, and keys of a config by name: "
            "lm('openai/gpt-4o-mini', responses={…})"
        )
    first = mark.args[0] if mark.args else {}
    if isinstance(first, str):
        first = {"model": first} if given else first
    config = {**first, **given} if isinstance(first, Mapping) else first
    if isinstance(config, Mapping):
        check_keys(config, "the marker lm: ")
    return config, unused


def check_names(item: pytest.Item) -> None:
    """Refuse a marker that nobody has registered and that is nearly one of ours: it would do nothing, in silence.

    Raises:
        UsageError: There is one.
    """
    registered = {line.split(":", 1)[0].split("(", 1)[0].strip() for line in item.config.getini("markers")}
    ours = [name for name in MARKERS if len(name) >= _SHORTEST_NAME]
    for mark in item.iter_markers():
        if mark.name in registered or len(mark.name) < _SHORTEST_NAME:
            continue
        if hint := nearest_hint(mark.name, ours, alike=0.85):
            raise UsageError(
                f"the marker {mark.name!r} is not registered, and does nothing{hint}; "
                "if it is yours, register it under markers in pytest's settings"
            )


_SHORTEST_NAME = 5
"""Letters of a name that may be taken for one that was mistyped."""


def fault_marks(node: Any) -> list[dict[str, Any]]:
    """The faults of a test, in the order in which they are written from the module down.

    Raises:
        UsageError: A marker is written wrongly.
    """
    faults = []
    for mark in reversed(list(node.iter_markers("lm_faults"))):
        kinds = [kind for kind in mark.args if isinstance(kind, str)]
        if not kinds or len(kinds) != len(mark.args):
            raise UsageError("the marker lm_faults takes kinds of faults: lm_faults('rate_limit', calls=[2])")
        faults += [{"kind": kind, **mark.kwargs} for kind in kinds]
    return faults


def policy_mark(node: Any) -> Policy | None:
    """The policy of a test.

    Raises:
        UsageError: The marker is written wrongly.
    """
    mark = node.get_closest_marker("lm_policy")
    if mark is None:
        return None
    if len(mark.args) != 1 or mark.kwargs or mark.args[0] not in POLICIES:
        raise UsageError(f"the marker lm_policy takes one of {', '.join(POLICIES)}, got {mark.args!r}")
    policy: Policy = mark.args[0]
    return policy


def seeds_mark(node: Any) -> SeedsMark | None:
    """The seeds of a test.

    Raises:
        UsageError: The marker is written wrongly.
    """
    mark = node.get_closest_marker("lm_seeds")
    if mark is None:
        return None
    count = mark.args[0] if len(mark.args) == 1 else mark.kwargs.get("n")
    share = mark.kwargs.get("min_pass", 1.0)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or mark.kwargs.keys() - {"n", "min_pass"}:
        raise UsageError("the marker lm_seeds takes a number of seeds: lm_seeds(20, min_pass=0.95)")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UsageError(f"the marker lm_seeds: min_pass is a share between 0 and 1, got {share!r}")
    return SeedsMark(count, float(share))

"""The LMs that fixtures give."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dspy

from dspex_testkit.calls import CALLER_SETTING, Caller, Journal
from dspex_testkit.errors import MissingKeyError, UsageError
from dspex_testkit.lm.capabilities import capabilities_of
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.mock_lm import MockLM, VirtualClock, parse_mock_spec, retries_on
from dspex_testkit.mock_lm.clock import RealClock
from dspex_testkit.plugin.lm_configs import check_keys

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found


def mock_of(config: Any, faults: Sequence[Mapping[str, Any]], *, journal: Journal, seed: int, derived: str) -> MockLM:
    """The mock that a config names, or that stands in for the real LM it names.

    Raises:
        UsageError: It names no single LM.
        DSPexTestkitError: It cannot be used.
    """
    read = _read(config) if config is not None else LMConfig(provider="mock", model="mock", mock={})
    spec = dict(read.mock or {})
    if faults and not spec.get("faults"):
        spec["faults"] = list(faults)
    parsed = parse_mock_spec({"derived": derived, **spec})
    if parsed.seed is None:
        parsed = parsed.model_copy(update={"seed": seed})
    return MockLM.from_spec(
        parsed,
        provider=read.provider,
        model=read.model,
        params=read.params,
        capabilities=capabilities_of(read),
        journal=journal,
    )


def live_of(config: Any) -> Any:
    """The real LM that a config names.

    Raises:
        UsageError: There is none.
        LMResolutionError: It cannot be used, for example because its key is missing.
    """
    from dspex_testkit.lm.factory import LMFactory

    if config is None:
        raise UsageError("which LM is to be asked? A live test names one: @pytest.mark.lm('openai/gpt-4o-mini')")
    read = _read(config)
    OfflinePolicy.LIVE.check(read)
    return LMFactory(OfflinePolicy.LIVE).take(read).lm


def recorded_of(config: Any) -> Any:
    """The LM of a provider that a config names, which a cassette answers for; None where it names none.

    It needs no key to be replayed.
    """
    if config is None or (read := _read(config)).is_mock:
        return None
    from dspex_testkit.lm.keys import find_key

    connection = {"api_base": read.api_base}
    with suppress(MissingKeyError):
        connection["api_key"] = find_key(read)
    return dspy.LM(
        read.dspy_model,
        cache=False,
        **{name: value for name, value in read.params.items() if name != "n"},
        **{name: value for name, value in connection.items() if value is not None},
    )


@contextmanager
def in_context(lm: Any, journal: Journal) -> Iterator[None]:
    """Make an LM DSPy's, and have calls of any mock in the same context written down."""
    with dspy.context(lm=lm, **{CALLER_SETTING: Caller(journal=journal)}):
        yield


@contextmanager
def frozen_clock() -> Iterator[VirtualClock]:
    """Let every mock of this process that has no clock of its own, and DSPy between retries, wait by a virtual one."""
    clock = VirtualClock()
    names = ("now", "sleep", "asleep")
    kept = {name: getattr(RealClock, name) for name in names}
    for name in names:
        setattr(RealClock, name, staticmethod(getattr(clock, name)))
    try:
        with retries_on(clock):
            yield clock
    finally:
        for name, method in kept.items():
            setattr(RealClock, name, method)


def _read(config: Any) -> LMConfig:
    if isinstance(config, Mapping):
        check_keys(config)
    value = parse_lm_config(config).value
    if not isinstance(value, LMConfig) or value.ensemble is not None:
        raise UsageError(f"the fixtures mock_lm and dspy_lm want a config of one LM, got {config!r}")
    return value

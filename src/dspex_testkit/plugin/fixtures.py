"""The fixtures. Each imports what it needs when a test asks for it, because pytest imports this for everybody."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.plugin import markers
from dspex_testkit.plugin.case import CASE, MAKE_CASE, Case
from dspex_testkit.plugin.items import PASSED, Cell
from dspex_testkit.plugin.options import Mode

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from dspex_testkit.mock_lm import MockLM, VirtualClock
    from dspex_testkit.plugin.cassettes import CassetteFixture
    from dspex_testkit.plugin.facade import BridgeFixture
    from dspex_testkit.plugin.journal import LMJournal
    from dspex_testkit.plugin.simulated import SimulatedProviders
    from dspex_testkit.simulator import ProviderSimulator

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found


class BridgeFactory(Protocol):
    """What the fixture `bridge_factory` gives."""

    def __call__(
        self, mode: Mode | None = None, *, workers: int | None = None, lm: Any = None, **settings: Any
    ) -> "BridgeFixture":
        """One more bridge.

        Args:
            mode: Where it runs; as for `bridge` if None.
            workers: Of a pool.
            lm: Its LM of the scope `default`; that of the test's markers if None.
            settings: By the names of the settings file.
        """
        ...


def _case(request: pytest.FixtureRequest) -> Case:
    """The test's case, begun by the first of these fixtures; one of the same name in a suite of its own begins none."""
    case: Case | None = request.node.stash.get(CASE, None)
    if case is None:
        case = request.config.stash[MAKE_CASE](request.node, request)
    case.used = True
    return case


@pytest.fixture
def _dspex_case(request: pytest.FixtureRequest) -> None:
    """Begins the case of a test that may have a recording, as soon as the suite's fixtures can be asked about it."""
    if CASE not in request.node.stash:
        request.config.stash[MAKE_CASE](request.node, request)


@pytest.fixture
def _dspex_bridge_mode(request: pytest.FixtureRequest) -> Mode:
    """The mode of the test's bridge: of the parameter, the marker, or the option."""
    if hasattr(request, "param"):
        mode: Mode = request.param
        return mode
    case = _case(request)
    if case.clock is not None or "frozen_lm_clock" in request.fixturenames:
        return "inproc"
    return markers.bridge_mark(request.node).mode or case.options.modes[0]


@pytest.fixture
def lm_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run of the test."""
    return _case(request).seed


@pytest.fixture
def lm_config(request: pytest.FixtureRequest) -> Any:
    """The LM config of the test's markers, or None; override it to give a whole module its LM."""
    if hasattr(request, "param") and not isinstance(request.param, Cell):
        return request.param
    return _case(request).lm_config()


@pytest.fixture
def bridge(request: pytest.FixtureRequest, lm_config: Any, _dspex_bridge_mode: Mode) -> "BridgeFixture":
    """A bridge with nothing in it: in this process, in one of its own, or a pool, as the run or the test wants it."""
    return _case(request).open_bridge(_dspex_bridge_mode, default_lm=lm_config)


@pytest.fixture
def bridge_pool(request: pytest.FixtureRequest, lm_config: Any) -> "BridgeFixture":
    """A bridge that is a pool of workers, however the others run."""
    return _case(request).open_bridge("pool", default_lm=lm_config)


@pytest.fixture
def bridge_factory(request: pytest.FixtureRequest, lm_config: Any, _dspex_bridge_mode: Mode) -> BridgeFactory:
    """Makes as many bridges as a test wants."""
    case = _case(request)

    def make(
        mode: Mode | None = None, *, workers: int | None = None, lm: Any = None, **settings: Any
    ) -> "BridgeFixture":
        default_lm = lm_config if lm is None else lm
        return case.open_bridge(
            _dspex_bridge_mode if mode is None else mode, workers=workers, default_lm=default_lm, settings=settings
        )

    return make


@pytest.fixture
def lm_journal(request: pytest.FixtureRequest) -> "LMJournal":
    """Every LM call of the test, with assertions over them."""
    from dspex_testkit.plugin.journal import LMJournal

    case = _case(request)
    case.keep_journal()
    return LMJournal(case.calls.entries, case.calls.forget)


@pytest.fixture
def mock_lm(request: pytest.FixtureRequest, lm_config: Any) -> "MockLM":
    """A mock LM that answers as the test's marker `lm` says, or with answers derived from what is asked."""
    from dspex_testkit.plugin.lms import mock_of

    case = _case(request)
    case.use_dspy()
    return mock_of(
        lm_config,
        markers.fault_marks(request.node),
        journal=case.calls.journal,
        seed=case.seed,
        derived=case.options.derived,
    )


@pytest.fixture
def dspy_lm(request: pytest.FixtureRequest, lm_config: Any) -> Iterator[Any]:
    """DSPy's LM for the length of the test, in a `dspy.context`: a mock, or in a live test the real one."""
    from dspex_testkit.plugin.lms import in_context, live_of, mock_of, recorded_of

    case = _case(request)
    case.use_dspy()
    if case.live:
        lm = live_of(lm_config)
    elif case.cassettes is not None and recorded_of(lm_config) is not None:
        lm = recorded_of(lm_config)
    else:
        lm = mock_of(
            lm_config,
            markers.fault_marks(request.node),
            journal=case.calls.journal,
            seed=case.seed,
            derived=case.options.derived,
        )
    with in_context(lm, case.calls.journal):
        yield lm


@pytest.fixture
def frozen_lm_clock(request: pytest.FixtureRequest) -> Iterator["VirtualClock"]:
    """A virtual clock for mocks in this process and for DSPy's pauses between retries; waiting takes no time."""
    from dspex_testkit.plugin.lms import frozen_clock

    case = _case(request)
    with frozen_clock() as clock:
        case.clock = clock
        yield clock


@pytest.fixture
def lm_cassette(request: pytest.FixtureRequest) -> "CassetteFixture":
    """The test's recording: all that its LMs are asked is answered from it, or recorded on it."""
    from dspex_testkit.plugin.cassettes import CassetteFixture

    cassettes = _case(request).cassettes
    if cassettes is None:
        raise UsageError("lm_cassette belongs to a test; a fixture that wants it has to have the scope 'function'")
    return CassetteFixture(cassettes)


@pytest.fixture(scope="session")
def lm_cassette_config() -> "Mapping[str, Any]":
    """What the marker `lm_cassette` says of every recording; for a suite to define anew."""
    return {}


@pytest.fixture(scope="session")
def lm_cassette_dir() -> "str | os.PathLike[str] | None":
    """The folder of recordings, from pytest's rootdir; `cassettes` beside the test's module by default.

    For a suite to define anew.
    """
    return None


@pytest.fixture(scope="session")
def _dspex_simulator() -> "Iterator[ProviderSimulator]":
    """The server; under pytest-xdist each process has its own."""
    from dspex_testkit.simulator import ProviderSimulator

    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def provider_sim(
    request: pytest.FixtureRequest, _dspex_simulator: "ProviderSimulator"
) -> "Iterator[SimulatedProviders]":
    """Providers on this machine: `provider_sim.target("openai/gpt-4o-mini")` is what a client needs to reach one."""
    from dspex_testkit.plugin.simulated import SimulatedProviders

    _case(request).use_dspy()
    providers = SimulatedProviders(_dspex_simulator)
    yield providers
    if misses := providers.close():
        # Again, because a client or an adapter may have swallowed it.
        told = "\n\n".join(dict.fromkeys(miss.message for miss in misses))
        if request.node.stash.get(PASSED, False):
            pytest.fail(told, pytrace=False)
        request.node.add_report_section("teardown", "provider_sim", told)

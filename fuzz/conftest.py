"""Options of the attacks, and their figures at the end of the run."""

import random
from collections.abc import Callable, Iterator

import pytest

from fuzz.sizes import LONG, SHORT, Sizes

FIGURES = pytest.StashKey[list[str]]()
SEED = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what makes a run long, and what makes it the same again."""
    group = parser.getgroup("fuzz", "attacks on live bridges")
    group.addoption("--long", action="store_true", help="the attacks in full: about 25 minutes on two cores")
    group.addoption("--scale", type=float, default=1.0, metavar="F", help="multiply the counts of every attack")
    group.addoption("--seed", type=int, metavar="N", help="make the choices of that run again (default: new ones)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose a seed where none was given."""
    given = config.getoption("--seed")
    config.stash[SEED] = random.SystemRandom().randrange(10**6) if given is None else given
    config.stash[FIGURES] = []


def pytest_report_header(config: pytest.Config) -> str:
    """How this run can be had again."""
    return _again(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An attack takes as long as it takes; each of its waits has a bound of its own."""
    for item in items:
        item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Say with each failure how to have it again."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections.append(
            (
                "fuzz",
                f"{_again(item.config)} -k {item.originalname if isinstance(item, pytest.Function) else item.name}",
            )
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was counted."""
    if figures := config.stash[FIGURES]:
        terminalreporter.section("figures")
        terminalreporter.write_line(_again(config))
        for line in figures:
            terminalreporter.write_line(line)


def _again(config: pytest.Config) -> str:
    long = "--long " if config.getoption("--long") else ""
    long += f"--scale {config.getoption('--scale')} " if config.getoption("--scale") != 1 else ""
    return f"seed {config.stash[SEED]}; again with: tox run -e fuzz -- {long}--seed {config.stash[SEED]}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where all choices come from."""
    return request.config.stash[SEED]


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    """How much there is of everything."""
    return (LONG if request.config.getoption("--long") else SHORT).scaled(request.config.getoption("--scale"))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Takes what was counted, for the end of the run."""
    figures = request.config.stash[FIGURES]

    def keep(tally: object) -> None:
        figures.append(f"{request.node.name}: {tally}")

    return keep

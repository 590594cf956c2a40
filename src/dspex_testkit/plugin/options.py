"""Command line options and ini keys of the plugin, read once into a value.

All begin with ``--bridge-`` or ``--lm-``, so that they meet no other plugin's. Whatever stands on the command line may
stand in the ini file under the same name; the command line wins, and a marker on the test wins over both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import pytest

from dspex_testkit.errors import UsageError

Mode = Literal["inproc", "standalone", "pool"]
Reuse = Literal["session", "module", "function"]
Policy = Literal["mock", "replay", "record", "live"]

MODES: tuple[Mode, ...] = ("inproc", "standalone", "pool")
REUSES: tuple[Reuse, ...] = ("session", "module", "function")
POLICIES: tuple[Policy, ...] = ("mock", "replay", "record", "live")
UNUSED = ("allow", "report", "fail")
DERIVED = ("allow", "fail")
DEFAULT_WORKERS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What was said on the command line and in the ini file."""

    modes: tuple[Mode, ...] = ("inproc",)
    """In which modes a test with a bridge runs, one after the other."""
    workers: int = DEFAULT_WORKERS
    """Workers of a pool."""
    reuse: Reuse = "session"
    """How long a bridge's processes are kept for the tests that follow."""
    policy: Policy | None = None
    """Who answers for LMs that tests build themselves; None leaves them alone."""
    seed: int | None = None
    """The seed of everything random; None is 0, and lets `lm_seeds` choose its own."""
    unused: str | None = None
    """What becomes of markers that no call reached: None fails a test by its own, and reports the others."""
    derived: str = "allow"
    """Whether mocks may answer what nobody gave an answer for."""
    live: bool = False
    """Whether tests may ask real providers."""
    budget: Decimal | None = None
    """US dollars that real calls may cost before the run ends."""
    journal: Path | None = None
    """Where the calls of all tests are written, a JSON object per line."""
    artifacts: Path | None = None
    """A folder for what failed tests leave behind."""
    block_network: bool = False
    """Whether every test is kept from the network, not only those that use the kit."""
    isolate: bool = False
    """Whether what `dspy.configure` sets in any test is put back, not only in those that use the kit."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be reached all the same."""


OPTIONS = pytest.StashKey[Options]()


def add_options(parser: pytest.Parser) -> None:
    """Declare everything that can be said."""
    group = parser.getgroup("dspex-testkit", "bridges and LMs (dspex-testkit)")

    def option(flag: str, help: str, **kwargs: Any) -> None:
        group.addoption(flag, dest=_name(flag), default=None, help=help, **kwargs)
        parser.addini(_name(flag), f"The same as {flag}.", default=None)

    option(
        "--bridge-mode",
        "Where `bridge` runs: in this process (default), in one of its own, in a pool; or in each, one after another.",
        choices=[*MODES, "all"],
    )
    option("--bridge-workers", f"Workers of a pool (default: {DEFAULT_WORKERS}).", metavar="N")
    option("--bridge-reuse", "How long processes are kept for the next tests (default: session).", choices=REUSES)
    option("--lm-policy", "Who answers for every dspy.LM that tests build or hold (default: itself).", choices=POLICIES)
    option("--lm-seed", "Seed of mocks that name none (default: 0).", metavar="N")
    option(
        "--lm-unused",
        "What happens where nobody asks for the answers of a marker lm (default: a test fails by its own; those of "
        "classes and modules, tables and rules are reported).",
        choices=("report", "fail"),
    )
    option("--lm-derived", "Whether mocks make up what nobody gave an answer for (default: allow).", choices=DERIVED)
    option("--lm-budget", "End the run when real calls have cost this many US dollars.", metavar="USD")
    option("--lm-journal", "Write the LM calls of all tests to this file, a JSON object per line.", metavar="FILE")
    option("--lm-artifacts", "Keep calls, prompts and bridge logs of failed tests in this folder.", metavar="DIR")
    group.addoption(
        "--lm-live", action="store_true", dest="lm_live", default=False, help="Let tests for real providers run."
    )
    parser.addini("lm_block_network", "Keep every test from the network.", type="bool", default=False)
    parser.addini(
        "lm_isolate_settings",
        "Put back what dspy.configure has set in any test, not only in those that use the kit.",
        type="bool",
        default=False,
    )
    parser.addini("lm_allow_hosts", "Hosts that tests may reach all the same.", type="linelist", default=[])


def read_options(config: pytest.Config) -> Options:
    """The options of this run.

    Raises:
        UsageError: A value cannot be used.
    """
    here, root = config.invocation_params.dir, config.rootpath

    def given(name: str) -> tuple[str | None, str, Path]:
        value = config.getoption(name)
        if value is not None:
            return str(value), "--" + name.replace("_", "-"), here
        ini = config.getini(name)
        return (str(ini) if ini not in (None, "") else None), f"{name} in the ini file", root

    def choice(name: str, choices: Sequence[str]) -> str | None:
        value, where, _ = given(name)
        if value is not None and value not in choices:
            raise UsageError(f"{where}: wanted one of {', '.join(choices)}, got {value!r}")
        return value

    def number(name: str, kind: Callable[[str], Any], wanted: str) -> Any:
        value, where, _ = given(name)
        try:
            return None if value is None else kind(value)
        except (ValueError, InvalidOperation):
            raise UsageError(f"{where}: wanted {wanted}, got {value!r}") from None

    def path(name: str) -> Path | None:
        value, _, base = given(name)
        return None if value is None else base / Path(value).expanduser()

    mode = choice("bridge_mode", (*MODES, "all"))
    reuse = choice("bridge_reuse", REUSES)
    policy = choice("lm_policy", POLICIES)
    derived = choice("lm_derived", DERIVED)
    return Options(
        unused=choice("lm_unused", ("report", "fail")),
        derived=derived or "allow",
        modes=MODES if mode == "all" else (MODES[MODES.index(mode)],) if mode in MODES else ("inproc",),
        workers=number("bridge_workers", _at_least_one, "a number of at least 1") or DEFAULT_WORKERS,
        reuse=REUSES[REUSES.index(reuse)] if reuse in REUSES else "session",
        policy=POLICIES[POLICIES.index(policy)] if policy in POLICIES else None,
        seed=number("lm_seed", int, "an integer"),
        live=bool(config.getoption("lm_live")),
        budget=number("lm_budget", _dollars, "US dollars such as 0.50"),
        journal=path("lm_journal"),
        artifacts=path("lm_artifacts"),
        block_network=bool(config.getini("lm_block_network")),
        isolate=bool(config.getini("lm_isolate_settings")),
        allow_hosts=tuple(config.getini("lm_allow_hosts")),
    )


def _name(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _dollars(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount.is_finite() or amount < 0:
        raise ValueError
    return amount

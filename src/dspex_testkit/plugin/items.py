"""What pytest's own objects say of a test and its run, and what they are given to carry."""

import os
from dataclasses import dataclass
from typing import Any

import pytest

CALLS_ATTRIBUTE = "dspex_testkit_calls"
"""Where a report carries its test and its LM calls; pytest-xdist sends it along with the rest."""
ARTIFACTS_ATTRIBUTE = "dspex_testkit_artifacts"
"""Where the report of a failed test carries what it leaves behind, by file name."""
UNUSED_ATTRIBUTE = "dspex_testkit_unused"
"""Where a report carries what of its markers was used."""

CALLS, COST, SEED_USED = "lm_calls", "lm_cost_usd", "lm_seed"
"""JUnit's names for what a test asked."""

PASSED = pytest.StashKey[bool]()
"""Whether a test ran to its end and passed; one that was skipped did not."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One LM of `lm_matrix`."""

    lm: Any
    live: bool


def cell_of(item: pytest.Item) -> Cell | None:
    """The LM of the matrix that this item stands for."""
    callspec = getattr(item, "callspec", None)
    cell = callspec.params.get("lm_config") if callspec is not None else None
    return cell if isinstance(cell, Cell) else None


def is_live(item: pytest.Item) -> bool:
    """Whether a test means to ask real providers."""
    cell = cell_of(item)
    return cell.live if cell is not None else item.get_closest_marker("lm_live") is not None


def uses_bridge(item: pytest.Item) -> bool:
    """Whether a test asks for a bridge of ours."""
    return not {"bridge", "bridge_pool", "bridge_factory"}.isdisjoint(getattr(item, "fixturenames", ()))


def name_from_here(item: pytest.Item) -> str:
    """A test as it is named where pytest was started, which need not be the root of the suite."""
    inner = item.nodeid.partition("::")[1:]
    return "".join([os.path.relpath(item.path, item.config.invocation_params.dir), *inner])


def process_of(config: pytest.Config) -> str | None:
    """The process of pytest-xdist that this is; None in one that runs alone, or controls the others."""
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    return None if workerinput is None else str(workerinput["workerid"])

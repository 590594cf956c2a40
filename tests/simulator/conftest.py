"""One simulator for all tests: each has a target of its own on it, as users' tests do."""

import os
import time
from collections.abc import Iterator

import pytest

from dspex_testkit.simulator import ProviderSimulator
from tests.support.loops import close_current_loop

# Before litellm is imported: streaming a llama it would look for a tokenizer on the network.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def sim() -> Iterator[ProviderSimulator]:
    """A running simulator."""
    with ProviderSimulator() as simulator:
        yield simulator
    close_current_loop()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that DSPy would have waited between its attempts; nobody waits."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits

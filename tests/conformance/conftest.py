"""Bridges started through the launcher that `dspex-testkit install` writes, in both modes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.launch.install import install
from tests.support.bridges import Process
from tests.support.hosts import forget_shared_state

MODES = ("standalone", "pool-worker")

Launch = Callable[..., Process]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `dspy_bridge.py` as `dspex-testkit install` writes it."""
    folder = tmp_path_factory.mktemp("priv") / "python"
    install(folder)
    return folder / "dspy_bridge.py"


@pytest.fixture
def launch(script: Path, tmp_path: Path) -> Iterator[Launch]:
    """Starts bridges through the launcher, from a working directory that has nothing to do with it."""
    forget_shared_state()
    started: list[Process] = []

    def launch(mode: str = "standalone", **options: Any) -> Process:
        worker_id = "worker_7_42" if mode == "pool-worker" else None
        process = Process(argv=[str(script)], mode=mode, worker_id=worker_id, cwd=tmp_path, **options)
        started.append(process)
        return process

    yield launch
    for process in started:
        process.close()


@pytest.fixture(params=MODES)
def bridge(request: pytest.FixtureRequest, launch: Launch) -> Process:
    """A bridge on which a mock answers, in each mode."""
    process = launch(request.param, env={"DSPEX_TESTKIT_DEFAULT_LM": "mock"})
    process.mode = request.param  # type: ignore[attr-defined]
    return process

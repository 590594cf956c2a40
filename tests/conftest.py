"""What holds for every test: nothing is fetched, and nothing is shared with the machine's user."""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports dspy, which reads these at import.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
_CACHES = Path(tempfile.mkdtemp(prefix="dspex-testkit-cache-"))
os.environ["XDG_CACHE_HOME"] = str(_CACHES / "xdg")
os.environ["DSPY_CACHEDIR"] = str(_CACHES / "dspy")
# Settings of the person who runs the tests are not the tests' settings.
for name in [name for name in os.environ if name.startswith(("DSPEX_TESTKIT_", "DSPEX_DYNAMIC"))]:
    del os.environ[name]

# A property says nothing about how fast the machine is that tries it.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("any machine")


def pytest_unconfigure() -> None:
    """Remove what this process of the run has kept on disk."""
    shutil.rmtree(_CACHES, ignore_errors=True)


@pytest.fixture
def collected() -> Iterator[None]:
    """Close and collect what litellm leaves open behind event loops, before the next test is blamed for it.

    What was there before is set aside meanwhile: to look through all of it takes a large process most of a second.
    """
    gc.freeze()
    yield
    if "litellm" in sys.modules:
        from tests.support.loops import run

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            run(asyncio.sleep(0))
            gc.collect()
    gc.unfreeze()

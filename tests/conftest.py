"""What holds for every test: nothing is fetched, and nothing is shared with the machine's user."""

import asyncio
import gc
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

import pytest

# Before anything imports dspy, which reads these at import.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="dspex-testkit-cache-")
os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp(prefix="dspex-testkit-cache-")
# Settings of the person who runs the tests are not the tests' settings.
for name in [name for name in os.environ if name.startswith(("DSPEX_TESTKIT_", "DSPEX_DYNAMIC"))]:
    del os.environ[name]


@pytest.fixture
def collected() -> Iterator[None]:
    """Close and collect what litellm leaves open behind event loops, before the next test is blamed for it."""
    yield
    if "litellm" in sys.modules:
        from tests.support.loops import run

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            run(asyncio.sleep(0))
            gc.collect()

"""What holds for every test: nothing is fetched, and nothing is shared with the machine's user."""

import os
import tempfile

# Before anything imports dspy, which reads these at import.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="dspex-testkit-cache-")
os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp(prefix="dspex-testkit-cache-")
# Settings of the person who runs the tests are not the tests' settings.
for name in [name for name in os.environ if name.startswith(("DSPEX_TESTKIT_", "DSPEX_DYNAMIC"))]:
    del os.environ[name]

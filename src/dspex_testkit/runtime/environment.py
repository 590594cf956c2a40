"""Variables that the libraries below DSPy read at import; only the start of a process sets any."""

import os

from dspex_testkit.runtime.scratch import make_scratch
from dspex_testkit.runtime.shutdown import remove_when_leaving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.runtime.settings import Settings


def prepare(settings: "Settings") -> None:
    """Set what is not set yet, before anything heavy is imported."""
    # Else litellm asks the network for a price list, and numpy starts threads that a fork would lose.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if settings.offline_policy == "mock":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if settings.block_network:
        from dspex_testkit.runtime.network import Guard, put_guard

        put_guard(Guard(settings.allow_hosts, lambda: f"the bridge with pid {os.getpid()}"))
    if not os.environ.get("DSPY_CACHEDIR"):
        folder = os.environ["DSPY_CACHEDIR"] = make_scratch()
        remove_when_leaving(folder)

"""Variables that the libraries below DSPy read at import; only the start of a process sets any."""

import os

from dspex_testkit.runtime.leaving import remove_when_leaving

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
        os.environ["DSPY_CACHEDIR"] = _scratch_folder()


def remove_scratch_of(pid: int) -> None:
    """Remove what a process of the same `TMPDIR` could not remove any more, because it was killed."""
    from shutil import rmtree

    parent = _parent_of_scratch()
    try:
        names = os.listdir(parent)
    except OSError:
        return  # gone, or not to be read; a host lives on without it
    for name in names:
        if name.startswith(f"dspex-testkit-{pid}-"):
            rmtree(os.path.join(parent, name), ignore_errors=True)


def _parent_of_scratch() -> str:
    return os.environ.get("TMPDIR") or "/tmp"


def _scratch_folder() -> str:
    """A folder that nobody else can read, removed with the process; `tempfile` is slower than the first ping."""
    folder = os.path.join(_parent_of_scratch(), f"dspex-testkit-{os.getpid()}-{os.urandom(8).hex()}")
    os.mkdir(folder, 0o700)
    remove_when_leaving(folder)
    return folder

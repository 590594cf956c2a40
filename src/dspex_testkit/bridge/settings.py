"""What a bridge is told once, when it is made."""

from dataclasses import dataclass
from typing import Any, Literal

from dspex_testkit.lm.policy import OfflinePolicy


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Settings of a bridge, already checked; `runtime.settings` reads them from flags, environment and file."""

    offline_policy: OfflinePolicy = OfflinePolicy.MOCK
    default_lm: dict[str, Any] | str | None = None
    """The LM of the scope `default`, in any shape of an LM config."""
    strict_signatures: bool = False
    """An unusable signature is an error instead of the fallback ``question -> answer``."""
    dynamic_signatures: bool = True
    """False: every program is ``question -> answer``, whatever it declares (``DSPEX_DYNAMIC_SIGNATURES``)."""
    seed: int = 0
    """Seed of mocks that name none."""
    concurrency: int = 64
    """Executions in flight in standalone mode."""
    journal_size: int = 10_000
    """LM calls that the journal keeps."""
    journal_prompts: bool = False
    """Whether the journal keeps their prompts too."""
    price_table: str | None = None
    """A file with prices of one's own (`lm.prices`), which come before DSPy's list."""
    max_waiting: int = 4096
    """Executions that may wait for one of those in flight; more are refused."""
    response_cache: Literal["off", "memory", "disk"] = "off"
    """Whether and where answers are remembered, for LM configs that say nothing of it."""
    cache_dir: str = "~/.cache/dspex-testkit/responses"
    """The folder of answers on disk."""
    cache_ttl: float | None = 30 * 24 * 3600.0
    """Seconds for which an answer is remembered; None without end."""
    cache_size: int = 64 * 1024 * 1024
    """Bytes of remembered answers, in memory and on disk each."""
    session_ttl: float = 3600.0
    """Seconds after its last use when a session is forgotten."""
    allow_local_interpreter: bool = False
    """`program_of_thought` may run a mock's code in a local Python process, which is no sandbox."""
    allow_crash: bool = False
    """The command `crash_worker` ends the process, for chaos tests."""
    allow_import: tuple[str, ...] = ()
    """Module prefixes from which specs may import functions."""
    cassettes: str = "cassettes"
    """The folder of recordings, for the offline policies `replay` and `record`."""
    record_mode: str = "once"
    """What `record` does with cassettes that no client opens by name."""
    record_staging: str | None = None
    """Where such recordings wait until a command that is being recorded has succeeded."""
    model_aliases: tuple[tuple[str, str], ...] = ()
    """Models that are asked in place of others while recording: the requested one, the live one."""

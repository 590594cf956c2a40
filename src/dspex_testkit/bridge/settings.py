"""What a bridge is told once, when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from dspex_testkit.lm.policy import OfflinePolicy
from dspex_testkit.setting_table import DEFAULTS

_POLICY = OfflinePolicy(DEFAULTS["offline_policy"])


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """The settings that a bridge itself uses, already checked; `setting_table` says what each is for."""

    offline_policy: OfflinePolicy = _POLICY
    default_lm: dict[str, Any] | str | None = field(default=DEFAULTS["default_lm"], repr=False)
    """In any shape of an LM config."""
    strict: bool = DEFAULTS["strict"]
    dynamic_signatures: bool = DEFAULTS["dynamic_signatures"]
    seed: int = DEFAULTS["seed"]
    derived: Literal["allow", "fail"] = DEFAULTS["derived"]
    concurrency: int = DEFAULTS["concurrency"]
    max_waiting: int = DEFAULTS["max_waiting"]
    journal_size: int = DEFAULTS["journal_size"]
    journal_prompts: bool = DEFAULTS["journal_prompts"]
    session_ttl: float = DEFAULTS["session_ttl"]
    price_table: str = DEFAULTS["price_table"]
    response_cache: Literal["off", "memory", "disk"] = DEFAULTS["response_cache"]
    cache_dir: str = DEFAULTS["cache_dir"]
    cache_ttl: float | None = DEFAULTS["cache_ttl"]
    """None is without end; only a bridge within a Python program can be told so."""
    cache_size: int = DEFAULTS["cache_size"]
    allow_local_interpreter: bool = DEFAULTS["allow_local_interpreter"]
    allow_crash: bool = DEFAULTS["allow_crash"]
    allow_import: tuple[str, ...] = DEFAULTS["allow_import"]
    cassettes: str = DEFAULTS["cassettes"]
    record_mode: str = DEFAULTS["record_mode"]
    record_staging: str | None = DEFAULTS["record_staging"]
    model_aliases: tuple[tuple[str, str], ...] = DEFAULTS["model_aliases"]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The bridge's part of all settings of a process, by their names in the table."""
        own = {field.name: values[field.name] for field in fields(cls)}
        return cls(**{**own, "offline_policy": OfflinePolicy(own["offline_policy"])})

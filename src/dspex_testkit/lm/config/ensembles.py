"""Reading the config of an ensemble: ``{"kind": "ensemble", "strategy": …, "members": [LM config, …]}``."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.limits import LONGEST_TIMEOUT_MS, brief, is_number
from dspex_testkit.lm.config.fields import read_count, read_text
from dspex_testkit.lm.config.values import EnsembleSpec, LMConfig, LMPatch, LMReference, ParsedConfig, Strategy
from dspex_testkit.nearest import nearest_hint

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
FAILURES = (
    "auth",
    "billing",
    "context_window",
    "invalid_request",
    "rate_limit",
    "server",
    "timeout",
    "transport",
    "unsupported_model",
    "unparsable",
    "mock",
    "any",
)
"""Kinds of failure that `on_errors` may name."""
ENSEMBLE_KEYS = frozenset(
    {"strategy", "members", "weights", "quorum", "time_limit_ms", "normalize", "on_errors", "score", "judge"}
)
_MAX_MEMBERS = 32
_ONLY_FOR: dict[str, tuple[Strategy, ...]] = {
    "weights": ("majority",),
    "normalize": ("majority",),
    "on_errors": ("first_success",),
    "score": ("best_of",),
    "judge": ("best_of",),
    "quorum": ("majority", "best_of", "all"),
}

ReadMember = Callable[[object], ParsedConfig]


def read_ensemble(flat: Mapping[str, Any], read: ReadMember) -> tuple[EnsembleSpec, tuple[str, ...]]:
    """The ensemble's own keys; also the warnings about its members.

    Args:
        flat: The config.
        read: Reads the config of a member.

    Raises:
        InvalidLMConfigError: A key is missing or wrong; the message says which member.
    """
    strategy = read_text(flat, "strategy")
    if strategy not in STRATEGIES:
        hint = nearest_hint(strategy, STRATEGIES) if strategy else ""
        raise InvalidLMConfigError(
            f"An ensemble's strategy must be one of {', '.join(STRATEGIES)}, but {brief(strategy)} came{hint}"
        )
    for key, strategies in _ONLY_FOR.items():
        if key in flat and strategy not in strategies:
            raise InvalidLMConfigError(f"{key!r} is for {' or '.join(strategies)}; this ensemble is {strategy!r}")
    warnings: list[str] = []
    members = _members(flat.get("members"), read, warnings)
    judge = _member(flat["judge"], "judge", read, warnings) if "judge" in flat else None
    score = read_text(flat, "score")
    if strategy == "best_of" and (judge is None) == (score is None):
        raise InvalidLMConfigError(
            "best_of needs either 'score', a function such as 'package.module:name', or 'judge', an LM config"
        )
    if score is not None and score.count(":") != 1:
        raise InvalidLMConfigError(f"score must be written 'package.module:name', but {score!r} came")
    return (
        EnsembleSpec(
            strategy=strategy,
            members=members,
            weights=_weights(flat.get("weights"), len(members)),
            quorum=read_count(flat, "quorum", low=1, high=len(members)),
            time_limit_ms=read_count(flat, "time_limit_ms", low=1, high=LONGEST_TIMEOUT_MS),
            normalize=_boolean(flat, "normalize"),
            on_errors=_on_errors(flat.get("on_errors")),
            score=score,
            judge=judge,
        ),
        tuple(warnings),
    )


def _members(raw: object, read: ReadMember, warnings: list[str]) -> tuple[LMConfig | LMReference, ...]:
    if not isinstance(raw, list) or not raw:
        raise InvalidLMConfigError(
            "An ensemble needs 'members', a list of at least one LM config, such as "
            '["openai/gpt-4o-mini", {"provider": "anthropic", "model": "claude-3-5-haiku-latest"}]'
        )
    if len(raw) > _MAX_MEMBERS:
        raise InvalidLMConfigError(f"An ensemble has at most {_MAX_MEMBERS} members, but {len(raw)} came")
    return tuple(_member(member, f"members[{index}]", read, warnings) for index, member in enumerate(raw))


def _member(raw: object, place: str, read: ReadMember, warnings: list[str]) -> LMConfig | LMReference:
    try:
        parsed = read(raw)
    except InvalidLMConfigError as error:
        raise InvalidLMConfigError(f"{place}: {error.message}", details=error.details) from None
    if parsed.value is None or isinstance(parsed.value, LMPatch):
        raise InvalidLMConfigError(f"{place}: Model name is required: a member is a whole LM config or a name")
    warnings += [f"{place}: {warning}" for warning in parsed.warnings]
    return parsed.value


def _weights(raw: object, count: int) -> tuple[float, ...] | None:
    if raw is None:
        return None
    if (
        not isinstance(raw, list)
        or len(raw) != count
        or not all(is_number(weight, 0) for weight in raw)
        or not any(raw)
    ):
        raise InvalidLMConfigError(
            f"weights must be a list of {count} numbers of at least 0, one per member and not all 0, "
            f"but {brief(raw)} came"
        )
    return tuple(float(weight) for weight in raw)


def _on_errors(raw: object) -> tuple[str, ...]:
    if raw is None:
        return ()
    kinds = [raw] if isinstance(raw, str) else raw
    if not isinstance(kinds, list) or not kinds:
        raise InvalidLMConfigError(f"on_errors must be a list of failures, but {brief(raw)} came")
    for kind in kinds:
        if kind not in FAILURES:
            raise InvalidLMConfigError(
                f"on_errors: {brief(kind)} is no failure{nearest_hint(brief(kind), FAILURES)}; "
                f"the known ones are {', '.join(FAILURES)}"
            )
    return tuple(kinds)


def _boolean(flat: Mapping[str, Any], key: str) -> bool:
    value = flat.get(key, True)
    if not isinstance(value, bool):
        raise InvalidLMConfigError(f"{key} must be true or false, but {brief(value)} came")
    return value

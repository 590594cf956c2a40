"""Scoring functions of `best_of` ensembles: named by import path, allowed by module prefix."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from dspex_testkit.errors import InvalidLMConfigError
from dspex_testkit.lm.config.values import LMConfig

Score = Callable[[Mapping[str, Any], Mapping[str, Any]], float]
"""Takes the outputs of a candidate and the inputs that it answers; the candidate with the greatest number wins."""


def check_import(config: LMConfig, allowed: Sequence[str]) -> None:
    """Refuse an ensemble whose scoring function may not be imported. Imports nothing.

    Raises:
        InvalidLMConfigError: The function's module is under none of the allowed prefixes.
    """
    spec = config.ensemble
    if spec is None:
        return
    for asked in spec.members_and_judge:
        if isinstance(asked, LMConfig):
            check_import(asked, allowed)
    if spec.score is None:
        return
    module = spec.score.partition(":")[0]
    if not any(module == prefix or module.startswith(prefix + ".") for prefix in allowed):
        raise InvalidLMConfigError(
            f"The scoring function {spec.score!r} may not be imported: {module!r} is under none of the allowed modules "
            f"({', '.join(allowed) or 'none are'}). Set DSPEX_TESTKIT_ALLOW_IMPORT={module}",
            details={"score": spec.score, "allowed": list(allowed)},
        )


def load_score(path: str) -> Score:
    """The function of a path that was checked.

    Raises:
        InvalidLMConfigError: There is no such function.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidLMConfigError(f"The scoring function {path!r} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidLMConfigError(f"{path!r} is a {type(found).__name__}, not a function")
    score: Score = found
    return score

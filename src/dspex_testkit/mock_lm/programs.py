"""Which module of DSPy is calling: what an adapter's signature does not tell."""

from collections.abc import Sequence
from typing import Any

import dspy

# By name, for DSPy announces their removal.
_CODE_AGENTS = frozenset({"ProgramOfThought", "CodeAct"})


def calling_program(attribute: str) -> Any:
    """The innermost calling module that has an attribute and is no plain predictor, or None."""
    for module in reversed(_calling_modules()):
        if isinstance(module, dspy.Predict | dspy.ChainOfThought):
            continue
        if getattr(module, attribute, None) is not None:
            return module
    return None


def code_agent_is_calling() -> bool:
    """Whether the code that is asked for will be run by a module of DSPy."""
    return any(cls.__name__ in _CODE_AGENTS for module in _calling_modules() for cls in type(module).__mro__)


def _calling_modules() -> Sequence[Any]:
    return dspy.settings.get("caller_modules") or ()

"""LMs as tests name them, on their way into a bridge's LM configs."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.errors import UsageError

LM = str | Mapping[str, Any] | Any
"""An LM as tests name it: a model, a name, a config, or a `MockLM`."""

__tracebackhide__ = True  # a test that fails shows its own lines


def config_of(lm: LM) -> Any:
    """An LM as a config that a bridge reads.

    Raises:
        UsageError: It is none, it has a key that nobody knows, or it is an LM of DSPy that no config describes.
    """
    if isinstance(lm, str):
        return lm
    if isinstance(lm, Mapping):
        check_keys(lm)
        return dict(lm)
    from dspex_testkit.mock_lm import MockLM

    if isinstance(lm, MockLM):
        state = lm.dump_state()
        params = {name: value for name, value in state["params"].items() if value is not None}
        return {"provider": state["provider"], "model": state["model"], "params": params, "mock": state["spec"]}
    raise UsageError(
        f"lm is a model such as 'openai/gpt-4o-mini', an LM config or a MockLM, got {type(lm).__name__}; "
        "another process cannot use an LM object of this one"
    )


def as_map(lm: LM | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """An LM, and keys of a config by name, as one config.

    Raises:
        UsageError: There is a key that nobody knows.
    """
    check_keys(more)
    config = None if lm is None else config_of(lm)
    return {**({"lm": config} if isinstance(config, str) else config or {}), **more}


def check_keys(config: Mapping[str, Any], place: str = "") -> None:
    """Refuse a key that means nothing. On the wire clients may send markers of their own; a test has mistyped it.

    Args:
        config: Keys with their values.
        place: Begins the error, and says where the config stands.

    Raises:
        UsageError: There is one.
    """
    from dspex_testkit.lm.config.reading import KNOWN_KEYS
    from dspex_testkit.nearest import nearest_hint

    inner = config.get("lm")
    for key in (*config, *(inner if isinstance(inner, Mapping) else ())):
        if key not in KNOWN_KEYS:
            raise UsageError(f"{place}{key!r} is no key of an LM config{nearest_hint(str(key), KNOWN_KEYS)}")

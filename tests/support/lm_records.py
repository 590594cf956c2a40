"""LM calls and changes of who answers, as JSON values, with only what a test cares about said."""

from typing import Any

from dspex_testkit.calls import LMCall, LMChange, Scope, Usage


def call(lm: str = "openai/gpt-4o-mini", *, test: str | None = None, **values: Any) -> dict[str, Any]:
    """One LM call; `test` is the name that a pytest run puts beside it."""
    provider, model = lm.split("/", 1)
    given: dict[str, Any] = {
        "scope": Scope.GLOBAL,
        "inputs": {"question": "What is the capital of France?"},
        "outputs": {"answer": "Paris"},
        "usage": Usage(input_tokens=100, output_tokens=10),
    }
    record = LMCall(provider, model, **(given | values)).to_dict()
    return record if test is None else {**record, "test": test}


def change(lm: str, scope: Scope = Scope.GLOBAL, *, test: str | None = None, **values: Any) -> dict[str, Any]:
    """A scope that was given an LM."""
    provider, model = lm.split("/", 1)
    record = LMChange("configured", scope, lm={"provider": provider, "model": model}, **values).to_dict()
    return record if test is None else {**record, "test": test}

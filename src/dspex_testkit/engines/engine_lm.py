"""`EngineLM`: the `dspy.LM` in front of every engine of ours."""

from collections.abc import Mapping
from typing import Any, Self

import dspy

from dspex_testkit.dspy_internals.call_stack import begin_call, end_call
from dspex_testkit.dspy_internals.file_names import names_in_types


class EngineLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """An LM whose engine answers, and is told which signature is being answered.

    DSPy's cache is off, because its key ignores the engine.

    Args:
        model: The model as DSPy spells it.
        engine: Answers.
        async_engine: The same for `acall`.
        params: Default parameters of its calls.
        model_type: As of `dspy.LM`.
        num_retries: How often DSPy tries again after a failure that may pass.
        callbacks: DSPy callbacks of this LM.
    """

    def __init__(
        self,
        model: str,
        engine: Any,
        async_engine: Any,
        *,
        params: Mapping[str, Any],
        model_type: str = "chat",
        num_retries: int = 0,
        callbacks: list[Any] | None = None,
    ) -> None:
        super().__init__(
            model,
            model_type=model_type,
            cache=False,
            num_retries=num_retries,
            callbacks=callbacks,
            engine=engine,
            async_engine=async_engine,
        )
        # Set afterwards: at construction DSPy refuses what some real models refuse.
        self.kwargs = {"temperature": None, "max_tokens": None, **params}

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer, remembering which signature is being answered."""
        token = begin_call({**self.kwargs, **kwargs}, None if messages is None else list(messages))
        try:
            with names_in_types(messages):
                return super().__call__(prompt, messages=messages, **kwargs)
        finally:
            end_call(token)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronously, remembering which signature is being answered."""
        token = begin_call({**self.kwargs, **kwargs}, None if messages is None else list(messages))
        try:
            with names_in_types(messages):
                return await super().acall(prompt, messages=messages, **kwargs)
        finally:
            end_call(token)

    def dump_identity(self) -> dict[str, Any]:
        """What DSPy saves of any LM, without the parameters: each kind of LM saves those in its own way."""
        state: dict[str, Any] = dspy.BaseLM.dump_state(self)
        return {name: value for name, value in state.items() if name not in self.kwargs}


class SharedEngine:
    """An engine that copies of its LM share.

    Optimizers deep-copy programs; the copy is the same LM, with the same journal and position.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

"""`ComposedLM`: the `dspy.LM` in front of parts of ours."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import dspy
from dspy.lm15 import Request, Response, response_to_events

from dspex_testkit.lm.parts import CONNECTION_PARAMS, Part
from dspex_testkit.mock_lm import Capabilities
from dspex_testkit.mock_lm.capture import begin_call, end_call


class ComposedLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """An LM for programs of DSPy whose requests a part answers.

    Neither DSPy's cache nor its retries are on: the cache's key ignores the engine, and retries belong to the LM
    that is asked in the end. Streamed answers come whole and are then handed out in pieces.

    Args:
        model: The model as DSPy spells it.
        part: Answers.
        params: Default parameters of its calls.
        capabilities: What adapters may ask of it.
    """

    def __init__(self, model: str, part: Part, *, params: Mapping[str, Any], capabilities: Capabilities) -> None:
        engine = _Engine(part, capabilities)
        super().__init__(model, cache=False, num_retries=0, engine=engine, async_engine=_AsyncEngine(part))
        self.part = part
        # Set afterwards: at construction DSPy refuses what some real models refuse, and the part knows that itself.
        given = {name: value for name, value in params.items() if name not in CONNECTION_PARAMS}
        self.kwargs = {"temperature": None, "max_tokens": None, **given}

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer, remembering which signature is being answered."""
        token = begin_call({**self.kwargs, **kwargs})
        try:
            return super().__call__(prompt, messages=messages, **kwargs)
        finally:
            end_call(token)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronously, remembering which signature is being answered."""
        token = begin_call({**self.kwargs, **kwargs})
        try:
            return await super().acall(prompt, messages=messages, **kwargs)
        finally:
            end_call(token)

    def close(self) -> None:
        """Close what the part holds open."""
        self.part.close()


class _Engine:
    """A part as DSPy's engine; capabilities are read off it."""

    def __init__(self, part: Part, capabilities: Capabilities) -> None:
        self._part = part
        self.supports_function_calling = capabilities.function_calling
        self.supports_response_schema = capabilities.response_schema
        self.supports_reasoning = capabilities.reasoning
        self.supported_params = capabilities.params

    def complete(self, request: Request) -> Response:
        return self._part.complete(request)

    def stream(self, request: Request) -> Iterator[Any]:
        yield from response_to_events(self._part.complete(request))

    def close(self) -> None:
        """The LM closes the part."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Engine":
        return self


class _AsyncEngine:
    """The same for `acall`."""

    def __init__(self, part: Part) -> None:
        self._part = part

    async def complete(self, request: Request) -> Response:
        return await self._part.acomplete(request)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        for event in response_to_events(await self._part.acomplete(request)):
            yield event

    async def aclose(self) -> None:
        """The LM closes the part."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_AsyncEngine":
        return self

"""`ComposedLM`: the `dspy.LM` in front of members of ours."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from dspy.lm15 import Request, Response, response_to_events

from dspex_testkit.engines.engine_lm import EngineLM, SharedEngine
from dspex_testkit.lm.members import CONNECTION_PARAMS, Member
from dspex_testkit.mock_lm import Capabilities


class ComposedLM(EngineLM):
    """An LM for programs of DSPy whose requests a member answers.

    DSPy's retries are off: they belong to the LM that is asked in the end. Streamed answers come whole and are then
    handed out in pieces.

    Args:
        model: The model as DSPy spells it.
        member: Answers.
        params: Default parameters of its calls.
        capabilities: What adapters may ask of it.
    """

    def __init__(self, model: str, member: Member, *, params: Mapping[str, Any], capabilities: Capabilities) -> None:
        # No combination of parameters is refused here: the member knows what its model refuses.
        given = {name: value for name, value in params.items() if name not in CONNECTION_PARAMS}
        super().__init__(model, _Engine(member, capabilities), _AsyncEngine(member), params=given)
        self.member = member

    def close(self) -> None:
        """Close what the member holds open."""
        self.member.close()


class _Engine(SharedEngine):
    """A member as DSPy's engine; capabilities are read off it."""

    def __init__(self, member: Member, capabilities: Capabilities) -> None:
        self._member = member
        self.supports_function_calling = capabilities.function_calling
        self.supports_response_schema = capabilities.response_schema
        self.supports_reasoning = capabilities.reasoning
        self.supported_params = capabilities.params

    def complete(self, request: Request) -> Response:
        return self._member.complete(request)

    def stream(self, request: Request) -> Iterator[Any]:
        yield from response_to_events(self._member.complete(request))

    def close(self) -> None:
        """The LM closes the member."""


class _AsyncEngine(SharedEngine):
    """The same for `acall`."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def complete(self, request: Request) -> Response:
        return await self._member.acomplete(request)

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        for event in response_to_events(await self._member.acomplete(request)):
            yield event

    async def aclose(self) -> None:
        """The LM closes the member."""

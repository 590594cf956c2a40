"""What a model can do, as DSPy will believe: the capabilities that a mock in its place advertises.

Capabilities change what an adapter asks (a response schema, native tools), so an impersonated model has to have
the ones of the original, or the prompt under test is not the prompt of production.
"""

from functools import lru_cache

import dspy

from dspex_testkit.dspy_internals.model_list import model_info
from dspex_testkit.lm.config.providers import MOCK
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.mock_lm import Capabilities

# DSPy asks litellm about these, whose import takes seconds; its metadata is the same that DSPy ships.
_SERVED_BY_LITELLM = frozenset({"cohere", "mistral", "together", "bedrock", "cached"})


@lru_cache(maxsize=512)
def _capabilities(provider: str, dspy_model: str) -> Capabilities:
    if provider == MOCK:
        return Capabilities()
    if provider in _SERVED_BY_LITELLM:
        info = model_info(provider, dspy_model.partition("/")[2])
        return Capabilities(
            function_calling=info.get("supports_function_calling") is True,
            reasoning=info.get("supports_reasoning") is True,
            response_schema=info.get("supports_response_schema") is True,
        )
    lm = dspy.LM(dspy_model, cache=False)
    return Capabilities(
        function_calling=lm.supports_function_calling,
        reasoning=lm.supports_reasoning,
        response_schema=lm.supports_response_schema,
        params=frozenset(lm.supported_params),
    )


def capabilities_of(config: LMConfig) -> Capabilities:
    """What DSPy would believe of this config's model, were it live; of an ensemble, what all its members can do."""
    if config.ensemble is not None:
        each = [capabilities_of(member) for member in config.ensemble.members if isinstance(member, LMConfig)]
        return Capabilities(
            function_calling=all(one.function_calling for one in each),
            reasoning=all(one.reasoning for one in each),
            response_schema=all(one.response_schema for one in each),
            params=frozenset.intersection(*(one.params for one in each)),
        )
    return _capabilities(config.provider, config.dspy_model)

"""The provider table agrees with the installed DSPy."""

import pytest
from dspy.clients.lm import _is_openai_reasoning_model

from dspex_testkit.lm.capabilities import capabilities_of
from dspex_testkit.lm.config.providers import PROVIDERS, is_openai_reasoning_model
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig

MODELS = [
    "gpt-4",
    "gpt-4o",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5.6-luna",
    "gpt-5-chat",
    "o1",
    "o3-mini",
    "o4-mini-2025-04-16",
    "claude-3",
]


@pytest.mark.parametrize("model", MODELS)
def test_reasoning_families_are_those_of_dspy(model: str) -> None:
    """Canary: our pattern, which needs no dspy import, says what DSPy's private function says."""
    assert is_openai_reasoning_model(model) == _is_openai_reasoning_model(f"openai/{model}")


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_every_provider_can_be_impersonated(provider: str) -> None:
    """Asking for the capabilities of a model that nobody knows is no error."""
    assert capabilities_of(LMConfig(provider=provider, model="some-model")).reasoning in (True, False)


def test_capabilities_are_those_of_the_model() -> None:
    """A mock in place of gpt-4o-mini can do what gpt-4o-mini can."""
    config = parse_lm_config("openai/gpt-4o-mini").value
    assert isinstance(config, LMConfig)

    capabilities = capabilities_of(config)

    assert capabilities.function_calling
    assert capabilities.response_schema
    assert not capabilities.reasoning

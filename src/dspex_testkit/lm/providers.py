"""The former place of `lm.config.providers`; kept for what imports it."""

from dspex_testkit.lm.config.providers import PROVIDERS, Provider, find_provider, get_provider, provider_of_model

__all__ = ["PROVIDERS", "Provider", "find_provider", "get_provider", "provider_of_model"]

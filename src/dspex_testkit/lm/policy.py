"""The offline policy: what happens to a config of a real provider."""

from enum import StrEnum

from dspex_testkit.errors import InvalidLMConfigError, PolicyUnavailableError
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.keys import find_key


class OfflinePolicy(StrEnum):
    """What answers for a config of a real provider."""

    MOCK = "mock"
    """A mock that carries the provider and model as its identity. No key is needed or looked at."""
    LIVE = "live"
    """The provider itself."""
    REPLAY = "replay"
    """A recording of what the provider said."""
    RECORD = "record"
    """The provider itself, recorded."""

    def check(self, config: LMConfig) -> list[str]:
        """Refuse a config that this policy cannot serve, when it is given and not when it is first used.

        Returns:
            The keys with which its LMs will be asked; none are looked for where mocks answer.

        Raises:
            PolicyUnavailableError: The config names no model that could be asked.
            InvalidLMConfigError: Live or recorded, but the config says how a real provider is to be mocked.
            MissingKeyError: Live, and a key is nowhere to be found.
        """
        if self in (OfflinePolicy.MOCK, OfflinePolicy.REPLAY):
            return [leaf.api_key.get_secret_value() for leaf in config.leaves if leaf.api_key is not None]
        return [key for leaf in config.leaves if (key := _check_live(leaf)) is not None]

    def mocks(self, config: LMConfig) -> bool:
        """Whether no provider is asked for this config."""
        if self in (OfflinePolicy.MOCK, OfflinePolicy.REPLAY) or config.is_mock or config.replayed:
            return True
        return config.ensemble is not None and all(self.mocks(leaf) for leaf in config.leaves)

    def plays(self, config: LMConfig) -> bool:
        """Whether a cassette answers for this config, or records what does."""
        if config.is_mock or config.ensemble is not None:
            return False
        return config.replayed or self in (OfflinePolicy.REPLAY, OfflinePolicy.RECORD)


def _check_live(config: LMConfig) -> str | None:
    """The key of a config that is to answer live."""
    if config.replayed:
        return None
    if config.provider == "cached":
        raise PolicyUnavailableError(
            "LM type 'cached' names no provider that could be asked; name the provider, and replay what it said with "
            "the offline policy 'replay'"
        )
    if config.mock is not None and not config.is_mock:
        raise InvalidLMConfigError(
            f"A real provider would be asked, but the config says how {config.provider}/{config.model} is to be "
            "mocked; remove the mock's keys, or use provider 'mock'",
            details={"provider": config.provider, "mock": sorted(config.mock)},
        )
    return find_key(config)

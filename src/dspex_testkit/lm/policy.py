"""The offline policy: what happens to a config of a real provider."""

from enum import StrEnum

from dspex_testkit.errors import InvalidLMConfigError, PolicyUnavailableError
from dspex_testkit.lm.config import LMConfig


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

    def check(self, config: LMConfig) -> None:
        """Refuse a config that this policy cannot serve, when it is given and not when it is first used.

        Raises:
            PolicyUnavailableError: The config or the policy asks for recordings.
            InvalidLMConfigError: Live, but the config says how a real provider is to be mocked.
        """
        if self in (OfflinePolicy.REPLAY, OfflinePolicy.RECORD):
            raise PolicyUnavailableError(
                f"The offline policy {str(self)!r} needs recordings, which this version does not make yet; "
                "use 'mock' or 'live'"
            )
        if self is OfflinePolicy.LIVE and config.provider == "cached":
            raise PolicyUnavailableError(
                "LM type 'cached' needs recordings, which this version does not make yet; "
                "use the offline policy 'mock', or name a provider"
            )
        if self is OfflinePolicy.LIVE and config.mock is not None and not config.is_mock:
            raise InvalidLMConfigError(
                f"The offline policy is 'live', but the config says how {config.provider}/{config.model} is to be "
                "mocked; remove the mock's keys, or use provider 'mock'",
                details={"provider": config.provider, "mock": sorted(config.mock)},
            )

    def mocks(self, config: LMConfig) -> bool:
        """Whether a mock answers for this config."""
        return config.is_mock or self is OfflinePolicy.MOCK

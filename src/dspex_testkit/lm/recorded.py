"""LMs of real providers that answer from cassettes, or are recorded on them."""

from collections.abc import Mapping

from dspex_testkit.calls import LMCall
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.interfaces import Deck
from dspex_testkit.cassettes.lm import CassetteLM
from dspex_testkit.engines.caller import caller_now
from dspex_testkit.lm.capabilities import capabilities_of
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.keys import find_key
from dspex_testkit.lm.live import provider_lm
from dspex_testkit.lm.members import CONNECTION_PARAMS
from dspex_testkit.redaction import Secret, secrets_by_place


class RecordedProviderLM(CassetteLM):
    """The LM of a config, on the cassette of whichever session asks.

    Args:
        config: The LM that was asked for.
        deck: The bridge's cassettes.
        aliases: Models that answer in place of others, by the name that is asked for.
    """

    def __init__(self, config: LMConfig, deck: Deck, aliases: Mapping[str, str]) -> None:
        answering = aliased(config, aliases)
        can = capabilities_of(answering)
        behind = None
        if deck.records and not config.replayed:
            key = find_key(answering)
            # A provider's error may quote them.
            found = {*secrets_by_place(answering.dump_with_key()), *([] if key is None else [key])}
            deck.learn([Secret(value, f"the key of {config.dspy_model}") for value in found])
            behind = provider_lm(answering, key)
        super().__init__(
            lambda: deck.current(caller_now().session_id),
            behind,
            identity=RecordedLM(
                model=config.dspy_model,
                params={name: value for name, value in config.params.items() if name not in CONNECTION_PARAMS},
                function_calling=can.function_calling,
                response_schema=can.response_schema,
                reasoning=can.reasoning,
                supported_params=tuple(sorted(can.params)),
            ),
            template=LMCall(provider=config.provider, model=config.model),
        )

    def close(self) -> None:
        """Close the provider's connections."""
        if self.behind is not None:
            self.behind.close()


def aliased(config: LMConfig, aliases: Mapping[str, str]) -> LMConfig:
    """The config of the model that answers for this one.

    Raises:
        LMResolutionError: The alias names no model.
    """
    wanted = aliases.get(config.dspy_model) or aliases.get(config.model)
    if wanted is None:
        return config
    named = parse_lm_config(wanted).value
    if not isinstance(named, LMConfig):
        return config
    same = named.provider == config.provider
    return config.model_copy(
        update={
            "provider": named.provider,
            "model": named.model,
            "api_key": config.api_key if same else None,
            "api_base": config.api_base if same else None,
        }
    )

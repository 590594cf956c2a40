"""The cassettes of a bridge."""

from pathlib import Path
from typing import TYPE_CHECKING

from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.lm.policy import OfflinePolicy

if TYPE_CHECKING:
    from dspex_testkit.cassettes.interfaces import Deck


def open_deck(settings: BridgeSettings, store: StateStore) -> "Deck":
    """The deck of a bridge, which it shares with the bridges of its pool; it records under the policy `record` only.

    Raises:
        MissingExtraError: What recordings need is not installed.
        UsageError: The record mode is none.
    """
    # Here, because YAML and locks are of no use to a bridge that only mocks.
    from dspex_testkit.cassettes import DeckSettings, RecordMode
    from dspex_testkit.redaction import secrets_of_environment

    deck = store.deck(
        DeckSettings(
            folder=str(Path(settings.cassettes).resolve()),
            record=settings.offline_policy is OfflinePolicy.RECORD,
            mode=RecordMode.of(settings.record_mode),
            staging=str(Path(settings.record_staging).resolve()) if settings.record_staging else None,
        )
    )
    if deck.records:
        # The deck may be in a process that has another environment.
        deck.learn(secrets_of_environment())
    return deck

"""The cassettes of a bridge."""

from pathlib import Path
from typing import TYPE_CHECKING

from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy

if TYPE_CHECKING:
    from dspex_testkit.cassettes.deck import CassetteDeck


def open_deck(settings: BridgeSettings) -> "CassetteDeck":
    """The deck of a bridge; it records under the policy `record` only.

    Raises:
        MissingExtraError: What recordings need is not installed.
        UsageError: The record mode is none.
    """
    # Here, because YAML and locks are of no use to a bridge that only mocks.
    from dspex_testkit.cassettes import CassetteDeck, RecordMode

    return CassetteDeck(
        Path(settings.cassettes).resolve(),
        record=settings.offline_policy is OfflinePolicy.RECORD,
        mode=RecordMode.of(settings.record_mode),
        staging=Path(settings.record_staging) if settings.record_staging else None,
    )

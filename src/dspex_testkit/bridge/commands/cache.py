"""Commands about remembered answers."""

from typing import TYPE_CHECKING, Any, cast

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.errors import InvalidArgsError

if TYPE_CHECKING:
    from dspex_testkit.lm.cache.responses import Where

_PLACES = ("memory", "disk")


def get_cache_stats(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Hits, misses, entries and bytes of remembered answers, by place."""
    return bridge.lms.factory.cache.stats()


def clear_cache(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Forget remembered answers: all, or those of one place (`mode`: memory or disk)."""
    mode = args.text("mode")
    if mode is not None and mode not in _PLACES:
        raise InvalidArgsError(
            f"Invalid argument 'mode' of clear_cache: one of {', '.join(_PLACES)} was wanted, but {mode!r} came",
            details={"argument": "mode", "wanted": list(_PLACES)},
        )
    return {"status": "cleared", "entries_cleared": bridge.lms.factory.cache.clear(cast("Where | None", mode))}

"""The commands: a request in, a response out.

Names resolve on first use, because the launcher imports `bridge.ping` from here before anything heavy.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.bridge.dispatcher import Bridge, Execution
    from dspex_testkit.bridge.settings import BridgeSettings

__all__ = ["Bridge", "BridgeSettings", "Execution"]


def __getattr__(name: str) -> object:
    if name in ("Bridge", "Execution"):
        from dspex_testkit.bridge import dispatcher

        return getattr(dispatcher, name)
    if name == "BridgeSettings":
        from dspex_testkit.bridge.settings import BridgeSettings

        return BridgeSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

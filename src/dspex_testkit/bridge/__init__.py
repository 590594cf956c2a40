"""The commands: a request in, a response out.

From the ground up:

    settings             what a bridge is told once
    arguments            what commands may be sent, and reading it
    signatures/          what a program takes and gives
    state/               what clients leave behind, here or shared by a pool
    accounting           each call priced and accounted for
    lm_scopes            which scope holds which LM, and which answers
    compiled_programs    modules of DSPy, with their `tools`, made once per process
    bridge               all of this together: what commands work on
    programs/            defining, finding and running a program
    commands/            the handlers
    dispatcher           requests to handlers, exceptions to responses

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

"""The way to `launch.embedded` for launchers that were installed when it was here."""

from dspex_testkit.launch.embedded import EmbeddedBridge

__all__ = ["EmbeddedBridge"]

"""Whether an operating system and its Python can have a host, from plain facts about them."""

import _socket as socket  # see `contact`
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # see `signals`


class System:
    """What decides whether an operating system can have a host at all.

    Args:
        platform: As in `sys.platform`.
        implementation: Of Python, as in `sys.implementation`.
        watches: Whether one process can wait for the end of another.
        passes: Whether descriptors can be passed on, and the peer's user be known.
        longest_path: Bytes that a socket's address has room for.
    """

    __slots__ = ("implementation", "longest_path", "passes", "platform", "watches")

    def __init__(
        self,
        platform: str,
        *,
        implementation: str = "cpython",
        watches: bool = True,
        passes: bool = True,
        longest_path: int = 107,
    ) -> None:
        self.platform = platform
        self.implementation = implementation
        self.watches = watches
        self.passes = passes
        self.longest_path = longest_path

    @classmethod
    def here(cls) -> "System":
        """The one that this process runs on."""
        return cls(
            sys.platform,
            implementation=sys.implementation.name,
            watches=hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"),
            passes=hasattr(socket, "SCM_RIGHTS") and hasattr(socket, "SO_PEERCRED"),
        )

    def why_none(self) -> "str | None":
        """Why there can be no host, whatever its owner; None where there can be one."""
        if self.platform == "darwin":
            return "macOS does not promise that a process which has loaded its libraries can be forked"
        if not self.platform.startswith("linux"):
            return f"a host has been made for Linux, and this is {self.platform}"
        if self.implementation != "cpython":
            return f"a host has been made for CPython, and this is {self.implementation}"
        if not self.watches:
            return "this Python cannot watch another process (it was built for a kernel before 5.3)"
        if not self.passes:
            return "this Python cannot pass descriptors over a socket, or cannot tell who is at its other end"
        return None

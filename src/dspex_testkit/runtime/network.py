"""No network by accident: sockets may reach this machine and hosts that were named, and nobody else.

An audit hook sees every connection and every look-up of a name that Python makes, whoever makes it and however a
library has wrapped its sockets. Such a hook cannot be taken away again, so it is added when a process first wants it,
and asks what holds at the moment.
"""

import socket
import sys
import threading

from dspex_testkit.dspy_internals.asked_lm import asked_lm
from dspex_testkit.errors import NetworkBlockedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVES = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_HERE = frozenset({"", "localhost", "ip6-localhost", "0.0.0.0", "::", "::1"})


class Guard:
    """What may be reached.

    Args:
        allow_hosts: Names and addresses that may be reached beside this machine.
        who: Says who would be asking, for the error.
    """

    def __init__(self, allow_hosts: "Iterable[str]" = (), who: "Callable[[], str] | None" = None) -> None:
        self._allowed = {host.lower() for host in allow_hosts}
        self._who = who

    def check_address(self, address: "Any") -> None:
        """Refuse a connection to another machine.

        Raises:
            NetworkBlockedError: It is one, and was not allowed.
        """
        __tracebackhide__ = True
        # Addresses of other kinds (AF_UNIX, netlink, vsock) are texts, bytes or numbers, and stay on this machine.
        if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str | bytes):
            self._check(_text(address[0]), f"a connection to {_text(address[0])}, port {address[1]}")

    def check_name(self, host: "Any") -> None:
        """Refuse to look up the address of another machine.

        Raises:
            NetworkBlockedError: It is one, and was not allowed.
        """
        __tracebackhide__ = True
        if host is None or _is_address(name := _text(host)):
            return
        self._check(name, f"looking up {name}")
        if name.lower() in self._allowed:
            self._allow_addresses_of(name)

    def _check(self, host: str, what: str) -> None:
        __tracebackhide__ = True  # pytest shows who asked, not how it was refused
        plain = host.lower().rstrip(".")
        if plain in _HERE or plain.startswith(("127.", "::ffff:127.")) or plain.endswith(".localhost"):
            return
        if plain in self._allowed:
            return
        lm = asked_lm()
        asking = " for ".join(part for part in (f"LM {lm}" if lm else "", self._who() if self._who else "") if part)
        raise NetworkBlockedError(
            f"{what} was refused{f' ({asking})' if asking else ''}: tests stay off the network. Give the LM a mock's "
            "answers, allow the host (lm_allow_hosts), or mark a test that means it with lm_live",
            details={"host": host, "lm": lm},
        )

    def _allow_addresses_of(self, name: str) -> None:
        _resolving.now = True
        try:
            self._allowed.update(str(found[4][0]) for found in socket.getaddrinfo(name, None))
        except OSError:
            pass  # whoever asked will meet the same failure
        finally:
            _resolving.now = False


_guard: Guard | None = None
_resolving = threading.local()
_hooked = False


def put_guard(guard: Guard | None) -> Guard | None:
    """Let a guard, or none, decide from now on; gives the one before."""
    global _guard, _hooked
    if guard is not None and not _hooked:
        sys.addaudithook(_audit)
        _hooked = True
    before, _guard = _guard, guard
    return before


def _audit(event: str, args: "tuple[Any, ...]") -> None:
    if _guard is None or not event.startswith("socket."):
        return
    __tracebackhide__ = True
    if event in _CONNECTS:
        try:
            _guard.check_address(args[1])
        except NetworkBlockedError:
            if event == "socket.connect":
                # Libraries close the socket of a connection that failed, but only where the system says so.
                args[0].close()
            raise
    elif event in _RESOLVES and not getattr(_resolving, "now", False):
        _guard.check_name(args[0])


def _text(host: "Any") -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


def _is_address(host: str) -> bool:
    """Whether there is nothing to look up; where it leads is seen when somebody connects."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False

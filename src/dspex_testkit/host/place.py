"""Whether a system can have a host, and where an owner's host is to be found.

Nothing is written down: whoever has the same owner, interpreter, version and import-time environment comes to the
same path. Everything else about two bridges may differ, because a worker adopts it after the fork.
"""

import _socket as socket  # see `contact`
import os
import sys
from binascii import crc32

from dspex_testkit import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
else:
    import _signal as signal  # see `signals`

_IMPORT_TIME = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "TMPDIR"})
_IMPORT_TIME_FAMILIES = (
    "PYTHON",
    "LC_",
    "LD_",
    "LITELLM_",
    "DSPY_",
    "OPENBLAS_",
    "OMP_",
    "MKL_",
    "NUMEXPR_",
    "MALLOC_",
    "HF_",
    "TRANSFORMERS_",
    "TIKTOKEN_",
    "COVERAGE_",
    "COV_",
)
# Read when something is first stored, long after the fork; and each test may have its own.
_READ_LATER = frozenset({"DSPY_CACHEDIR", "DSPY_CACHE_LIMIT"})
_FLAGS = {"isolated": "-I", "ignore_environment": "-E", "no_user_site": "-s", "no_site": "-S", "optimize": "-O"}


class Unavailable(Exception):
    """There can be no host here; the text says why."""


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


class Owner:
    """A process that starts bridges.

    Args:
        pid: Its process id.
        started: When it was started, in the kernel's ticks; ids are used again, pairs of both are not.
    """

    __slots__ = ("pid", "started")

    def __init__(self, pid: int, started: str) -> None:
        self.pid = pid
        self.started = started

    @classmethod
    def find(cls, pid: int) -> "Owner":
        """The owner of this process id.

        Raises:
            Unavailable: It is gone, or of another process namespace.
        """
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name in parentheses may itself contain blanks and parentheses.
                return cls(pid, file.read().rpartition(b")")[2].split()[19].decode("ascii"))
        except OSError:
            raise Unavailable(f"the parent process {pid} cannot be watched") from None


class Place:
    """Where a host is.

    Args:
        owner: Whose it is.
        folder: Holds the sockets of this user's hosts.
        environment: What the host's imports may depend on.
        longest_path: Bytes that a socket's address has room for.

    Raises:
        Unavailable: There is no room for the path.
    """

    __slots__ = ("environment", "folder", "owner", "path")

    def __init__(self, owner: Owner, folder: str, environment: "Mapping[str, str]", *, longest_path: int) -> None:
        self.owner = owner
        self.folder = folder
        self.environment = environment
        known = [__version__, sys.version, sys.executable, *interpreter_flags()]
        known += [f"{name}={environment[name]}" for name in sorted(environment)]
        digest = crc32("\0".join(known).encode("utf-8", "surrogateescape"))
        self.path = os.path.join(folder, f"{owner.pid}-{owner.started}-{digest:08x}")
        if len(os.fsencode(self.path)) > longest_path:
            raise Unavailable(f"the path {self.path} is too long for a socket (at most {longest_path} bytes)")


def find_place(owner_pid: int, environ: "Mapping[str, str] | None" = None, *, system: System | None = None) -> Place:
    """The place of an owner's host.

    Args:
        owner_pid: The process that starts bridges.
        environ: The environment of the bridge; that of this process if None.
        system: The operating system; the one that this process runs on if None.

    Raises:
        Unavailable: This system can have none, or not for this owner.
    """
    system = system or System.here()
    if (reason := system.why_none()) is not None:
        raise Unavailable(reason)
    if owner_pid <= 0:
        raise Unavailable("the parent process is of another namespace and cannot be watched")
    try:
        os.close(os.pidfd_open(owner_pid))
    except OSError as error:
        raise Unavailable(f"the parent process cannot be watched: {error.strerror}") from None
    imports = import_environment(os.environ if environ is None else environ)
    return Place(Owner.find(owner_pid), _folder(), imports, longest_path=system.longest_path)


def import_environment(environ: "Mapping[str, str]") -> "dict[str, str]":
    """The variables that what happens at import may depend on; with nothing else is a host started."""
    return {
        name: value
        for name, value in environ.items()
        if (name in _IMPORT_TIME or name.startswith(_IMPORT_TIME_FAMILIES)) and name not in _READ_LATER
    }


def _folder() -> str:
    """The folder for this user's sockets; `contact` makes it and looks whether it is private."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime) and os.access(runtime, os.W_OK):
        return os.path.join(runtime, "dspex-testkit")
    # TMPDIR comes last: it is longer, and may differ between bridges that belong together.
    parent = next((path for path in ("/tmp", os.environ.get("TMPDIR") or "") if os.access(path, os.W_OK)), None)
    if parent is None:
        raise Unavailable("there is no writable folder for a socket")
    return os.path.join(parent, f"dspex-testkit-{os.geteuid()}")


def interpreter_flags() -> "list[str]":
    """The options of this interpreter that change what it imports."""
    return [flag for name, flag in _FLAGS.items() if getattr(sys.flags, name)]

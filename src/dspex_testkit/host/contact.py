"""Connecting to an owner's host, and starting it where it is absent.

Whoever finds nobody listening takes the folder's lock and looks again; the one that is first binds and listens, and
starts a host that inherits the listening socket. From that moment everybody can connect, and waits in the socket's
queue until the host has imported what it needs. A host that dies leaves a socket that refuses, which the next one
replaces.
"""

import _socket as socket  # the module without the underscore makes enumerations first, for three milliseconds
import os
import stat
import sys
import time

from dspex_testkit.host.place import Owner, Unavailable, interpreter_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.host.place import Place

LISTENER = 3
"""The descriptor at which a host finds its listening socket."""

_QUEUE = 1024
_CREDENTIALS_SIZE = 12
_ATTEMPTS = 5
_LOCK_PATIENCE = 20.0
_LOCK_PAUSE = 0.005


def reach(place: "Place", *, linger: float) -> socket.socket:
    """A connection to the host, which may still be importing.

    Args:
        place: Where it is.
        linger: Seconds that a host started here stays without a worker.

    Raises:
        Unavailable: It cannot be started, or somebody else's process is there.
    """
    for _ in range(_ATTEMPTS):
        try:
            found = connect(place) or _start(place, linger)
        except FileNotFoundError:
            continue  # the last host has just taken the folder away
        except OSError as error:
            raise Unavailable(f"the warm host cannot be started: {error}") from None
        if found is not None:
            return found
    raise Unavailable(f"the folder {place.folder} disappears again and again")


def connect(place: "Place") -> "socket.socket | None":
    """A connection to a host that is there, or None.

    Raises:
        Unavailable: It cannot be reached, or somebody else's process answers.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(place.path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise Unavailable(f"the warm host cannot be reached: {error.strerror}") from None
    if peer_user(connection) != os.geteuid():
        connection.close()
        raise Unavailable(f"the socket {place.path} belongs to somebody else")
    return connection


def peer_user(connection: socket.socket) -> int:
    """The user id of the process at the other end of a socket, as the kernel reports it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS_SIZE)
    return int.from_bytes(credentials[4:8], sys.byteorder)


def lock(folder: str) -> int:
    """Hold a folder of sockets, so that one process at a time changes what is in it.

    Returns:
        A descriptor; closing it lets go.

    Raises:
        FileNotFoundError: It has just been removed.
        Unavailable: It is not private, or somebody who was stopped holds it.
    """
    import fcntl
    from contextlib import suppress

    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(held)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(held)
        raise Unavailable(f"the folder {folder} is not private to this user")
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(held)
                raise Unavailable(f"another process does not let go of {folder}") from None
            time.sleep(_LOCK_PAUSE)
        else:
            return held


def take_away(path: str) -> None:
    """Remove the socket, what hosts that were killed have left, and the folder if nothing is in it."""
    folder = os.path.dirname(path)
    try:
        held = lock(folder)
    except (OSError, Unavailable):
        return
    try:
        if os.path.lexists(path):
            os.unlink(path)
        _take_away_left(folder)
        os.rmdir(folder)
    except OSError:
        return  # there are others
    finally:
        os.close(held)


def _take_away_left(folder: str) -> None:
    """Remove the sockets of hosts that were killed together with their owners."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            # An owner that is not to be seen may be in another container, with a host that is well.
            if not _is_owned(name) and not _is_listened_to(path):
                os.unlink(path)
        except OSError:
            continue  # no socket of ours


def _is_owned(name: str) -> bool:
    pid, _, rest = name.partition("-")
    try:
        return Owner.find(int(pid)).started == rest.partition("-")[0]
    except (ValueError, Unavailable):
        return False


def _is_listened_to(path: str) -> bool:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(path)
    except ConnectionRefusedError:
        return False
    except BlockingIOError:
        return True
    finally:
        connection.close()
    return True


def _start(place: "Place", linger: float) -> "socket.socket | None":
    held = lock(place.folder)
    try:
        if (connection := connect(place)) is not None:
            return connection
        _take_away_left(place.folder)
        listener = _listen(place.path)
        try:
            _spawn(place, listener.fileno(), linger)
            return connect(place)
        finally:
            listener.close()
    finally:
        os.close(held)


def _listen(path: str) -> socket.socket:
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchmod(listener.fileno(), 0o600)  # the file is made with the mode that the socket has
    listener.bind(path)
    listener.listen(_QUEUE)
    return listener


def _spawn(place: "Place", listener: int, linger: float) -> None:
    """Start a host that is not a child of this process: the shell in between ends at once, and init adopts it."""
    from signal import SIGINT, SIGTERM

    owner = place.owner
    command = [sys.executable, "-P", *interpreter_flags(), "-m", "dspex_testkit.host.main"]
    command += [str(owner.pid), owner.started, place.path, str(linger)]
    shell = os.posix_spawn(
        "/bin/sh",
        # A host must not keep a pipe of its owner open.
        ["sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *command],
        dict(place.environment),
        file_actions=[(os.POSIX_SPAWN_DUP2, listener, LISTENER)],
        setsid=True,
        setsigmask=[],
        setsigdef=[SIGINT, SIGTERM],
    )
    os.waitpid(shell, 0)

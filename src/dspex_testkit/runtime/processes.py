"""Which processes there are below this one, as `/proc` tells it; no `psutil`, which takes longer than to end."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def children(pid: int) -> "list[int] | None":
    """The children of a process, none if it is gone; None where the kernel keeps no such list."""
    if not os.path.exists("/proc/thread-self/children"):
        return None
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", 0) as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it, or a thread of it, has just ended; what it had is somebody else's now
    return found


def descendants(pid: int) -> "list[int] | None":
    """The same with their children and so on, parents first."""
    if (found := children(pid)) is None:
        return None
    for child in found:
        found += children(child) or ()
    return found


def every() -> "Iterator[tuple[int, int, int]]":
    """Every process of the system: its id, its parent's and its session's. This takes milliseconds.

    Raises:
        OSError: There is no `/proc`.
    """
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", 0) as file:
                    # The name in parentheses may itself contain blanks and parentheses.
                    _, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            except OSError:
                continue
            yield int(name), int(parent), int(session)


def status_of_dead(pid: int) -> "int | None":
    """How a process has ended that its parent has not waited for, 128 + signal for a signal; None in other cases."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] != b"Z":
        return None
    status = os.waitstatus_to_exitcode(int(fields[49]))
    return 128 - status if status < 0 else status

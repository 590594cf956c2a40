"""A process that starts bridges when it is told to, as a BEAM does, and that can be killed as one.

Its standard input is a socket: a message holds the descriptors of a bridge's pipes, its argv and its environment, and
is answered with the process id.
"""

import json
import os
import socket


def main() -> None:
    """Start bridges until nobody asks any more."""
    orders = socket.socket(fileno=os.dup(0))
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, 1 << 20, 2)
        while _reap():
            pass
        if not data:
            return
        told = json.loads(data)
        stdin, stdout = descriptors
        quiet = os.open(os.devnull, os.O_WRONLY)
        pid = os.posix_spawnp(
            told["argv"][0],
            told["argv"],
            told["env"],
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, quiet, 2),
            ],
            setsid=True,
        )
        for descriptor in (stdin, stdout, quiet):
            os.close(descriptor)
        orders.sendall(json.dumps(pid).encode())


def _reap() -> bool:
    """Take leave of a child that has ended, if there is one."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    main()

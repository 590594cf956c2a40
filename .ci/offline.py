"""Run a command where there is no network but loopback: in a network namespace of its own.

    python .ci/offline.py COMMAND [ARGUMENT …]

Root makes the namespace as it is; anybody else needs user namespaces. A machine that permits neither skips the command
and says so; in CI (CI=true) that is a failure.
"""

import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

INSIDE = "--inside"
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
ELSEWHERE = ("192.0.2.1", 80)
"""An address that belongs to nobody (RFC 5737)."""


def main(arguments: list[str]) -> int:
    """Enter the namespace and become the command.

    Returns:
        The command's exit status; 2 where there is no command.
    """
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    unshare = shutil.which("unshare")
    if unshare is None:
        return _impossible("unshare is not on the PATH; on Debian it is part of util-linux, and other systems lack it")
    enter = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    probe = subprocess.run([*enter, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if probe.returncode:
        return _impossible(f"'{' '.join(enter)}' is not permitted here: {probe.stderr.strip()}")
    return subprocess.run([*enter, sys.executable, __file__, INSIDE, *arguments], check=False).returncode


def become(command: list[str]) -> None:
    """Start loopback, make sure that there is nothing else, and run the command in place of this process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        # struct ifreq: the interface's name, its flags, and room to 40 bytes.
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
    interfaces = [name for _, name in socket.if_nameindex()]
    with socket.socket() as attempt:
        refused = attempt.connect_ex(ELSEWHERE) == errno.ENETUNREACH
    if interfaces != ["lo"] or not refused:
        sys.exit(f"The namespace is not without a network: its interfaces are {', '.join(interfaces)}.")
    print("offline: no network but loopback", flush=True)
    os.execvp(command[0], command)


def _impossible(reason: str) -> int:
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        print(f"The offline tests may not be skipped in CI: {reason}", file=sys.stderr)
        return 1
    print(f"SKIPPED the offline tests: {reason}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [INSIDE]:
        become(sys.argv[2:])
    sys.exit(main(sys.argv[1:]))

"""Warm hosts, seen from outside: which run, which workers they have, and how to empty what pools share."""

import os
import select
from collections.abc import Iterator, Mapping
from contextlib import suppress

import psutil

from dspex_testkit.host import Worker, start_worker
from dspex_testkit.host.place import find_place
from dspex_testkit.protocol import (
    NEED_DATA,
    EndOfStream,
    Frame,
    FrameDecoder,
    Request,
    Response,
    encode_frame,
    encode_request,
    parse_response,
)
from tests.support.waiting import PATIENCE

_PROGRAM = "dspex_testkit.host.main"
ARGV = ("python", "-m", "dspex_testkit.launch.main", "--mode", "pool-worker")


def hosts_of(owner: int | None = None) -> list[psutil.Process]:
    """The hosts of a process (this one, if None) that are alive."""
    return [host for host in all_hosts() if host.cmdline()[-4] == str(owner or os.getpid())]


def usual_host() -> psutil.Process:
    """The host of bridges that this process starts with no search path of their own."""
    path = find_place(os.getpid()).path
    (host,) = [host for host in hosts_of() if host.cmdline()[-2] == path]
    return host


def all_hosts() -> Iterator[psutil.Process]:
    """Every host on the machine. A worker has its host's command line, and a host for a parent."""
    found = {}
    for process in psutil.process_iter(["cmdline", "status"]):
        if _PROGRAM in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[process.pid] = process
    for process in found.values():
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in found and process.cmdline():
                yield process


def workers_of(host: psutil.Process) -> list[psutil.Process]:
    """The workers that a host has forked and that live."""
    return [child for child in host.children() if child.status() != psutil.STATUS_ZOMBIE]


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ask(worker: Worker, command: str, args: Mapping[str, object] | None = None, *, id: int = 1) -> Response:
    """One request to a worker without a launcher, and its response."""
    os.write(worker.stdin, encode_frame(encode_request(Request(id, command, dict(args or {})))))
    decoder = FrameDecoder()
    while True:
        event = decoder.next_event()
        if isinstance(event, Frame):
            return parse_response(event.payload)
        assert not isinstance(event, EndOfStream), f"the worker ended with status {worker.wait(PATIENCE)}"
        assert event is NEED_DATA
        assert select.select([worker.stdout], [], [], PATIENCE)[0], f"no answer to {command}"
        if data := os.read(worker.stdout, 1 << 16):
            decoder.feed_data(data)
        else:
            decoder.feed_eof()


def end(worker: Worker) -> int | None:
    """Close a worker's port and give its status."""
    os.close(worker.stdin)
    status = worker.wait(PATIENCE)
    os.close(worker.stdout)
    return status


def forget_shared_state() -> None:
    """Empty what the pool workers of this process share, if any have run."""
    if hosts_of():
        worker = start_worker(ARGV)
        try:
            assert ask(worker, "reset_state").success
        finally:
            end(worker)

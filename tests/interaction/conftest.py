"""One behaviour, every transport."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.support.bridges import TRANSPORTS, Client, InProcess, Process, Transport, as_environment

Connect = Callable[..., Client]


@pytest.fixture(params=TRANSPORTS, scope="module")
def transport(request: pytest.FixtureRequest) -> Transport:
    """The transport that this run of the behaviour goes over."""
    kind: Transport = request.param
    return kind


@pytest.fixture(scope="module")
def _clients(transport: Transport) -> Iterator[Connect]:
    """Clients by settings; a process is started once for the module, because importing dspy takes its second."""
    with ExitStack() as stack:
        started: dict[str, Client] = {}

        def client_of(settings: BridgeSettings) -> Client:
            if transport == "memory":
                in_process = InProcess(settings)
                stack.callback(in_process.close)
                return in_process
            key = json.dumps(as_environment(settings), sort_keys=True)
            if key not in started:
                worker_id = "worker_1_1" if transport == "pool-worker" else None
                process = Process(mode=transport, worker_id=worker_id, env=as_environment(settings))
                started[key] = stack.enter_context(process)
            return started[key]

        yield client_of


@pytest.fixture
def connect(_clients: Connect) -> Connect:
    """Makes a client of a bridge with the given settings and nothing in it."""

    def connect(settings: BridgeSettings | None = None) -> Client:
        client = _clients(settings or BridgeSettings())
        client.call("reset_state")
        return client

    return connect


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with default settings and nothing in it."""
    return connect()

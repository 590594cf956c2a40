"""Equal configs share one LM and its connections, across sessions, programs and scopes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.factory import LMFactory
from dspex_testkit.lm.policy import OfflinePolicy
from tests.support.bridges import InProcess
from tests.support.chat_server import ChatServer
from tests.support.waiting import eventually

SESSIONS = 1000
CONFIGS = 5
THREADS = 8


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A provider on the loopback."""
    with ChatServer() as running:
        yield running


def live(server: ChatServer, number: int = 0, **more: Any) -> LMConfig:
    """One of several configs that are answered there."""
    value = parse_lm_config(server.config(model=f"gpt-4o-{number}", **more)).value
    assert isinstance(value, LMConfig)
    return value


def factory_of(bridge: InProcess) -> LMFactory:
    """The factory of a bridge in this process."""
    assert isinstance(bridge.bridge, Bridge)
    return bridge.bridge.lms.factory


def test_a_thousand_sessions_with_five_configs_keep_five_lms_and_few_sockets(server: ChatServer) -> None:
    """As many connections as there are configs and threads at most, however many sessions ask."""
    bridge = InProcess(BridgeSettings(offline_policy=OfflinePolicy.LIVE))
    bridge.call("create_program", {"id": "p", "signature": "question -> answer"})
    for n in range(SESSIONS):
        bridge.call("configure_lm", {**server.config(model=f"gpt-4o-{n % CONFIGS}"), "session_id": f"s{n}"})

    def ask(n: int) -> str:
        args = {"program_id": "p", "inputs": {"question": "?"}, "session_id": f"s{n}"}
        model: str = bridge.call("execute_program", args)["lm"]["model"]
        return model

    with ThreadPoolExecutor(THREADS) as threads:
        models = list(threads.map(ask, range(SESSIONS)))

    assert models == [f"gpt-4o-{n % CONFIGS}" for n in range(SESSIONS)]
    assert len(server.requests) == SESSIONS
    assert len(factory_of(bridge).kept) == CONFIGS
    assert server.connections <= CONFIGS * THREADS
    factory_of(bridge).close()
    eventually(lambda: server.open == 0)


def test_another_key_has_connections_of_its_own(server: ChatServer) -> None:
    """What is billed to one account never travels on another's connection."""
    factory = LMFactory(OfflinePolicy.LIVE)
    with factory.lease(live(server)) as one, factory.lease(live(server, api_key="sk-another-key")) as other:
        assert one is not other
    with factory.lease(live(server)) as again:
        assert again is one
    factory.close()


def test_a_patched_config_is_another_lm(server: ChatServer) -> None:
    """Parameters over a config that has been used before are not lost."""
    config = live(server)
    factory = LMFactory(OfflinePolicy.LIVE)
    with factory.lease(config) as plain, factory.lease(config.patched({"temperature": 0.1})) as patched:
        assert patched is not plain
    factory.close()


def test_the_longest_unused_lm_is_closed_beyond_the_limit(server: ChatServer) -> None:
    """Its sockets go with it."""
    factory = LMFactory(OfflinePolicy.LIVE, max_lms=2)
    for number in range(6):
        with factory.lease(live(server, number)) as lm:
            lm("?")

    assert len(factory.kept) == 2
    eventually(lambda: server.open <= 2)
    factory.close()
    eventually(lambda: server.open == 0)


def test_an_lm_in_use_is_not_closed(server: ChatServer) -> None:
    """However many others come; when it is given back, it may go."""
    factory = LMFactory(OfflinePolicy.LIVE, max_lms=1)
    with factory.lease(live(server)) as held:
        held("?")
        for number in range(1, 5):
            with factory.lease(live(server, number)):
                pass
        with factory.lease(live(server)) as again:
            assert again is held
        connections = server.connections
        held("?")
        assert server.connections == connections
    assert len(factory.kept) == 1
    factory.close()


def test_threads_that_ask_for_one_config_at_once_get_one_lm(server: ChatServer) -> None:
    """Whoever was second gives way to the first."""
    factory = LMFactory(OfflinePolicy.LIVE)
    barrier = threading.Barrier(THREADS)

    def take() -> object:
        barrier.wait()
        with factory.lease(live(server)) as lm:
            return lm

    with ThreadPoolExecutor(THREADS) as threads:
        taken = [future.result() for future in [threads.submit(take) for _ in range(THREADS)]]

    assert len(set(map(id, taken))) == len(factory.kept) == 1
    factory.close()


def test_members_of_an_ensemble_share_connections_with_who_asks_them_alone(server: ChatServer) -> None:
    """And they are not closed while the ensemble is kept."""
    member = server.config()
    ensemble = parse_lm_config({"kind": "ensemble", "strategy": "all", "members": [member, member]}).value
    assert isinstance(ensemble, LMConfig)
    factory = LMFactory(OfflinePolicy.LIVE, max_lms=1)
    alone = parse_lm_config(member).value
    assert isinstance(alone, LMConfig)

    with factory.lease(ensemble) as lm:
        lm("?")
        assert len(factory.kept) == 2
        assert factory.take(alone).users == 3
    factory.close()

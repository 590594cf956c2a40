"""A bridge object is asked as a process is."""

import asyncio

import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.errors import RemoteCommandError
from dspex_testkit.pool import InProcessBridge


@pytest.fixture
def client() -> InProcessBridge:
    """A client of a bridge on which a mock answers."""
    return InProcessBridge(Bridge(BridgeSettings(default_lm="mock")))


def test_it_answers_threads_and_event_loops(client: InProcessBridge) -> None:
    """With the same answer."""
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    run = {"program_id": "p", "inputs": {"question": "Who?"}}

    here = client.call("execute_program", run)["answer"]

    assert asyncio.run(client.acall("execute_program", run))["answer"] == here


def test_a_failed_command_is_the_same_error(client: InProcessBridge) -> None:
    """As over a pipe."""
    with pytest.raises(RemoteCommandError, match="Program not found") as failure:
        client.call("execute_program", {"program_id": "nobody"})

    assert failure.value.remote_code == "program_not_found"

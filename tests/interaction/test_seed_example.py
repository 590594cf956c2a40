"""The complete workflow of the design note, under every offline policy; live means a provider on the loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.lm.policy import OfflinePolicy
from tests.support.bridges import InProcess
from tests.support.chat_server import ChatServer, answering

BASIC_QA = {
    "name": "BasicQA",
    "docstring": "Answer questions with short factual answers",
    "inputs": [{"name": "question", "type": "string"}],
    "outputs": [{"name": "answer", "type": "string", "desc": "often between 1 and 5 words"}],
}
QUESTION = {"question": "What is the capital of France?"}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A provider that answers with the name of the model that it was asked for, and how warm."""

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return answering(f"{body['model']} at {body.get('temperature')}")(body)

    with ChatServer(answer) as running:
        yield running


def workflow(policy: OfflinePolicy, server: ChatServer, folder: Path) -> list[tuple[str, str, str]]:
    """The note's four steps; which model answered each execution, by which scope, and what."""
    default_lm = server.config(model="gpt-3.5-turbo")
    bridge = InProcess(BridgeSettings(offline_policy=policy, default_lm=default_lm, cassettes=str(folder)))
    bridge.call("create_program", {"id": "qa", "signature": BASIC_QA})
    creative = server.config(model="gpt-4", temperature=0.9)
    bridge.call("create_program", {"id": "creative", "signature": BASIC_QA, "lm_config": creative})
    bridge.call("configure_lm", {**server.config(model="gpt-4o-mini"), "session_id": "alice"})
    told = []
    for args in (
        {"program_id": "qa"},
        {"program_id": "creative"},
        {"program_id": "qa", "session_id": "alice"},
        {"program_id": "qa", "options": {"lm_config": server.config(model="gpt-4o")}},
    ):
        result = bridge.call("execute_program", {"inputs": QUESTION, **args})
        told.append((result["lm"]["model"], result["lm"]["scope"], result["outputs"]["answer"]))
    assert isinstance(bridge.bridge, Bridge)
    bridge.bridge.close()
    return told


ANSWERED_BY = [
    ("gpt-3.5-turbo", "default"),
    ("gpt-4", "program"),
    ("gpt-4o-mini", "session"),
    ("gpt-4o", "execution"),
]


def test_the_workflow_runs_on_mocks(server: ChatServer, tmp_path: Path) -> None:
    """Every scope decides as the note says, and nobody is asked."""
    told = workflow(OfflinePolicy.MOCK, server, tmp_path)

    assert [(model, scope) for model, scope, _ in told] == ANSWERED_BY
    assert server.requests == []


def test_the_workflow_runs_live(server: ChatServer, tmp_path: Path) -> None:
    """The same LMs, asked for real, each with its own parameters."""
    told = workflow(OfflinePolicy.LIVE, server, tmp_path)

    assert [(model, scope) for model, scope, _ in told] == ANSWERED_BY
    assert [answer for _, _, answer in told] == [
        "gpt-3.5-turbo at None",
        "gpt-4 at 0.9",
        "gpt-4o-mini at None",
        "gpt-4o at None",
    ]


def test_the_workflow_is_recorded_once_and_replayed_without_the_provider(server: ChatServer, tmp_path: Path) -> None:
    """What was said live is said again, and nobody is asked any more."""
    recorded = workflow(OfflinePolicy.RECORD, server, tmp_path)
    asked = len(server.requests)
    replayed = workflow(OfflinePolicy.REPLAY, server, tmp_path)

    assert [(model, scope) for model, scope, _ in recorded] == ANSWERED_BY
    assert replayed == recorded
    assert (asked, len(server.requests)) == (4, 4)

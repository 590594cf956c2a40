"""The journal says which LM answered each call, and why it was that one."""

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client, Transport

ASK = {"question": "Who?"}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with one program, on which two sessions have asked."""
    client: Client = connect(BridgeSettings(default_lm={"provider": "openai", "model": "gpt-4"}))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    client.call("configure_lm", {"provider": "mock", "responses": {"default": "me"}, "session_id": "alice"})
    for session_id in ("alice", None, "alice"):
        client.call("execute_program", {"program_id": "p", "inputs": ASK, "session_id": session_id})
    return client


def test_a_call_tells_who_asked_what_and_who_answered(bridge: Client, transport: Transport) -> None:
    """Scope, provider, model, program, session, worker, inputs and outputs of each call, in order."""
    calls = bridge.call("get_journal")["calls"]

    begin = calls[0]["seq"] - 1
    assert [(c["seq"] - begin, c["scope"], c["provider"], c["model"], c["session_id"]) for c in calls] == [
        (1, "session", "mock", "mock", "alice"),
        (2, "default", "openai", "gpt-4", None),
        (3, "session", "mock", "mock", "alice"),
    ]
    first = calls[0]
    assert (first["program_id"], first["inputs"], first["outputs"]) == ("p", ASK, {"answer": "me"})
    assert first["worker_id"] == ("worker_1_1" if transport == "pool-worker" else None)
    assert first["mocked"] is True
    assert first["usage"]["input_tokens"] > 0


def test_the_journal_is_read_in_parts(bridge: Client) -> None:
    """Since a number, of a session, of a program, the last few."""

    def seqs(**args: object) -> list[int]:
        return [call["seq"] for call in bridge.call("get_journal", args)["calls"]]

    first, second, third = seqs()
    assert seqs(since=first) == [second, third]
    assert seqs(session_id="alice") == [first, third]
    assert seqs(session_id="anonymous") == [second]
    assert seqs(program_id="q") == []
    assert seqs(limit=1) == [third]
    assert bridge.call("get_journal", {"since": third})["last_seq"] == third


def test_clearing_one_session_leaves_the_others(bridge: Client) -> None:
    """Clearing is scoped like sessions; numbers go on."""
    last = bridge.call("get_journal")["last_seq"]
    assert bridge.call("clear_journal", {"session_id": "alice"}) == {"status": "cleared", "calls_cleared": 2}
    bridge.call("execute_program", {"program_id": "p", "inputs": ASK})

    assert [call["seq"] for call in bridge.call("get_journal")["calls"]] == [last - 1, last + 1]


def test_a_failed_call_is_in_the_journal(bridge: Client) -> None:
    """What was asked of a mock without an answer can be read afterwards."""
    lm = {"provider": "mock", "responses": {"nothing like it": "x"}}
    bridge.ask("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm})

    last = bridge.call("get_journal", {"limit": 1})["calls"][0]

    assert (last["scope"], last["outputs"]) == ("execution", None)
    assert last["error"]


@pytest.mark.parametrize("args", [{"since": -1}, {"limit": "all"}, {"since": 1.5}])
def test_wrong_arguments_are_explained(bridge: Client, args: dict[str, object]) -> None:
    """The error says which argument wants what."""
    response = bridge.ask("get_journal", args)

    assert response.code == "invalid_args"
    assert "an integer of at least 0" in str(response.message)


def test_prompts_are_kept_and_told_on_demand(connect: Connect) -> None:
    """What was asked, part by part; the bridge has to be told to keep it, and the reader has to ask."""
    client = connect(BridgeSettings(default_lm={"provider": "openai", "model": "gpt-4"}, journal_prompts=True))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    client.call("execute_program", {"program_id": "p", "inputs": ASK})

    prompt = client.call("get_journal", {"prompts": True})["calls"][0]["prompt"]

    assert (prompt["model"], prompt["signature"], prompt["adapter"]) == (
        "openai/gpt-4",
        "question -> answer",
        "ChatAdapter",
    )
    assert (prompt["inputs"], prompt["demos"], prompt["tools"]) == (ASK, [], [])
    assert [message["role"] for message in prompt["messages"]] == ["system", "user"]
    assert all("prompt" not in call for call in client.call("get_journal")["calls"])

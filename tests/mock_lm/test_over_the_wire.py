"""What a spec says in Python it says to a bridge."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_testkit.bridge import Bridge
from dspex_testkit.protocol import Request

SPECS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "table": ({"responses": {"q": "a"}}, ["a", "a"]),
    "default": ({"default": "d"}, ["d", "d"]),
    "rules": ({"rules": [{"when": {"program": "p"}, "answer": {"$cycle": ["1", "2"]}}]}, ["1", "2"]),
    "times": ({"rules": [{"answer": "once", "times": 1}], "default": "then"}, ["once", "then"]),
    "call": ({"rules": [{"when": {"call": 2}, "answer": "second"}], "default": "other"}, ["other", "second"]),
    "session": ({"rules": [{"when": {"session": "s"}, "answer": "mine"}], "default": "no"}, ["mine", "mine"]),
    "template": ({"rules": [{"answer": {"$template": "{question}!"}}]}, ["q!", "q!"]),
    "script": ({"mode": "scripted", "answers": ["a", "b"]}, ["a", "b"]),
    "priced": ({"default": "x", "latency_ms": 1, "prices": {"input": "0.1", "output": 2}}, ["x", "x"]),
    "spoilt": ({"default": "x", "faults": [{"kind": "malformed", "calls": [1]}]}, ["x", "x"]),
}


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    """A bridge with one program."""
    bridge = Bridge()
    _send(bridge, "create_program", id="p", signature="question -> answer", session_id="s")
    yield bridge
    bridge.close()


def _send(bridge: Bridge, command: str, **args: Any) -> Any:
    # Through JSON, as it would come.
    response = bridge.handle(Request(1, command, json.loads(json.dumps(args))))
    assert response.success, response.message
    return response.result


def _answers(bridge: Bridge) -> list[str]:
    asked = {"program_id": "p", "inputs": {"question": "q"}, "session_id": "s"}
    return [_send(bridge, "execute_program", **asked)["outputs"]["answer"] for _ in range(2)]


@pytest.mark.parametrize("name", SPECS)
def test_a_bridge_answers_as_the_spec_says(bridge: Bridge, name: str) -> None:
    """Rules know who asks; positions belong to the assignment."""
    spec, expected = SPECS[name]
    _send(bridge, "configure_lm", provider="mock", session_id="s", **spec)
    assert _answers(bridge) == expected


def test_configuring_again_begins_again(bridge: Bridge) -> None:
    """The position of a script is of one assignment."""
    spec = {"provider": "mock", "mode": "scripted", "answers": ["a", "b"], "session_id": "s"}
    for _ in range(2):
        _send(bridge, "configure_lm", **spec)
        assert _answers(bridge) == ["a", "b"]


def test_the_journal_of_a_bridge_tells_rule_and_fault(bridge: Bridge) -> None:
    """What decided each answer, and what went wrong."""
    spec = {"rules": [{"name": "r", "answer": "x"}], "faults": [{"kind": "malformed", "calls": [1]}]}
    _send(bridge, "configure_lm", provider="mock", session_id="s", **spec)
    _answers(bridge)
    calls = _send(bridge, "get_journal", session_id="s")["calls"]
    assert [(call["rule"], call["fault"]) for call in calls] == [("r", "malformed"), ("r", None), ("r", None)]

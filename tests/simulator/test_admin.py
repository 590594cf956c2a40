"""The admin API serves who shows the token from this machine, and nobody else."""

from typing import Any

import pytest

from dspex_testkit.simulator import ProviderSimulator
from tests.support.web import Reply, ask


def admin(sim: ProviderSimulator, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One admin request with the right token."""
    return ask(
        f"{sim.url}/_admin/{path}",
        body,
        method=method,
        headers={"Authorization": f"Bearer {sim.token}", **headers},
    )


def hello(base: str) -> Reply:
    """A question."""
    return ask(f"{base}/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hello"}]})


def test_a_client_in_another_language_makes_and_changes_a_target(sim: ProviderSimulator) -> None:
    """Create, ask, reconfigure, read the journal: all over HTTP."""
    made = admin(sim, "POST", "targets", {"model": "openai/gpt-4o-mini", "spec": {"script": ["one"]}}).json

    first = hello(made["api_base"]).json["choices"][0]["message"]["content"]
    admin(sim, "PATCH", f"targets/{made['id']}", {"faults": ["overloaded"]})
    second = hello(made["api_base"]).status
    calls = admin(sim, "GET", f"journal?target={made['id']}").json["calls"]

    assert (first, second) == ("one", 503)
    assert [(call["rule"], call["fault"]) for call in calls] == [("script[0]", None), (None, "overloaded")]
    assert {"id": made["id"], "provider": "openai", "model": "gpt-4o-mini"}.items() <= next(
        target for target in admin(sim, "GET", "targets").json["targets"] if target["id"] == made["id"]
    ).items()


def test_a_target_can_be_removed(sim: ProviderSimulator) -> None:
    """It answers nobody any more; what it was asked stays in the journal, and the default target stays."""
    made = admin(sim, "POST", "targets", {"model": "openai/m"}).json
    hello(made["api_base"])

    assert admin(sim, "DELETE", f"targets/{made['id']}").json == {"id": made["id"]}
    assert hello(made["api_base"]).status == 404
    assert len(admin(sim, "GET", f"journal?target={made['id']}").json["calls"]) == 1
    assert admin(sim, "DELETE", f"targets/{made['id']}").status == 400
    assert "cannot be removed" in admin(sim, "DELETE", "targets/default").json["error"]


def test_reset_begins_anew() -> None:
    """The journal is empty, and scripts start from their first answer."""
    with ProviderSimulator({"script": ["one"]}) as sim:
        assert hello(f"{sim.url}/v1").status == 200
        assert hello(f"{sim.url}/v1").status == 400
        assert admin(sim, "POST", "reset").status == 200
        assert sim.calls == []
        assert hello(f"{sim.url}/v1").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"Authorization": "Bearer \xff"},
        {"Host": "evil.example"},
        {"Host": "[::1"},
        {"Origin": "https://evil.example"},
    ],
)
def test_strangers_are_refused(sim: ProviderSimulator, headers: dict[str, str]) -> None:
    """A wrong token, a foreign host (rebound names) and a foreign page each get 403."""
    for method, path in (("GET", "journal"), ("POST", "reset"), ("GET", "targets")):
        assert admin(sim, method, path, **headers).status == 403


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "model"),
        ({"model": "openai/m", "spec": {"function": "os:system"}}, "function cannot be set over HTTP"),
        ({"model": "openai/m", "spec": {"respnses": {}}}, "did you mean 'responses'"),
        ({"model": "openai/m", "fault": []}, "Unknown key 'fault'"),
        ({"model": "openai/m", "spec": 7}, "spec: an object"),
        ({"model": "openai/m", "faults": 7}, "faults: a list"),
        ({"model": "openai/m", "limits": {"requests_per_minute": "x"}}, "a number above 0"),
        ({"model": "openai/m", "cassette": 7}, "the name of a cassette"),
        ({"model": "openai/m", "cassette_options": []}, "cassette_options: an object"),
        (b"{", "no JSON"),
    ],
)
def test_bad_input_is_told(sim: ProviderSimulator, body: Any, says: str) -> None:
    """Nothing is imported, nothing is guessed."""
    reply = admin(sim, "POST", "targets", body)

    assert reply.status == 400
    assert says in reply.json["error"]


def test_the_key_of_a_target_is_told_once(sim: ProviderSimulator) -> None:
    """Only to who makes it."""
    made = admin(sim, "POST", "targets", {"model": "openai/m"}).json

    assert made["api_key"] not in admin(sim, "GET", "targets").text + admin(sim, "GET", "journal").text

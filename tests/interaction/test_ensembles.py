"""Several LMs that answer as one, in every scope and over every transport."""

from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client

ASK = {"question": "What is the capital of France?"}
SLOW = 3_600_000


def says(answer: str, **mock: Any) -> dict[str, Any]:
    """A member that gives one answer."""
    return {"provider": "mock", "model": f"says-{answer}", "responses": {"default": answer}, **mock}


def fails(fault: str) -> dict[str, Any]:
    """A member that fails in one way."""
    return {"provider": "mock", "model": f"fails-{fault}", "faults": [fault]}


def ensemble(strategy: str, *members: Any, **more: Any) -> dict[str, Any]:
    """An ensemble's config."""
    return {"kind": "ensemble", "strategy": strategy, "members": list(members), **more}


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge with one program, that may import the scores of these tests."""
    client: Client = connect(BridgeSettings(allow_import=("tests.support.scores",)))
    client.call("create_program", {"id": "p", "signature": "question -> answer"})
    return client


def run(bridge: Client, lm: Any, **args: Any) -> dict[str, Any]:
    """One execution's result."""
    return bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm, **args})


def answer(bridge: Client, lm: Any) -> str:
    """What an ensemble answers."""
    heard: str = run(bridge, lm)["outputs"]["answer"]
    return heard


def test_the_majority_answers(bridge: Client) -> None:
    """Two of three agree, but for case and punctuation; the result tells who."""
    result = run(bridge, ensemble("majority", says("Rome"), says("Paris"), says("paris.")))

    assert result["outputs"] == {"answer": "Paris"}
    report = result["lm"]["ensemble"][0]
    assert (result["lm"]["provider"], report["decided_by"]) == ("ensemble", [1, 2])
    assert report["votes"]["answer"] == {"votes": 2.0, "of": 3.0, "tied": False, "members": [1, 2]}


def test_a_majority_may_be_of_values_that_no_member_gave_together(bridge: Client) -> None:
    """Each output field is decided by itself."""
    bridge.call("create_program", {"id": "two", "signature": "question -> city: str, year: int"})
    members = [
        {"provider": "mock", "responses": {"default": {"city": city, "year": year}}}
        for city, year in (("Paris", 1), ("Paris", 2), ("Rome", 2))
    ]

    outputs = run(bridge, ensemble("majority", *members), program_id="two")["outputs"]

    assert outputs == {"city": "Paris", "year": 2}


def test_weights_decide_a_majority(bridge: Client) -> None:
    """One heavy member against two light ones."""
    assert answer(bridge, ensemble("majority", says("a"), says("b"), says("b"), weights=[3, 1, 1])) == "a"


def test_a_chain_moves_on_after_failures_that_another_may_mend(bridge: Client) -> None:
    """Rate limits, server failures and the like; who failed is told."""
    result = run(bridge, ensemble("first_success", fails("rate_limit"), fails("server_error"), says("third")))

    report = result["lm"]["ensemble"][0]
    assert (result["outputs"], report["decided_by"]) == ({"answer": "third"}, [2])
    assert [member.get("error", "").split(":")[0] for member in report["members"]] == [
        "LMRateLimitError",
        "LMServerError",
        "",
    ]


def test_a_chain_asks_nobody_after_a_success(bridge: Client) -> None:
    """The second member costs nothing."""
    run(bridge, ensemble("first_success", says("first"), says("second")))
    assert [call["model"] for call in bridge.call("get_journal")["calls"]] == ["says-first", "first_success"]


def test_a_chain_covers_up_no_mistake_of_a_test(bridge: Client) -> None:
    """A mock without an answer ends the chain, unless that is asked for."""
    lost = {"provider": "mock", "responses": {"something else": "x"}}
    refused = bridge.ask(
        "execute_program",
        {"program_id": "p", "inputs": ASK, "lm_config": ensemble("first_success", lost, says("second"))},
    )

    assert refused.code == "ensemble_failed"
    assert "No key of this mock's responses matches" in str(refused.message)
    assert answer(bridge, ensemble("first_success", lost, says("second"), on_errors=["mock"])) == "second"
    assert answer(bridge, ensemble("first_success", lost, says("second"), on_errors=["any"])) == "second"


def test_the_best_by_a_function(bridge: Client) -> None:
    """The function is named by its path, where that is allowed."""
    lm = ensemble("best_of", says("short"), says("much longer"), says("long"), score="tests.support.scores:longest")
    result = run(bridge, lm)

    assert result["outputs"]["answer"] == "much longer"
    assert result["lm"]["ensemble"][0]["scores"] == {"0": 5.0, "1": 11.0, "2": 4.0}


def test_the_best_by_a_judge(bridge: Client) -> None:
    """The judge is an LM like any other; what it was asked is in the journal."""
    judge = {"provider": "mock", "model": "judge", "responses": {"default": 2}}
    assert answer(bridge, ensemble("best_of", says("a"), says("b"), judge=judge)) == "b"

    judged = next(call for call in bridge.call("get_journal")["calls"] if call["model"] == "judge")
    assert judged["inputs"]["candidates"] == [{"answer": "a"}, {"answer": "b"}]
    assert judged["parent_id"]


def test_all_answers_are_returned(bridge: Client) -> None:
    """The first that came about goes to the program, every one to the client."""
    result = run(bridge, ensemble("all", fails("timeout"), says("two"), says("three")))

    members = result["lm"]["ensemble"][0]["members"]
    assert result["outputs"] == {"answer": "two"}
    assert [member["outputs"] for member in members] == [None, {"answer": "two"}, {"answer": "three"}]


def test_members_are_asked_at_the_same_time(bridge: Client) -> None:
    """Members that each take long are there together: whoever is asked last has begun before the first has ended."""
    bridge.call("clear_journal")
    run(bridge, ensemble("all", *[says(str(n), latency_ms=300) for n in range(4)]))

    calls = [call for call in bridge.call("get_journal")["calls"] if call["parent_id"]]
    begun = [call["time"] - call["latency_ms"] / 1000 for call in calls]
    assert max(begun) < min(call["time"] for call in calls)


@pytest.mark.parametrize("strategy", ["majority", "all"])
def test_at_the_time_limit_the_answers_at_hand_decide(bridge: Client, strategy: str) -> None:
    """Who is late is reported as failed and not waited for."""
    result = run(bridge, ensemble(strategy, says("late", latency_ms=SLOW), says("here"), time_limit_ms=200))

    assert result["outputs"] == {"answer": "here"}
    assert "within the ensemble's 200 ms" in result["lm"]["ensemble"][0]["members"][0]["error"]


@pytest.mark.parametrize("strategy", ["majority", "first_success"])
def test_nothing_at_hand_at_the_time_limit_is_a_failure(bridge: Client, strategy: str) -> None:
    """The error says who was waited for."""
    lm = ensemble(strategy, says("late", latency_ms=SLOW), time_limit_ms=50)
    response = bridge.ask("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm})

    assert response.code == "ensemble_failed"
    assert "mock/says-late" in str(response.message)


def test_too_few_answers_for_the_quorum_are_a_failure(bridge: Client) -> None:
    """One of three is enough unless more are asked for."""
    members = [says("a"), fails("server_error"), fails("rate_limit")]
    lm = ensemble("majority", *members, quorum=2)
    response = bridge.ask("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm})

    assert response.code == "ensemble_failed"
    assert "1 of 3 members answered, 2 were wanted" in str(response.message)
    assert len(response.details["members"]) == 3
    assert answer(bridge, ensemble("majority", *members)) == "a"


def test_members_are_journaled_as_children_of_one_call(bridge: Client) -> None:
    """Tokens and cost of the parent are the sums of the members'."""
    members = [{"provider": "openai", "model": "gpt-4o-mini", "mock": {"responses": {"default": a}}} for a in "ab"]
    run(bridge, ensemble("majority", *members))

    *children, parent = bridge.call("get_journal")["calls"]

    assert [child["parent_id"] for child in children] == [parent["call_id"]] * 2
    assert (parent["engine"], parent["parent_id"], parent["signature"]) == ("ensemble", None, children[0]["signature"])
    assert float(parent["cost"]) == sum(float(child["cost"]) for child in children) > 0
    assert parent["usage"]["input_tokens"] == sum(child["usage"]["input_tokens"] for child in children)
    assert parent["details"]["members"][1]["outputs"] == {"answer": "b"}


def test_an_ensemble_may_stand_in_an_ensemble(bridge: Client) -> None:
    """Each call knows its own parent, and no cost is counted twice."""
    inner = ensemble("first_success", fails("timeout"), says("inner"), model="inner")
    assert answer(bridge, ensemble("majority", inner, says("inner"), model="outer")) == "inner"

    calls = {call["model"]: call for call in bridge.call("get_journal")["calls"]}
    assert calls["fails-timeout"]["parent_id"] == calls["inner"]["call_id"]
    assert calls["inner"]["parent_id"] == calls["outer"]["call_id"]


def test_an_ensemble_answers_in_every_scope(bridge: Client) -> None:
    """As a session's LM, a program's, a named one; each member counts for its assignment."""
    lm = ensemble("first_success", {"provider": "mock", "script": ["one", "two"]})
    bridge.call("configure_lm", {**lm, "session_id": "alice"})
    bridge.call("create_program", {"id": "own", "signature": "question -> answer", "lm_config": lm})
    bridge.call("define_lm", {"name": "team", **lm})

    def heard(program_id: str, **args: Any) -> tuple[str, str]:
        result = bridge.call("execute_program", {"program_id": program_id, "inputs": ASK, **args})
        return result["outputs"]["answer"], result["lm"]["scope"]

    assert [heard("p", session_id="alice"), heard("own"), heard("p", lm="team"), heard("p", lm="team")] == [
        ("one", "session"),
        ("one", "program"),
        ("one", "execution"),
        ("two", "execution"),
    ]


def test_members_may_be_named(bridge: Client) -> None:
    """A redefined member is a different one from the next execution on."""
    bridge.call("define_lm", {"name": "a", **says("first")})
    lm = ensemble("majority", "a", "a", says("other"))
    bridge.call("configure_lm", lm)
    before = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"]
    bridge.call("define_lm", {"name": "a", **says("second")})

    assert before == {"answer": "first"}
    assert bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"] == {"answer": "second"}
    assert bridge.ask("undefine_lm", {"name": "a"}).code == "lm_in_use"


def test_a_program_carries_its_ensemble_to_another_worker(bridge: Client) -> None:
    """What a pool remembers of a create is enough to build it again, keys excepted."""
    lm = ensemble("majority", says("a"), says("a"), {**says("b"), "api_key": "sk-secret-0123456789"}, weights=[1, 1, 1])
    created = bridge.call("create_program", {"id": "own", "signature": "question -> answer", "lm_config": lm})
    bridge.call("reset_state")

    args = {"program_id": "own", "program_data": created, "inputs": ASK}
    assert bridge.call("execute_program", args)["outputs"] == {"answer": "a"}
    assert "sk-secret" not in str(created)


@pytest.mark.parametrize(
    ("lm", "hint"),
    [
        (ensemble("majority"), "at least one LM config"),
        (ensemble("majorty", says("a")), "did you mean 'majority'"),
        (ensemble("majority", {"temperature": 1}), "members[0]: Model name is required"),
        (ensemble("majority", says("a"), "nobody-knows"), "members[1]: Which provider serves"),
        (ensemble("majority", says("a"), weights=[1, 2]), "weights must be a list of 1 numbers"),
        (ensemble("majority", says("a"), weights=[0]), "not all 0"),
        (ensemble("majority", says("a"), weights=[-1]), "at least 0"),
        (ensemble("majority", says("a"), quorum=2), "quorum must be an integer from 1 to 1"),
        (ensemble("majority", says("a"), time_limit_ms=0), "time_limit_ms must be an integer of at least 1"),
        (ensemble("majority", says("a"), score="a:b"), "'score' is for best_of"),
        (ensemble("first_success", says("a"), on_errors=["ratelimit"]), "did you mean 'rate_limit'"),
        (ensemble("first_success", says("a"), quorum=1), "'quorum' is for"),
        (ensemble("best_of", says("a")), "either 'score'"),
        (ensemble("best_of", says("a"), score="a:b", judge=says("1")), "either 'score'"),
        (ensemble("best_of", says("a"), score="nowhere"), "package.module:name"),
        (ensemble("best_of", says("a"), score="os:getcwd"), "DSPEX_TESTKIT_ALLOW_IMPORT=os"),
        (ensemble("majority", says("a"), api_key="sk-0123456789"), "give it to the members"),
        ({"kind": "ensembl", "members": []}, "did you mean 'ensemble'"),
    ],
)
def test_an_impossible_ensemble_is_explained(bridge: Client, lm: dict[str, Any], hint: str) -> None:
    """The error says what to write, and where."""
    response = bridge.ask("configure_lm", lm)

    assert response.code == "invalid_lm_config"
    assert hint in str(response.message)


def test_a_broken_score_is_the_ensemble_s_failure(bridge: Client) -> None:
    """The error names the function's own."""
    lm = ensemble("best_of", says("a"), says("b"), score="tests.support.scores:broken")
    response = bridge.ask("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm})

    assert response.code == "ensemble_failed"
    assert "ZeroDivisionError: no score" in str(response.message)


def test_a_judge_who_picks_nobody_is_a_failure(bridge: Client) -> None:
    """Candidates are counted from 1."""
    lm = ensemble("best_of", says("a"), says("b"), judge=says("7"))
    response = bridge.ask("execute_program", {"program_id": "p", "inputs": ASK, "lm_config": lm})

    assert response.code == "ensemble_failed"
    assert "picked candidate 7" in str(response.message)

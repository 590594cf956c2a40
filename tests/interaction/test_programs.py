"""Programs: created, executed, listed, shown and deleted as DSPex's adapters do it."""

import time
from typing import Any

import pytest

from dspex_testkit.bridge import BridgeSettings
from tests.interaction.conftest import Connect
from tests.support.bridges import Client, Transport

QA = {
    "name": "QA",
    "inputs": [{"name": "question", "type": "string"}],
    "outputs": [{"name": "answer", "type": "string"}],
}
ASK = {"question": "What is the capital of France?"}
MOCK = {"provider": "mock", "responses": {"What is the capital of France?": "Paris", "default": "mock response"}}

STORED_BY_THE_POOL = (
    "program_id",
    "signature_def",
    "signature_class",
    "field_mapping",
    "fallback_used",
    "program_type",
    "signature",
)


@pytest.fixture
def bridge(connect: Connect) -> Client:
    """A bridge on which the seed's mock answers."""
    client: Client = connect(BridgeSettings(default_lm=MOCK))
    return client


def test_an_execution_answers_nested_and_flat(bridge: Client) -> None:
    """DSPex reads `outputs`, its behaviour tests read the fields beside it."""
    bridge.call("create_program", {"id": "qa", "signature": QA})

    result = bridge.call("execute_program", {"program_id": "qa", "inputs": ASK})

    assert result["outputs"] == {"answer": "Paris"}
    assert result["answer"] == "Paris"
    assert isinstance(result["execution_time"], float)


def test_execution_time_is_what_the_execution_took(bridge: Client) -> None:
    """Seconds from its beginning to its end, no time of day."""
    bridge.call("create_program", {"id": "qa", "signature": QA})
    begun = time.monotonic()
    took = bridge.call("execute_program", {"program_id": "qa", "inputs": ASK})["execution_time"]

    assert 0 < took <= time.monotonic() - begun


def test_an_output_named_like_a_result_key_stays_nested(bridge: Client) -> None:
    """The keys that adapters rely on are not overwritten by a field of the same name."""
    outputs = [{"name": name, "type": "string"} for name in ("program_id", "outputs", "lm")]
    bridge.call("create_program", {"id": "p", "signature": {**QA, "outputs": outputs}})

    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": "x"}})

    assert result["program_id"] == "p"
    assert set(result["outputs"]) == {"program_id", "outputs", "lm"}
    assert result["lm"]["scope"] == "default"


def test_create_returns_all_that_a_pool_stores(bridge: Client) -> None:
    """DSPex's pool copies exactly these keys."""
    created = bridge.call("create_program", {"id": "qa", "signature": QA})

    assert [key for key in STORED_BY_THE_POOL if key not in created] == []
    assert (created["status"], created["field_mapping"]) == ("created", {"question": "question", "answer": "answer"})


@pytest.mark.parametrize("definition", [{}, {"program_type": "chain_of_thought"}])
def test_program_data_alone_is_enough_on_a_fresh_worker(connect: Connect, definition: dict[str, Any]) -> None:
    """What the pool stored rebuilds the program, its type and its LM on a worker that never saw the create."""
    own = {"provider": "mock", "model": "own", "responses": {"default": "own answer"}}
    first = connect(BridgeSettings(default_lm=MOCK))
    created = first.call("create_program", {"id": "qa", "signature": QA, "lm_config": own, **definition})
    data = {key: created[key] for key in STORED_BY_THE_POOL}
    fresh = connect(BridgeSettings(default_lm=MOCK))

    result = fresh.call("execute_program", {"program_id": "qa", "inputs": ASK, "program_data": data})

    assert result["answer"] == "own answer"
    assert result["lm"]["scope"] == "program"
    assert fresh.call("get_program_info", {"program_id": "qa"})["program_type"] == created["program_type"]


def test_executions_from_program_data_are_counted(connect: Connect) -> None:
    """Beside the program that was rebuilt, whatever count came with it."""
    data = connect(BridgeSettings(default_lm=MOCK)).call("create_program", {"id": "qa", "signature": QA})
    fresh = connect(BridgeSettings(default_lm=MOCK))
    for _ in range(2):
        fresh.call(
            "execute_program", {"program_id": "qa", "inputs": ASK, "program_data": {**data, "execution_count": 0}}
        )

    assert fresh.call("get_program_info", {"program_id": "qa"})["execution_count"] == 2
    assert fresh.call("get_stats")["execution_count"] == 2


def test_program_data_does_not_bring_back_what_was_deleted(bridge: Client) -> None:
    """Elixir keeps its copy after a delete."""
    created = bridge.call("create_program", {"id": "qa", "signature": QA})
    bridge.call("delete_program", {"program_id": "qa"})

    response = bridge.ask("execute_program", {"program_id": "qa", "inputs": ASK, "program_data": created})

    assert response.code == "program_not_found"


@pytest.mark.parametrize("deleter", [None, "alice", "bob"])
@pytest.mark.parametrize("asker", [None, "alice", "bob"])
def test_a_program_of_nobody_s_is_gone_for_everybody(bridge: Client, deleter: str | None, asker: str | None) -> None:
    """Whoever deletes it and whoever remembers it: a session's copy does not bring it back in the session either."""

    def of(session: str | None) -> dict[str, Any]:
        return {"program_id": "qa", **({} if session is None else {"session_id": session})}

    created = bridge.call("create_program", {"id": "qa", "signature": QA})
    bridge.call("delete_program", of(deleter))

    response = bridge.ask("execute_program", {**of(asker), "inputs": ASK, "program_data": created})

    assert response.code == "program_not_found"
    assert bridge.call("list_programs")["programs"] == []


def test_a_session_may_have_a_program_where_everybody_s_was_deleted(bridge: Client) -> None:
    """What the session creates afterwards, or had before, is its own; also as its pool remembers it."""
    bridge.call("configure_lm", MOCK)
    bridge.call("create_program", {"id": "qa", "signature": QA})
    bridge.call("delete_program", {"program_id": "qa"})
    created = bridge.call("create_program", {"id": "qa", "signature": QA, "session_id": "alice"})

    asked = {"program_id": "qa", "inputs": ASK, "session_id": "alice", "program_data": created}

    assert bridge.ask("execute_program", asked).success
    assert bridge.ask("execute_program", {**asked, "session_id": "bob"}).code == "program_not_found"


def test_programs_are_listed_counted_and_shown(bridge: Client) -> None:
    """Listing and info share one record, with its executions counted."""
    for program_id in ("one", "two", "three"):
        bridge.call("create_program", {"id": program_id, "signature": QA})
    bridge.call("execute_program", {"program_id": "two", "inputs": ASK})

    listed = bridge.call("list_programs")
    info = bridge.call("get_program_info", {"program_id": "two"})

    assert ([entry["id"] for entry in listed["programs"]], listed["total_count"]) == (["one", "two", "three"], 3)
    assert [entry["execution_count"] for entry in listed["programs"]] == [0, 1, 0]
    assert info["execution_count"] == 1
    assert info["last_executed"] is not None
    assert info["signature"] == QA


def test_deleting_is_final(bridge: Client) -> None:
    """After a delete every command says `Program not found`."""
    bridge.call("create_program", {"id": "qa", "signature": QA})
    assert bridge.call("delete_program", {"program_id": "qa"}) == {"program_id": "qa", "status": "deleted"}

    for command in ("execute_program", "get_program_info", "delete_program"):
        response = bridge.ask(command, {"program_id": "qa", "inputs": ASK})
        assert (response.code, response.message) == ("program_not_found", "Program not found: qa")


def test_a_missing_program_names_its_neighbours(bridge: Client) -> None:
    """A typing error in the id is pointed out in the details."""
    bridge.call("create_program", {"id": "question_answering", "signature": QA})

    response = bridge.ask("execute_program", {"program_id": "question_answerin", "inputs": ASK})

    assert response.details["nearest"] == ["question_answering"]


def test_the_same_definition_may_be_created_again(bridge: Client) -> None:
    """DSPex's behaviour tests create one id in two tests on one bridge."""
    for _ in range(2):
        bridge.call("create_program", {"id": "qa", "signature": QA})

    assert bridge.call("list_programs")["total_count"] == 1


def test_another_definition_under_a_taken_id(bridge: Client, transport: Transport) -> None:
    """A standalone bridge refuses it in the contract's words; a pool worker replaces."""
    bridge.call("create_program", {"id": "qa", "signature": QA})

    response = bridge.ask("create_program", {"id": "qa", "signature": {**QA, "outputs": [{"name": "verdict"}]}})

    if transport == "pool-worker":
        assert response.success
    else:
        assert (response.code, response.message) == ("program_exists", "Program with ID 'qa' already exists")


@pytest.mark.parametrize("args", [{"signature": None}, {}])
def test_a_create_without_a_signature_is_invalid(bridge: Client, args: dict[str, Any]) -> None:
    """The error holds the words that DSPex's examples and mocks look for."""
    response = bridge.ask("create_program", {"id": "qa", **args})

    assert response.code == "invalid_program"
    assert "Invalid" in str(response.message)
    assert "Program signature is required" in str(response.message)


def test_missing_inputs_are_named_and_extras_dropped(bridge: Client) -> None:
    """The error says which inputs are missing; a stray `session_id` among the inputs is nobody's business."""
    inputs = [{"name": "question", "type": "string"}, {"name": "context", "type": "string"}]
    bridge.call("create_program", {"id": "p", "signature": {**QA, "inputs": inputs}})

    response = bridge.ask("execute_program", {"program_id": "p", "inputs": {"question": "x", "session_id": "s"}})
    result = bridge.call(
        "execute_program", {"program_id": "p", "inputs": {**ASK, "context": "c", "session_id": "s", "lm": "x"}}
    )

    assert response.code == "invalid_args"
    assert "Missing" in str(response.message)
    assert "context" in str(response.message)
    assert result["answer"] == "Paris"


def test_inputs_of_the_wrong_type_are_refused(bridge: Client) -> None:
    """The error names the field, what was wanted and what came; the next request works."""
    bridge.call("create_program", {"id": "p", "signature": {**QA, "inputs": [{"name": "n", "type": "integer"}]}})

    response = bridge.ask("execute_program", {"program_id": "p", "inputs": {"n": "five"}})

    assert response.code == "invalid_args"
    assert "'n'" in str(response.message)
    assert bridge.call("execute_program", {"program_id": "p", "inputs": {"n": 5}})["answer"]


def test_typed_outputs_arrive_typed(bridge: Client) -> None:
    """Numbers, booleans, lists and maps are JSON values of that type, never texts."""
    outputs = [
        {"name": "count", "type": "integer"},
        {"name": "score", "type": "float"},
        {"name": "sure", "type": "boolean"},
        {"name": "tags", "type": "list<string>"},
        {"name": "extra", "type": "dict<string, integer>"},
        {"name": "mood", "type": "string", "enum": ["good", "bad"]},
    ]
    values = {
        "count": 2**70,
        "score": 0.5,
        "sure": True,
        "tags": ["a", "ü"],
        "extra": {"x": 1},
        "mood": "good",
    }
    lm = {"provider": "mock", "responses": {"default": values}}
    bridge.call("create_program", {"id": "p", "signature": {**QA, "outputs": outputs}, "lm_config": lm})

    result = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})

    assert result["outputs"] == values
    assert [type(result["outputs"][name]) for name in ("count", "score", "sure")] == [int, float, bool]


def test_derived_answers_are_typed_too(bridge: Client) -> None:
    """Without a table, values are made up that fit the declared types."""
    outputs = [{"name": "count", "type": "integer"}, {"name": "p", "type": "probability"}, {"name": "text"}]
    bridge.call("create_program", {"id": "p", "signature": {**QA, "outputs": outputs}, "lm_config": "mock"})

    outputs_of = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"]

    assert type(outputs_of["count"]) is int
    assert 0 <= outputs_of["p"] <= 1
    assert "text" in outputs_of["text"]


@pytest.mark.parametrize("size", [70_000, 8 << 20])
def test_large_payloads_pass_unchanged(bridge: Client, size: int) -> None:
    """Texts beyond the pipe's buffer travel both ways."""
    text = "é" * (size // 2)
    lm = {"provider": "mock", "responses": {"default": text}}
    bridge.call("create_program", {"id": "p", "signature": QA, "lm_config": lm})

    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": text}})

    assert result["answer"] == text


def test_an_unmatched_table_without_default_is_an_error(bridge: Client) -> None:
    """The nearest keys are shown, and what to write."""
    lm = {"provider": "mock", "responses": {"What is the capital of Spain?": "Madrid"}}
    bridge.call("create_program", {"id": "p", "signature": QA, "lm_config": lm})

    response = bridge.ask("execute_program", {"program_id": "p", "inputs": ASK})

    assert response.code == "no_matching_rule"
    assert str(response.message).startswith("Program execution failed: ")
    assert "What is the capital of Spain?" in str(response.message)


def test_an_unknown_program_type_is_refused(bridge: Client) -> None:
    """The nearest type is named."""
    response = bridge.ask("create_program", {"id": "p", "signature": QA, "program_type": "chain_of_thougt"})

    assert response.code == "invalid_program"
    assert "did you mean 'chain_of_thought'" in str(response.message)


def test_chain_of_thought_reasons_first(bridge: Client) -> None:
    """The reasoning comes beside the declared outputs."""
    bridge.call("create_program", {"id": "p", "signature": QA, "program_type": "chain_of_thought"})

    outputs = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"]

    assert outputs["answer"] == "Paris"
    assert "reasoning" in outputs["reasoning"]


def test_react_calls_its_canned_tools_and_finishes(bridge: Client) -> None:
    """With no answers given, the mock calls each declared tool once with fitting arguments, then finishes."""
    tools = [
        {"name": "weather", "description": "Weather of a city", "args": {"city": "string"}, "returns": "sunny"},
        {"name": "add", "args": {"a": "integer", "b": "integer"}, "responses": {"default": 3}},
    ]
    created = {"id": "p", "signature": QA, "program_type": "react", "tools": tools, "lm_config": "mock"}
    bridge.call("create_program", created)

    result = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})
    thoughts = [call["outputs"] for call in bridge.call("get_journal")["calls"]]

    assert result["answer"]
    assert [thought.get("next_tool_name") for thought in thoughts] == ["weather", "add", "finish", None]


@pytest.mark.parametrize(
    ("tools", "text"),
    [
        ("weather", "tools must be a list"),
        ([{"name": "no spaces please", "returns": 1}], "identifier"),
        ([{"name": "finish", "returns": 1}], "'finish' is taken"),
        ([{"name": "a", "returns": 1}, {"name": "a", "returns": 1}], "declared before"),
        ([{"name": "a"}], "no canned answer"),
        ([{"name": "a", "returns": 1, "args": {"x": "strng"}}], "argument 'x' of tool 'a'"),
    ],
)
def test_unusable_tools_are_explained(bridge: Client, tools: object, text: str) -> None:
    """Each error says which tool and why."""
    response = bridge.ask("create_program", {"id": "p", "signature": QA, "program_type": "react", "tools": tools})

    assert response.code == "invalid_program"
    assert text in str(response.message)


def test_tools_belong_to_react(bridge: Client) -> None:
    """Tools that would never be called are an error, not decoration."""
    response = bridge.ask("create_program", {"id": "p", "signature": QA, "tools": [{"name": "a", "returns": 1}]})

    assert response.code == "invalid_program"


def test_program_of_thought_runs_its_code_locally_where_allowed(connect: Connect) -> None:
    """With the local interpreter switched on, a mock's code runs and the program answers."""
    bridge = connect(BridgeSettings(default_lm="mock", allow_local_interpreter=True))
    bridge.call("create_program", {"id": "p", "signature": QA, "program_type": "program_of_thought"})

    assert "answer" in bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["answer"]


def test_predict_answers_at_once_and_keeps_nothing(bridge: Client) -> None:
    """With a signature it is create and execute in one."""
    result = bridge.call("predict", {"signature": QA, "inputs": ASK})

    assert result["answer"] == "Paris"
    assert bridge.call("list_programs")["total_count"] == 0


def test_predict_without_a_signature_is_a_probe(connect: Connect) -> None:
    """DSPex's pool benchmarks send a bare input and count every error as a failure."""
    result = connect().call("predict", {"input": "benchmark 1", "benchmark": True})

    assert "output" in result["outputs"]["output"]
    assert result["lm"]["mocked"]


def test_unusable_signatures_fall_back_and_say_so(bridge: Client) -> None:
    """The declared outputs are still filled, so that clients which wait for them go on."""
    signature = {"inputs": [{"name": "", "type": "invalid"}], "outputs": [{"name": "result", "type": "string"}]}

    created = bridge.call("create_program", {"id": "p", "signature": signature})
    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": ASK["question"]}})

    assert created["fallback_used"]
    assert created["warnings"]
    assert result["outputs"] == {"answer": "Paris", "result": "Paris"}


def test_strict_signatures_refuse_what_they_cannot_use(connect: Connect) -> None:
    """With the switch on, the fallback becomes the error `Invalid …`."""
    bridge = connect(BridgeSettings(strict=True, default_lm="mock"))

    response = bridge.ask("create_program", {"id": "p", "signature": {"inputs": [], "outputs": []}})

    assert response.code == "invalid_program"
    assert "Invalid" in str(response.message)


def test_dynamic_signatures_can_be_switched_off(connect: Connect) -> None:
    """`DSPEX_DYNAMIC_SIGNATURES=false` makes every program `question -> answer`."""
    bridge = connect(BridgeSettings(dynamic_signatures=False, default_lm=MOCK))
    bridge.call("create_program", {"id": "p", "signature": {**QA, "outputs": [{"name": "verdict"}]}})

    assert bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"]["answer"] == "Paris"

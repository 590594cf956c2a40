"""The conformance checklist of the wire contract, row by row, against the launcher that DSPex starts.

Rows 11 and 12 hold here for one bridge at a time and for two workers of one pool; `tests/host` says more of what the
workers of a pool share, and of who does not.
"""

import contextlib
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dspex_testkit.protocol import Request, encode_frame
from tests.conformance.conftest import Launch
from tests.support.bridges import PATIENCE, Process

QA = {"name": "QA", "inputs": [{"name": "question"}], "outputs": [{"name": "answer", "type": "string"}]}
ASK = {"question": "Who?"}


def test_row_1_the_file_passes_the_text_checks_and_is_one_visible_process(script: Path, bridge: Process) -> None:
    """DSPex reads the file's text, and its reapers look for the file's name on the command line."""
    text = script.read_text(encoding="utf-8")
    for pattern in (r"class DSPyBridge", r"def handle_command", r"def main\(\)"):
        assert re.search(pattern, text)
    assert script.name == "dspy_bridge.py"

    bridge.call("ping")
    process = psutil.Process(bridge.process.pid)
    command_line = " ".join(process.cmdline())

    assert "dspy_bridge.py" in command_line
    assert ("pool-worker" in command_line) == (bridge.mode == "pool-worker")  # type: ignore[attr-defined]
    assert process.children(recursive=True) == []


def test_row_2_the_first_reply_comes_before_dspy_is_imported(launch: Launch, tmp_path: Path) -> None:
    """With a dspy whose import never ends, pings are answered all the same."""
    package = tmp_path / "hanging" / "dspy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import threading\nthreading.Event().wait()\n", encoding="utf-8")
    bridge = launch(env={"PYTHONPATH": str(package.parent)})

    assert [bridge.call("ping")["status"] for _ in range(3)] == ["ok", "ok", "ok"]


def test_row_3_descriptor_1_is_private_and_stderr_silent(launch: Launch, tmp_path: Path) -> None:
    """What libraries print, in Python or below it, reaches neither the port nor stderr."""
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "def chatter():\n"
        "    print('noise'); print('noise', file=sys.stderr); os.system('echo noise; echo noise >&2')\n"
        "import threading\n"
        "threading.Timer(0.2, chatter).start()\n"
        "atexit.register(chatter)\n",
        encoding="utf-8",
    )
    bridge = launch(env={"DSPEX_TESTKIT_DEFAULT_LM": "mock", "PYTHONPATH": str(noise)})
    bridge.call("create_program", {"id": "p", "signature": QA})
    for _ in range(3):
        bridge.call("execute_program", {"program_id": "p", "inputs": ASK})
    bridge.call("shutdown")

    assert bridge.receive() is None
    assert bridge.end() == (0, "")


@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        (b'{"id": 5, "command": "ping", "args": null}', True),
        (b'{"id": 5, "command": "ping"}', True),
        (b'{"id": 5, "id": 5, "command": "ping", "args": {"session_id": "a", "session_id": "b"}}', True),
        (b'{"id": 5, "command": "ping", "args": {}, "unknown": [1, {"a": null}]}', True),
        (b'{"id": 5, "command": "no_such_command", "args": {}}', False),
        (b'{"id": 5, "args": {}}', False),
        (b'{"id": 5, "command": 7}', False),
        (b'{"id": 5, "command": "ping", "args": [1]}', False),
        (b'{"id": 5, "command": "ping", "args": {', False),
        (b'{"id": 5, "command": "ping", "args": {"x": NaN}}', False),
    ],
)
def test_row_4_every_id_that_can_be_read_is_answered_once(bridge: Process, payload: bytes, answered: bool) -> None:
    """Broken requests get an error under their id; none of them harms the next one."""
    bridge.send_bytes(encode_frame(payload))
    response = bridge.receive()

    assert response is not None
    assert (response.id, response.success) == (5, answered)
    assert bridge.call("ping")["status"] == "ok"


@pytest.mark.parametrize(
    "payload", [b"", b"[1, 2]", b"5", b'"text"', b"null", b"\xff\xfe", b"\x83h\x02", b'{"id": "x"}']
)
def test_row_4_packets_without_an_id_are_survived(bridge: Process, payload: bytes) -> None:
    """Nothing can be answered, and nothing breaks."""
    bridge.send_bytes(encode_frame(payload))

    assert bridge.call("ping")["status"] == "ok"


def test_row_4_a_request_may_arrive_byte_by_byte(bridge: Process) -> None:
    """A pipe splits packets where it likes."""
    for byte in encode_frame(b'{"id": 5, "command": "ping", "args": {}}'):
        bridge.send_bytes(bytes([byte]))

    response = bridge.receive()

    assert response is not None
    assert response.success


@pytest.mark.parametrize("request_id", [0, 1, 999999, 2**53, 2**62, -3])
def test_row_5_ids_are_echoed_exactly(bridge: Process, request_id: int) -> None:
    """0 and 999999 are ordinary ids."""
    bridge.send(Request(request_id, "ping", {}))

    response = bridge.receive()

    assert response is not None
    assert response.id == request_id


def test_row_5_results_are_objects_and_errors_are_strings(bridge: Process) -> None:
    """On the wire, before any parsing of ours, for every command there is."""
    from dspex_testkit.bridge.commands import HANDLERS

    for number, command in enumerate(sorted(set(HANDLERS) - {"shutdown"})):
        bridge.send(Request(number, command, {}))
        frame = bridge.receive_frame()
        assert frame is not None
        wire = json.loads(frame, parse_constant=pytest.fail)
        assert wire["id"] == number
        assert isinstance(wire["result"], dict) if wire["success"] else isinstance(wire["error"], str)


def end_by_eof(bridge: Process) -> None:
    """Close the port, as Erlang does when its owner ends."""
    assert bridge.process.stdin is not None
    bridge.process.stdin.close()


def end_within_a_frame(bridge: Process) -> None:
    """Close it in the middle of a packet."""
    bridge.send_bytes(encode_frame(b'{"id": 5, "command": "ping"}')[:-3])
    end_by_eof(bridge)


def end_by_broken_pipe(bridge: Process) -> None:
    """Stop reading, and let the bridge find out when it answers."""
    assert bridge.process.stdout is not None
    bridge.process.stdout.close()
    with contextlib.suppress(BrokenPipeError):  # it may have noticed, and left, before
        bridge.send(Request(5, "ping", {}))


def end_by_signal(bridge: Process) -> None:
    """What DSPex's V3 pool sends first."""
    bridge.process.send_signal(signal.SIGTERM)


def end_by_command(bridge: Process) -> None:
    """The polite way."""
    bridge.send(Request(5, "shutdown", {}))


ENDINGS = [end_by_eof, end_within_a_frame, end_by_broken_pipe, end_by_signal, end_by_command]


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("warm", [False, True])
def test_row_6_every_end_is_status_0_and_leaves_nothing(
    bridge: Process, end: Callable[[Process], None], warm: bool
) -> None:
    """At once after the first ping, while dspy is still being imported, and after an execution."""
    bridge.call("ping")
    if warm:
        bridge.call("predict", {"signature": QA, "inputs": ASK})
    process = psutil.Process(bridge.process.pid)
    family = [process, *process.children(recursive=True)]

    end(bridge)

    assert bridge.process.wait(PATIENCE) == 0
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def test_row_6_an_internal_failure_is_not_status_0(script: Path, tmp_path: Path) -> None:
    """A bridge that cannot start says so."""
    process = Process(argv=[str(script)], env={"DSPEX_TESTKIT_OFFLINE_POLICY": "sometimes"}, cwd=tmp_path)
    status, stderr = process.end()
    process.close()

    assert status != 0
    assert "sometimes" in stderr


def test_row_7_ping_has_its_fields(bridge: Process) -> None:
    """`uptime` is a float, `worker_id` as given."""
    result = bridge.call("ping", {"initialization": True, "worker_id": "worker_7_42"})

    assert result["status"] == "ok"
    assert type(result["uptime"]) is float
    assert (result["dspy_available"], result["gemini_available"]) == (True, True)
    assert result["mode"] == bridge.mode  # type: ignore[attr-defined]
    assert result["worker_id"] == "worker_7_42"


def test_row_8_configuring_is_offline_scoped_and_keeps_the_key(bridge: Process) -> None:
    """Errors are error envelopes, each scope has its own LM, no key comes back."""
    key = "sk-planted-secret-1234567890"
    bridge.call("create_program", {"id": "p", "signature": QA})
    configured = bridge.call(
        "configure_lm", {"model": "gemini-1.5-flash", "provider": "google", "api_key": key, "temperature": 0.7}
    )
    bridge.call("configure_lm", {"provider": "openai", "model": "gpt-4", "api_key": key, "session_id": "s"})
    answers = [
        bridge.call("execute_program", {"program_id": "p", "inputs": ASK, **session})
        for session in ({}, {"session_id": "s"}, {})
    ]
    refused = bridge.ask("configure_lm", {"provider": "nobody", "model": "m", "api_key": key})

    assert {k: configured[k] for k in ("status", "model", "provider", "temperature")} == {
        "status": "configured",
        "model": "gemini-1.5-flash",
        "provider": "google",
        "temperature": 0.7,
    }
    assert [answer["lm"]["model"] for answer in answers] == ["gemini-1.5-flash", "gpt-4", "gemini-1.5-flash"]
    assert not refused.success
    assert key not in json.dumps([configured, *answers, refused.to_wire()])


@pytest.mark.parametrize("options", [None, [], {}, {"timeout": 5}])
def test_row_9_options_lm_config_and_both_forms_of_output(bridge: Process, options: object) -> None:
    """Options in every form; an LM config at creation, at execution and configured; outputs nested and flat."""
    bridge.call("configure_lm", {"provider": "mock", "model": "m", "responses": {"default": "global"}})
    own = {"provider": "mock", "responses": {"default": "program"}}
    bridge.call("create_program", {"id": "p", "signature": QA})
    bridge.call("create_program", {"id": "own", "signature": QA, "lm_config": own})
    over = {"lm_config": {"provider": "mock", "responses": {"default": "execution"}}}

    results = [
        bridge.call("execute_program", {"program_id": "p", "inputs": ASK, "options": options}),
        bridge.call("execute_program", {"program_id": "own", "inputs": ASK, "options": options}),
        bridge.call("execute_program", {"program_id": "own", "inputs": ASK, "options": over}),
    ]

    assert [result["answer"] for result in results] == ["global", "program", "execution"]
    assert [result["outputs"]["answer"] for result in results] == ["global", "program", "execution"]


def test_row_10_program_data_suffices_on_a_fresh_worker(launch: Launch) -> None:
    """Another process runs the program from what DSPex's pool stored of it."""
    kept = [
        "program_id",
        "signature_def",
        "signature_class",
        "field_mapping",
        "fallback_used",
        "program_type",
        "signature",
    ]
    alone = {"DSPEX_TESTKIT_HOST": "off"}
    first = launch("pool-worker", env=alone)
    second = launch("pool-worker", env={"DSPEX_TESTKIT_DEFAULT_LM": "mock", **alone})
    created = first.call("create_program", {"id": "p", "signature": QA, "session_id": "anonymous"})
    data = {name: created[name] for name in kept} | {"created_at": 1, "execution_count": 0, "last_executed": None}

    result = second.call(
        "execute_program", {"program_id": "p", "inputs": ASK, "program_data": data, "session_id": "anonymous"}
    )

    assert "answer" in result["outputs"]


@pytest.mark.parametrize("session", [{}, {"session_id": "anonymous"}, {"session_id": "named"}])
def test_row_11_created_programs_are_found_again(bridge: Process, session: dict[str, str]) -> None:
    """Execute, list, info and delete see what was created, with a named session, `anonymous` or none."""
    bridge.call("create_program", {"id": "p", "signature": QA, **session})

    assert bridge.call("execute_program", {"program_id": "p", "inputs": ASK, **session})["answer"]
    assert [entry["id"] for entry in bridge.call("list_programs", session)["programs"]] == ["p"]
    assert bridge.call("get_program_info", {"program_id": "p", **session})["program_id"] == "p"
    assert bridge.call("delete_program", {"program_id": "p", **session})["status"] == "deleted"


@pytest.mark.parametrize("session", [{}, {"session_id": "anonymous"}, {"session_id": "named"}])
def test_row_11_another_worker_of_the_pool_finds_them_too(launch: Launch, session: dict[str, str]) -> None:
    """Create on one; execute, list, describe and delete on the other, without `program_data`."""
    env = {"DSPEX_TESTKIT_DEFAULT_LM": "mock"}
    one, other = launch("pool-worker", env=env), launch("pool-worker", env=env)
    one.call("create_program", {"id": "p", "signature": QA, **session})

    assert other.call("execute_program", {"program_id": "p", "inputs": ASK, **session})["answer"]
    assert [entry["id"] for entry in other.call("list_programs", session)["programs"]] == ["p"]
    assert other.call("get_program_info", {"program_id": "p", **session})["execution_count"] == 1
    assert other.call("delete_program", {"program_id": "p", **session})["status"] == "deleted"
    assert one.ask("execute_program", {"program_id": "p", "inputs": ASK, **session}).code == "program_not_found"


def test_row_12_sessions_and_processes_are_isolated(bridge: Process, launch: Launch) -> None:
    """Programs and LMs of one session are invisible to another, and to a bridge that is not of the pool."""
    other = launch("standalone")
    bridge.call("create_program", {"id": "p", "signature": QA, "session_id": "a"})
    bridge.call("configure_lm", {"provider": "mock", "model": "of-a", "session_id": "a"})

    assert bridge.ask("get_program_info", {"program_id": "p", "session_id": "b"}).code == "program_not_found"
    assert bridge.call("get_lm", {"session_id": "b"})["lm"]["model"] == "mock"
    assert other.call("list_programs")["programs"] == []
    assert other.call("get_lm", {"session_id": "a"})["lm"] is None
    assert bridge.call("cleanup_session", {"session_id": "a"})["programs_removed"] == 1


SHAPES: dict[str, Any] = {
    "S1": {
        "name": "QA",
        "description": "A dynamically generated DSPy signature.",
        "inputs": [{"name": "question", "type": "string", "description": "Field: question"}],
        "outputs": [{"name": "answer", "type": "string", "description": "Field: answer"}],
    },
    "S2": {
        "docstring": "Answer briefly",
        "inputs": [{"name": "question", "type": "str", "desc": "what is asked"}],
        "outputs": [{"name": "answer", "type": "str", "constraints": {"max_length": 50}}],
    },
    "S3": {
        "name": "Elixir.My.Module.QA",
        "description": "QA",
        "inputs": [{"name": "question", "type": "list", "description": "string"}],
        "outputs": [{"name": "answer", "type": "union", "description": ["string", "integer"]}],
    },
    "S4": {"inputs": [{"name": "question", "type": "any"}], "outputs": [{"name": "answer", "type": "Any"}]},
    "S5": "question -> answer",
    "S6": {"inputs": [], "outputs": []},
    "S7": {"inputs": {"question": {"description": "q"}}, "outputs": {"answer": "string"}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_row_13_every_shape_of_a_signature_works(bridge: Process, shape: str) -> None:
    """Each is created, and answers under the declared name."""
    bridge.call("create_program", {"id": "p", "signature": SHAPES[shape]})
    question: object = ["Who?"] if shape == "S3" else "Who?"

    result = bridge.call("execute_program", {"program_id": "p", "inputs": {"question": question}})

    assert list(result["outputs"]) == ["answer"]


def test_row_13_names_make_the_round_trip(bridge: Process) -> None:
    """Names that DSPy or pydantic reserve, or that Python cannot spell, come back as they were sent."""
    names = [
        "question?",
        "2nd",
        "model_config",
        "config",
        "demos",
        "lm",
        "signature",
        "a-b",
        "a_b",
        "class",
        "_x",
        "naïve",
    ]
    signature = {"inputs": [{"name": n} for n in names], "outputs": [{"name": n} for n in [*names, "fields", "schema"]]}
    bridge.call("create_program", {"id": "p", "signature": signature})

    result = bridge.call("execute_program", {"program_id": "p", "inputs": dict.fromkeys(names, "x")})

    assert list(result["outputs"]) == [*names, "fields", "schema"]


def test_row_14_fallback_and_missing_signature(bridge: Process) -> None:
    """An unusable definition becomes question -> answer and says so; a missing one is an error."""
    broken = {"inputs": [{"name": "", "type": "invalid"}], "outputs": [{"name": "result", "type": "string"}]}

    created = bridge.call("create_program", {"id": "p", "signature": broken})
    missing = bridge.ask("create_program", {"id": "q"})
    outputs = bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"]

    assert created["fallback_used"] is True
    assert set(outputs) == {"answer", "result"}
    assert "Invalid" in str(missing.message)


def test_row_15_values_survive(bridge: Process) -> None:
    """Unicode, numbers beyond 64 bits, a text beyond the pipe's buffer, all typed."""
    values = {
        "text": "Zürich 東京 🦊 " * 5000 + ".",
        "big": 2**80,
        "ratio": 1e-9,
        "yes": False,
        "list": [1, 2],
        "map": {"ä": 1},
    }
    types = {"text": "string", "big": "integer", "ratio": "float", "yes": "boolean", "list": "list", "map": "map"}
    signature = {"inputs": ["question"], "outputs": [{"name": n, "type": t} for n, t in types.items()]}
    lm = {"provider": "mock", "responses": {"default": values}}
    bridge.call("create_program", {"id": "p", "signature": signature, "lm_config": lm})

    assert bridge.call("execute_program", {"program_id": "p", "inputs": ASK})["outputs"] == values


def test_row_16_gemini_commands_answer_offline(bridge: Process) -> None:
    """Sums and moods, as DSPex's Gemini tests want them."""
    bridge.call(
        "create_gemini_program",
        {"id": "sum", "signature": {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}},
    )
    moods = {"inputs": [{"name": "text"}], "outputs": [{"name": "summary"}, {"name": "sentiment"}]}
    bridge.call("create_gemini_program", {"id": "mood", "signature": moods})

    total = bridge.call("execute_gemini_program", {"program_id": "sum", "inputs": {"question": "What is 2+2?"}})
    mood = bridge.call("execute_gemini_program", {"program_id": "mood", "inputs": {"text": "I love it, fantastic!"}})

    assert "4" in total["outputs"]["answer"]
    assert "positive" in mood["outputs"]["sentiment"].lower()
    assert total["raw_response"]

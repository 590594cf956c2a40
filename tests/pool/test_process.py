"""One bridge process: started as DSPex starts it, asked, and sent away."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dspex_testkit.errors import (
    LocalProtocolError,
    ProcessesLeftError,
    RemoteCommandError,
    WorkerExitedError,
    WorkerStartError,
    WorkerTimeoutError,
)
from dspex_testkit.pool import STANDALONE, V1, V2, V3, BridgeProcess, Dialect, Ending, Launch, chaos, leftovers
from tests.pool.conftest import ALONE, patient
from tests.support.waiting import PATIENCE, eventually

QA = {"id": "p", "signature": "question -> answer"}
RUN = {"program_id": "p", "inputs": {"question": "Who?"}}
DIALECTS = pytest.mark.parametrize("dialect", [STANDALONE, V1, V2, V3], ids=lambda dialect: dialect.name)

Script = Callable[[str], Launch]


@pytest.fixture(scope="module")
def standalone() -> Iterator[BridgeProcess]:
    """A standalone bridge, kept for the module."""
    with BridgeProcess(ALONE) as process:
        process.call("create_program", QA)
        yield process


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a launch of a program that is no bridge, though it can read and write frames."""
    prelude = (
        "import json, os, sys, time\n"
        "def read():\n"
        "    size = int.from_bytes(os.read(0, 4), 'big')\n"
        "    return json.loads(os.read(0, size))\n"
        "def write(message):\n"
        "    data = json.dumps(message).encode()\n"
        "    os.write(1, len(data).to_bytes(4, 'big') + data)\n"
    )

    def script(text: str) -> Launch:
        path = tmp_path / "dspy_bridge.py"
        path.write_text(prelude + text, encoding="utf-8")
        return Launch(script=path)

    return script


@DIALECTS
def test_each_dialect_starts_asks_and_ends(dialect: Dialect) -> None:
    """Through the init ping to status 0, with the farewell that is its own."""
    with BridgeProcess(ALONE, dialect=patient(dialect), worker_id="worker_7_42") as process:
        ping = process.call("ping")
        running = process.pid

    assert (ping["status"], ping["mode"]) == ("ok", dialect.mode)
    assert ping.get("worker_id") == (None if dialect is STANDALONE else "worker_7_42")
    assert ping["dspy_available"] is True
    by = {"standalone": "end of input", "v1": "command", "v2": "command", "v3": "SIGTERM"}[dialect.name]
    assert process.ending == Ending(by, 0)  # type: ignore[arg-type]
    assert running not in leftovers.left()


def test_a_worker_is_started_as_dspex_starts_it(launcher: Path) -> None:
    """The launcher's command line to the letter, in a session and process group of its own."""
    launch = replace(ALONE, script=launcher)
    with BridgeProcess(launch, dialect=V2, worker_id="worker_7_42") as process:
        assert process.pid is not None
        command_line = psutil.Process(process.pid).cmdline()
        leads = (os.getsid(process.pid), os.getpgid(process.pid))

    assert command_line[1:] == [str(launcher), "--mode", "pool-worker", "--worker-id", "worker_7_42"]
    assert leads == (process.pid, process.pid)


def test_variables_are_added_replaced_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the harness itself was started with."""
    monkeypatch.setenv("KEPT", "kept")
    monkeypatch.setenv("REPLACED", "old")
    monkeypatch.setenv("TAKEN", "away")
    env = Launch(env={"REPLACED": "new", "TAKEN": None}).with_env(ADDED="more").environment()

    assert (env["KEPT"], env["REPLACED"], env["ADDED"]) == ("kept", "new", "more")
    assert "TAKEN" not in env


@pytest.mark.parametrize(
    ("dialect", "arguments"),
    [
        (STANDALONE, []),
        (V1, ["--mode", "pool-worker", "--worker-id", "w"]),
        (V2, ["--mode", "pool-worker", "--worker-id", "w"]),
        (V3, ["--mode", "pool-worker"]),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else "",
)
def test_each_dialect_has_its_command_line(dialect: Dialect, arguments: list[str]) -> None:
    """V3 names the worker in the first ping only."""
    assert list(Launch(script=Path("dspy_bridge.py")).argv(dialect, "w"))[2:] == arguments


@pytest.mark.parametrize(
    ("dialect", "first"),
    [
        (STANDALONE, {"id": 1, "args": {}}),
        (V1, {"id": 1, "args": {"initialization": True, "worker_id": "w"}}),
        (V2, {"id": 0, "args": {"initialization": True, "worker_id": "w"}}),
        (V3, {"id": 1, "args": {"initialization": True, "worker_id": "w"}}),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else "",
)
def test_each_dialect_has_its_first_ping(dialect: Dialect, first: dict[str, object], script: Script) -> None:
    """Id and arguments are those that DSPex sends; the commands after it have ids of their own."""
    echo = script(
        "command = None\n"
        "while command not in ('shutdown', 'cleanup'):\n"
        "    asked = read()\n"
        "    command = asked['command']\n"
        "    write({'id': asked['id'], 'success': True, 'result': {'status': 'ok', 'asked': asked}})\n"
    )
    answers: list[bytes] = []

    def listen(payload: bytes) -> list[bytes]:
        answers.append(payload)
        return [payload]

    process = BridgeProcess(echo, dialect=dialect, worker_id="w")
    process.tamper = listen
    with process:
        ids = [process.call("x")["asked"]["id"] for _ in range(2)]

    asked = json.loads(answers[0])["result"]["asked"]
    assert (asked["command"], asked["id"], asked["args"]) == ("ping", first["id"], first["args"])
    assert first["id"] not in ids
    assert ids == sorted(set(ids))


def test_a_standalone_bridge_has_many_requests_in_flight(standalone: BridgeProcess) -> None:
    """Each answer finds its caller."""
    pending = [
        standalone.submit("execute_program", {"program_id": "p", "inputs": {"question": str(number)}})
        for number in range(20)
    ]
    pings = [standalone.submit("ping", {"session_id": str(number)}) for number in range(20)]

    assert all(standalone.result(each).success for each in pending)
    assert [standalone.result(each).result["current_session"] for each in pings] == [str(n) for n in range(20)]


def test_an_event_loop_asks_as_a_thread_does(standalone: BridgeProcess) -> None:
    """Many at once, results and failures alike."""

    async def ask() -> tuple[list[str], str]:
        answers = await asyncio.gather(*(standalone.acall("execute_program", RUN) for _ in range(10)))
        with pytest.raises(RemoteCommandError) as failure:
            await standalone.acall("execute_program", {"program_id": "nobody"})
        return [answer["answer"] for answer in answers], failure.value.remote_code

    answers, code = asyncio.run(ask())

    assert len(answers) == 10
    assert code == "program_not_found"


def test_an_event_loop_starts_and_stops_processes() -> None:
    """By `async with`."""

    async def live() -> str:
        async with BridgeProcess(ALONE, dialect=patient(V2)) as process:
            answer = await process.acall("ping")
        assert process.ending == Ending("command", 0)
        return str(answer["mode"])

    assert asyncio.run(live()) == "pool-worker"


def test_large_packets_go_both_ways(standalone: BridgeProcess) -> None:
    """Far beyond what a pipe holds."""
    question = "ü" * 1_000_000

    answer = standalone.call("execute_program", {"program_id": "p", "inputs": {"question": question}})

    assert answer["answer"]


def test_a_failed_command_is_an_error_with_the_bridge_s_words(standalone: BridgeProcess) -> None:
    """`ask` gives it as an answer, `call` raises it."""
    response = standalone.ask("execute_program", {"program_id": "nobody"})
    with pytest.raises(RemoteCommandError, match="Program not found: nobody") as failure:
        standalone.call("execute_program", {"program_id": "nobody"})

    assert response.code == failure.value.remote_code == "program_not_found"
    assert failure.value.details["program_id"] == "nobody"


def test_arguments_without_a_json_form_are_refused_before_they_are_sent(standalone: BridgeProcess) -> None:
    """And nothing is left waiting for an answer."""
    with pytest.raises(LocalProtocolError):
        standalone.ask("ping", {"value": object()})

    assert standalone.unanswered == 0


def test_a_late_answer_goes_to_nobody(standalone: BridgeProcess) -> None:
    """The call fails when its time is over; the answer is counted when it comes."""
    before = standalone.strays.late
    with chaos.freeze(standalone), pytest.raises(WorkerTimeoutError, match="did not answer ping") as failure:
        standalone.ask("ping", timeout=0.05)

    assert failure.value.details["command"] == "ping"
    eventually(lambda: standalone.strays.late == before + 1, "the late answer")
    assert standalone.call("ping")["status"] == "ok"


def test_an_event_loop_s_call_that_is_given_up_disturbs_nobody(standalone: BridgeProcess) -> None:
    """By a time limit or a cancelled task."""
    before = standalone.strays.late

    async def give_up() -> None:
        with chaos.freeze(standalone):
            with pytest.raises(WorkerTimeoutError):
                await standalone.aask("ping", timeout=0.05)
            task = asyncio.create_task(standalone.aask("ping"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())

    eventually(lambda: standalone.strays.late == before + 2, "both late answers")
    assert standalone.call("ping")["status"] == "ok"


def test_a_process_that_ends_fails_everything_in_flight() -> None:
    """Each error names the process, the command, the status and what the log said last."""
    with BridgeProcess(ALONE, dialect=STANDALONE) as process, chaos.freeze(process):
        pending = [process.submit("ping"), process.submit("get_stats")]
        process.kill()
        for each in pending:
            with pytest.raises(WorkerExitedError) as failure:
                process.result(each, timeout=PATIENCE)
            assert each.request.command in failure.value.message
            assert "SIGKILL (status 137)" in failure.value.message
            assert "standalone started" in failure.value.message
            assert failure.value.details["exit_status"] == 137
        with pytest.raises(WorkerExitedError):
            process.ask("ping")

    assert process.ending == Ending("before", 137)


def test_a_program_that_does_not_exist_cannot_be_started(tmp_path: Path) -> None:
    """The error has the command line."""
    with pytest.raises(WorkerStartError, match=r"No such file.*no-such-python -m"):
        BridgeProcess(Launch(python=str(tmp_path / "no-such-python"))).start()


def test_a_process_that_ends_at_once_is_reported_with_its_last_words(script: Script) -> None:
    """What it wrote to standard error is in the message."""
    launch = script("sys.exit('the environment is broken')")

    with pytest.raises(WorkerExitedError, match=r"status 1(.|\n)*the environment is broken"):
        BridgeProcess(launch, dialect=V2).start()


def test_a_process_that_never_answers_its_first_ping_is_killed(script: Script) -> None:
    """After the limit of its dialect, here a short one."""
    hasty = replace(V2, init_timeout=0.2)
    process = BridgeProcess(script("time.sleep(600)"), dialect=hasty)

    with pytest.raises(WorkerTimeoutError, match=r"did not answer ping \(id 0\)"):
        process.start()

    assert process.ending == Ending("SIGKILL", 137)
    assert process.pid not in leftovers.left()


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (V2, "{'id': 0, 'success': False, 'error': 'no room'}"),
        (V3, "{'id': 1, 'success': True, 'result': {'status': 'unwell'}}"),
    ],
    ids=["v2", "v3"],
)
def test_a_refused_first_ping_is_an_error(dialect: Dialect, answer: str, script: Script) -> None:
    """V3 wants the status to be ok, the others any success."""
    with pytest.raises(WorkerStartError, match=r"refused its first ping: (no room|status 'unwell')"):
        BridgeProcess(script(f"read(); write({answer}); time.sleep(600)"), dialect=dialect).start()


@pytest.mark.parametrize(
    ("life", "by", "status", "patience"),
    [
        ("while os.read(0, 100): pass", "end of input", 0, (0.1, PATIENCE, PATIENCE)),
        ("time.sleep(600)", "SIGTERM", 143, (0.1, 0.1, PATIENCE)),
        (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwrite(ready)\ntime.sleep(600)",
            "SIGKILL",
            137,
            (0.1, 0.1, 0.1),
        ),
    ],
    ids=["the command", "the end of its input", "SIGTERM"],
)
def test_a_process_deaf_to_one_rung_meets_the_next(
    life: str, by: str, status: int, patience: tuple[float, float, float], script: Script
) -> None:
    """Command, end of input, SIGTERM, SIGKILL: each has its time, and then comes the next."""
    command, eof, term = patience
    dialect = replace(V2, farewell=("shutdown", None, command), eof_patience=eof, kill_after=term)
    ready = "ready = {'id': read()['id'], 'success': True, 'result': {}}\n"
    answered = life if "write(ready)" in life else f"write(ready)\n{life}"

    with BridgeProcess(script(ready + answered), dialect=dialect) as process:
        pass

    assert process.ending == Ending(by, status)  # type: ignore[arg-type]


def test_what_a_process_has_started_is_killed_with_it(script: Script) -> None:
    """The whole group goes; nothing that was started is left behind."""
    launch = script(
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "asked = read(); write({'id': asked['id'], 'success': True, 'result': {'status': 'ok', 'child': child.pid}})\n"
        "time.sleep(600)\n"
    )
    with BridgeProcess(launch, dialect=V3) as process:
        pass

    assert process.ending == Ending("SIGKILL", 137)
    eventually(lambda: process.pid not in leftovers.left(), "the end of the group")


def test_a_process_that_was_forgotten_is_found() -> None:
    """Until it is stopped, it is on the list."""
    process = BridgeProcess(ALONE, dialect=patient(V2)).start()

    assert process.pid in leftovers.left()
    with pytest.raises(ProcessesLeftError, match=str(process.pid)):
        leftovers.assert_none_left()
    assert process.stop() == process.stop() == Ending("command", 0)
    assert process.pid not in leftovers.left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(number: signal.Signals) -> None:
    """Somebody else's signal is noticed as an end."""
    with BridgeProcess(ALONE, dialect=patient(V2)) as process:
        assert process.pid is not None
        os.kill(process.pid, number)
        assert process.wait(PATIENCE)

    assert process.ending == Ending("before", 0)

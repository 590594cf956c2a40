"""One answer for every request whose id can be read, whatever else is wrong with it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dspex_testkit.protocol import Request, encode_frame
from tests.runtime.conftest import Gate, Start
from tests.support.bridges import Process

MOCK = {"provider": "mock", "responses": {"default": "Paris"}}
ECHO = {"id": "echo", "signature": "question -> answer", "lm_config": MOCK}


def ask_raw(bridge: Process, payload: bytes) -> "tuple[int, str | None]":
    """Id and error code of the answer to a packet."""
    bridge.send_bytes(encode_frame(payload))
    response = bridge.receive()
    assert response is not None
    return response.id, response.code


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_malformed_packets_are_answered_or_dropped_and_the_next_one_works(start: Start, warm: bool) -> None:
    """With an id an error, without one nothing, and never an end."""
    bridge = start()
    bridge.call("get_stats" if warm else "ping")
    for payload, id in [
        (b'{"id":3,"command":"ping"', 3),
        (b'{"id":4}', 4),
        (b'{"id":5,"command":17}', 5),
        (b'{"id":6,"command":"ping","args":[1]}', 6),
        (b'{"args":{"n":NaN},"command":"ping","id":7,"timestamp":"now"}', 7),
        (b'{"id":8,"command":"ping","args":{"t":"\xff"}}', 8),
        (b'{"id":0,"command":null}', 0),
    ]:
        assert ask_raw(bridge, payload) == (id, "malformed_message")
    for dropped in [b"", b"not json", b"[1,2]", b"17", b'"text"', b"null", b'{"command":"ping"}', b"\x83m\0\0\0\1x"]:
        bridge.send_bytes(encode_frame(dropped))
    assert bridge.call("ping", None)["status"] == "ok"
    bridge.send_bytes(encode_frame(b'{"id":9,"command":"ping","args":null,"id":10}'))
    response = bridge.receive()
    assert response is not None
    assert (response.id, response.success) == (10, True)


@pytest.mark.parametrize("id", [0, 1, 999999, 2**63, -3])
def test_ids_are_echoed(start: Start, id: int) -> None:
    """Zero is the first id that DSPex sends."""
    bridge = start()
    for command in ("ping", "list_programs", "no_such_command"):
        bridge.send(Request(id, command))
        response = bridge.receive()
        assert response is not None
        assert response.id == id


def test_an_oversized_frame_is_refused_by_id_and_the_next_one_works(start: Start) -> None:
    """The id is found at either end, and nothing of the rest is kept."""
    bridge = start(env={"DSPEX_TESTKIT_MAX_FRAME_SIZE": "64KiB"})
    long = b'"x":"' + b"y" * 300_000 + b'"'
    for payload in (
        b'{"args":{' + long + b'},"command":"ping","id":11,"timestamp":"now"}',
        b'{"id":11,"command":"ping","args":{' + long + b"}}",
    ):
        assert ask_raw(bridge, payload) == (11, "frame_too_large")
    bridge.send_bytes(encode_frame(b"x" * 300_000))
    assert bridge.call("ping")["status"] == "ok"


def test_eight_mebibytes_travel_both_ways(start: Start) -> None:
    """A payload many times the size of the pipe's buffer."""
    text = "Zürich \U0001f600 " * (8 * 1024 * 1024 // 13)
    bridge = start()
    bridge.call("create_program", {"id": "echo", "signature": "question -> answer"})
    args = {
        "program_id": "echo",
        "inputs": {"question": "?"},
        "lm_config": {"provider": "mock", "responses": {"default": text}},
    }
    assert bridge.call("execute_program", args)["outputs"]["answer"] == text.strip()


def test_a_frame_that_arrives_byte_by_byte_is_read(start: Start) -> None:
    """A pipe may cut it anywhere."""
    bridge = start()
    for byte in encode_frame(b'{"id":12,"command":"ping","args":{}}'):
        bridge.send_bytes(bytes([byte]))
    response = bridge.receive()
    assert response is not None
    assert response.id == 12


def test_two_hundred_concurrent_executions_are_told_apart_by_their_ids(start: Start) -> None:
    """Each answer belongs to its question, in whatever order they come."""
    bridge = start()
    table = {"provider": "mock", "responses": {f"question {n}": f"answer {n}" for n in range(200)}}
    bridge.call("create_program", {**ECHO, "lm_config": table})

    def send() -> None:
        for n in range(200):
            bridge.send(
                Request(1000 + n, "execute_program", {"program_id": "echo", "inputs": {"question": f"question {n}"}})
            )

    with ThreadPoolExecutor(1) as writer:
        sending = writer.submit(send)
        answers = {}
        for _ in range(200):
            response = bridge.receive()
            assert response is not None
            answers[response.id - 1000] = response.result["outputs"]["answer"]
        sending.result()
    assert answers == {n: f"answer {n}" for n in range(200)}


def test_a_pool_worker_answers_strictly_in_order(gate: Gate) -> None:
    """Its client takes the first packet that arrives."""
    with Process(mode="pool-worker", env=gate.env) as bridge:
        bridge.call("create_program", ECHO)
        bridge.send(Request(50, "execute_program", {"program_id": "echo", "inputs": {"question": "?"}}))
        bridge.send(Request(51, "ping"))
        gate.open()
        responses = [bridge.receive(), bridge.receive()]
    assert [response and response.id for response in responses] == [50, 51]


def test_more_work_than_can_wait_is_refused(gate: Gate) -> None:
    """One runs, sixty-four wait, the next one is told so."""
    with Process(env={**gate.env, "DSPEX_TESTKIT_CONCURRENCY": "1", "DSPEX_TESTKIT_MAX_WAITING": "64"}) as bridge:
        bridge.call("create_program", ECHO)
        for id in range(100, 166):
            bridge.send(Request(id, "execute_program", {"program_id": "echo", "inputs": {"question": "?"}}))
        refused = bridge.receive()
        gate.open()
        answered = [bridge.receive() for _ in range(65)]
    assert refused is not None
    assert (refused.id, refused.code) == (165, "overloaded")
    assert sorted(response.id for response in answered if response and response.success) == list(range(100, 165))

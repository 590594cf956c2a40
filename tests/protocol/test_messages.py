"""Requests and responses survive the wire; what is no message is refused with the id that it carries."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.errors import MalformedMessageError, RemoteProtocolError
from dspex_testkit.protocol import (
    Frame,
    FrameDecoder,
    Request,
    Response,
    encode_frame,
    encode_request,
    encode_response,
    parse_request,
    parse_response,
)
from dspex_testkit.protocol.recovery import recover_id

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
objects = st.dictionaries(
    text, st.none() | st.booleans() | st.integers() | text | st.lists(text, max_size=3), max_size=4
)
codes = st.from_regex(r"[a-z][a-z_]*", fullmatch=True)


class Link:
    """Two ends joined by bytes, cut in pieces of three."""

    def __init__(self) -> None:
        self.decoder = FrameDecoder()

    def carry(self, payload: bytes) -> bytes:
        """What arrives at the other end."""
        stream = encode_frame(payload)
        for at in range(0, len(stream), 3):
            self.decoder.feed_data(stream[at : at + 3])
        event = self.decoder.next_event()
        assert isinstance(event, Frame)
        return event.payload


@given(st.integers(), text, objects, st.booleans(), text, codes, objects)
def test_a_connected_pair_exchanges_requests_and_responses(
    id: int, command: str, args: dict[str, Any], succeeds: bool, message: str, code: str, details: dict[str, Any]
) -> None:
    """What one end sends is what the other end reads, both ways."""
    there, back = Link(), Link()
    request = Request(id, command, args)
    assert parse_request(there.carry(encode_request(request))) == request
    response = Response.ok(id, args) if succeeds else Response.error(id, message, code, details)
    assert parse_response(back.carry(encode_response(response))) == response


@pytest.mark.parametrize("id", [0, 1, 999999, -5, 2**70])
def test_ids_are_echoed_exactly(id: int) -> None:
    """Zero is an id like any other."""
    request = parse_request(b'{"id":%d,"command":"ping"}' % id)
    assert request == Request(id, "ping", {})
    assert b'"id":%d,' % id in encode_response(Response.ok(request.id, {}))


@pytest.mark.parametrize(
    "wire",
    [
        b'{"id":1,"command":"ping"}',
        b'{"id":1,"command":"ping","args":null}',
        b'{"id":1,"command":"ping","args":{},"extra":[1],"timestamp":"x"}',
        b'{"command":"first","command":"ping","id":9,"id":1,"args":{}}',
        b' {"id" : 1 , "command" : "ping"} \n',
    ],
)
def test_what_a_client_may_leave_out_or_add_is_tolerated(wire: bytes) -> None:
    """Null or absent args are empty, unknown keys are ignored, the last duplicate counts."""
    assert parse_request(wire) == Request(1, "ping", {})


@pytest.mark.parametrize(
    ("wire", "id", "says"),
    [
        (b'{"id":5}', 5, "Missing command"),
        (b'{"id":5,"command":null}', 5, "Missing command"),
        (b'{"id":5,"command":7}', 5, "got an integer"),
        (b'{"id":5,"command":"x","args":[1]}', 5, "got a list"),
        (b'{"id":5,"command":"x","args":"y"}', 5, "got a string"),
        (b'{"command":"x"}', None, "Missing id"),
        (b'{"id":null,"command":"x"}', None, "got nothing"),
        (b'{"id":true,"command":"x"}', None, "got a boolean"),
        (b'{"id":1.0,"command":"x"}', None, "got a float"),
        (b'{"id":"1","command":"x"}', None, "got a string"),
        (b'[{"id":5}]', None, "got a list"),
        (b"17", None, "got an integer"),
        (b"", None, "the packet is empty"),
        (b'{"id":5,"command":"x","args":{"n":NaN}}', 5, "Invalid JSON"),
        (b'{"id":5,"command":"x","args":{"n":"\xff"}}', 5, "Invalid JSON"),
        (b'{"id":5,"command":"x","args":{"n":"\\ud800"}}', 5, "Invalid JSON"),
        (b"\x83m\x00\x00\x00\x10", None, "byte 131"),
    ],
)
def test_what_is_no_request_is_refused_with_its_id(wire: bytes, id: int | None, says: str) -> None:
    """The text says what was wanted and what came; the id lets the sender be answered."""
    with pytest.raises(MalformedMessageError, match=says) as caught:
        parse_request(wire)
    assert caught.value.request_id == id


@given(st.binary())
def test_garbage_raises_nothing_but_a_remote_protocol_error(garbage: bytes) -> None:
    """No other exception leaves the parsers."""
    for parse in (parse_request, parse_response):
        with contextlib.suppress(RemoteProtocolError):
            parse(garbage)


@pytest.mark.parametrize(
    ("broken", "id"),
    [
        (b'{"id":7,"command":"ping"', 7),
        (b'{"id":7,"command":"ping",}', 7),
        (b'{"id": 7 , "args": {"id": 8}, "command": NaN}', 7),
        (b'{"args":{"id":8},"command":oops,"id":7,"timestamp":"2025-07-16T20:00:00Z"}', 7),
        (b'{"args":{"a":"b"c"},"command":"x","id":7,"timestamp":"2025-07-16T20:00:00Z"}', 7),
        (b'{"command":"pi"ng","id":7}', 7),
        (b'{"args":{"id":8},"command":"x"', None),
        (b'{"args":{"id":8},"command":oops}', None),
        (b'{"args":{"text":"\\"id\\":8,"},"command":oops}', None),
        (b'{"id":7,"id":8,"command":oops}', None),
        (b'{"id":"7","command":oops}', None),
        (b'{"id":7.5,"command":oops}', None),
        (b'{"a":"b"c","id":7,"args":{"id":8}}', None),
        (b"not json at all", None),
        (b"", None),
    ],
)
def test_an_id_is_recovered_only_where_it_is_the_requests_own(broken: bytes, id: int | None) -> None:
    """A wrong id would answer somebody else's request."""
    assert recover_id(broken) == id


def test_the_id_of_an_oversized_request_is_at_one_of_its_ends() -> None:
    """Elixir writes the id after the arguments, others before them."""
    assert recover_id(b'{"args":{"a":"xxx', b'xxx"},"command":"x","id":7,"timestamp":"now"}') == 7
    assert recover_id(b'{"id":7,"args":{"a":"xxx', b'xxx"},"command":"x"}') == 7
    assert recover_id(b'{"args":{"a":"xxx', b'xxx","id":8},"command":"x"}') is None


@pytest.mark.parametrize(
    "wire",
    [
        b'{"id":1,"success":true,"result":[1]}',
        b'{"id":1,"success":true}',
        b'{"id":1,"success":false}',
        b'{"id":1,"success":false,"error":{"a":1}}',
        b'{"id":1,"success":1,"result":{}}',
    ],
)
def test_a_response_is_read_as_strictly_as_elixir_does(wire: bytes) -> None:
    """What the Elixir decoder calls malformed is malformed here."""
    with pytest.raises(MalformedMessageError) as caught:
        parse_response(wire)
    assert caught.value.request_id == 1


def test_an_error_carries_its_code_beside_and_behind_the_text() -> None:
    """Stock DSPex keeps only the text."""
    wire = Response.error(3, "Program not found: 'qa'", "program_not_found", {"near": []}).to_wire()
    assert wire["error"] == "Program not found: 'qa' [program_not_found]"
    assert (wire["error_code"], wire["success"], wire["details"]) == ("program_not_found", False, {"near": []})
    assert isinstance(wire["timestamp"], float)


def test_an_error_of_an_older_bridge_is_read() -> None:
    """Without a code the text is kept as it is."""
    response = parse_response(b'{"id":1,"success":false,"error":"boom [x]"}')
    assert (response.message, response.code) == ("boom [x]", "unknown")


def test_messages_do_not_show_their_arguments() -> None:
    """A log line about a message carries no key."""
    shown = repr(Request(1, "configure_lm", {"api_key": "secret"})) + repr(Response.ok(1, {"key": "secret"}))
    assert "secret" not in shown

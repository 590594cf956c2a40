"""Schemas of tools that a client sent are checked without asking anybody and in bounded time."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from dspex_testkit.errors import AnswerError
from dspex_testkit.mock_lm.agents import check_tool


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server of schemas, and which of them were fetched."""
    fetched: list[str] = []

    class Schemas(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Schemas) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/schema.json", fetched
        server.shutdown()
        thread.join()


def schema_of(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Of a tool with one argument."""
    return {"look": {"type": "object", "properties": {"a": value}, **more}}


def test_a_schema_that_stands_elsewhere_is_not_fetched(asked: tuple[str, list[str]]) -> None:
    """The call cannot be checked, and the error says so."""
    url, fetched = asked
    with pytest.raises(AnswerError, match="look"):
        check_tool("look", {"a": 1}, schema_of({"$ref": url}), rule="responses")
    assert fetched == []


def test_a_pattern_without_an_end_does_not_keep_the_process_busy() -> None:
    """For the years that Python's own engine would take; of names and of values."""
    endless, victim = "^(a|aa)+$", "a" * 60 + "!"
    with pytest.raises(AnswerError, match="look"):
        check_tool("look", {"a": victim}, schema_of({"type": "string", "pattern": endless}), rule="responses")
    names = schema_of({}, patternProperties={endless: {}}, additionalProperties=True)
    with suppress(AnswerError):
        check_tool("look", {victim: 1}, names, rule="responses")


@pytest.mark.parametrize(
    ("schema", "args", "message"),
    [
        ({"type": "string", "pattern": "^[0-9]+$"}, {"a": "x"}, "does not match"),
        ({"patternProperties": {"^n": {"type": "integer"}}}, {"a": {"n1": "x"}}, "integer"),
        ({"properties": {"b": {}}, "additionalProperties": False}, {"a": {"c": 1}}, "no property 'c'"),
        ({"additionalProperties": {"type": "string"}}, {"a": {"c": 1}}, "string"),
    ],
)
def test_what_does_not_fit_is_told(schema: dict[str, Any], args: dict[str, Any], message: str) -> None:
    """With its place."""
    with pytest.raises(AnswerError, match=message):
        check_tool("look", args, schema_of(schema), rule="responses")


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        ({"type": "string", "pattern": "[0-9]"}, {"a": "x1"}),
        (
            {"properties": {"b": {}}, "patternProperties": {"^n": {}}, "additionalProperties": False},
            {"a": {"n1": 1, "b": 2}},
        ),
        ({"$ref": "#/$defs/day"}, {"a": "monday"}),
    ],
)
def test_what_fits_is_taken(schema: dict[str, Any], args: dict[str, Any]) -> None:
    """References within the schema are followed."""
    check_tool("look", args, schema_of(schema, **{"$defs": {"day": {"type": "string"}}}), rule="responses")

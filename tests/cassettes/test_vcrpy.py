"""Canaries: vcrpy is still made as the recorder of HTTP traffic extends it, beyond what its documents promise."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import vcr
from vcr.cassette import Cassette
from vcr.filters import decode_response
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.request import Request
from vcr.serialize import deserialize, serialize
from vcr.serializers import yamlserializer


class Empty:
    """A persister that finds no file."""

    def load_cassette(self, path: str, serializer: Any) -> Any:
        """As vcrpy asks for one."""
        raise CassetteNotFoundError

    def save_cassette(self, path: str, cassette: Any, serializer: Any) -> None:
        """As vcrpy would keep one."""
        raise AssertionError("vcrpy saved a cassette although `_save` is overridden")


class Overridden(Cassette):  # type: ignore[misc]  # vcrpy has no types
    """Overrides what `HTTPCassette` overrides."""

    saved = 0

    def _save(self, force: bool = False) -> None:
        self.saved += 1


def config(path: Path, **more: Any) -> dict[str, Any]:
    """What `http_cassette` hands to a cassette."""
    merged = vcr.VCR().get_merged_config(path=str(path), record_mode=RecordMode.ALL, persister=Empty(), **more)
    merged.pop("path_transformer", None)
    return dict(merged)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("append", ["self", "request", "response"]),
        ("can_play_response_for", ["self", "request"]),
        ("play_response", ["self", "request"]),
        ("_save", ["self", "force"]),
    ],
)
def test_vcrpys_cassette_has_the_methods_that_are_overridden(method: str, parameters: list[str]) -> None:
    """With the same arguments."""
    assert list(inspect.signature(getattr(Cassette, method)).parameters) == parameters


def test_vcrpys_cassette_has_the_attributes_that_are_read(tmp_path: Path) -> None:
    """Its path, persister, recordings and patches; and whether it may be written."""
    with Overridden.use(**config(tmp_path / "calls.yaml")) as cassette:
        assert str(cassette._path) == str(tmp_path / "calls.yaml")
        assert isinstance(cassette._persister, Empty)
        assert (cassette.data, len(cassette), cassette.write_protected) == ([], 0, False)
        assert list(cassette.custom_patches) == []


def test_vcrpy_saves_through_the_method_that_is_overridden(tmp_path: Path) -> None:
    """So that nothing is written while its patches are on."""
    with Overridden.use(**config(tmp_path / "calls.yaml")) as cassette:
        cassette.append(Request("GET", "http://127.0.0.1/", None, {}), {"status": {"code": 200, "message": "OK"}})
        assert cassette.dirty

    assert cassette.saved
    assert not (tmp_path / "calls.yaml").exists()


def test_vcrpy_applies_patches_that_a_cassette_brings(tmp_path: Path) -> None:
    """Owner, attribute and replacement; they are taken off again."""

    class Client:
        ask = "live"

    class Patching(Overridden):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.custom_patches = ((Client, "ask", "played"),)

    with Patching.use(**config(tmp_path / "calls.yaml")):
        assert Client.ask == "played"
    assert Client.ask == "live"


def test_vcrpys_form_of_a_file_is_read_and_written() -> None:
    """Requests and responses survive their text."""
    request = Request("POST", "http://127.0.0.1/v1", b"{}", {"a": "b"})
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": b"hello"}}

    text = serialize({"requests": [request], "responses": [response]}, yamlserializer)
    (read,), (answer,) = deserialize(text, yamlserializer)

    assert (read.method, read.uri, read.body, read.headers) == ("POST", "http://127.0.0.1/v1", b"{}", {"a": "b"})
    assert decode_response(answer)["body"] == {"string": b"hello"}

"""Remembered answers: what decides an answer is in the key, and bounds hold."""

import json
import sqlite3
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, TextPart, Usage
from pydantic import SecretStr

from dspex_testkit.dspy_internals.wire import request_to_dict, response_from_dict, response_to_dict
from dspex_testkit.lm.cache.responses import ResponseCache, Where
from dspex_testkit.lm.cache.settings import CacheSettings
from dspex_testkit.lm.config.values import LMConfig

CONFIG = LMConfig(provider="openai", model="gpt-4", params={"temperature": 0.5}, api_key=SecretStr("sk-0123456789"))
REQUEST = {"model": "openai/gpt-4", "messages": ["?"]}
PLACES: tuple[Where, ...] = ("memory", "disk")


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest) -> Where:
    """Each place where answers may be kept."""
    place: Where = request.param
    return place


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    """An empty cache."""
    made = ResponseCache(CacheSettings(folder=str(tmp_path / "answers")))
    yield made
    made.close()


def get(cache: ResponseCache, where: Where, key: str) -> Any:
    """The entry as it was put."""
    return cache.get(where, key, lambda entry: entry)


def key(cache: ResponseCache, **changed: Any) -> str:
    """The key of one answer, some of what decides it changed."""
    parts = {"config": CONFIG, "engine": "live", "request": REQUEST, "rollout": None, **changed}
    return cache.key(parts["config"], parts["engine"], parts["request"], parts["rollout"])


@pytest.mark.parametrize(
    "changed",
    [
        {"config": CONFIG.with_fields(provider="azure")},
        {"config": CONFIG.with_fields(model="gpt-4o")},
        {"config": CONFIG.with_fields(params={"temperature": 0.6})},
        {"config": CONFIG.with_fields(api_key=SecretStr("sk-9876543210"))},
        {"config": CONFIG.with_fields(api_base="http://127.0.0.1:1/v1")},
        {"config": CONFIG.with_fields(mock={"responses": {"default": "x"}})},
        {"engine": "deterministic"},
        {"request": {**REQUEST, "messages": ["!"]}},
        {"rollout": 1},
    ],
    ids=["provider", "model", "parameters", "key", "address", "mock", "engine", "request", "rollout"],
)
def test_whatever_decides_an_answer_is_part_of_its_key(cache: ResponseCache, changed: dict[str, Any]) -> None:
    """Two LMs that could answer differently never share an answer."""
    assert key(cache, **changed) != key(cache)


def test_how_an_answer_is_remembered_is_not_part_of_its_key(cache: ResponseCache, where: Where) -> None:
    """A scope that names another time to live finds the same answer."""
    from dspex_testkit.lm.config.values import CacheOptions

    assert key(cache, config=CONFIG.with_fields(cache=CacheOptions(mode=where, ttl_s=5))) == key(cache)


def test_an_answer_is_found_again(cache: ResponseCache, where: Where) -> None:
    """As it was put, and counted."""
    assert get(cache, where, "k") is None
    cache.put(where, "k", {"a": [1, None, "é"]}, None)

    assert get(cache, where, "k") == {"a": [1, None, "é"]}
    told = cache.stats()[where]
    assert (told["hits"], told["misses"], told["entries"]) == (1, 1, 1)
    assert told["bytes"] > 0


def test_an_answer_in_memory_is_forgotten_after_its_time() -> None:
    """By the clock; other entries stay."""
    now = [0.0]
    cache = ResponseCache(clock=lambda: now[0])
    cache.put("memory", "short", {}, 10)
    cache.put("memory", "long", {}, None)
    now[0] = 10.5

    assert (get(cache, "memory", "short"), get(cache, "memory", "long")) == (None, {})
    assert cache.stats()["memory"]["entries"] == 1


def test_memory_is_bounded() -> None:
    """What was longest unused goes first; what could never fit is not kept at all."""
    cache = ResponseCache(CacheSettings(max_bytes=3000))
    for number in range(10):
        cache.put("memory", str(number), {"text": "x" * 500}, None)
        get(cache, "memory", "0")
    cache.put("memory", "huge", {"text": "x" * 5000}, None)

    assert cache.stats()["memory"]["bytes"] <= 3000
    assert get(cache, "memory", "0") is not None
    assert get(cache, "memory", "9") is not None
    assert get(cache, "memory", "1") is None
    assert get(cache, "memory", "huge") is None


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_memory_is_bounded_in_what_it_takes(size: int) -> None:
    """Many small entries weigh as much as they say, with all that goes with them."""
    bound = 1_000_000
    cache = ResponseCache(CacheSettings(max_bytes=bound))
    get(cache, "memory", "opened")
    tracemalloc.start()
    try:
        for number in range(3 * bound // (300 + size)):
            cache.put("memory", key(cache, rollout=number), {"text": "x" * size}, 1000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert cache.stats()["memory"]["bytes"] > bound * 0.9
    assert taken <= bound


def test_disk_is_for_other_processes_too(tmp_path: Path) -> None:
    """Another cache on the same folder makes the same keys and finds the same entries."""
    settings = CacheSettings(folder=str(tmp_path))
    first, second = ResponseCache(settings), ResponseCache(settings)
    first.put("disk", key(first), {"a": 1}, None)

    assert get(second, "disk", key(second)) == {"a": 1}
    first.close()
    second.close()


def test_a_key_cannot_be_read_back_from_disk(cache: ResponseCache, tmp_path: Path) -> None:
    """Neither an LM's key nor the request stands in the file; the folder is the user's alone."""
    cache.put("disk", key(cache), {"a": 1}, None)
    cache.close()

    content = b"".join(file.read_bytes() for file in (tmp_path / "answers").iterdir())
    assert b"sk-0123456789" not in content
    assert ((tmp_path / "answers").stat().st_mode & 0o077) == 0


def test_entries_on_disk_are_json(cache: ResponseCache, tmp_path: Path) -> None:
    """Nothing on disk is ever unpickled."""
    import zlib

    cache.put("disk", "k", {"a": 1}, None)
    cache.close()
    with sqlite3.connect(tmp_path / "answers" / "cache.db") as database:
        rows = database.execute("SELECT value FROM Cache").fetchall()
    database.close()

    stored = [json.loads(zlib.decompress(value)) for (value,) in rows]
    assert '{"a": 1}' in stored


def test_clearing_forgets_and_counts(cache: ResponseCache, where: Where) -> None:
    """What is forgotten is asked for again."""
    for name in "ab":
        cache.put(where, name, {}, None)

    assert cache.clear() == 2
    assert get(cache, where, "a") is None
    assert cache.clear(where) == 0


def test_requests_and_responses_have_a_json_form() -> None:
    """Canary: DSPy's unpublished functions are still there and lose nothing."""
    message = Message("assistant", (TextPart("Paris"),))
    response = Response(None, "m", message, "stop", Usage(input_tokens=3, output_tokens=1))
    request = Request("m", (Message("user", (TextPart("?"),)),))

    assert response_from_dict(json.loads(json.dumps(response_to_dict(response)))) == response
    assert json.loads(json.dumps(request_to_dict(request)))["model"] == "m"
    assert dspy.lm15.Request is Request

"""JSON means the same with orjson and without it."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.errors import LocalProtocolError
from dspex_testkit.protocol import codec, use_orjson


@pytest.fixture(params=["json", "orjson"], autouse=True, scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test with either library."""
    before = codec._fast_loads, codec._fast_dumps
    codec._fast_loads = codec._fast_dumps = None
    if request.param == "orjson":
        use_orjson()
    yield request.param
    codec._fast_loads, codec._fast_dumps = before


text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_values_survive_a_round_trip(value: Any) -> None:
    """Integers of any size included."""
    assert codec.loads(codec.dumps(value)) == value


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, -(2**80), 10**200])
def test_large_integers_survive(number: int) -> None:
    """Nothing is rounded to a float on either way."""
    assert codec.dumps({"n": number}) == b'{"n":%d}' % number
    assert codec.loads(b'{"n":%d}' % number) == {"n": number}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_non_finite_floats_are_written_as_null(number: float) -> None:
    """Jason would refuse the whole answer."""
    assert codec.dumps({"a": [number, (1.5,)]}) == b'{"a":[null,[1.5]]}'


@pytest.mark.parametrize(
    "broken",
    [
        *(b"", b"{", b"{}{}", b"[1,]", b"{'a':1}", b"[" * 100_000, b"\x83m", b"\xef\xbb\xbf{}"),
        *(b"NaN", b"[-Infinity]", b"1e999", b"1" * 5000),
        *(b'"\\ud800"', b'"\\uDC00x"', b'"\xff"', b'"\xed\xa0\x80"', b'"\x00"'),
    ],
)
def test_what_is_not_json_is_refused(broken: bytes) -> None:
    """A ValueError, whatever the damage."""
    with pytest.raises(ValueError, match=r".+"):
        codec.loads(broken)


@given(st.binary())
def test_garbage_raises_nothing_but_value_error(garbage: bytes) -> None:
    """No other exception leaves the reader."""
    with contextlib.suppress(ValueError):
        codec.loads(garbage)


def test_surrogate_pairs_and_late_duplicates_are_read() -> None:
    """An escaped pair is one character; of a key that occurs twice the last counts."""
    assert codec.loads(b'{"a":"\\ud83d\\ude00","a":"\\uD83D\\uDE01"}') == {"a": "\U0001f601"}


def test_lone_surrogates_are_written_as_replacement_characters() -> None:
    """The bytes are UTF-8 whatever a model said."""
    assert codec.dumps(["a\ud800b"]).decode() == '["a\ufffdb"]'


def test_integer_keys_become_strings() -> None:
    """JSON has no others."""
    assert codec.dumps({1: 2}) == b'{"1":2}'


def test_what_json_cannot_say_is_a_local_error() -> None:
    """The caller learns which value it was."""
    loop: list[Any] = []
    loop.append(loop)
    for value in ({"a": object()}, loop, {(1, 2): 3}):
        with pytest.raises(LocalProtocolError, match="cannot be written as JSON"):
            codec.dumps(value)

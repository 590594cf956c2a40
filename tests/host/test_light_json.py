"""The quick JSON of launcher and host is JSON, written and read as `json` does it."""

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.host import light_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_it_writes_is_json_and_is_read_again(value: Any) -> None:
    """By itself and by everybody else."""
    written = light_json.dumps(value)
    assert light_json.loads(written) == json.loads(written) == value


def test_bytes_that_are_no_text_survive() -> None:
    """A variable of the environment may hold any."""
    odd = os.fsdecode(b"\xff\xfe")
    assert light_json.loads(light_json.dumps({"ODD": odd})) == {"ODD": odd}


@pytest.mark.parametrize("broken", [b"", b"{", b'{"a"}', b"nothing", b"\xff"])
def test_what_is_not_json_is_refused(broken: bytes) -> None:
    """As one kind of error."""
    with pytest.raises(ValueError):
        light_json.loads(broken)


def test_what_has_no_json_form_is_refused() -> None:
    """Instead of becoming something else."""
    with pytest.raises(TypeError, match="set has no JSON form"):
        light_json.dumps({"a": {1}})

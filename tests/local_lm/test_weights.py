"""Weights that cannot be served are refused before anything is loaded, each in one line that says what to do."""

import sys
from pathlib import Path

import pytest

from dspex_testkit.errors import DSPexTestkitError, LocalLMError, MissingExtraError, UsageError
from dspex_testkit.local_lm import LocalLM


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file that begins as weights do."""
    file = tmp_path / "some.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    return file


def one_line(error: DSPexTestkitError) -> str:
    """The message of an error that has no second line."""
    assert "\n" not in error.message
    return error.message


def test_a_file_that_is_not_there_is_no_lm(tmp_path: Path) -> None:
    """Nor is a folder."""
    for path in (tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(UsageError) as refused:
            LocalLM(path)
        assert f"{path} cannot be read" in one_line(refused.value)
        assert "GGUF" in refused.value.message


def test_a_file_of_something_else_is_no_lm(tmp_path: Path) -> None:
    """By its first bytes, whatever it is called."""
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"PK\x03\x04 a zip")

    with pytest.raises(UsageError) as refused:
        LocalLM(file)

    assert "holds no weights in GGUF: it begins with b'PK" in one_line(refused.value)


def test_weights_that_do_not_fit_in_memory_are_not_loaded(gguf: Path) -> None:
    """Said with both sizes, before the machine begins to swap."""
    with gguf.open("r+b") as file:
        file.truncate(8 << 40)

    with pytest.raises(LocalLMError) as refused:
        LocalLM(gguf).start()

    assert "needs 8192.0 GiB of memory, and" in one_line(refused.value)


def test_a_local_lm_without_its_extra_says_which_is_missing(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to install it."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(MissingExtraError) as refused:
        LocalLM(gguf).start()

    assert "dspex-testkit[local]" in one_line(refused.value)

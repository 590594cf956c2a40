"""What "did you mean" names, wherever a name is refused."""

import pytest

from dspex_testkit.errors import DSPexTestkitError, UnknownProviderError
from dspex_testkit.lm.config.providers import get_provider
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.nearest import did_you_mean, most_similar, nearest, nearest_hint


def test_the_nearest_comes_first_and_case_does_not_count() -> None:
    """In the spelling that is known."""
    assert nearest("RESPONSE", ["answers", "Responses", "responder"])[0] == "Responses"
    assert nearest_hint("temprature", {"temperature": 1}) == " (did you mean 'temperature'?)"
    assert nearest_hint("zzz", ["temperature"]) == ""
    assert did_you_mean("zzz", ["a"], "it takes a") == "it takes a"
    assert did_you_mean("temprature", ["temperature"], "") == "did you mean 'temperature'?"


def test_a_name_of_any_length_is_compared_by_its_beginning() -> None:
    """A client may send a book for a name; it is refused as soon as any other."""
    book = "temperature" * 1_000_000
    assert nearest(book, [f"{book[:5000]}{number}" for number in range(2000)]) == [f"{book[:5000]}999"]


def test_the_most_similar_texts_come_first_however_unlike() -> None:
    """For texts that are no names, such as questions."""
    assert most_similar("Capital of France?", ["zzz", "capital of france"], limit=2) == ["capital of france", "zzz"]


def test_whoever_refuses_a_name_says_the_nearest_in_the_same_words() -> None:
    """Settings, providers, parameters of LMs, keys of mocks."""
    said = []
    with pytest.raises(UnknownProviderError) as provider:
        get_provider("OPENIA")
    with pytest.raises(DSPexTestkitError) as parameter:
        parse_lm_config({"model": "openai/gpt-4o", "params": {"Temprature": 1}})
    with pytest.raises(DSPexTestkitError) as key:
        MockLM({"Respnses": {}})
    said = [error.value.message for error in (provider, parameter, key)]
    assert [name in text for name, text in zip(("'openai'", "'temperature'", "'responses'"), said, strict=True)] == [
        True
    ] * 3
    assert all(" (did you mean '" in text or "; did you mean '" in text for text in said), said

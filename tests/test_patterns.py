"""Regular expressions that a client sends find what `re` finds, and stop."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.bridge import BridgeSettings
from dspex_testkit.cassettes.api import cassette_options, sent_options
from dspex_testkit.errors import UnusablePatternError, UsageError
from dspex_testkit.limits import PATTERN_LENGTH, SEARCHED_TEXT
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.patterns import BoundedPattern, bounded
from tests.support.bridges import InProcess
from tests.support.waiting import PATIENCE

CATASTROPHE = "^(a|aa)+$"
VICTIM = "a" * 60 + "!"

PATTERNS = [
    "a{2}b{1,2}c{2,}d{,2}",
    "x{",
    "x{e<=1}",
    "{i}",
    "a{,}b",
    "[[:alpha:]]+",
    "[]a]+",
    "[^]a]+",
    r"[\]\-a]",
    "[a&&b]",
    r"\[\[ ## (\w+) ## \]\]",
    "(?i)a{2}",
    "(?P<word>[a-z]+) (?P=word)",
    "(?<=a)b(?!c)",
    "(?#comment here)ab",
    r"\N{DIGIT ONE}",
    "(?:ab|a)*?c",
    "(?s:a.b)",
    "}",
    "a++b",
    "(?>a+)b",
]
TEXTS = [
    "aabbccdd",
    "x{",
    "x{e<=1}",
    "xe",
    "{i}",
    "[:alpha:]",
    "]a]",
    "a&&b",
    "[[ ## answer ## ]]\n1",
    "AA",
    "ab ab",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_a_sent_pattern_means_what_it_means_to_re(pattern: str) -> None:
    """Also where the bounded engine has a meaning of its own for it."""
    for text in [*TEXTS, "1", "}", "aaab", "a\nb", "abab c"]:
        found, wanted = bounded(pattern).search(text), re.search(pattern, text)
        assert (found and found.span()) == (wanted and wanted.span()), text
        assert bounded(pattern).sub("<>", text) == re.sub(pattern, "<>", text)


@given(st.text("ab[]{}(),|*+?^$.\\d12-:", max_size=14), st.text("ab12[]{}", max_size=12))
@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
def test_any_pattern_is_refused_or_means_what_it_means_to_re(pattern: str, text: str) -> None:
    """Made up at random: nothing is accepted that `re` refuses, and nothing finds something else."""
    try:
        wanted = re.compile(pattern).search(text)
    except (re.error, OverflowError):
        with pytest.raises(UnusablePatternError):
            bounded(pattern)
        return
    try:
        found = bounded(pattern).search(text)
    except UnusablePatternError:
        return
    assert (found and found.span()) == (wanted and wanted.span())


def test_a_pattern_that_runs_out_of_time_is_an_error_that_names_it() -> None:
    """The pattern works on for texts that it can search."""
    pattern = BoundedPattern(CATASTROPHE)
    for _ in range(3):
        with pytest.raises(UnusablePatternError, match=r"\^\(a\|aa\)\+\$.*ran out of its 1 s"):
            pattern.search(VICTIM)

    assert pattern.search("aaa") is not None
    assert pattern.search("b") is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "no regular expression"),
        ("x" * (PATTERN_LENGTH + 1), "1000 characters at most"),
        ("(?:a{1000}){1000}", "is too large"),
        ("a{100000000}", "is too large"),
        ("(?:(?:a{100}){100}){100}", "is too large"),
        ("a{9999}" * 100, "is too large"),
        ("(" * 200 + ")" * 200, "is too large|no regular expression"),
        ("(?x) a # b(", "verbose"),
    ],
)
def test_a_pattern_that_is_none_or_too_large_is_refused_before_it_is_compiled(pattern: str, message: str) -> None:
    """The engine would write its repetitions out, in more memory than there is."""
    with pytest.raises(UnusablePatternError, match=message):
        BoundedPattern(pattern)


def test_a_text_is_searched_up_to_a_length() -> None:
    """The error says which."""
    with pytest.raises(UnusablePatternError, match=f"{SEARCHED_TEXT} at most"):
        BoundedPattern("a").search("b" * (SEARCHED_TEXT + 1))


def test_patterns_of_a_tests_own_process_keep_all_of_re() -> None:
    """Of any length, verbose, compiled: nobody else waits for them."""
    own = "(?x) \\? # a question\n" + "#" * 2 * PATTERN_LENGTH

    lm = MockLM.deterministic(rules=[{"answer": "ok", "when": {"prompt": {"regex": own}}}], default="no")

    assert lm("Who?") == ["ok"]
    options = cassette_options(redact=[re.compile("(?x) a{1000} # all")], ignore_patterns=["(?x) b"])
    assert options.redactor.text("a" * 1000) == "[redacted]"


def mock(regex: str) -> dict[str, Any]:
    """A mock with a rule."""
    rule = {"answer": "found", "when": {"inputs": {"question": {"regex": regex}}}}
    return {"provider": "mock", "rules": [rule], "responses": {"default": "other"}}


def test_a_rule_that_would_silence_a_bridge_is_an_error() -> None:
    """It names the pattern; the next request is answered."""
    bridge = InProcess()
    run = {"signature": "question -> answer", "inputs": {"question": VICTIM}}
    begun = time.monotonic()

    failed = bridge.ask("predict", {**run, "lm_config": mock(CATASTROPHE)})

    assert failed.code == "unusable_pattern"
    assert CATASTROPHE in str(failed.message)
    assert time.monotonic() - begun < PATIENCE
    for pattern in ("^a+!$", "^(a+)+!$"):
        assert bridge.call("predict", {**run, "lm_config": mock(pattern)})["outputs"] == {"answer": "found"}


@pytest.mark.parametrize("pattern", ["(", "(?:a{1000}){1000}", "x" * 5_000])
def test_a_rule_that_cannot_be_compiled_is_an_invalid_spec(pattern: str) -> None:
    """It is refused when it is configured, with the place where it stands."""
    failed = InProcess().ask("configure_lm", mock(pattern))

    assert failed.code == "invalid_mock_spec"
    assert "rules[0].when.inputs.question" in str(failed.message)


def test_a_sent_option_of_a_cassette_is_bounded() -> None:
    """What is ignored in texts, and what is cut out of recordings."""
    options = cassette_options(**sent_options({"ignore_patterns": [CATASTROPHE], "redact": ["x(y|yy)+z"]}))

    with pytest.raises(UnusablePatternError, match="ran out"):
        options.rules.key({"messages": [{"role": "user", "content": VICTIM}]})
    with pytest.raises(UnusablePatternError, match="ran out"):
        options.redactor.text("x" + "y" * 60)


@pytest.mark.parametrize("options", [{"redact": "abc"}, {"ignore_patterns": [1]}, {"redact": ["a"] * 101}])
def test_a_sent_list_of_patterns_is_one(options: dict[str, Any]) -> None:
    """A text, or a number within, is none; and it has an end."""
    with pytest.raises(UsageError, match=next(iter(options))):
        sent_options(options)


def test_use_cassette_refuses_a_pattern_that_is_too_large(tmp_path: Path) -> None:
    """Before anything is opened."""
    bridge = InProcess(BridgeSettings(cassettes=str(tmp_path)))

    failed = bridge.ask("use_cassette", {"name": "c", "options": {"redact": ["(?:a{1000}){1000}"]}})

    assert failed.code == "unusable_pattern"

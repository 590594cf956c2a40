"""The reference page names everything there is."""

import re
from pathlib import Path

import pytest

from dspex_testkit.plugin import fixtures, hookspecs, markers
from dspex_testkit.plugin.journal import LMJournal

OURS = {name for name, value in vars(fixtures).items() if name[0] != "_" and hasattr(value, "_get_wrapped_function")}
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "pytest.md").read_text(encoding="utf-8")


def test_every_fixture_marker_hook_and_assertion_is_on_the_page() -> None:
    """And nothing is on it that is not there."""
    assert {*re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Fixtures")[2].partition("###")[0], re.M)} == OURS
    assert {*re.findall(r"^\| `(\w+)[(`]", PAGE.partition("## Markers")[2].partition("```")[0], re.M)} == {
        *markers.MARKERS
    }
    assert {*re.findall(r"^def (pytest_dspex_\w+)", PAGE, re.M)} == {
        name for name in vars(hookspecs) if name.startswith("pytest_dspex")
    }
    assert {*re.findall(r"`(assert_\w+)\(", PAGE)} == {name for name in vars(LMJournal) if name.startswith("assert_")}


def test_every_option_and_ini_key_is_on_the_page(pytestconfig: pytest.Config) -> None:
    """Taken from what pytest itself knows."""
    parser = pytestconfig._parser
    flags = {flag for action in parser.optparser._actions for flag in action.option_strings}
    ours = {flag for flag in flags if flag.startswith(("--bridge-", "--lm-"))}

    assert {*re.findall(r"^\| `(--[\w-]+)", PAGE, re.M)} == ours
    for key in ("lm_block_network", "lm_allow_hosts"):
        assert f"`{key}" in PAGE
        pytestconfig.getini(key)

"""LM calls as Markdown, for the summary of a CI job."""

import json
from pathlib import Path

import pytest

from dspex_testkit.calls import Usage
from dspex_testkit.cli import main
from dspex_testkit.errors import JournalFileError
from dspex_testkit.report import render_markdown
from tests.support.lm_records import call, change


def test_each_lm_has_its_sums() -> None:
    """Calls, switches, errors, tokens and money, and all of them together."""
    first = call("openai/gpt-4o", cost="0.0125")
    second = call("google/gemini-pro", mocked=False, cost="0.5", error="no")

    assert render_markdown([first, second, first], changes=[change("openai/gpt-4o")]) == (
        "## LM calls\n\n"
        "| LM | calls | switches to it | errors | input tokens | output tokens | cost | cost avoided |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| ` openai/gpt-4o ` mock | 2 | 1 | 0 | 200 | 20 | - | $0.025 |\n"
        "| ` google/gemini-pro ` real provider | 1 | 1 | 1 | 100 | 10 | $0.50 | - |\n"
        "| All | 3 | 2 | 1 | 300 | 30 | $0.50 | $0.025 |\n\n"
        "### Failed calls\n\n"
        "| test | LM | error |\n"
        "| --- | --- | --- |\n"
        "| ` - ` | ` google/gemini-pro ` | ` no ` |\n"
    )


def test_what_is_charged_elsewhere_or_not_at_all_is_not_summed_again() -> None:
    """An ensemble is charged through its members, and a remembered answer costs nothing."""
    page = render_markdown([call("a/1", engine="ensemble", cost="9"), call("a/1", cache_hit=True, cost="9")])

    assert page.splitlines()[-1] == "| ` a/1 ` mock | 2 | 0 | 0 | - | - | - | - |"


def test_a_run_without_calls_says_so() -> None:
    """No table of nothing."""
    assert render_markdown([], title="Run 7") == "## Run 7\n\nNo LM calls.\n"


def test_no_text_leaves_its_cell() -> None:
    """Pipes, line ends, markup and mentions of a call stay what the call said."""
    evil = "a|b `c` ``d``\n\n# e <img src=x> @everybody \x1b[31m"
    page = render_markdown([call(error=evil, test="t::" + evil)], title="one\ntwo")

    assert page.startswith("## one two\n")
    assert page.splitlines()[-1].startswith("| ``` t::a\\|b `c` ``d`` # e <img src=x> @everybody [31m ``` | ` openai/")
    assert {line.replace("\\|", "").count("|") for line in page.splitlines()[-3:]} == {4}


def test_long_errors_and_long_lists_are_cut() -> None:
    """A summary has room for a megabyte; how much is left out is said."""
    page = render_markdown([call(error="x" * 5000) for _ in range(2000)])

    assert len(page) < 20_000
    assert page.endswith("\n\nAnd 1,980 more.\n")
    assert "x…" in page


@pytest.mark.parametrize("wrong", [{"cost": "much"}, {"cost": float("nan")}, {"usage": {"input_tokens": "some"}}])
def test_a_number_that_is_none_is_an_error(wrong: "dict[str, object]") -> None:
    """It is not left out of a sum."""
    with pytest.raises(JournalFileError, match=r"LM call 1: wanted a number in its (cost|usage), got"):
        render_markdown([{**call(), **wrong}])


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To be appended to a job's summary, or written where it is told to."""
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(call(usage=Usage(1, 2))) + "\n", encoding="utf-8")

    assert main(["report", str(path), "--format", "markdown", "--title", "Run 7"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("## Run 7\n")
    assert [each.name for each in tmp_path.iterdir()] == ["calls.jsonl"]
    assert main(["report", str(path), "--format", "markdown", "-o", str(tmp_path / "sub" / "s.md")]) == 0
    assert (tmp_path / "sub" / "s.md").read_text(encoding="utf-8").startswith("## LM calls\n")

"""What a test's report says of its LMs: a section where it failed, properties, artifacts, and calls for the run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from dspex_testkit.calls.costs import cost_of
from dspex_testkit.plugin.case import Case
from dspex_testkit.plugin.items import CALLS, COST, SEED_USED, name_from_here
from dspex_testkit.plugin.journal_files import TestCalls
from dspex_testkit.plugin.options import Options
from dspex_testkit.redaction import NO_LOOKS, Redactor, Secrets, error_redactor, secrets_of_environment

SECTION = "LM calls"


def describe(case: Case, report: pytest.TestReport, *, process: str | None) -> TestCalls:
    """A test and all its calls."""
    calls, changes = case.calls.entries(all=True)
    secrets = Secrets(secrets_of_environment())
    answers, errors = Redactor(secrets, NO_LOOKS), error_redactor(secrets)
    return TestCalls(
        nodeid=case.item.nodeid,
        calls=[call.without_secrets(answers, errors) for call in calls],
        changes=changes,
        outcome=report.outcome,
        seed=case.seed,
        mode=case.bridges[0].mode if case.bridges else None,
        process=process,
        duration=report.duration,
        rerun=rerun_command(case),
    )


def add_section(report: pytest.TestReport, test: TestCalls) -> None:
    """Show the last calls of a failed test, with its seed and the command that runs it again."""
    from dspex_testkit.plugin.timeline import last_calls

    text = last_calls(test.calls) if test.calls else "(no LM was called)"
    report.sections.append((SECTION, f"{text}\n\nseed {test.seed}; again: {test.rerun}\n"))


def add_properties(case: Case, test: TestCalls) -> None:
    """Give JUnit's file the test's calls, cost and seed."""
    properties = {CALLS: str(len(test.calls)), COST: str(cost_of(test.calls)), SEED_USED: str(test.seed)}
    others = [(name, value) for name, value in case.item.user_properties if name not in properties]
    case.item.user_properties[:] = [*others, *properties.items()]


def cut_secrets(report: pytest.TestReport, secrets: Secrets | None) -> None:
    """Take the keys out of a failure that are known: it may quote what a provider said, or show an LM's config.

    Args:
        report: Of the failed phase of a test.
        secrets: Those of the environment, of the test's markers, its bridges and the LMs that it asked; None where it
            used nothing of the kit, and only the environment is known.
    """
    secrets = Secrets(secrets_of_environment()) if secrets is None else secrets
    redactor = Redactor(secrets, NO_LOOKS, beginnings=True)
    if redactor.concerns([report.longreprtext]):
        # As text, for what pytest makes of an exception holds the key in many places.
        report.longrepr = redactor.text(report.longreprtext)
    if redactor.concerns(report.sections):
        report.sections = [(name, redactor.text(text)) for name, text in report.sections]


def artifacts_of(case: Case, test: TestCalls) -> dict[str, str]:
    """What a failed test leaves behind, by file name."""
    files = {
        "calls.jsonl": "".join(json.dumps(entry.to_dict(), ensure_ascii=False) + "\n" for entry in test.entries),
        "about.txt": f"{test.nodeid}\nseed {test.seed}\n{test.rerun}\n",
    }
    prompts = [call.prompt for call in test.calls if call.prompt is not None]
    if prompts:
        files["prompts.txt"] = "\n".join(map(str, prompts))
    errors = error_redactor(case.secrets)
    for worker, log in case.logs().items():
        # The bridge's own lines have been cut; what libraries print has not.
        files[f"{_file_name(worker)}.log"] = errors.text(log)
    return files


def write_artifacts(folder: Path, nodeid: str, files: dict[str, str]) -> None:
    """Put them where ``--lm-artifacts`` says, one folder per test."""
    place = folder / _file_name(nodeid)
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")


def rerun_command(case: Case) -> str:
    """The command that runs a test again with the same seed, mode and policy."""
    options: Options = case.options
    words = ["pytest", name_from_here(case.item), f"--lm-seed={case.seed}"]
    if options.modes != ("inproc",):
        words.append(f"--bridge-mode={options.modes[0] if len(options.modes) == 1 else 'all'}")
    if options.policy is not None:
        words.append(f"--lm-policy={options.policy}")
    if options.live:
        words.append("--lm-live")
    return shlex.join(words)


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")[:150]

"""The demo: DSPex's "Complete Workflow Example" played on a real bridge process.

Installs the launcher into a temporary folder, starts it the way an Erlang port does, and asks one program the same
question under every scope that can name an LM. No key, no network.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.pool import BridgeProcess, Launch

QUESTION = "What is the capital of France?"
BASIC_QA = {
    "name": "BasicQA",
    "docstring": "Answer questions with short factual answers",
    "inputs": [{"name": "question", "type": "string"}],
    "outputs": [{"name": "answer", "type": "string", "desc": "often between 1 and 5 words"}],
}
CREATIVE_WRITING = {
    "name": "CreativeWriting",
    "docstring": "Write one line on a topic",
    "inputs": [{"name": "topic", "type": "string"}],
    "outputs": [{"name": "line", "type": "string"}],
}


def _says(answer: str) -> dict[str, Any]:
    """The part of an LM config that tells its mock what to answer."""
    return {"mock": {"responses": {"default": answer}}}


DEFAULT_LM = {"provider": "google", "model": "gemini-pro", "mock": {"responses": {QUESTION: "Paris"}}}
WRITER_LM = {"provider": "openai", "model": "gpt-4", "temperature": 0.9, **_says("Ink on wet stone")}
OVERRIDE_LM = {"provider": "anthropic", "model": "claude-3", **_says("Paris, in short")}
SESSION_LM = {"provider": "google", "model": "gemini-1.5-pro", **_says("Paris, Alice!")}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: one execution, and the LM that answered it."""

    program: str
    scope: str | None
    """The scope that decided; None where no LM answered."""
    lm: str | None
    """``provider/model``; None where no LM answered."""
    answer: str
    """The program's output, or the error's text."""
    why: str


def play() -> Iterator[Row]:
    """Play the workflow, one row per execution."""
    from dspex_testkit.launch.install import install
    from dspex_testkit.runtime.scratch import scratch

    with scratch() as folder:
        # What the caller's shell says about bridges is not part of the demo.
        unset = {name: None for name in os.environ if name.startswith("DSPEX_TESTKIT_")}
        launch = Launch(script=install(Path(folder)), env=unset)
        with BridgeProcess(launch.with_env(DSPEX_TESTKIT_DEFAULT_LM=json.dumps(DEFAULT_LM))) as bridge:
            yield from _switch_lms(bridge)
        with BridgeProcess(launch) as bridge:
            bridge.call("create_program", {"id": "qa", "signature": BASIC_QA})
            response = bridge.ask("execute_program", {"program_id": "qa", "inputs": {"question": QUESTION}})
            if response.code != "no_lm_loaded":
                raise DSPexTestkitError(f"without any LM an error was expected, but {response!r} came")
            yield Row("qa", None, None, str(response.message), "no LM given")


def _switch_lms(bridge: BridgeProcess) -> Iterator[Row]:
    def execute(program: str, why: str, inputs: Mapping[str, str] | None = None, **args: Any) -> Row:
        given = {"program_id": program, "inputs": inputs or {"question": QUESTION}, **args}
        result = bridge.call("execute_program", given)
        lm = result["lm"]
        [answer] = result["outputs"].values()
        return Row(program, lm["scope"], f"{lm['provider']}/{lm['model']}", answer, why)

    bridge.call("create_program", {"id": "qa", "signature": BASIC_QA})
    yield execute("qa", "default LM")

    bridge.call("create_program", {"id": "creative", "signature": CREATIVE_WRITING, "lm_config": WRITER_LM})
    yield execute("creative", "its own LM", {"topic": "Paris by night"})
    yield execute("qa", "override", options={"lm_config": OVERRIDE_LM})

    bridge.call("configure_lm", {"session_id": "alice", **SESSION_LM})
    yield execute("qa", "session LM", session_id="alice")
    yield execute("qa", "unchanged")


def run(*, as_json: bool = False) -> None:
    """Play the workflow and print what happened.

    Args:
        as_json: Print a JSON list of rows instead of the table.
    """
    rows = list(play())
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


_HEADINGS = ("program", "decided by", "provider/model", "answer", "because of")


def _print_table(rows: list[Row]) -> None:
    lines = [(row.program, row.scope or "none", row.lm or "none", row.answer, row.why) for row in rows]
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
    except ImportError:  # the extra `cli` is a comfort here, not a need
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *lines, strict=True)]
        for line in (_HEADINGS, tuple("-" * width for width in widths), *lines):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    # Narrow enough for 80 columns: who answered has to be readable everywhere.
    table = Table(*_HEADINGS, box=SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    Console().print(table)

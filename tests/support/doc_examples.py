"""Runs the fenced blocks of a Markdown page.

    python            doctest, or plain code
    python file       written to the file that its first line names, for the commands that follow
    ini, yaml         the same, and read
    console           ``$ command`` lines in a scratch folder, their output compared
    json request      sent to a bridge of the page's own
    json response     compared with what that bridge answered
    toml              read as ``dspex_testkit.toml``

In expected output ``...`` stands for any text. In an expected response ``"…"`` stands for any value, and the pair
``"…": "…"`` for any further keys.
"""

import configparser
import doctest
import json
import os
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from dspex_testkit.bridge import Bridge
from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.protocol import Request, Response

ANYTHING = "…"
EXECUTED = frozenset({"python", "python file", "ini", "yaml", "console", "json request", "json response", "toml"})
SHOWN = frozenset({"diff", "elixir", "sh", "text"})
"""Languages of blocks that cannot run here: they need DSPex, would run these very tests, or are recipes, which
`tests/docs/test_recipes.py` follows."""


class Page:
    """One page, the scratch folder of its commands and the bridge of its requests.

    Args:
        path: The Markdown file.
        folder: An empty folder in which its commands run.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._folder = folder
        self._bridge: Bridge | None = None
        self._response: Response | None = None
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        evaluators: dict[str, Callable[[Example], str | None]] = {
            "python file": self._write_file,
            "ini": self._write_ini,
            "yaml": self._write_yaml,
            "console": self._run_console,
            "json request": self._send,
            "json response": self._compare_response,
            "toml": self._read_settings,
        }
        parsers = [CodeBlockParser(language, evaluator) for language, evaluator in evaluators.items()]
        sybil = Sybil(parsers=[PythonCodeBlockParser(doctest_optionflags=flags), *parsers])
        self._document: Document = sybil.parse(path)

    def run(self) -> int:
        """Run every example, in order, and return how many there were.

        Raises:
            AssertionError: One did not come out as the page says.
        """
        count = 0
        try:
            for example in self._document.examples():
                example.evaluate()
                count += 1
        finally:
            if self._bridge is not None:
                self._bridge.close()
        return count

    def _write_file(self, example: Example) -> None:
        source = str(example.parsed)
        path = self._folder / source.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    def _write_ini(self, example: Example) -> None:
        configparser.ConfigParser().read_string(str(example.parsed))
        self._write_file(example)

    def _write_yaml(self, example: Example) -> None:
        assert isinstance(yaml.safe_load(str(example.parsed)), dict)
        self._write_file(example)

    def _run_console(self, example: Example) -> str | None:
        for command, expected in _commands(str(example.parsed)):
            done = subprocess.run(
                command,
                shell=True,
                cwd=self._folder,
                env=_shell_environment(self._folder),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                check=False,
            )
            problem = _difference(expected, done.stdout, anyhow="--help" in command)
            if problem or done.returncode:
                return f"$ {command}\n(status {done.returncode})\n{problem}"
        return None

    def _send(self, example: Example) -> None:
        wire = json.loads(str(example.parsed))
        if self._bridge is None:
            self._bridge = Bridge(BridgeSettings(), mode="standalone")
        self._response = self._bridge.handle(Request(wire["id"], wire["command"], wire.get("args")))

    def _compare_response(self, example: Example) -> str | None:
        assert self._response is not None, "a response needs a request before it"
        got = self._response.to_wire()
        differences = list(differing(json.loads(str(example.parsed)), got, "response"))
        if not differences:
            return None
        return "\n".join([*differences, "The whole response:", json.dumps(got, indent=2, ensure_ascii=False)])

    def _read_settings(self, example: Example) -> None:
        from dspex_testkit.runtime.settings import load

        (self._folder / "dspex_testkit.toml").write_text(str(example.parsed), encoding="utf-8")
        load(environ={}, home=str(self._folder))


def differing(expected: Any, got: Any, path: str) -> Iterator[str]:
    """Where a JSON value is not what was expected, one line each."""
    if expected == ANYTHING:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        more_allowed = ANYTHING in expected
        for name, value in expected.items():
            if name == ANYTHING:
                continue
            if name not in got:
                yield f"{path}.{name} is missing"
            else:
                yield from differing(value, got[name], f"{path}.{name}")
        if not more_allowed:
            # Every response carries the time; no reader needs to see it each time.
            yield from (f"{path}.{name} is not on the page" for name in got.keys() - expected.keys() - {"timestamp"})
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif expected != got or type(expected) is not type(got):
        yield f"{path} is {got!r}, the page says {expected!r}"


def languages(path: Path) -> list[str]:
    """The language of every fenced block of a page, in order."""
    fences = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("```")]
    return [opening.removeprefix("```") for opening in fences[::2]]


def _commands(source: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output that follows it."""
    command, output = "", ""
    for line in source.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line.removeprefix("$ ").rstrip("\n"), ""
        else:
            output += line
    yield command, output


def _difference(expected: str, got: str, *, anyhow: bool = False) -> str | None:
    """What is not as shown; `anyhow` where Python lays a text out, differently in each release."""
    expected, got = _without_margins(expected), _without_margins(got)
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.REPORT_UDIFF | (doctest.NORMALIZE_WHITESPACE if anyhow else 0)
    if checker.check_output(expected, got, flags):
        return None
    return checker.output_difference(doctest.Example("", expected), got, flags)


def _without_margins(text: str) -> str:
    """The text without blanks at the ends of lines, and without blank lines at its own ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"


def _shell_environment(home: Path) -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSPEX_TESTKIT_")}
    pytest_as_shown = {
        # Other plugins of this project's own environment would have their say in what pytest prints.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p dspex_testkit.plugin -p xdist -p no:cacheprovider",
    }
    shown = {"PATH": f"{scripts}{os.pathsep}{kept['PATH']}", "HOME": str(home), "COLUMNS": "80", "NO_COLOR": "1"}
    return kept | shown | pytest_as_shown

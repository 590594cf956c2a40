"""Arguments that no command knows are ignored, and named."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dspex_testkit.bridge
from dspex_testkit.bridge.arguments import NAMES
from tests.support.bridges import InProcess

MOCK = {"provider": "mock", "responses": {"default": "Ada"}}
CREATE = {"id": "p", "signature": "question -> answer", "lm_config": MOCK}
RUN = {"program_id": "p", "inputs": {"question": "Who?"}}


@pytest.fixture
def bridge() -> InProcess:
    """A bridge with a program."""
    client = InProcess()
    assert "warnings" not in client.call("create_program", CREATE)
    return client


@pytest.mark.parametrize(
    ("command", "args", "name", "meant"),
    [
        ("create_program", {**CREATE, "instrctions": "Be brief."}, "instrctions", "instructions"),
        ("execute_program", {**RUN, "timeout": 5}, "timeout", "timeout_ms"),
        ("execute_program", {**RUN, "lm_configuration": MOCK}, "lm_configuration", "lm_config"),
        ("predict", {"input": "x", "imput": "y"}, "imput", "input"),
        ("get_journal", {"limits": 3}, "limits", "limit"),
        ("set_budget", {"calls": 3, "token": 5}, "token", "tokens"),
        ("delete_program", {"program_id": "p", "cascade": True}, "cascade", None),
    ],
)
def test_an_unknown_argument_is_ignored_and_named(
    bridge: InProcess, command: str, args: dict[str, Any], name: str, meant: str | None
) -> None:
    """With the one that was probably meant."""
    (warning,) = bridge.call(command, args)["warnings"]

    hint = f" (did you mean {meant!r}?)" if meant else ""
    assert warning == f"{command} knows no argument {name!r}{hint}; it was ignored"


def test_what_a_program_warns_of_comes_first(bridge: InProcess) -> None:
    """Both are told."""
    odd = {"inputs": [{"name": "q", "type": "quaternion"}], "outputs": [{"name": "answer", "type": "string"}]}
    bridge.call("create_program", {"id": "odd", "signature": odd, "lm_config": MOCK})

    told = bridge.call("execute_program", {"program_id": "odd", "inputs": {"q": "1"}, "test": True})["warnings"]

    assert "quaternion" in told[0]
    assert "'test'" in told[1]


def test_marks_on_a_ping_are_no_mistake(bridge: InProcess) -> None:
    """DSPex sends all kinds of them."""
    assert "warnings" not in bridge.call("ping", {"warmup": True, "slot": 3, "echo_args": True})


def test_every_argument_that_a_handler_reads_is_known() -> None:
    """Nobody is warned of what has an effect."""
    folder = Path(dspex_testkit.bridge.__file__).parent
    read = {name for path in folder.rglob("*.py") for name in _names_read(path)}

    assert {"inputs", "passed", "usd"} <= read  # the search finds something
    # Of commands that take an LM config, or nothing.
    assert read - NAMES == {"verify"}


def _names_read(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "args"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)

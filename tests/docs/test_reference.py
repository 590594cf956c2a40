"""The reference pages are complete."""

import ast
import re
from itertools import pairwise
from pathlib import Path

from dspex_testkit import errors, limits
from dspex_testkit.bridge.commands import HANDLERS
from tests.support import settings_page

LIMITS = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
COMMANDS = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")

SENT = (errors.RemoteProtocolError, errors.CommandError, errors.LMResolutionError, errors.MockLMError)
"""The branches of the error tree that a bridge answers with."""


def leaves(kind: type[errors.DSPexTestkitError]) -> set[type[errors.DSPexTestkitError]]:
    """The classes of the error tree that have none below them."""
    below = kind.__subclasses__()
    return set().union(*map(leaves, below)) if below else {kind}


def test_the_settings_page_is_up_to_date() -> None:
    """What the page says is what the table has."""
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.render()


def test_every_limit_is_in_the_table_with_its_value() -> None:
    """A client finds each bound, with what it bounds; the table has no other."""
    said = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
    rows = [
        f"| `{node.target.id}` | {getattr(limits, node.target.id):,} | {ast.literal_eval(after.value)} |"
        for node, after in pairwise(said)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr)
    ]

    assert len(rows) == sum(name.isupper() and name[0] != "_" for name in vars(limits)) - 1  # TYPE_CHECKING is none
    assert [line for line in LIMITS.splitlines() if line.startswith("| `")] == rows


def test_every_command_has_a_section_and_an_executed_example() -> None:
    """No handler is undocumented, and no section speaks of a command that does not exist."""
    sections = re.findall(r"^### (\w+)$", COMMANDS, re.MULTILINE)

    assert sorted(sections) == sorted(HANDLERS)
    for command in HANDLERS:
        assert f'"command": "{command}"' in COMMANDS


def test_every_code_that_a_bridge_sends_is_listed() -> None:
    """A client finds each `error_code` in the table of errors."""
    table = COMMANDS.partition("## Errors")[2]
    sent = {kind.code for branch in SENT for kind in leaves(branch)} | {errors.DSPexTestkitError.code}

    assert {code for code in sent if f"`{code}`" not in table} == set()

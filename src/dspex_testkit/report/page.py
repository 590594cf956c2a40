"""One HTML page from LM calls: data as inert JSON, style and script inline, and a policy that lets nothing else run."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dspex_testkit.errors import MissingExtraError, ReportWriteError
from dspex_testkit.report.view import build_view

_SCRIPTS = (
    "elements.js",
    "formats.js",
    "model.js",
    "totals.js",
    "filters.js",
    "timeline.js",
    "details.js",
    "calls.js",
    "main.js",
)
_STYLES = ("page.css", "timeline.css")


def render(
    calls: Iterable[Mapping[str, Any]],
    *,
    changes: Iterable[Mapping[str, Any]] = (),
    tests: Iterable[Mapping[str, Any]] = (),
    title: str = "LM calls",
    meta: Mapping[str, Any] | None = None,
) -> str:
    """The report as one self-contained page.

    The page loads nothing and reaches nobody. What is in calls is shown as text only, whatever it looks like.

    Args:
        calls: As `LMCall.to_dict()`, in order, perhaps with the name of a ``test`` and its ``outcome``.
        changes: As `LMChange.to_dict()`, perhaps with the name of a ``test``.
        tests: What is known of the tests: ``nodeid`` and perhaps ``outcome``, ``seed``, ``mode`` and ``rerun``.
        title: Heading of the page.
        meta: Further facts for its head, such as a seed; values are shown as text.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("The report", "report") from error
    shown = {name: str(value) for name, value in (meta or {}).items() if value is not None}
    style, script = _assets(_STYLES), f'(() => {{\n"use strict";\n{_assets(_SCRIPTS)}}})();\n'
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_asset("page.html.j2"))
    return page.render(
        title=title,
        # In the page as they are: both are ours, and the policy names their digests.
        style=Markup(style),
        script=Markup(script),
        style_digest=_digest(style),
        script_digest=_digest(script),
        data=Markup(_inert(build_view(calls, changes, tests) | {"title": title, "meta": shown})),
    )


def write(path: Path, page: str) -> None:
    """Write a rendered page, and the folders above it.

    Raises:
        ReportWriteError: There is no writing there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ReportWriteError(f"Cannot write the report to {path}: {error.strerror}") from error


@cache
def _asset(name: str) -> str:
    return files("dspex_testkit.report").joinpath("assets", name).read_text(encoding="utf-8")


def _assets(names: tuple[str, ...]) -> str:
    return "\n".join(map(_asset, names))


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(value: Any) -> str:
    """JSON that cannot end the element around it: no angle bracket, and nothing that a script reads as a line end."""
    try:
        text = _json(value)
    except ValueError:
        text = _json(_spelt_out(value))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate is legal JSON and illegal UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)


def _spelt_out(value: Any) -> Any:
    """The value with the numbers as text that browsers do not take for JSON: NaN and the infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _spelt_out(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt_out(item) for item in value]
    return value

"""The report is one page that needs nothing and trusts nothing that it shows."""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.errors import MissingExtraError, ReportWriteError
from dspex_testkit.report import render, write
from tests.support.lm_records import call, change

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \u2028 <!--"


def data_of(page: str) -> Any:
    """What the page carries."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_carries_every_value_of_a_call() -> None:
    """Nothing of `LMCall.to_dict()` is lost, and numbers stay exact."""
    record = call(inputs={"ümlaut": [1, {"deep": None}]}, error=EVIL, cost=None, test="t::one")
    entry = data_of(render([record]))["entries"][0]

    assert {key: entry[key] for key in record} == record


def test_text_cannot_leave_its_element() -> None:
    """Whatever calls, changes, title and meta contain, the page's own elements stay the only ones."""
    evil = call(f"{EVIL}/{EVIL}", inputs={EVIL: EVIL}, test=EVIL)
    page = render([evil], changes=[change("a/1", session_id=EVIL)], title=EVIL, meta={EVIL: EVIL})
    harmless = render([call()])

    assert [page.count(tag) for tag in ("<script", "</script", "<img", "<!--")] == [
        harmless.count(tag) for tag in ("<script", "</script", "<img", "<!--")
    ]
    assert data_of(page)["entries"][1]["inputs"] == {EVIL: EVIL}


def test_the_policy_names_exactly_the_style_and_the_script_of_the_page() -> None:
    """Everything else is forbidden: no inline code of others, no host, no frame, no form."""
    page = render([call()])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)

    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (*script, *style)]
    assert len(digests) == 2
    assert f"script-src 'sha256-{digests[0]}';" in policy[1]
    assert f"style-src 'sha256-{digests[1]}';" in policy[1]
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]


def test_the_page_names_no_other_place() -> None:
    """No address, no import, nothing to fetch."""
    page = render([call()])

    assert re.findall(r"https?://|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest|innerHTML", page) == []


def test_values_that_are_no_json_are_spelt_out() -> None:
    """A browser reads neither NaN nor half a character."""
    entry = data_of(render([call(inputs={"x": float("nan"), "y": [float("inf")], "z": "\ud800"})]))["entries"][0]

    assert entry["inputs"] == {"x": "nan", "y": ["inf"], "z": "\ud800"}
    assert "\\ud800" in render([call(inputs={"z": "\ud800"})])


def test_the_same_calls_make_the_same_page() -> None:
    """A report can be compared."""
    assert render([call()], meta={"seed": 1}) == render([call()], meta={"seed": 1})


def test_a_missing_template_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'dspex-testkit\[report\]'"):
        render([])


def test_writing_makes_the_folders(tmp_path: Path) -> None:
    """And says where it cannot."""
    write(tmp_path / "deep" / "er" / "report.html", "page")

    assert (tmp_path / "deep" / "er" / "report.html").read_text(encoding="utf-8") == "page"
    with pytest.raises(ReportWriteError, match=r"report\.html"):
        write(tmp_path / "deep" / "er" / "report.html" / "report.html", "page")

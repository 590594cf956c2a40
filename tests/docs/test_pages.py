"""README and docs do what they say."""

import re
from pathlib import Path

import pytest

from tests.support.doc_examples import EXECUTED, SHOWN, Page, differing, languages

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_example_of_a_page_comes_out_as_shown(page: Path, tmp_path: Path) -> None:
    """What a reader copies from a page works, and answers what the page says."""
    executed = [language for language in languages(page) if language in EXECUTED]
    assert Page(page, tmp_path).run() >= len(executed)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_says_what_it_is(page: Path) -> None:
    """No block escapes execution by a misspelt or missing language."""
    assert set(languages(page)) <= EXECUTED | SHOWN


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    """A relative link names a file that exists."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_index_leads_to_every_page() -> None:
    """Nothing is written that nobody finds."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"} - linked == set()


def test_every_link_to_a_heading_names_one_that_exists() -> None:
    """As the pages are shown: in lower case, with dashes."""
    missing = []
    for page in PAGES:
        for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
            if heading not in anchors:
                missing.append(f"{page.name}: {target}#{heading}")
    assert missing == []


def test_a_wrong_response_on_a_page_would_be_noticed() -> None:
    """The comparison that checks responses sees missing, unexpected and different values."""
    got = {"id": 1, "result": {"scope": "global", "more": [1, 2]}}

    assert list(differing({"id": 1, "result": {"scope": "global", "…": "…"}}, got, "r")) == []
    assert list(differing({"id": "…", "result": "…"}, got, "r")) == []
    assert list(differing({"id": 1, "result": {"scope": "session", "more": [1, 2]}}, got, "r")) == [
        "r.result.scope is 'global', the page says 'session'"
    ]
    assert list(differing({"id": 1, "result": {"scope": "global"}}, got, "r")) == ["r.result.more is not on the page"]
    assert list(differing({"id": 1, "result": {"lm": "…", "…": "…"}}, got, "r")) == ["r.result.lm is missing"]
    assert list(differing({"id": True, "result": "…"}, got, "r")) == ["r.id is 1, the page says True"]

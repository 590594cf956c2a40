"""The report in a real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from dspex_testkit.calls import Scope
from dspex_testkit.report import render
from tests.support.browser import chromium_or_skip, open_page
from tests.support.lm_records import call, change

EVIL = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 2'><svg onload='window.hit = 3'>"

RUN = [
    call("openai/gpt-4o-mini", worker_id="w1", program_id="qa", time=1.0, seq=2, cost="0.000030", test="t.py::one"),
    call("google/gemini-pro", worker_id="w1", program_id="qa", time=2.0, seq=4, scope=Scope.SESSION, test="t.py::one"),
    call("openai/gpt-4o-mini", worker_id="w1", session_id="alice", time=3.0, seq=5, test="t.py::one"),
    call(
        "google/gemini-pro", worker_id="w2", session_id="bob", time=4.0, seq=6, inputs={"q": "Rome"}, test="t.py::two"
    ),
    call(
        "openai/gpt-4o",
        mocked=False,
        scope=Scope.EXECUTION,
        worker_id="w2",
        session_id="bob",
        time=5.0,
        seq=7,
        outputs=None,
        fault="rate_limit",
        error="429: slow down",
        test="t.py::two",
    ),
]
CHANGES = [change("google/gemini-pro", Scope.SESSION, session_id="alice", time=1.5, seq=3, test="t.py::one")]

DASH = "\N{EN DASH}"
"""What is not known."""

Show = Callable[..., "Report"]


class Report:
    """A report that is open in the browser."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome

    def all(self, selector: str) -> list[Any]:
        """The elements that a CSS selector finds."""
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        """The first of them."""
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Their texts."""
        return [element.text for element in self.all(selector)]

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script; it may see what the page may not give away."""
        return self.chrome.execute_script(script, *arguments)

    @property
    def focused(self) -> str:
        """What a screen reader calls the element that has the focus."""
        return str(self.run("return document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"))

    def press(self, *keys: str) -> None:
        """Type keys, wherever the focus is."""
        for key in keys:
            ActionChains(self.chrome).send_keys(key).perform()

    def choose(self, field: str, value: str) -> None:
        """Choose in one of the filters."""
        Select(self.one(f"#filter-{field}")).select_by_visible_text(value)

    def wait_for_count(self, text: str) -> None:
        """Wait until the page says how many calls it shows."""
        WebDriverWait(self.chrome, 10).until(lambda _: self.one("#count").text == text)

    def calls(self) -> list[str]:
        """The numbers of the calls in the table."""
        return [text for text in self.texts("#calls .opener") if text != "◆"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """One browser for all of it."""
    with chromium_or_skip() as chrome:
        yield chrome


@pytest.fixture
def show(browser: Chrome, tmp_path: Path) -> Iterator[Show]:
    """Opens a report; at the end nothing may stand in the console, unless the test has read it."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def open_report(calls: list[dict[str, Any]], *, edit: Callable[[str], str] = str, **options: Any) -> Report:
        open_page(browser, tmp_path / "report.html", edit(render(calls, **options)))
        return Report(browser)

    yield open_report
    browser.execute_script("localStorage.clear()")
    assert console(browser) == []


def test_the_page_shows_lms_lanes_and_calls(show: Show) -> None:
    """Totals per LM, a lane per worker and session, a row per call."""
    report = show(RUN, changes=CHANGES, title="Night run", meta={"seed": 7})

    assert report.one("h1").text == "Night run"
    assert report.one("#summary").text == "5 LM calls · 3 LMs · 2 switches · 1 error · $0.000030 avoided"
    assert report.texts("#meta div") == ["seed\n7"]
    assert report.texts("#totals tbody tr") == [
        f"A openai/gpt-4o-mini mock 2 0 0 200 20 {DASH} $0.000030",
        f"B google/gemini-pro mock 2 1 0 200 20 {DASH} {DASH}",
        f"C openai/gpt-4o real provider 1 1 1 100 10 {DASH} {DASH}",
        f"All 5 2 1 500 50 {DASH} $0.000030",
    ]
    assert report.texts(".lane .name") == ["LM changes", "w1\nno session", "w1\nsession alice", "w2\nsession bob"]
    assert report.calls() == ["1", "2", "3", "4", "5"]
    assert report.run("return performance.getEntriesByType('resource').length") == 0


def test_a_switch_says_which_scope_decided(show: Show) -> None:
    """On the mark, and in its name for those who do not see it."""
    report = show(RUN, changes=CHANGES)

    assert report.texts(".lane .mark .flag") == ["sess", "sess", "exec"]
    assert report.one(".mark .switched").text == "B"
    assert [mark.get_attribute("aria-label") for mark in report.all(".lane .mark")] == [
        "Change: scope session (alice) configured, google/gemini-pro",
        "Call 1: openai/gpt-4o-mini, decided by scope global",
        "Call 2: google/gemini-pro, decided by scope session, switched from openai/gpt-4o-mini",
        "Call 3: openai/gpt-4o-mini, decided by scope global",
        "Call 4: google/gemini-pro, decided by scope global",
        "Call 5: openai/gpt-4o, decided by scope execution, switched from google/gemini-pro, fault rate_limit, failed",
    ]


def test_a_call_opens_and_tells_all(show: Show) -> None:
    """Inputs, outputs, tokens, cost, fault, rule and error."""
    report = show(
        [call(rule="script[3]", fault="slow", error="oops", cost="0.000030750", seed=4, finish_reason="stop")]
    )
    report.one(".opener").click()

    shown = report.one(".details").text
    for words in (
        "capital of France",
        "Paris",
        "100 → 10",
        "$0.000030750",
        "script[3]",
        "slow",
        "oops",
        "Seed\n4",
        "stop",
    ):
        assert words in shown
    report.one(".opener").click()
    assert report.all(".details") == []


def test_a_change_opens_too(show: Show) -> None:
    """With what was there before."""
    before = {"provider": "google", "model": "gemini-pro"}
    report = show([call(time=2.0)], changes=[change("openai/gpt-4o-mini", replaced=before, time=1.0)])
    report.one(".opener").click()

    assert report.texts(".details figcaption") == ["Now", "Before"]
    assert '"model": "gemini-pro"' in report.one(".details").text


def test_markup_in_calls_is_text(show: Show) -> None:
    """It is shown letter by letter, makes no element and runs nothing."""
    everywhere = ("completion", "error", "rule", "fault", "program_id", "session_id", "worker_id", "signature", "test")
    evil = call(f"x/{EVIL}", inputs={EVIL: EVIL}, details={EVIL: EVIL}, **dict.fromkeys(everywhere, EVIL))
    report = show(
        [evil, call(outputs={"answer": EVIL})],
        changes=[change(f"x/{EVIL}", session_id=EVIL)],
        tests=[{"nodeid": EVIL, "rerun": EVIL}],
        title=EVIL,
        meta={EVIL: EVIL},
    )
    for opener in report.all(".opener"):
        opener.click()

    assert report.run("return window.hit") is None
    assert report.all("img, svg, body script:not(#data):not(:last-of-type)") == []
    assert report.one("h1").text == EVIL
    assert EVIL in report.one("figure.error pre").text
    assert EVIL in report.texts("#filter-session option")


def test_code_that_got_into_the_page_does_not_run(show: Show, browser: Chrome) -> None:
    """The policy knows the page's own script and style, and nothing else."""
    smuggled = (
        "<style>body { display: none }</style><script>window.hit = 1</script><img src='x.png' onerror='hit()'></body>"
    )
    report = show(RUN, edit=lambda page: page.replace("</body>", smuggled))

    assert report.run("return window.hit") is None
    assert report.one("h1").is_displayed()
    refused = console(browser)
    for directive in ("style-src", "script-src", "img-src"):
        assert any(directive in message for message in refused)


def test_filters_narrow_everything(show: Show) -> None:
    """Table, timeline and totals follow; a reset brings all back."""
    report = show(RUN, changes=CHANGES)
    for field, value, expected in [
        ("lm", "google/gemini-pro", ["2", "4"]),
        ("scope", "session", ["2"]),
        ("session", "alice", ["3"]),
        ("session", "(none)", ["1", "2"]),
        ("worker", "w2", ["4", "5"]),
        ("program", "qa", ["1", "2"]),
        ("test", "t.py::two", ["4", "5"]),
    ]:
        report.choose(field, value)
        assert report.calls() == expected
        assert len(report.all(".lane .mark:not(:has(.change))")) == len(expected)
        assert report.texts("#totals tbody tr td:nth-child(2)")[-1] == str(len(expected))
        report.one("#reset").click()
    assert report.calls() == ["1", "2", "3", "4", "5"]


def test_filters_add_up(show: Show) -> None:
    """What does not meet all of them is not shown, and a page without calls says so."""
    report = show(RUN)
    report.choose("worker", "w2")
    report.one("#filter-errors").click()
    assert report.calls() == ["5"]
    report.one("#filter-switches").click()
    assert report.calls() == ["5"]
    report.choose("session", "alice")
    assert report.one("#calls .empty").text == "No call matches the filters."
    assert report.one("#count").text == "0 of 5 calls"


def test_text_is_searched_in_whole_calls(show: Show) -> None:
    """In inputs, errors, names; upper and lower case alike."""
    report = show(RUN)
    for text, expected in [("rOmE", ["4"]), ("slow down", ["5"]), ("gemini-pro", ["2", "4"])]:
        report.one("#reset").click()
        report.one("#filter-text").send_keys(text)
        report.wait_for_count(f"{len(expected)} of 5 calls")
        assert report.calls() == expected


def test_the_keyboard_reaches_everything(show: Show) -> None:
    """Tab goes from control to control, arrows within timeline and table, Enter opens, Escape goes back."""
    report = show(RUN, changes=CHANGES)
    fields = [f"filter-{name}" for name in ("lm", "scope", "session", "worker", "program", "test")]
    for control in ["theme", *fields, "filter-errors", "filter-switches", "filter-text", "reset"]:
        report.press(Keys.TAB)
        assert report.focused == control
    while not report.focused.startswith("Change: scope session"):
        assert report.focused != ""
        report.press(Keys.TAB)
    report.press(Keys.ARROW_DOWN)
    assert report.focused.startswith("Call 1:")
    report.press(Keys.ARROW_RIGHT)
    assert report.focused.startswith("Call 2:")
    report.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.END)
    assert report.focused.startswith("Call 5:")
    report.press(Keys.ENTER)
    assert report.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
    assert "429: slow down" in report.one(".details").text
    report.press(Keys.ARROW_UP, Keys.ENTER)
    assert len(report.all(".details")) == 2
    report.press(Keys.ESCAPE)
    assert len(report.all(".details")) == 1
    assert report.run("return document.activeElement.getAttribute('role')") == "gridcell"
    assert report.focused.startswith("Call 4:")


def test_the_focus_is_visible(show: Show) -> None:
    """An outline stands around what has it, on controls and on marks."""
    report = show(RUN)
    outline = "const e = document.activeElement; return getComputedStyle(e.querySelector('.box') ?? e).outlineStyle"
    report.press(Keys.TAB)
    assert report.run(outline) == "solid"
    report.run("document.querySelector('.mark[tabindex=\"0\"]').focus()")
    report.press(Keys.ARROW_RIGHT)
    assert report.focused.startswith("Call 2:")
    assert report.run(outline) == "solid"


def test_dark_and_light_follow_the_system_until_somebody_chooses(show: Show, browser: Chrome) -> None:
    """The choice is kept for the next time."""
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    report = show(RUN)
    assert luminance(report, "background-color", "html") > 0.9
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert luminance(report, "background-color", "html") < 0.1
    Select(report.one("#theme")).select_by_value("light")
    assert luminance(report, "background-color", "html") > 0.9

    def light_again(chrome: Chrome) -> bool:
        chrome.refresh()
        return luminance(report, "background-color", "html") > 0.9

    # Chromium makes what one page wrote known to the next one on its own time.
    WebDriverWait(browser, 20).until(light_again)
    assert report.one("#theme").get_attribute("value") == "light"
    Select(report.one("#theme")).select_by_value("")
    assert luminance(report, "background-color", "html") < 0.1


def test_a_page_writes_down_what_somebody_chose_and_nothing_else(show: Show, browser: Chrome) -> None:
    """What it reads may be out of date, so a page that is only opened never overwrites the choice."""
    spy = """
        const { setItem, removeItem } = Storage.prototype;
        window.written = [];
        Storage.prototype.setItem = function (...args) { written.push(args[1]); setItem.apply(this, args); };
        Storage.prototype.removeItem = function (...args) { written.push(null); removeItem.apply(this, args); };
    """
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": spy})
    try:
        report = show(RUN)
        assert report.run("return window.written") == []
        for theme in ("dark", ""):
            Select(report.one("#theme")).select_by_value(theme)
        assert report.run("return window.written") == ["dark", None]
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(show: Show, theme: str) -> None:
    """At least 4.5 to 1, as WCAG asks, for words and for every LM's letter."""
    report = show([call(f"p/{number}") for number in range(12)] + [call(error="oops")])
    Select(report.one("#theme")).select_by_value(theme)

    ground = luminance(report, "background-color", "html")
    panel = luminance(report, "background-color", ".bar")
    for selector, behind in [
        ("html", ground),
        (".summary", ground),
        (".error-text", ground),
        (".filters label", panel),
    ]:
        assert contrast(luminance(report, "color", selector), behind) >= 4.5, selector
    for index in range(12):
        selector = f"#totals tr:nth-child({index + 1}) .swatch"
        assert contrast(luminance(report, "color", selector), luminance(report, "background-color", selector)) >= 4.5


LONG = [
    call(
        f"openrouter/{'a-very-long-name-of-a-model-' * 4}{number % 2}",
        worker_id=f"worker_{number % 2}_179538376363647{number % 2}",
        session_id=f"a-session-whose-name-is-long-{number % 4}",
        program_id="a_program_whose_name_is_long",
        inputs={"question": "Why? " * 200, "context": "x" * 3000},
        cost="0.000030",
        latency_ms=12.0,
        time=float(number),
        test="tests/a_folder/test_a_module.py::test_with_a_name_that_is_as_long_as_a_sentence",
    )
    for number in range(60)
]


@pytest.mark.parametrize("width", [1400, 400])
def test_long_names_and_texts_stay_in_the_window(show: Show, browser: Chrome, width: int) -> None:
    """Nothing but tables and timeline scrolls sideways, and on a usual screen the table of calls need not either."""
    report = show(LONG)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        report.one("#calls .opener").click()
        hidden = "const e = document.querySelector(arguments[0]); return e.scrollWidth - e.clientWidth"
        assert report.run(hidden, "html") == 0
        assert width < 1400 or report.run(hidden, "#calls") == 0
        spilt = (
            "return [...document.querySelectorAll('#totals th, #totals td')].filter(e => e.scrollWidth > e.clientWidth)"
        )
        assert report.run(spilt) == []
        details = report.run("return document.querySelector('.details').getBoundingClientRect().right")
        assert details <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_workers_are_named_as_briefly_as_they_can_be(show: Show) -> None:
    """By their number; by their whole id where two of them have that number."""
    workers = ("worker_1_1795383763636470", "worker_2_1795383763636480", "worker_2_1795383763636490", "w3")
    report = show([call(worker_id=worker) for worker in workers])

    assert report.texts(".lane .name div:first-child") == ["w3", "worker_1", *workers[1:3]]
    assert report.one("#calls .clip.id").get_attribute("title") == workers[0]


def test_five_thousand_calls_are_shown_page_by_page(show: Show) -> None:
    """The document stays small, the sums are of all, and every page can be reached."""
    calls = [
        call(f"p/{number % 11}", session_id=f"s{number % 40}", inputs={"q": f"number {number}"})
        for number in range(5000)
    ]
    report = show(calls)

    assert report.one("#count").text == "5,000 calls"
    assert len(report.all("#calls .opener")) == len(report.all(".mark")) == 200
    assert report.texts("#totals tbody tr:last-child td")[0] == "5,000"
    report.one("#next").click()
    assert report.calls()[0] == "201"
    Select(report.one("#page")).select_by_visible_text("25 of 25")
    assert report.calls()[-1] == "5000"
    assert not report.one("#next").is_enabled()
    report.one("#filter-text").send_keys("number 4321")
    report.wait_for_count("1 of 5,000 calls")
    assert report.calls() == ["4322"]
    assert not report.one("#turn").is_displayed()


def test_one_call_and_none_are_shown_as_well(show: Show) -> None:
    """Nothing that would only make sense for more."""
    report = show([call()])
    assert report.one("#summary").text == "1 LM call · 1 LM · 0 switches"
    assert report.texts("#filters label") == ["Errors only", "Switches only", "Text"]
    assert not report.one("#turn").is_displayed()

    report = show([])
    assert report.one("#calls .empty").text == "No LM calls were recorded."


def test_an_ensemble_is_charged_through_its_members(show: Show) -> None:
    """Neither its own call nor an answer from a cache is counted twice."""
    members = [call("a/1", cost="0.25", parent_id="x"), call("b/2", cost="0.25", parent_id="x")]
    own = call("ensemble/best", cost="0.50", engine="ensemble", call_id="x")
    report = show([*members, own, call("a/1", cache_hit=True, cost="0")])

    assert report.texts("#totals tr.all td")[3:] == ["200", "20", DASH, "$0.50"]


def console(browser: Chrome) -> list[str]:
    """What stands in the console since it was last read; Chromium's own first page may have written there too."""
    messages = [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    return [message for message in messages if not message.startswith("chrome://")]


def luminance(report: Report, what: str, selector: str) -> float:
    """The relative luminance of an element's colour, as WCAG defines it."""
    colour = report.run(
        "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])", selector, what
    )
    channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """How far two colours stand apart, from 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)

"""A headless Chromium, driven through ChromeDriver; both from the system, nothing is downloaded."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

_FLAGS = (
    "--headless",
    # Chromium's own sandbox refuses to start for root, which CI is.
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    # Without these it asks its maker's servers for things that no test wants.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--disable-lcd-text",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--window-size=1400,1000",
)


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Start a browser with a profile of its own, and end it.

    Raises:
        LookupError: Chromium or ChromeDriver is not installed.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "chromium" if browser is None else "chromedriver"
        raise LookupError(f"{missing} is not on the PATH. On Debian: apt-get install chromium chromium-driver.")
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-browser-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = browser
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = Chrome(options=options, service=ChromeService(driver))
        try:
            yield chrome
        finally:
            chrome.quit()


@contextmanager
def chromium_or_skip() -> Iterator[Chrome]:
    """The same for tests: a machine without a browser skips them and says so, which in CI is a failure."""
    try:
        with chromium() as chrome:
            yield chrome
    except LookupError as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"The report's browser tests may not be skipped in CI: {error}", pytrace=False)
        pytest.skip(f"The report is not opened in a browser: {error}")


def open_page(chrome: Chrome, path: Path, html: str) -> None:
    """Write a page and load it."""
    path.write_text(html, encoding="utf-8")
    chrome.get(path.as_uri())

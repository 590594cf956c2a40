"""The picture of the report in the docs, taken of a real run: ``python -m tests.support.report_picture --write``."""

import subprocess
import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser import chromium

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "docs" / "examples" / "test_switching.py"
PICTURE = ROOT / "docs" / "images" / "report.png"


def run_suite(page: Path) -> "subprocess.CompletedProcess[str]":
    """Run the example in a pool of two workers, and have its report drawn."""
    settings = page.with_name("pytest.ini")
    settings.write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    options = [
        "-c",
        str(settings),
        "--rootdir",
        str(SUITE.parent),
        "-p",
        "no:cacheprovider",
        "--bridge-mode=pool",
        f"--lm-report={page}",
    ]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(SUITE)],
        cwd=page.parent,
        text=True,
        encoding="utf-8",
        capture_output=True,
        check=False,
    )


def take(chrome: Chrome, page: Path, picture: Path, theme: str) -> None:
    """Open the report, and one call in it that an execution's own LM answered."""
    chrome.set_window_size(1400, 1300)
    chrome.get(page.as_uri())
    Select(chrome.find_element(By.ID, "theme")).select_by_value(theme)
    chrome.find_element(By.CSS_SELECTOR, ".mark[aria-label*='scope execution']").click()
    chrome.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    picture.parent.mkdir(exist_ok=True)
    chrome.save_screenshot(str(picture))


def main(arguments: list[str]) -> None:
    """Take the picture; a second argument names the colours, ``light`` or ``dark``, and a third the file."""
    if arguments[:1] != ["--write"]:
        sys.exit(__doc__)
    theme = arguments[1] if len(arguments) > 1 else "light"
    picture = Path(arguments[2]) if len(arguments) > 2 else PICTURE
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-") as place, chromium() as chrome:
        page = Path(place) / "report.html"
        done = run_suite(page)
        if done.returncode:
            sys.exit(done.stdout)
        take(chrome, page, picture, theme)


if __name__ == "__main__":
    main(sys.argv[1:])

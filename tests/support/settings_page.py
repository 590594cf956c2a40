"""The reference page of settings, made from the table that the bridge itself reads.

``python -m tests.support.settings_page --write`` brings the page up to date.
"""

import argparse
from pathlib import Path

from dspex_testkit.setting_table import FILE_NAME, SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

_HEAD = f"""\
# Settings

DSPex passes no flags, so every setting has an environment variable and, where that makes sense, a key in
`{FILE_NAME}` beside the launcher. The command line wins over the environment, the environment over the file, the file
over the default. A key that is no setting, and a value of the wrong kind, stop the bridge at its start; an empty
variable counts as unset.

```toml
default_lm = "google/gemini-pro"
log = "dspy_bridge.log"
strict = true
```

| key in the file | what it is for | wanted | default |
|---|---|---|---|
"""
_NAMES = """
| key in the file | environment variable | option of `dspy_bridge.py` |
|---|---|---|
"""
_TAIL = """
`--mode standalone|pool-worker` and `--worker-id ID` say which bridge this is; DSPex passes them, and they are no
settings.

DSPex's own `DSPEX_TEST_MODE`, `DSPEX_DEBUG_MODE`, `DSPEX_CLEAN_OUTPUT` and `DSPEX_SUPPRESS_STACK_TRACES` change nothing
here: a bridge prints nothing in any case. `TEST_MODE` and `GEMINI_API_KEY` are read by DSPex's Elixir side; see
[Use the bridge from DSPex](../howto/use-from-dspex.md).
"""


def render() -> str:
    """The page as it should be."""
    meanings = "".join(
        f"| {_key(setting)} | {setting.help} | {setting.kind.wanted} | {_code(setting.shown_default)} |\n"
        for setting in SETTINGS
    )
    names = "".join(f"| {_key(setting)} | `{setting.env}` | {_code(setting.flag)} |\n" for setting in SETTINGS)
    return _HEAD + meanings + _NAMES + names + _TAIL


def _key(setting: Setting) -> str:
    return f"`{setting.key}`" if setting.key else f"({setting.name})"


def _code(text: str | None) -> str:
    return "none" if text in (None, "none") else f"`{text}`"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page instead of printing it")
    if parser.parse_args().write:
        PAGE.write_text(render(), encoding="utf-8")
    else:
        print(render(), end="")


if __name__ == "__main__":
    main()

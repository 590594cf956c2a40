"""Settings come from flags, environment, file and defaults, in this order, and a mistake is pointed out."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge.settings import BridgeSettings
from dspex_testkit.errors import UsageError
from dspex_testkit.launch.install import settings_template
from dspex_testkit.runtime.settings import load
from dspex_testkit.setting_table import FILE_NAME, SETTINGS
from tests.runtime.conftest import Start


def from_file(folder: Path, text: str) -> Any:
    """The settings of a launcher beside a file with this text."""
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load(environ={}, home=str(folder))


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """The source is remembered, for `doctor` to show."""
    (tmp_path / FILE_NAME).write_text("seed = 1\nconcurrency = 1\njournal_size = 1\n", encoding="utf-8")
    environ = {"DSPEX_TESTKIT_SEED": "2", "DSPEX_TESTKIT_CONCURRENCY": "2", "DSPEX_TESTKIT_LOG": ""}
    settings = load({"seed": "3"}, environ=environ, home=str(tmp_path))
    assert (settings.values["seed"], settings.concurrency, settings.journal_size, settings.log) == (3, 2, 1, "off")
    assert settings.sources["seed"] == "--seed"
    assert settings.sources["concurrency"] == "DSPEX_TESTKIT_CONCURRENCY"
    assert settings.sources["journal_size"] == f"{tmp_path / FILE_NAME}: journal_size"
    assert settings.sources["log"] == "default"


def test_without_a_word_the_bridge_gets_its_own_defaults() -> None:
    """The table and the bridge agree."""
    assert load(environ={}).for_bridge() == BridgeSettings()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("DSPEX_TESTKIT_OFFLINE_POLICY", "live", "offline_policy", "live"),
        ("DSPEX_TESTKIT_DEFAULT_LM", "openai/gpt-4", "default_lm", "openai/gpt-4"),
        ("DSPEX_TESTKIT_DEFAULT_LM", ' {"provider": "mock"}', "default_lm", {"provider": "mock"}),
        ("DSPEX_TESTKIT_LOG", "STDERR", "log", "stderr"),
        ("DSPEX_TESTKIT_STRICT", "yes", "strict", True),
        ("DSPEX_DYNAMIC_SIGNATURES", "False", "dynamic_signatures", False),
        ("DSPEX_TESTKIT_MAX_FRAME_SIZE", "64MiB", "max_frame_size", 64 * 2**20),
        ("DSPEX_TESTKIT_MAX_FRAME_SIZE", "1.5 kB", "max_frame_size", 1500),
        ("DSPEX_TESTKIT_SESSION_TTL", "0.5", "session_ttl", 0.5),
        ("DSPEX_TESTKIT_SEED", "-7", "seed", -7),
        ("DSPEX_TESTKIT_ALLOW_IMPORT", "app.mocks, support", "allow_import", ("app.mocks", "support")),
    ],
)
def test_every_kind_of_value_can_be_said_in_the_environment(variable: str, text: str, name: str, value: object) -> None:
    """DSPex passes no flags."""
    assert getattr(load(environ={variable: text}), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("DSPEX_TESTKIT_OFFLINE_POLICY", "mok", "wanted one of mock, replay, record, live, got 'mok' .did you mean"),
        ("DSPEX_TESTKIT_STRICT", "perhaps", "wanted true or false, got 'perhaps'"),
        ("DSPEX_TESTKIT_CONCURRENCY", "0", "wanted a positive integer"),
        ("DSPEX_TESTKIT_CONCURRENCY", "many", "wanted a positive integer"),
        ("DSPEX_TESTKIT_SESSION_TTL", "inf", "wanted a positive number of seconds"),
        ("DSPEX_TESTKIT_MAX_FRAME_SIZE", "8GiB", "below 4 GiB"),
        ("DSPEX_TESTKIT_MAX_FRAME_SIZE", "12 parsecs", "below 4 GiB"),
        ("DSPEX_TESTKIT_ALLOW_IMPORT", "yes!", "module names"),
        ("DSPEX_TESTKIT_DEFAULT_LM", '{"api_key": "sk-1234"', "wanted a model such as"),
    ],
)
def test_a_bad_value_is_named_with_its_source_and_what_was_wanted(variable: str, text: str, says: str) -> None:
    """A key in a broken LM config is not shown."""
    with pytest.raises(UsageError, match=says) as caught:
        load(environ={variable: text})
    assert caught.value.message.startswith(f"{variable}: ")
    assert "sk-1234" not in caught.value.message


def test_the_file_is_toml(tmp_path: Path) -> None:
    """Plain lines and everything else that TOML has."""
    simple = from_file(tmp_path, '# all plain\noffline_policy = "live"\nstrict = true\nseed = 5\n')
    assert (simple.offline_policy, simple.strict, simple.values["seed"]) == ("live", True, 5)
    full = from_file(
        tmp_path,
        "seed = -5 # with a comment\nallow_import = ['a', \"b\"]\nsession_ttl = 1.5\n"
        '[default_lm]\nprovider = "mock"\nresponses = { "q" = "a \\u00e9" }\n',
    )
    assert (full.values["seed"], full.allow_import, full.session_ttl) == (-5, ("a", "b"), 1.5)
    assert full.default_lm == {"provider": "mock", "responses": {"q": "a é"}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ofline_policy = 'live'", "no setting 'ofline_policy' .did you mean 'offline_policy'"),
        ("python = '/x'", "no setting 'python'"),
        ("strict = 1.5", "strict: wanted true or false, got 1.5"),
        ("seed = 'x'\nseed = 1", "is not TOML"),
        ("seed = 01", "is not TOML"),
        ("strict", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_pointed_out(tmp_path: Path, text: str, says: str) -> None:
    """With the file's name and the nearest key."""
    with pytest.raises(UsageError, match=says) as caught:
        from_file(tmp_path, text)
    assert str(tmp_path / FILE_NAME) in caught.value.message


def test_a_file_asked_for_by_name_has_to_exist(tmp_path: Path) -> None:
    """The one beside the launcher does not."""
    assert load(environ={}, home=str(tmp_path)).values["seed"] == 0
    with pytest.raises(UsageError, match="does not exist"):
        load(environ={"DSPEX_TESTKIT_CONFIG": str(tmp_path / "none.toml")})


def test_a_log_path_in_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    """The BEAM's working directory is nobody's choice."""
    assert from_file(tmp_path, 'log = "bridge.log"').log == str(tmp_path / "bridge.log")


def test_a_variable_of_ours_that_is_no_setting_is_mentioned() -> None:
    """A typing error must not go unseen, a newer variable must not stop an older kit."""
    settings = load(environ={"DSPEX_TESTKIT_OFLINE_POLICY": "live"})
    assert settings.warnings == [
        "the variable DSPEX_TESTKIT_OFLINE_POLICY is no setting (did you mean 'DSPEX_TESTKIT_OFFLINE_POLICY'?)"
    ]


def test_the_installed_file_says_every_default(tmp_path: Path) -> None:
    """Taking the comment signs away changes nothing but the example LM."""
    text = settings_template()
    assert from_file(tmp_path, text).sources == load(environ={}).sources
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line and line.startswith("# ")]
    uncommented = from_file(tmp_path, "\n".join(lines))
    keys = {setting.name: setting.default for setting in SETTINGS if setting.key}
    assert {name: getattr(uncommented, name) for name in keys} == {**keys, "default_lm": "openai/gpt-4"}


def test_a_bridge_with_wrong_settings_says_so_and_ends(start: Start) -> None:
    """On stderr, with a status that is not zero, and before any frame."""
    bridge = start(env={"DSPEX_TESTKIT_OFFLINE_POLICY": "mok"})
    assert bridge.receive() is None
    status, stderr = bridge.end()
    assert status == 2
    assert "DSPEX_TESTKIT_OFFLINE_POLICY: wanted one of" in stderr


def test_a_default_lm_that_cannot_be_used_says_so_and_ends(start: Start) -> None:
    """It is looked at after the first ping, but never passed over."""
    bridge = start(env={"DSPEX_TESTKIT_DEFAULT_LM": '{"provider": "nobody", "model": "x", "api_key": "sk-4242"}'})
    assert bridge.call("ping")["status"] == "ok"
    status, stderr = bridge.end()
    assert status == 2
    assert "nobody" in stderr
    assert "sk-4242" not in stderr


def test_every_setting_is_an_option_of_the_bridge(start: Start) -> None:
    """And the file can be named."""
    bridge = start(argv=["-m", "dspex_testkit.launch.main", "--default-lm", "openai/gpt-4", "--seed=7"])
    result = bridge.call("predict", {"signature": "question -> answer", "inputs": {"question": "?"}})
    assert (result["lm"]["model"], result["lm"]["scope"]) == ("gpt-4", "default")


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["--help"], 0, "--offline-policy mock|replay|record|live"),
        (["--version"], 0, "dspex-bridge "),
        (["--mode", "pool"], 2, "invalid choice: 'pool'"),
        (["--sed", "5"], 2, "unrecognized arguments: --sed 5"),
        (["--worker-id"], 2, "expected one argument"),
        (["stray"], 2, "unrecognized arguments: stray"),
    ],
)
def test_the_command_line_explains_itself(argv: list[str], status: int, says: str) -> None:
    """Help and errors go where a person looks."""
    command = [sys.executable, "-m", "dspex_testkit.launch.main", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "200"})
    assert done.returncode == status
    assert says in done.stdout + done.stderr

"""Every setting of a bridge: its names, its kind, its default and what it is for."""

from dspex_testkit.protocol import DEFAULT_MAX_FRAME_SIZE
from dspex_testkit.runtime import setting_kinds as kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dspex_testkit.runtime.setting_kinds import Kind

ENV_PREFIX = "DSPEX_TESTKIT_"
FILE_NAME = "dspex_testkit.toml"


class Setting:
    """One row.

    Args:
        name: Its key in the file and its attribute in `Settings`.
        kind: Reads and checks a value.
        default: What holds where nobody says anything.
        help: One sentence for a person.
        env: Its environment variable; made from the name if None.
        flag: Whether it has a command line option.
        key: Whether it may stand in the file.
    """

    __slots__ = ("default", "env", "flag", "help", "key", "kind", "name")

    def __init__(
        self,
        name: str,
        kind: "Kind",
        default: "Any",
        help: str,
        *,
        env: "str | None" = None,
        flag: bool = True,
        key: bool = True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.env = env or ENV_PREFIX + name.upper()
        self.flag = "--" + name.replace("_", "-") if flag else None
        self.key = name if key else None

    @property
    def shown_default(self) -> str:
        """The default as a person would write it."""
        if self.default is None or self.default == ():
            return "none"
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


SETTINGS = (
    Setting(
        "offline_policy",
        kinds.choice("mock", "replay", "record", "live"),
        "mock",
        "Who answers in place of a real provider's LM: `mock` a mock with its name, `live` the provider itself.",
    ),
    Setting(
        "default_lm",
        kinds.lm,
        None,
        "The LM where no other scope names one: a model such as `openai/gpt-4`, or an LM config.",
    ),
    Setting("cassettes", kinds.text, "cassettes", "The folder of recordings, for the policies `replay` and `record`."),
    Setting(
        "record_mode",
        kinds.choice("once", "new_episodes", "all", "rewrite", "none"),
        "once",
        "What `record` does with cassettes that no client opens by name.",
    ),
    Setting(
        "record_staging",
        kinds.text,
        None,
        "Where such recordings wait for a command to succeed; `dspex-testkit record` sets it.",
        flag=False,
        key=False,
    ),
    Setting(
        "model_aliases",
        kinds.pairs,
        (),
        "Models that are asked in place of others while recording, e.g. `gemini-1.5-flash=gemini-2.5-flash`.",
    ),
    Setting("log", kinds.log_target, "off", "Where log lines and stray prints go: a path, `stderr` or `off`."),
    Setting(
        "log_level",
        kinds.choice("debug", "info", "warning", "error"),
        "info",
        "The least important lines that are logged.",
    ),
    Setting("strict", kinds.boolean, False, "Refuse an unusable signature instead of falling back to a simple one."),
    Setting(
        "dynamic_signatures",
        kinds.boolean,
        True,
        "Build the signatures that clients describe; off, every program is `question -> answer`.",
        env="DSPEX_DYNAMIC_SIGNATURES",
    ),
    Setting("max_frame_size", kinds.size, DEFAULT_MAX_FRAME_SIZE, "Largest request in bytes, e.g. `64MiB`."),
    Setting("concurrency", kinds.count, 64, "Executions that run at the same time in standalone mode."),
    Setting("journal_size", kinds.count, 10_000, "LM calls that the journal remembers."),
    Setting(
        "journal_prompts",
        kinds.boolean,
        False,
        "Remember the prompts of the newest 1000 of these calls too, for tests; some kilobytes each.",
    ),
    Setting("session_ttl", kinds.seconds, 3600.0, "Seconds after its last use when a session is forgotten."),
    Setting("max_waiting", kinds.count, 4096, "Executions that may wait for one that runs; more are refused."),
    Setting(
        "price_table",
        kinds.text,
        "off",
        "A JSON file with prices per million tokens, which come before DSPy's list; `off` for none.",
    ),
    Setting(
        "response_cache",
        kinds.choice("off", "memory", "disk"),
        "off",
        "Whether and where answers of LMs are remembered whose config says nothing of it.",
    ),
    Setting("cache_dir", kinds.text, "~/.cache/dspex-testkit/responses", "The folder of answers on disk."),
    Setting("cache_ttl", kinds.seconds, 30 * 24 * 3600.0, "Seconds for which an answer is remembered."),
    Setting("cache_size", kinds.size, 64 * 1024 * 1024, "Bytes of remembered answers, in memory and on disk each."),
    Setting("seed", kinds.integer, 0, "Seed of mocks that name none."),
    Setting(
        "allow_local_interpreter",
        kinds.boolean,
        False,
        "Let `program_of_thought` run a mock's code in a local Python process, which is no sandbox.",
    ),
    Setting("allow_crash", kinds.boolean, False, "Let the command `crash_worker` end the process, for chaos tests."),
    Setting(
        "allow_import",
        kinds.modules,
        (),
        "Module prefixes from which mocks may import functions, e.g. `myapp.mocks,tests.support`.",
    ),
    Setting("block_network", kinds.boolean, False, "Refuse connections to other machines, and looking up their names."),
    Setting("allow_hosts", kinds.names, (), "Hosts that may be reached all the same, e.g. `api.openai.com,10.0.0.7`."),
    Setting(
        "host",
        kinds.choice("auto", "off"),
        "auto",
        "Whether bridges are forked from a warm host, where that is safe; `off` runs each in the launched process.",
    ),
    Setting(
        "pool",
        kinds.text,
        "default",
        "Pool workers of one host with the same name here share their state; the harness gives each pool its own.",
    ),
    Setting(
        "host_linger",
        kinds.seconds,
        60.0,
        "Seconds that a warm host stays without a bridge; it ends with whoever starts bridges all the same.",
    ),
    Setting("config", kinds.text, None, f"The settings file, in place of {FILE_NAME} beside the launcher.", key=False),
    Setting(
        "python",
        kinds.text,
        None,
        "The interpreter that the launcher runs, in place of the one that installed it.",
        flag=False,
        key=False,
    ),
)
"""In the order in which help and the reference page show them."""

"""One test as the plugin sees it: its bridges, its LMs, its calls, and what it may reach."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dspex_testkit.errors import UsageError
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.plugin import markers
from dspex_testkit.plugin.case_calls import CaseCalls
from dspex_testkit.plugin.cassette_settings import CASSETTE_SETTINGS
from dspex_testkit.plugin.items import cell_of, is_live, uses_bridge
from dspex_testkit.plugin.options import MODES, Mode, Options, Policy
from dspex_testkit.runtime.network import Guard, put_guard

if TYPE_CHECKING:
    from dspex_testkit.plugin.bridges import BridgeSource
    from dspex_testkit.plugin.cassettes import CaseCassettes
    from dspex_testkit.plugin.facade import BridgeFixture
    from dspex_testkit.plugin.policy import PolicyWatcher

__tracebackhide__ = True  # pytest shows what is wrong, not how it was found

CASE: "pytest.StashKey[Case]" = pytest.StashKey()
MAKE_CASE: "pytest.StashKey[Callable[[pytest.Item, pytest.FixtureRequest], Case]]" = pytest.StashKey()
"""Where the run's config has what makes a test's case, when the first of our fixtures is asked for."""

FIRST_FIXTURE = "_dspex_case"
"""The fixture that begins a case, in front of all others of the test."""


class Case:
    """What belongs to one run of one test.

    Args:
        item: The test.
        options: What was said for the whole run.
        source: Where bridges come from.
        seed: The seed of this run.
        request: Gives the suite's fixtures; None where there are none for this kind of test.
    """

    def __init__(
        self,
        item: pytest.Item,
        options: Options,
        source: "BridgeSource",
        *,
        seed: int,
        request: pytest.FixtureRequest | None = None,
    ) -> None:
        self.item = item
        self.options = options
        self.seed = seed
        self.source = source
        self.bridges: list[BridgeFixture] = []
        # Here, for pytest imports this module for everybody.
        from dspex_testkit.redaction import Secrets, secrets_of_environment

        self.secrets = Secrets(secrets_of_environment())
        """What nothing that is shown of the test may hold."""
        self.secrets.learn([[mark.args, mark.kwargs] for mark in item.iter_markers("lm")])
        self.config_was_replaced = False
        """Whether a hook has put another LM in the place of the marker's."""
        self.clock: Any = None
        """The frozen clock, where the test has one."""
        self.calls = CaseCalls(self.bridges, with_prompts=options.artifacts is not None)
        self.used = markers.concerns_lms(item)
        """Whether the test itself asked for something of ours, and wants to hear of it."""
        self.live = is_live(item)
        self.policy: Policy | None = "live" if self.live else markers.policy_mark(item) or options.policy
        self.cassettes = _cassettes_of(item, self.policy, request)
        """The test's recordings, where it has or makes any."""
        if self.cassettes is not None:
            self.policy = self.cassettes.plan.policy
        self._watcher: PolicyWatcher | None = None
        self._stack = ExitStack()

    def start(self) -> None:
        """Guard the test's network, and see to it that its LMs are answered as it wants."""
        if not self.may_ask:
            guard = Guard(self.options.allow_hosts, lambda: f"test {self.item.nodeid}")
            self._stack.callback(put_guard, put_guard(guard))
        if self.policy is not None:
            self.use_dspy()
        if self.cassettes is not None:
            self.cassettes.start()

    @property
    def may_ask(self) -> bool:
        """Whether providers may be asked: in a live test, and to record."""
        return self.live or (self.cassettes is not None and self.cassettes.plan.asks)

    def use_dspy(self) -> None:
        """Watch what DSPy asks in this process; needed before the test's first call here."""
        if self._watcher is not None:
            return
        from dspex_testkit.dspy_internals.execution import watched_execution
        from dspex_testkit.plugin.policy import PolicyWatcher

        self._watcher = PolicyWatcher(
            self.policy,
            configs=markers.lm_marks(self.item),
            faults=markers.fault_marks(self.item),
            seed=self.seed,
            derived=self.options.derived,
            journal=self.calls.journal,
            secrets=self.secrets,
            cassette=None if self.cassettes is None else self.cassettes.opened,
        )
        self._stack.callback(self._watcher.close)
        self._stack.enter_context(watched_execution(self._watcher))

    def keep_journal(self) -> None:
        """See to it that the journal has every call of the test, with its prompt."""
        self.calls.with_prompts = True
        # A test of a bridge elsewhere need not wait until DSPy is imported here too.
        if "dspy" in sys.modules or not uses_bridge(self.item):
            self.use_dspy()

    def lm_config(self) -> Any:
        """The LM config of the test's markers, with its faults; None where they name none.

        Raises:
            UsageError: A marker is written wrongly.
        """
        cell = cell_of(self.item)
        configs = markers.lm_marks(self.item)
        config = cell.lm if cell is not None else configs[0] if configs else None
        changed = self.item.ihook.pytest_dspex_lm_config(item=self.item, config=config)
        self.config_was_replaced = self.config_was_replaced or changed is not None
        config = config if changed is None else changed
        faults = markers.fault_marks(self.item)
        if config is None or not faults or self.live:
            return config
        as_map = dict(config) if isinstance(config, Mapping) else {"lm": config}
        given = as_map.get("faults", [])
        return {**as_map, "faults": [*(given if isinstance(given, list | tuple) else [given]), *faults]}

    def open_bridge(
        self,
        mode: Mode,
        *,
        workers: int | None = None,
        default_lm: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> "BridgeFixture":
        """A bridge with nothing in it.

        Args:
            mode: Where it runs.
            workers: Of a pool; as the marker or the option says if None.
            default_lm: Its LM of the scope `default`.
            settings: What it is told beside that, over what the marker says.

        Raises:
            UsageError: The test's clock is frozen, and the bridge would not see that.
            PoolError: It could not be started.
        """
        from dspex_testkit.plugin.bridge_plans import Plan
        from dspex_testkit.plugin.facade import BridgeFixture
        from dspex_testkit.plugin.lm_configs import config_of

        if mode not in MODES:
            raise UsageError(f"mode is one of {', '.join(MODES)}, got {mode!r}{nearest_hint(str(mode), MODES)}")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise UsageError(f"workers is a number of at least 1, got {workers!r}")
        if self.clock is not None and mode != "inproc":
            raise UsageError(f"frozen_lm_clock stops the clock of this process, but the bridge runs {mode}")
        mark = markers.bridge_mark(self.item)
        told: dict[str, Any] = {
            "offline_policy": self.policy or "mock",
            "seed": self.seed,
            "derived": self.options.derived,
            "default_lm": None if default_lm is None else config_of(default_lm),
            "journal_prompts": True,
        }
        if not self.may_ask:
            told |= {"block_network": True, "allow_hosts": self.options.allow_hosts}
        told |= {**(mark.settings or {}), **(settings or {})}
        self.item.ihook.pytest_dspex_configure_bridge(item=self.item, settings=told)
        self.secrets.learn(told)
        if mode == "inproc":
            self.use_dspy()
        if self.cassettes is not None:
            told["cassettes"] = self.cassettes.plan.folder
        plan = Plan(mode, (workers or mark.workers or self.options.workers) if mode == "pool" else 1, told)
        if plan.workers > 1 and self.cassettes is not None and self.cassettes.plan.asks and not plan.shares_state:
            # Each worker would record on its own, and a cassette has one recorder.
            plan = replace(plan, workers=1)
        client = self.source.lend(plan)
        bridge = BridgeFixture(client, mode, keep_calls=self.calls.keep, cassettes=self.cassettes, secrets=self.secrets)
        self.bridges.append(bridge)
        return bridge

    def logs(self) -> dict[str, str]:
        """What the bridges' processes have logged, by worker."""
        from dspex_testkit.plugin.bridges import processes_of

        return {name: process.log for bridge in self.bridges for name, process in processes_of(bridge.client).items()}

    def finish(self, *, passed: bool, keep_bridges: bool) -> None:
        """Give everything back."""
        with ExitStack() as clean_up:
            clean_up.callback(self.source.take_back, keep=keep_bridges)
            clean_up.callback(self._stack.close)
            if self.cassettes is not None:
                clean_up.callback(self.cassettes.finish, passed=passed)
            self.calls.keep()
            self.calls.end()
            for bridge in self.bridges:
                bridge.end(f"test {self.item.nodeid}")


def may_have_cassette(item: pytest.Item, options: Options) -> bool:
    """Whether a test's recording is to be looked for; that needs an extra, which other tests need not have."""
    policy = markers.policy_mark(item) or options.policy
    return policy in ("replay", "record") or markers.wants_cassette(item)


def _cassettes_of(
    item: pytest.Item, policy: Policy | None, request: pytest.FixtureRequest | None
) -> "CaseCassettes | None":
    if policy not in ("replay", "record") and not markers.wants_cassette(item):
        return None
    from dspex_testkit.plugin.cassette_plans import CONFIG, DIRECTORY, SuiteCassettes, plan_of
    from dspex_testkit.plugin.cassettes import CaseCassettes

    suite = (
        SuiteCassettes()
        if request is None
        else SuiteCassettes(request.getfixturevalue(CONFIG), request.getfixturevalue(DIRECTORY))
    )
    plan = plan_of(item, item.config.stash[CASSETTE_SETTINGS], policy, suite)
    return None if plan is None else CaseCassettes(plan, uses_bridge=uses_bridge(item))

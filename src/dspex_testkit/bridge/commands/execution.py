"""Commands that ask an LM."""

from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.commands.programs import new_program_id
from dspex_testkit.bridge.lm_scopes import Overrides
from dspex_testkit.bridge.programs.definition import define_program
from dspex_testkit.bridge.programs.execution import prepare
from dspex_testkit.bridge.programs.lookup import find_program
from dspex_testkit.calls import Scope
from dspex_testkit.limits import LONGEST_TIMEOUT_MS
from dspex_testkit.lm.policy import OfflinePolicy


def execute_program(bridge: BridgeState, args: Args) -> Callable[[], dict[str, Any]]:
    """Run a program on the LM that the narrowest scope names."""
    record = find_program(bridge, args)
    return prepare(
        bridge,
        record,
        args.mapping("inputs"),
        overrides=bridge.lms.overrides(args),
        session_id=args.session_id,
        timeout_ms=time_limit(args),
    )


def predict(bridge: BridgeState, args: Args) -> Callable[[], dict[str, Any]]:
    """Create and run a program at once, and keep nothing of it.

    Without a signature it is a probe, as DSPex's pool benchmarks send it: ``input -> output``, answered by a mock
    where no scope names an LM and the policy is to mock.
    """
    if "signature" in args:
        record, spec = define_program(bridge, args, new_program_id())
        bridge.programs.keep(record, spec)
        overrides = bridge.lms.overrides(args)
        return prepare(
            bridge,
            record,
            args.mapping("inputs"),
            overrides=overrides,
            session_id=args.session_id,
            timeout_ms=time_limit(args),
        )
    probe = Args("predict", {**args.values, "signature": "input -> output"})
    record, _ = define_program(bridge, probe, new_program_id())
    inputs = {"input": _as_text(args.get("input")), **args.mapping("inputs")}
    overrides = bridge.lms.overrides(args)
    nobody = not any(bridge.lms.held(overrides, record, args.session_id))
    if nobody and bridge.settings.offline_policy is OfflinePolicy.MOCK:
        mock, _ = bridge.lms.assign(Scope.EXECUTION, "mock")
        assert mock is not None
        overrides = Overrides((mock,), overrides.warnings)
    return prepare(bridge, record, inputs, overrides=overrides, session_id=args.session_id, timeout_ms=time_limit(args))


def time_limit(args: Args) -> int | None:
    """How long an execution may take, in milliseconds; as an argument or among the options. None without end.

    Raises:
        InvalidArgsError: It is no integer above 0.
    """
    if (limit := args.count("timeout_ms", low=1, high=LONGEST_TIMEOUT_MS)) is not None:
        return limit
    options = args.mapping("options")
    return Args(args.command, options).count("timeout_ms", low=1, high=LONGEST_TIMEOUT_MS) if options else None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)

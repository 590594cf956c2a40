"""One execution: a program, its inputs and a resolved LM become outputs."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from dspex_testkit.bridge.arguments import with_warnings
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.lms import Overrides
from dspex_testkit.bridge.records import ProgramRecord
from dspex_testkit.bridge.running import run_module, run_module_within
from dspex_testkit.calls import Scope
from dspex_testkit.lm.resolution import ResolvedLM

Finish = Callable[[dict[str, Any]], dict[str, Any]]


def warm_up() -> None:
    """Import dspy and what the first execution would otherwise wait for."""
    import dspy  # noqa: F401

    import dspex_testkit.mock_lm.lm  # noqa: F401
    from dspex_testkit.calls.prices import load_price_list

    load_price_list()


def prepare(
    bridge: BridgeState,
    record: ProgramRecord,
    inputs: Mapping[str, Any],
    *,
    overrides: Overrides,
    session_id: str | None,
    timeout_ms: int | None = None,
) -> Callable[[], dict[str, Any]]:
    """Check the inputs and resolve the LM now; return the rest of the work.

    What configures the bridge after this call no longer changes who answers.

    Args:
        bridge: The bridge.
        record: The program.
        inputs: Its inputs, as the client wrote them.
        overrides: What the request says of its LM.
        session_id: Whose LM counts.
        timeout_ms: When it is to be cancelled; None lets it take its time.

    Raises:
        InvalidArgsError: Inputs are missing or of the wrong type.
        NoLMConfiguredError: No scope names an LM.
        OverloadedError: Too much goes on that could not be stopped.
    """
    bridge.lms.factory.check_capacity()
    program = bridge.programs.of(record)
    values = program.signature.read_inputs(inputs)
    resolved = bridge.lms.resolve(overrides, record, session_id)
    of_default = bridge.lms.default_warnings if resolved.scope is Scope.DEFAULT else ()
    warnings = [*record.warnings, *overrides.warnings, *of_default]

    def run() -> dict[str, Any]:
        begun = time.perf_counter()
        caller = bridge.lms.caller(
            resolved, program_id=record.program_id, session_id=session_id, worker_id=bridge.worker_id
        )
        if timeout_ms is None:
            answers = run_module(bridge, record, program, values, resolved, caller)
        else:
            answers = run_module_within(bridge, record, program, values, resolved, caller, timeout_ms)
        outputs = program.signature.write_outputs(answers, also=("reasoning",))
        elapsed = time.perf_counter() - begun
        bridge.store.count_execution(record.program_id, record.session_id)
        result = result_of(bridge, record, outputs, resolved, elapsed, caller.reports)
        return with_warnings(result, warnings)

    return run


def result_of(
    bridge: BridgeState,
    record: ProgramRecord,
    outputs: dict[str, Any],
    resolved: ResolvedLM,
    elapsed: float,
    reports: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The result of an execution: outputs nested, and beside it each under its own name.

    DSPex's adapters read ``outputs``, its behaviour tests read the fields at the top level; a field whose name is
    taken stays nested only.
    """
    lm: dict[str, Any] = {
        "provider": resolved.config.provider,
        "model": resolved.config.model,
        "scope": str(resolved.scope),
        "mocked": bridge.lms.is_mocked(resolved),
    }
    if reports:
        lm["ensemble"] = reports
    result = {"program_id": record.program_id, "outputs": outputs, "execution_time": elapsed, "lm": lm}
    return {**outputs, **result}

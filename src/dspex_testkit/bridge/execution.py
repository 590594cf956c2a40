"""One execution: a program, its inputs and a resolved LM become outputs."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.records import ProgramRecord
from dspex_testkit.calls import CALLER_SETTING, Caller
from dspex_testkit.errors import DSPexTestkitError, ProgramExecutionError
from dspex_testkit.lm.resolution import Assignment, ResolvedLM

if TYPE_CHECKING:
    from dspex_testkit.bridge.dispatcher import Bridge

Finish = Callable[[dict[str, Any]], dict[str, Any]]


def warm_up() -> None:
    """Import dspy and what the first execution would otherwise wait for."""
    import dspy  # noqa: F401

    from dspex_testkit.mock_lm import MockLM

    assert MockLM is not None


def prepare(
    bridge: "Bridge",
    record: ProgramRecord,
    inputs: Mapping[str, Any],
    *,
    overrides: list[Assignment],
    session_id: str | None,
) -> Callable[[], dict[str, Any]]:
    """Check the inputs and resolve the LM now; return the rest of the work.

    What configures the bridge after this call no longer changes who answers.

    Raises:
        InvalidArgsError: Inputs are missing or of the wrong type.
        NoLMConfiguredError: No scope names an LM.
    """
    spec = bridge.programs.spec(record)
    values = spec.read_inputs(inputs)
    resolved = bridge.lms.resolve(overrides, record, session_id)

    def run() -> dict[str, Any]:
        begun = time.perf_counter()
        caller = bridge.lms.caller(
            resolved, program_id=record.program_id, session_id=session_id, worker_id=bridge.worker_id
        )
        answers = _run_module(bridge, record, values, resolved, caller)
        outputs = spec.write_outputs(answers, also=("reasoning",))
        elapsed = time.perf_counter() - begun
        bridge.store.count_execution(record)
        return result_of(bridge, record, outputs, resolved, elapsed, caller.reports)

    return run


def result_of(
    bridge: "Bridge",
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
    if record.warnings:
        result["warnings"] = list(record.warnings)
    return {**outputs, **result}


def _run_module(
    bridge: "Bridge",
    record: ProgramRecord,
    values: dict[str, Any],
    resolved: ResolvedLM,
    caller: Caller,
) -> dict[str, Any]:
    import dspy

    from dspex_testkit.mock_lm.failures import find_mock_error

    try:
        module = bridge.programs.module(record)
        # `trace` is one list for the whole process unless it is given; history would grow without bound.
        with (
            bridge.lms.factory.lease(resolved.config) as lm,
            dspy.context(
                lm=lm,
                trace=[],
                disable_history=True,
                **{CALLER_SETTING: caller},
            ),
            _interpreter(bridge, record, resolved),
        ):
            prediction = module(**values)
    except Exception as error:
        cause = find_mock_error(error) or (error if isinstance(error, DSPexTestkitError) else None)
        reason = cause.message if cause else _reason(error)
        failure = ProgramExecutionError(
            f"Program execution failed: {reason}",
            details={
                **(cause.details if cause else {}),
                "program_id": record.program_id,
                "exception": type(cause or error).__name__,
                "lm": {"provider": resolved.config.provider, "model": resolved.config.model},
            },
        )
        if cause:
            failure.code = cause.code  # type: ignore[misc]  # the wire keeps the cause's own code
        raise failure from error
    return dict(prediction.items())


def _interpreter(bridge: "Bridge", record: ProgramRecord, resolved: ResolvedLM) -> Any:
    if record.program_type != "program_of_thought":
        return nullcontext()
    from dspex_testkit.bridge.interpreter import interpreter_context

    return interpreter_context(allow_local=bridge.settings.allow_local_interpreter and bridge.lms.is_mocked(resolved))


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

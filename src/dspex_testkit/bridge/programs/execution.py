"""One execution: a program, its inputs and a resolved LM become outputs."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from dspex_testkit.bridge.arguments import with_warnings
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.compiled_programs import CompiledProgram
from dspex_testkit.bridge.lm_scopes import Overrides
from dspex_testkit.bridge.state.records import ProgramRecord
from dspex_testkit.calls import CALLER_SETTING, Caller, Scope
from dspex_testkit.errors import ExecutionTimeoutError, OverloadedError, ProgramExecutionError
from dspex_testkit.lm.resolution import ResolvedLM


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
            answers = _run(bridge, record, program, values, resolved, caller)
        else:
            answers = _run_within(bridge, record, program, values, resolved, caller, timeout_ms)
        outputs = program.signature.write_outputs(answers, also=("reasoning",))
        elapsed = time.perf_counter() - begun
        bridge.store.count_execution(record.program_id, record.session_id)
        result = _result_of(bridge, record, outputs, resolved, elapsed, caller.reports)
        return with_warnings(result, warnings)

    return run


def _result_of(
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


def _run(
    bridge: BridgeState,
    record: ProgramRecord,
    program: CompiledProgram,
    values: dict[str, Any],
    resolved: ResolvedLM,
    caller: Caller,
) -> dict[str, Any]:
    """What the program answers to these inputs.

    Raises:
        ProgramExecutionError: It raised; the code is that of the kit's own error behind it, if there is one.
    """
    try:
        module = program.module
        with (
            bridge.lms.factory.lease(resolved.config) as lm,
            _settings(lm, caller),
            _interpreter(bridge, record, resolved),
        ):
            prediction = module(**values)
    except Exception as error:
        raise _failure(error, record, resolved) from error
    return dict(prediction.items())


def _run_within(
    bridge: BridgeState,
    record: ProgramRecord,
    program: CompiledProgram,
    values: dict[str, Any],
    resolved: ResolvedLM,
    caller: Caller,
    timeout_ms: int,
) -> dict[str, Any]:
    """The same on DSPy's asynchronous path, cancelled when its time is up.

    Raises:
        ExecutionTimeoutError: Its time was up; the message says whether it could be stopped.
        OverloadedError: Too much goes on that could not be stopped.
        ProgramExecutionError: It raised.
    """
    from dspex_testkit.lm.loops import DeadlineError

    async def run() -> Any:
        module = program.module
        with (
            bridge.lms.factory.lease(resolved.config) as lm,
            _settings(lm, caller),
            _interpreter(bridge, record, resolved),
        ):
            # A module without an asynchronous form holds up its loop, which is nobody else's.
            return await module.acall(**values) if hasattr(module, "aforward") else module(**values)

    try:
        prediction = bridge.lms.factory.loops.run(run, timeout=timeout_ms / 1000)
    except DeadlineError as late:
        raise ExecutionTimeoutError(
            f"Program {record.program_id} did not answer within {timeout_ms} ms; {_fate(late.stopped)}",
            details={"program_id": record.program_id, "timeout_ms": timeout_ms, "stopped": late.stopped},
        ) from None
    except OverloadedError:
        raise
    except Exception as error:
        raise _failure(error, record, resolved) from error
    return dict(prediction.items())


def _fate(stopped: bool) -> str:
    if stopped:
        return "it was cancelled"
    return "it could not be stopped, because it waits for something synchronous, and goes on unheard"


def _settings(lm: Any, caller: Caller) -> Any:
    """The settings under which a program runs."""
    import dspy

    # `trace` is one list for the whole process unless it is given; history would grow without bound.
    return dspy.context(lm=lm, trace=[], disable_history=True, **{CALLER_SETTING: caller})


def _interpreter(bridge: BridgeState, record: ProgramRecord, resolved: ResolvedLM) -> Any:
    if record.program_type != "program_of_thought":
        return nullcontext()
    from dspex_testkit.dspy_internals.interpreter import interpreter_context

    return interpreter_context(allow_local=bridge.settings.allow_local_interpreter and bridge.lms.is_mocked(resolved))


def _failure(error: Exception, record: ProgramRecord, resolved: ResolvedLM) -> ProgramExecutionError:
    from dspex_testkit.engines.lm_errors import find_mock_error

    cause = find_mock_error(error)
    failure = ProgramExecutionError(
        f"Program execution failed: {cause.message if cause else _reason(error)}",
        details={
            **(cause.details if cause else {}),
            "program_id": record.program_id,
            "exception": type(cause or error).__name__,
            "lm": {"provider": resolved.config.provider, "model": resolved.config.model},
        },
    )
    if cause:
        failure.code = cause.code  # type: ignore[misc]  # the wire keeps the cause's own code
    return failure


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""Running a program's module: at once, or on an event loop with a deadline."""

from contextlib import nullcontext
from typing import Any

from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.modules import CompiledProgram
from dspex_testkit.bridge.records import ProgramRecord
from dspex_testkit.calls import CALLER_SETTING, Caller
from dspex_testkit.errors import DSPexTestkitError, ExecutionTimeoutError, OverloadedError, ProgramExecutionError
from dspex_testkit.lm.resolution import ResolvedLM


def run_module(
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


def run_module_within(
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

    cause = find_mock_error(error) or (error if isinstance(error, DSPexTestkitError) else None)
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

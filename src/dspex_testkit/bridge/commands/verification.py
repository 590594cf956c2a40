"""Asking a newly configured LM whether it is there: one bounded call, for those who want it."""

from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.calls import CALLER_SETTING, LMChange
from dspex_testkit.errors import LMVerificationError
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.lm.resolution import Assignment, ResolvedLM

_BOUNDS = {"max_tokens": 16, "timeout": 10, "num_retries": 0}


def verify(
    bridge: BridgeState,
    session_id: str | None,
    assignment: Assignment,
    config: LMConfig,
    before: Assignment | None,
    result: dict[str, Any],
) -> Callable[[], dict[str, Any]] | dict[str, Any]:
    """Give the function that checks a live LM by a short completion, or the result at once where a mock answers.

    The LM is in force while it is asked. If it does not answer, its scope gets back what it held before, unless
    somebody has configured it anew in between.

    Args:
        bridge: The bridge.
        session_id: The session that was configured; None for the whole bridge.
        assignment: What it was given.
        config: The LM that this stands for.
        before: What it held before.
        result: The answer, to which `verified` is added: true, or null where a mock answers.
    """
    if bridge.settings.offline_policy.mocks(config):
        return {**result, "verified": None}

    def ask() -> dict[str, Any]:
        import dspy

        resolved = ResolvedLM(config, assignment.scope, assignment.lm_id)
        caller = bridge.lms.caller(resolved, program_id=None, session_id=session_id, worker_id=bridge.worker_id)
        try:
            with (
                bridge.lms.factory.lease(_bounded(config)) as lm,
                dspy.context(disable_history=True, **{CALLER_SETTING: caller}),
            ):
                lm("Answer with the word: ready")
        except Exception as error:
            _restore(bridge, session_id, assignment, before)
            raise LMVerificationError(
                f"{config.provider}/{config.model} did not answer, so it was not configured: "
                f"{type(error).__name__}: {error}",
                details={"provider": config.provider, "model": config.model, "exception": type(error).__name__},
            ) from error
        return {**result, "verified": True}

    return ask


def _bounded(config: LMConfig) -> LMConfig:
    bounds = dict(_BOUNDS)
    if config.model.startswith(("o1", "o3", "o4", "gpt-5")):
        del bounds["max_tokens"]  # DSPy lets OpenAI's reasoning models have no small limit
    return config.patched(bounds) if config.ensemble is None else config


def _restore(bridge: BridgeState, session_id: str | None, assignment: Assignment, before: Assignment | None) -> None:
    held = bridge.store.get_lm(session_id)
    if held is None or held.lm_id != assignment.lm_id:
        return
    bridge.store.set_lm(session_id, before)
    bridge.lms.note(
        LMChange(
            "restored",
            scope=assignment.scope,
            session_id=session_id,
            lm=before.value.public() if before else None,
            lm_id=before.lm_id if before else None,
            replaced=assignment.value.public(),
            replaced_lm_id=assignment.lm_id,
        )
    )

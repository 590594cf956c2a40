"""The contract's Gemini commands: programs that bring a Google model of their own."""

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.commands.execution import time_limit
from dspex_testkit.bridge.commands.programs import keep_program
from dspex_testkit.bridge.programs.definition import define_program, program_result
from dspex_testkit.bridge.programs.execution import prepare
from dspex_testkit.bridge.programs.lookup import find_program
from dspex_testkit.errors import CommandError, InvalidArgsError
from dspex_testkit.lm.policy import OfflinePolicy

DEFAULT_MODEL = "gemini-1.5-flash"


@lru_cache(maxsize=1)
def _rules() -> dict[str, Any]:
    """What mocked Gemini programs answer: the sums and moods that DSPex's own tests ask for."""
    rules: dict[str, Any] = json.loads(files("dspex_testkit.bridge").joinpath("gemini_rules.json").read_text("utf-8"))
    return rules


def create_gemini_program(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Create a program that runs on a Gemini model, whatever the scopes say, unless an execution overrides it."""
    program_id = args.text("id")
    if program_id is None:
        raise InvalidArgsError("Program ID is required")
    model = args.text("model") or DEFAULT_MODEL
    lm: dict[str, Any] = {"provider": "google", "model": model, "api_key": args.text("api_key")}
    if bridge.settings.offline_policy is OfflinePolicy.MOCK:
        lm["mock"] = _rules()
    own = Args(args.command, {**args.values, "lm_config": lm})
    record, spec = define_program(bridge, own, program_id, kind="gemini")
    keep_program(bridge, record)
    bridge.programs.keep(record, spec)
    return {**program_result(record, spec), "type": "gemini", "model_name": model}


def execute_gemini_program(bridge: BridgeState, args: Args) -> Callable[[], dict[str, Any]]:
    """Run a Gemini program; the result also has the reply's text."""
    record = find_program(bridge, args)
    if record.kind != "gemini":
        raise CommandError(f"Program {record.program_id} is not a Gemini program")
    run = prepare(
        bridge,
        record,
        args.mapping("inputs"),
        overrides=bridge.lms.overrides(args),
        session_id=args.session_id,
        timeout_ms=time_limit(args),
    )

    def with_reply() -> dict[str, Any]:
        result = run()
        outputs = result["outputs"]
        reply = "\n".join(f"{name}: {value}" for name, value in outputs.items())
        return {**result, "raw_response": str(next(iter(outputs.values()))) if len(outputs) == 1 else reply}

    return with_reply

"""``dspex-testkit serve``: a simulator for a command, or until it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dspex_testkit.calls import LMCall
from dspex_testkit.errors import UsageError
from dspex_testkit.mock_lm.files import load_mock_spec
from dspex_testkit.runtime.scratch import scratch
from dspex_testkit.simulator.http_faults import parse_fault_option
from dspex_testkit.simulator.server import HOST, ProviderSimulator

_KEY = "sk-simulated"
_V1 = {
    "OPENAI_API_BASE": "openai",
    "OPENAI_BASE_URL": "openai",
    "GROQ_API_BASE": "groq",
    "DEEPSEEK_API_BASE": "deepseek",
    "OPENROUTER_API_BASE": "openrouter",
    "MISTRAL_API_BASE": "mistral",
    "XAI_API_BASE": "xai",
    "TOGETHERAI_API_BASE": "together",
    "HOSTED_VLLM_API_BASE": "vllm",
}
"""Variables that name a base with OpenAI's version in it, and the provider that is asked there."""
_ROOT = {
    "ANTHROPIC_API_BASE": "anthropic",
    "ANTHROPIC_BASE_URL": "anthropic",
    "GOOGLE_GEMINI_BASE_URL": "google",
    "CO_API_URL": "cohere",
    "OLLAMA_API_BASE": "ollama",
    "OLLAMA_HOST": "ollama",
}
_KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "COHERE_API_KEY",
    "CO_API_KEY",
    "GROQ_API_KEY",
    "DEEPSEEK_API_KEY",
    "OPENROUTER_API_KEY",
    "MISTRAL_API_KEY",
    "XAI_API_KEY",
    "TOGETHERAI_API_KEY",
    "HOSTED_VLLM_API_KEY",
)


def serve(
    command: Sequence[str],
    *,
    port: int = 0,
    rules: Path | None = None,
    cassette: Path | None = None,
    realtime: bool = False,
    cassettes: Path | None = None,
    faults: Sequence[str] = (),
    journal: Path | None = None,
) -> int:
    """Run a command against a simulator, or serve until interrupted.

    Args:
        command: What to run; empty to serve.
        port: 0 for any free one.
        rules: A mock spec (JSON, TOML or YAML); left out, answers are derived.
        cassette: An LM cassette, in place of rules.
        realtime: Play its streams at the pace at which they came.
        cassettes: The folder whose cassettes may be named over the admin API.
        faults: As `http_faults.parse_fault_option` reads them.
        journal: Where the LM calls go as JSON lines; left out, they are told on standard error.

    Returns:
        The command's exit status; 128 and the signal's number where a signal ended it.

    Raises:
        UsageError: An option cannot be used, or there is no such command.
        InvalidMockSpecError: The rules cannot be used.
        CassetteError: The cassette cannot.
    """
    simulator = ProviderSimulator(
        None if rules is None else load_mock_spec(rules),
        cassette=cassette,
        cassette_options={"realtime": True} if realtime else None,
        faults=[parse_fault_option(text) for text in faults],
        cassettes=cassettes,
        port=port,
    )
    with simulator:
        status = run_or_serve(simulator, command, environment(simulator.url))
        calls = simulator.calls
    write_calls(calls, journal)
    return status


def run_or_serve(simulator: ProviderSimulator, command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command in an environment that leads to this server, or serve until interrupted; the exit status."""
    if not command:
        return _serve(simulator, env)
    with scratch() as cache:
        return _run(command, {**env, "DSPY_CACHEDIR": cache})


def write_calls(calls: Sequence[LMCall], journal: Path | None) -> None:
    """LM calls as JSON lines in a file; without one, told on standard error."""
    if journal is not None:
        lines = (json.dumps(call.to_dict(), ensure_ascii=False, default=str) + "\n" for call in calls)
        journal.write_text("".join(lines), encoding="utf-8")
    else:
        for line in told(calls):
            print(line, file=sys.stderr)


def environment(
    root: str, base: Callable[[str], str | None] | None = None, keys: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment variables with which every client in a child process asks this server only.

    Args:
        root: The server's URL.
        base: Where on it a provider is, by default at the root; None for one that clients ask where they always do.
        keys: Variables of keys; by default all, with a key that no provider takes.
    """
    at = base or (lambda provider: root)
    places = {
        **{name: (provider, "/v1") for name, provider in _V1.items()},
        **{name: (provider, "") for name, provider in _ROOT.items()},
        "GEMINI_API_BASE": ("google", "/v1beta"),
        "COHERE_API_BASE": ("cohere", "/v2/chat"),
    }
    return {
        **{name: f"{place}{path}" for name, (provider, path) in places.items() if (place := at(provider)) is not None},
        **(dict.fromkeys(_KEYS, _KEY) if keys is None else keys),
        # litellm and DSPy would fetch price lists, litellm tokenizers too.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
        # A proxy would take 127.0.0.1 for an address of its own.
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def missing_keys() -> dict[str, str]:
    """A key that no provider takes, for each that the environment has not: clients refuse to ask without one."""
    return {name: _KEY for name in _KEYS if not os.environ.get(name)}


def told(calls: Sequence[LMCall]) -> Iterator[str]:
    """The calls for a person, a line each."""
    yield f"{len(calls)} LM call{'' if len(calls) == 1 else 's'}"
    for call in calls:
        tokens = f"{call.usage.input_tokens or 0}+{call.usage.output_tokens or 0} tokens"
        outcome = f"failed: {call.error}" if call.error else f"{call.rule}: {_short(call.completion or '')}"
        fault = f" [{call.fault}]" if call.fault else ""
        yield f"{call.seq:4} {call.provider}/{call.model} {tokens}{fault} {_short(outcome, 120)}"


def _short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _run(command: Sequence[str], env: Mapping[str, str]) -> int:
    try:
        child = subprocess.Popen(list(command), env={**os.environ, **env})
    except OSError as error:
        raise UsageError(f"{command[0]!r} cannot be run: {error.strerror}.") from None
    # An interrupt from the keyboard reaches the child by itself; it decides when we end.
    with _handling(signal.SIGINT, lambda *_: None), _handling(signal.SIGTERM, lambda *_: child.terminate()):
        status = child.wait()
    return status if status >= 0 else 128 - status


def _serve(simulator: ProviderSimulator, env: Mapping[str, str]) -> int:
    ended = threading.Event()
    with _handling(signal.SIGINT, lambda *_: ended.set()), _handling(signal.SIGTERM, lambda *_: ended.set()):
        print(f"Serving providers on {simulator.url}; interrupt to end.")
        for name, value in env.items():
            print(f"export {name}={value}")
        shown = f"Authorization: Bearer {simulator.token}"
        print(f"\nAdmin API: {simulator.url}/_admin/ with the header '{shown}'", flush=True)
        ended.wait()
    return 0


@contextmanager
def _handling(number: signal.Signals, handler: "signal._HANDLER") -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)

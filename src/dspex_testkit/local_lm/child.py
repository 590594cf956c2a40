"""The process that has the weights: `python -m dspex_testkit.local_lm.child SETTINGS`, started by `LocalLM`.

It says on standard output, in one line of JSON, where it listens, or why it does not; and it ends when its standard
input does, so that no weights outlive whoever wanted them.
"""

import json
import os
import sys
from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    # What the library prints is not to be taken for our line.
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        import xllamacpp

        server = xllamacpp.Server(_params(xllamacpp, settings))
        address = server.listening_address
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=say, flush=True)
        os._exit(1)
    print(json.dumps({"address": address, "version": xllamacpp.__version__}), file=say, flush=True)
    sys.stdin.buffer.read()
    # Its threads may be in the middle of an answer that nobody waits for.
    os._exit(0)


def _params(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["model"]}
    params.hostnames = [settings["host"]]
    params.port = settings["port"]
    params.n_ctx = settings["context"] * settings["slots"]
    params.n_parallel = settings["slots"]
    params.sampling.seed = settings["seed"]
    # What was asked before does not count: the same question has the same answer.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.slot_prompt_similarity = 0.0
    params.endpoint_slots = params.endpoint_props = params.ui = False
    params.n_gpu_layers = 0
    params.verbosity = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    return params


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

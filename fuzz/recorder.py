"""A process whose children record, as tests do that have no bridge: LM calls and HTTP traffic.

Each order on standard input, a level and a name, is for a child of its own; a line follows when nobody wants to kill
that child any more. A child says what it is about to do and what it has kept on standard output.
"""

import os
import sys
import urllib.request
from pathlib import Path

import dspy

from dspex_testkit import cassettes


def main(folder: Path, api_base: str, model: str, key: str, calls: int) -> None:
    """Record until nobody asks any more."""
    while order := sys.stdin.readline():
        level, name = order.split()
        if pid := os.fork():
            # Until then its id is nobody else's.
            sys.stdin.readline()
            os.waitpid(pid, 0)
            print("ended", name, flush=True)
            continue
        record = _record_traffic if level == "http" else _record_calls
        print("begun", name, os.getpid(), flush=True)
        record(folder / f"{name}.yaml", api_base, model, key, calls)
        print("kept", name, flush=True)
        os._exit(0)


def _record_traffic(path: Path, api_base: str, model: str, key: str, calls: int) -> None:
    with cassettes.http_cassette(path, record_mode="once"):
        for number in range(calls):
            body = b'{"model": "%s", "messages": [{"role": "user", "content": "%d?"}]}' % (model.encode(), number)
            headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
            request = urllib.request.Request(f"{api_base}/chat/completions", body, headers)
            with urllib.request.urlopen(request) as response:
                response.read()


def _record_calls(path: Path, api_base: str, model: str, key: str, calls: int) -> None:
    lm = dspy.LM(f"openai/{model}", api_base=api_base, api_key=key, cache=False)
    with cassettes.record(lm, path) as recording, dspy.context(lm=recording):
        qa = dspy.Predict("question -> answer")
        for number in range(calls):
            qa(question=f"{number}?")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))

"""What the simulator makes of a request, against an endpoint of aiohttp that reads JSON and answers JSON."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from statistics import median

import orjson
from aiohttp import web

from benchmarks.measure import Figure
from dspex_testkit.simulator import ProviderSimulator

CONNECTIONS = 64
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
PATH = "/v1/chat/completions"

# In a process of its own, so that it takes nothing from the server's interpreter. Prints the seconds that all requests
# took, and the latency that one in a hundred exceeded.
_LOAD = """
import asyncio, json, sys, time
port, path, body, connections, total = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
request = (f"POST {path} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Type: application/json\\r\\n"
           f"Content-Length: {len(body)}\\r\\n\\r\\n{body}").encode()
latencies, started, done = [], 0, None

class Client(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
        self.ask()
    def ask(self):
        global started
        if started < total:
            started += 1
            self.began = time.perf_counter()
            self.transport.write(request)
    def data_received(self, data):
        self.data += data
        head, found, rest = self.data.partition(b"\\r\\n\\r\\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\\r\\n", 1)[0])
        if len(rest) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        latencies.append(time.perf_counter() - self.began)
        self.data = b""
        if len(latencies) == total:
            done.set_result(None)
        self.ask()

async def main():
    global done
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    began = time.perf_counter()
    for _ in range(min(connections, total)):
        await loop.create_connection(Client, "127.0.0.1", port)
    await done
    taken = time.perf_counter() - began
    latencies.sort()
    print(json.dumps([taken, latencies[int(len(latencies) * 0.99)]]))

asyncio.run(main())
"""


def figures(*, scale: float) -> Iterator[Figure]:
    """Time per request and the slowest hundredth, under 64 connections."""
    rounds, requests = max(3, int(9 * scale)), max(CONNECTIONS, int(3000 * scale))
    spec = {"responses": {"What is the capital of France?": "Paris"}}
    taken: dict[str, list[tuple[float, float]]] = {"simulator": [], "bare": []}
    with ProviderSimulator(spec) as simulator, _bare() as port:
        ports = {"simulator": simulator.port, "bare": port}
        for number in range(rounds):
            for name in sorted(ports, reverse=bool(number % 2)):
                taken[name].append(_load(ports[name], requests))
            simulator.reset()
    baseline = "an endpoint of aiohttp that reads as much JSON and answers as much"
    for what, pick in _MEASURED.items():
        subject_ms, baseline_ms = (median(map(pick, taken[name])) * 1e3 for name in ("simulator", "bare"))
        divisor = requests if what.startswith("time") else 1
        yield Figure(
            f"{what} of the simulator, {CONNECTIONS} connections",
            baseline,
            subject_ms / divisor,
            baseline_ms / divisor,
            aim=2.0,
            rounds=rounds,
        )


_MEASURED: dict[str, Callable[[tuple[float, float]], float]] = {
    "time per chat completion": lambda result: result[0],
    "99th percentile of the latency": lambda result: result[1],
}


def _load(port: int, requests: int) -> tuple[float, float]:
    arguments = [str(port), PATH, json.dumps(REQUEST), str(CONNECTIONS), str(requests)]
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, *arguments], check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    taken, slowest = json.loads(done.stdout)
    return taken, slowest


@contextmanager
def _bare() -> Iterator[int]:
    """The least that a server of aiohttp can do with a request in JSON, in a thread as the simulator is."""
    usage = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}

    async def endpoint(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        message = {"role": "assistant", "content": "Paris", "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
        answered = orjson.dumps({**answer, "choices": [choice], "usage": usage})
        return web.Response(body=answered, content_type="application/json")

    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post(PATH, endpoint)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stop = asyncio.Event()
        ready.set_result((asyncio.get_running_loop(), stop, runner.addresses[0][1]))
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, stop, port = ready.result()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()

"""A provider on the loopback: speaks OpenAI's chat completions, counts connections and requests."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
"""Takes the request's body, gives status and body of the response."""


def completion(text: str, **usage: Any) -> dict[str, Any]:
    """The body of a response with this text."""
    counted = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **usage}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": counted,
    }


def answering(value: str, **usage: Any) -> Answer:
    """Always the same value for the output `answer`."""
    text = f"[[ ## answer ## ]]\n{value}\n\n[[ ## completed ## ]]"
    return lambda body: (200, completion(text, **usage))


class ChatServer:
    """The server, in threads of this process.

    Args:
        answer: Answers each request.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or answering("Paris")
        self.requests: list[dict[str, Any]] = []
        """The bodies that arrived."""
        self.keys: list[str | None] = []
        """The bearer tokens that arrived."""
        self.connections = 0
        """Connections that were ever opened."""
        self.open = 0
        """Connections that are open now."""
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with server._lock:
                    server.connections += 1
                    server.open += 1

            def finish(self) -> None:
                super().finish()
                with server._lock:
                    server.open -= 1

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests.append(body)
                    server.keys.append((self.headers.get("Authorization") or "").removeprefix("Bearer ") or None)
                status, reply = server.answer(body)
                data = json.dumps(reply).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base(self) -> str:
        """What a config names as its `api_base`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def config(self, **more: Any) -> dict[str, Any]:
        """An LM config that is answered here."""
        identity = {"provider": "openai", "model": "gpt-4o-mini"}
        return {**identity, "api_key": "sk-loopback-key", "api_base": self.base, **more}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

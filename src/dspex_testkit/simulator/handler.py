"""From an HTTP request to what is sent back: which target, which format, which fault, what the mock says."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from aiohttp import web
from dspy import lm15

from dspex_testkit.calls import LMCall, Usage
from dspex_testkit.errors import UsageError
from dspex_testkit.mock_lm.usage import estimate_usage
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.redaction import LOOKS, Redactor, Secret, Secrets, secrets_of_request
from dspex_testkit.simulator.admin import is_foreign
from dspex_testkit.simulator.delivery import Delivery
from dspex_testkit.simulator.failures import failure_of
from dspex_testkit.simulator.http_faults import BEFORE, HTTPFault, read_http_fault
from dspex_testkit.simulator.namespace import Namespace, Numbers
from dspex_testkit.simulator.prompts import Asked
from dspex_testkit.simulator.reading import Read, Reading
from dspex_testkit.simulator.registry import Registry
from dspex_testkit.simulator.routes import ENDINGS, Route, find_route
from dspex_testkit.wires.base import EVENT_STREAM, json_line, sse
from dspex_testkit.wires.exchange import Answered, Ask, Unanswered
from dspex_testkit.wires.failures import STATUSES, Failure, Refused, refuse
from dspex_testkit.wires.models import OLLAMA_MODEL, asking_provider, model_entry, models_list
from dspex_testkit.wires.openai_chat import OpenAIChat

_RESET = read_http_fault("reset")
_FALLBACK = Route(OpenAIChat())
_FOREIGN = "A web page of another origin may not ask this simulator."


class Handler:
    """Answers every request to the providers' URLs.

    Args:
        registry: The targets, the journal and the clock.
        root: The server's URL.
        stopping: Set when the server stops.
    """

    def __init__(self, registry: Registry, root: str, stopping: asyncio.Event) -> None:
        self._registry = registry
        self._root = root
        self._stopping = stopping
        self._numbers = Numbers()
        self._reading = Reading()

    async def __call__(self, request: web.BaseRequest) -> Any:
        """Answer one request."""
        # Parsing a query that is not there costs as much as looking a target up.
        keys = secrets_of_request(request.headers, request.query if request.query_string else {})
        number = self._numbers.next()
        delivery = Delivery(request, {"x-request-id": f"req_sim{number}"}, self._registry.clock, self._stopping)
        if is_foreign(request.headers, self._root):
            wire = (find_route(request.path) or _FALLBACK).wire
            return await delivery.send(wire.error(Failure("permission", _FOREIGN), 403), 403)
        try:
            namespace, path = self._registry.find(request.path, request.headers, keys)
        except UsageError as error:
            wire = (find_route(request.path) or _FALLBACK).wire
            return await delivery.send(wire.error(Failure("not_found", error.message, code=error.code), 404), 404)
        if path.endswith("/api/show"):
            # litellm asks Ollama what a model can do.
            return await delivery.send(OLLAMA_MODEL)
        if request.method == "GET":
            return await self._get(request, namespace, path, delivery)
        route = find_route(path)
        served = _Served(self._registry, namespace, route or _FALLBACK, delivery, keys)
        try:
            if route is None or request.method != "POST":
                raise refuse("not_found", _unknown_path(request.method, path))
            payload = await request.read()
            return await served.serve(self._reading.read(route, path, payload), number)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as error:
            # Whatever it is, a client is to meet it as its provider's error, and the journal to tell it.
            return await served.fail(failure_of(error))

    async def _get(self, request: web.BaseRequest, namespace: Namespace, path: str, delivery: Delivery) -> Any:
        provider = namespace.provider or asking_provider(request.headers, path)
        head, _, last = path.rpartition("/")
        if last in ("models", "tags"):
            return await delivery.send(models_list(provider, self._registry.models(namespace), last))
        if head.endswith("/models"):
            return await delivery.send(model_entry(provider, last))
        body = _FALLBACK.wire.error(Failure("not_found", _unknown_path("GET", path)), 404)
        return await delivery.send(body, 404)


class _Served:
    """One request on its way."""

    def __init__(
        self, registry: Registry, namespace: Namespace, route: Route, delivery: Delivery, keys: list[str]
    ) -> None:
        self._registry = registry
        self._namespace = namespace
        self._route = route
        self._delivery = delivery
        self._keys = keys
        self._model = "?"
        self._untold: list[LMCall] = []

    async def serve(self, read: Read, number: int) -> Any:
        """Meet limits and faults, answer, journal."""
        wire, body, asked = self._route.wire, read.body, read.asked
        self._model = str(body.get("model") or self._route.path.get("model") or "?")
        if read.refusal is not None:
            raise read.refusal
        self._meet_limits(asked)
        fault = self._namespace.faults.strike()
        if fault is not None and fault.kind in STATUSES:
            message = fault.message or wire.message(fault.kind, self._model)
            failure = Failure(fault.kind, message, status=fault.status, retry_after=fault.retry_after)
            return await self.fail(failure, fault)
        if fault is not None and fault.kind in BEFORE:
            self._record([self._failed(BEFORE[fault.kind], fault)])
            return await self._delivery.send_instead(fault)
        if fault is not None and fault.kind == "slow_first_byte":
            await self._delivery.wait_out(fault)
        if asked is None:
            return await self._embed(body, fault)
        return await self._answer(asked, number, fault)

    async def fail(self, failure: Failure, fault: HTTPFault | None = None, call: LMCall | None = None) -> Any:
        """Refuse in the provider's words."""
        wire = self._route.wire
        status = wire.status(failure)
        self._record([call or self._failed(failure.message, fault)])
        headers = self._limit_headers()
        if fault is not None:
            headers |= fault.headers()
        elif failure.retry_after is not None:
            headers["Retry-After"] = f"{failure.retry_after:g}"
        return await self._delivery.send(wire.error(failure, status), status, headers)

    async def _answer(self, asked: Asked, number: int, fault: HTTPFault | None) -> Any:
        try:
            answered, calls = await self._namespace.answer(asked, number)
        except Unanswered as unanswered:
            return await self._fail_as(unanswered)
        if self._namespace.rate_limits is not None:
            self._namespace.rate_limits.charge(answered.output_tokens)
        self._untold = [replace(call, fault=fault.kind) for call in calls] if fault is not None else calls
        try:
            if answered.delay:
                await self._delivery.wait(answered.delay)
            return await (self._stream if asked.ask.stream else self._whole)(asked.ask, answered, fault)
        except (ConnectionError, asyncio.CancelledError):
            self._record([replace(call, error="the client closed the connection") for call in self._untold])
            raise

    async def _fail_as(self, unanswered: Unanswered) -> Any:
        """Fail as the engine did: in the provider's words, or by breaking the connection."""
        error = unanswered.error
        if isinstance(error, lm15.TransportError):
            self._record([unanswered.call or self._failed(str(error))])
            return await self._delivery.send_instead(_RESET)
        return await self.fail(failure_of(error), call=unanswered.call)

    async def _whole(self, ask: Ask, answered: Answered, fault: HTTPFault | None) -> Any:
        if fault is not None and fault.kind == "error_event":
            self._untold = []
            return await self.fail(self._error_within(fault), fault)
        body = self._route.wire.write(ask, answered)
        self._tell()
        if fault is not None:
            return await self._delivery.send_spoilt(body, fault)
        return await self._delivery.send(body, headers=self._limit_headers())

    async def _stream(self, ask: Ask, answered: Answered, fault: HTTPFault | None) -> Any:
        wire = self._route.wire
        return await self._delivery.send_stream(
            list(wire.stream(ask, answered)),
            wire.stream_type,
            headers=self._limit_headers(),
            fault=fault,
            told=self._tell,
            error=b"" if fault is None or fault.kind != "error_event" else self._error_frame(fault),
        )

    def _error_within(self, fault: HTTPFault) -> Failure:
        return Failure("server_error", fault.message or self._route.wire.message("server_error", self._model))

    def _error_frame(self, fault: HTTPFault) -> bytes:
        """The provider's error as a frame of its streams."""
        wire, failure = self._route.wire, self._error_within(fault)
        body = wire.error(failure, wire.status(failure))
        if wire.stream_type != EVENT_STREAM:
            return json_line(body)
        return sse(body, "error" if body.get("type") == "error" else None)

    async def _embed(self, body: Mapping[str, Any], fault: HTTPFault | None) -> Any:
        embeddings = self._route.embeddings
        assert embeddings is not None
        model, texts, answer = embeddings(body, self._route.path)
        tokens = sum(-(-len(text) // 4) for text in texts)
        call = LMCall(
            provider=self._namespace.provider or self._route.wire.provider,
            model=model,
            engine="embedding",
            lm_id=self._namespace.id,
            inputs={"texts": texts},
            usage=Usage(input_tokens=tokens, output_tokens=0),
            fault=None if fault is None else fault.kind,
            time=time.time(),
        )
        self._record([call])
        return await (self._delivery.send(answer) if fault is None else self._delivery.send_spoilt(answer, fault))

    def _meet_limits(self, asked: Asked | None) -> None:
        limits = self._namespace.rate_limits
        if limits is None:
            return
        usage = None if asked is None else estimate_usage(asked.ask.request, output_chars=0, reasoning_chars=None)
        hit = limits.admit(1 if usage is None else usage.input_tokens or 1)
        if hit is not None:
            what, wait = hit
            message = f"Simulated: limit on {what} per minute reached; try again in {wait:.3f} s."
            # Whole seconds, rounded up, as providers send them.
            raise Refused(Failure("rate_limit", message, retry_after=float(-(-wait // 1))))

    def _limit_headers(self) -> dict[str, str]:
        limits = self._namespace.rate_limits
        return {} if limits is None else self._route.wire.rate_headers(limits.report())

    def _failed(self, message: str, fault: HTTPFault | None = None) -> LMCall:
        kind = None if fault is None else fault.kind
        return self._namespace.failed_call(self._route.wire.provider, self._model, error=message, fault=kind)

    def _tell(self, chunks: int | None = None) -> None:
        """Write what was answered into the journal, so that whoever has read the answer finds it there."""
        calls, self._untold = self._untold, []
        self._record(calls if chunks is None else [replace(call, stream_chunks=chunks) for call in calls])

    def _record(self, calls: list[LMCall]) -> None:
        redactor = _redactor(tuple(self._keys))
        for call in calls:
            self._registry.journal.record(call.without_secrets(redactor, redactor))


@lru_cache(maxsize=256)
def _redactor(keys: tuple[str, ...]) -> Redactor:
    """Cuts out the keys that came with a request, and whatever looks like one."""
    return Redactor(Secrets(map(Secret, keys)), LOOKS)


def _unknown_path(method: str, path: str) -> str:
    hint = nearest_hint(path, ENDINGS)
    return (
        f"Nothing is simulated at {method} {path}{hint}. Paths may begin as they like and end in: {', '.join(ENDINGS)}."
    )

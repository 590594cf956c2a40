"""What a real LM is asked, and what a program makes of the answers, when it is recorded and when it is replayed.

Prompts and answers are short, because the LM computes on whatever machine there is; those of DSPy's adapters are
longer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request

from dspex_testkit.cassettes import ask_live
from tests.support.loops import run

MODEL = "openai/smollm2-135m-instruct"
PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 16, "seed": 7}
CONTEXT = 256
"""Tokens of question and answer; what an adapter writes fits, and one question does not."""
CLIENTS = ("lm15", "litellm")
"""DSPy's own client, and the other one."""
WAYS = ("sync", "async", "streamed", "async_streamed")

_CITY = {
    "type": "json_schema",
    "json_schema": {
        "name": "City",
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True)
class Question:
    """One thing that an LM is asked."""

    name: str
    prompt: str
    options: Mapping[str, Any] = field(default_factory=dict)
    model_type: str = "chat"
    way: str = "sync"
    """How it is asked when it is recorded."""
    slots: int = 1
    """How many answers the server gives at once."""


QUESTIONS = (
    Question("chat", "What is the capital of France?"),
    Question("streamed", "What is the capital of Italy?", way="streamed"),
    Question("schema", "Give a city.", {"response_format": _CITY}),
    Question("several", "Name a color.", {"n": 2, "temperature": 1.0, "max_tokens": 6}, slots=2),
    Question("logprobs", "Name a color.", {"logprobs": True, "top_logprobs": 2, "max_tokens": 4}),
    Question("overflow", "word " * CONTEXT),
    Question("responses", "What is the capital of Spain?", model_type="responses"),
    Question("responses_streamed", "What is the capital of Norway?", model_type="responses", way="streamed"),
)


class _Ask(dspy.Module):  # type: ignore[misc]
    """Asks the LM in use, so that DSPy streams what it says."""

    def forward(self, **asked: Any) -> Any:
        return dspy.Prediction(outputs=dspy.settings.lm(**asked))

    async def aforward(self, **asked: Any) -> Any:
        return dspy.Prediction(outputs=await dspy.settings.lm.acall(**asked))


def ask(lm: Any, question: Question, way: str) -> dict[str, Any]:
    """Ask in one of the `WAYS`; what came of it, as JSON."""
    asked = {"prompt": question.prompt, **question.options}
    return told(lm, partial(_use, lm, _Ask(), asked, way))


def predict(lm: Any, way: str) -> dict[str, Any]:
    """A program whose format so small an LM does not keep: DSPy asks once more, for JSON, unless it streams."""
    with dspy.context(adapter=dspy.ChatAdapter()):
        return told(lm, partial(_use, lm, dspy.Predict("question -> answer"), {"question": "What is 2+2?"}, way))


def told(lm: Any, use: Callable[[], Any]) -> dict[str, Any]:
    """What a program made of an LM's answers, and what each answer said, as JSON."""
    before = len(lm.history)
    found: dict[str, Any] = {}
    try:
        found["outcome"] = plain(use())
    except Exception as error:
        found["error"] = {"type": type(error).__name__, "message": str(error), "status": getattr(error, "status", None)}
    return {**found, "answers": [_answer(entry) for entry in lm.history[before:]]}


def plain(value: Any) -> Any:
    """Any answer as JSON: clients have classes of their own."""
    if isinstance(value, dspy.Prediction):
        return plain(value.toDict())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _answer(entry: Mapping[str, Any]) -> dict[str, Any]:
    response = entry["response"]
    finish = getattr(response, "finish_reason", None) or [
        each.finish_reason for each in getattr(response, "choices", None) or ()
    ]
    return {"outputs": plain(entry["outputs"]), "usage": plain(entry["usage"]), "finish": finish}


def _use(lm: Any, program: Any, inputs: Mapping[str, Any], way: str) -> Any:
    with dspy.context(lm=lm):
        if way == "sync":
            return program(**inputs)
        if way == "async":
            return run(program.acall(**inputs))
        if way == "streamed":
            return list(dspy.streamify(program, async_streaming=False)(**inputs))[-1]
        return run(_last(dspy.streamify(program, is_async_program=True)(**inputs)))


async def _last(values: Any) -> Any:
    return [value async for value in values][-1]


def request(question: str) -> Request:
    """A question in DSPy's own form."""
    return Request(model=MODEL, messages=(Message.user(question),), config=Config(max_tokens=24, temperature=0.0))


STORY = "Tell a long story about a fox."


def broken_off(lm: Any, after: int, then: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """A stream during which something happens to the server: what came before it fails, and how it fails."""
    pieces: list[str] = []
    try:
        for event in ask_live.stream(lm, request(STORY)):
            if event.type == "delta":
                pieces.append(event.delta.text)
                if len(pieces) == after:
                    then()
    except Exception as error:
        return {"pieces": pieces, "error": {"type": type(error).__name__, "message": _first_line(error)}}
    return {"pieces": pieces, "error": None}


def given_up(lm: Any, after: int) -> dict[str, Any]:
    """A stream that nobody reads to its end: what came until then."""
    pieces: list[str] = []
    stream: Any = ask_live.stream(lm, request(STORY))
    with closing(stream) as events:
        for event in events:
            if event.type == "delta":
                pieces.append(event.delta.text)
            if len(pieces) == after:
                break
    return {"pieces": pieces}


def cancelled(lm: Any, after: int) -> dict[str, Any]:
    """A stream that is cancelled while it waits for more, and a call that is cancelled while it waits for all."""
    found: dict[str, Any] = run(_cancelled(lm, after))
    return found


async def _cancelled(lm: Any, after: int) -> dict[str, Any]:
    pieces: list[str] = []
    there = asyncio.Event()

    async def read() -> None:
        stream: Any = ask_live.stream_async(lm, request(STORY))
        async with aclosing(stream) as events:
            async for event in events:
                if event.type == "delta":
                    pieces.append(event.delta.text)
                if len(pieces) == after:
                    there.set()
                    # In the middle of a stream, wherever the next piece is.
                    await asyncio.Event().wait()

    async def whole() -> None:
        asked.set()
        await ask_live.ask_async(lm, request("What is a fox?"))

    asked = asyncio.Event()
    reading = asyncio.create_task(read())
    await there.wait()
    ended = [await _ended(reading)]
    waiting = asyncio.create_task(whole())
    await asked.wait()
    # Long enough for the question to be on its way, and far too short for an answer.
    await asyncio.sleep(0.05)
    return {"pieces": pieces, "ended": [*ended, await _ended(waiting)]}


async def _ended(task: Awaitable[None]) -> str:
    cancelled = asyncio.ensure_future(task)
    cancelled.cancel()
    try:
        await cancelled
    except asyncio.CancelledError:
        return "cancelled"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "answered"


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


ASKED = ("What is 2+2?", "What is the capital of France?")
"""What a session of a pool of bridges asks."""
SESSION = "real-lm"


def bridged(request: Callable[..., Any]) -> list[dict[str, Any]]:
    """What a bridge's program answers, once it has its LM and its cassette; some answers cannot be read.

    Args:
        request: Sends a command, and gives the response.
    """
    request("create_program", {"id": "qa", "signature": "question -> answer", "session_id": SESSION})
    found = []
    for question in ASKED:
        asked = {"program_id": "qa", "inputs": {"question": question}, "session_id": SESSION}
        response = request("execute_program", asked)
        said = {"answer": response.result["answer"]} if response.success else {"error": response.code}
        found.append({**said, "message": response.message})
    return found

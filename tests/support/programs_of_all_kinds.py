"""Small programs that ask an LM in every way in which DSPy asks: each takes an LM and gives what came of it as text."""

from collections.abc import Callable
from typing import Any

import dspy
import pydantic

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""


class Person(pydantic.BaseModel):
    """A type with a definition of its own in the schema."""

    name: str
    age: int | None = None


class WhoIsIt(dspy.Signature):  # type: ignore[misc]
    """Say who it is."""

    question: str = dspy.InputField()
    person: Person = dspy.OutputField()


class UseTools(dspy.Signature):  # type: ignore[misc]
    """Call a tool."""

    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


class Consider(dspy.Signature):  # type: ignore[misc]
    """Think first."""

    question: str = dspy.InputField()
    reasoning: dspy.Reasoning = dspy.OutputField()
    answer: str = dspy.OutputField()


def search(query: str) -> str:
    """Search for it."""
    return query


_SEARCH = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


def text(lm: Any) -> str:
    """One question, one answer."""
    return str(dspy.Predict("question -> answer")(question="2+2").answer)


def streamed(lm: Any) -> str:
    """An answer in pieces."""
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    found = [value for value in program(question="in pieces") if isinstance(value, dspy.Prediction)]
    return str(found[0].answer)


def picture(lm: Any) -> str:
    """A question about a picture."""
    program = dspy.Predict("picture: dspy.Image, question -> answer")
    return str(program(picture=dspy.Image(PIXEL), question="What is it?").answer)


def schema(lm: Any) -> str:
    """An answer by a JSON Schema."""
    with dspy.context(adapter=dspy.JSONAdapter()):
        return str(dspy.Predict(WhoIsIt)(question="Who?").person)


def several(lm: Any) -> str:
    """Three answers to one question."""
    return str(dspy.Predict("question -> answer", n=3, temperature=0.7)(question="Thrice").completions.answer)


def thoughts(lm: Any) -> str:
    """An answer with the thoughts of the model."""
    found = dspy.Predict(Consider)(question="Why?", config={"reasoning_effort": "low"})
    return f"{found.reasoning} {found.answer}"


def tools(lm: Any) -> str:
    """A call of a tool, natively."""
    with dspy.context(adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        return str(dspy.Predict(UseTools)(question="Find it", tools=[dspy.Tool(search)]).calls)


def conversation(lm: Any) -> str:
    """A conversation in which a tool was called and has answered."""
    called = {"name": "search", "arguments": '{"query": "it"}'}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Find it"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": called}]},
        {"role": "tool", "tool_call_id": "c1", "name": "search", "content": "found"},
    ]
    offered = {"type": "function", "function": {"name": "search", "description": "Search.", "parameters": _SEARCH}}
    return str(lm(messages=messages, tools=[offered], tool_choice="auto", max_tokens=55))


PROGRAMS: tuple[Callable[[Any], str], ...] = (
    text,
    streamed,
    picture,
    schema,
    several,
    thoughts,
    tools,
    conversation,
)

"""Which provider was asked, and what an exchange with it says as LM calls."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy.lm15 import (
    AnthropicLM,
    GeminiLM,
    LM15Error,
    OpenAIChatLM,
    OpenAILM,
    Request,
    request_from_openai_chat,
)

from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.traffic.answers import AnswerFormat
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.cassettes.traffic.habits import (
    SCHEMA_TOOL,
    as_asked,
    asked_of_anthropic,
    asked_of_gemini,
    asked_of_openai,
)
from dspex_testkit.dspy_internals.model_list import cost_of
from dspex_testkit.dspy_internals.wire import request_to_dict
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.wires.anthropic import read_anthropic
from dspex_testkit.wires.chat_form import Chat
from dspex_testkit.wires.failures import Refused
from dspex_testkit.wires.gemini import read_gemini
from dspex_testkit.wires.openai_chat import read_openai_chat
from dspex_testkit.wires.openai_responses import read_responses

_HOSTS = {
    "api.groq.com": "groq",
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
    "api.mistral.ai": "mistral",
    "api.together.xyz": "together_ai",
    "api.fireworks.ai": "fireworks_ai",
    ".openai.azure.com": "azure",
    "-aiplatform.googleapis.com": "vertex_ai",
}
"""How DSPy calls those who speak another's format, by the end of their host's name."""
_NOT_PARAMETERS = frozenset({"model", "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format"})


@dataclass(frozen=True, slots=True)
class _Wire:
    """One provider's format for one kind of request."""

    path: re.Pattern[str]
    provider: str
    read: Callable[[Mapping[str, Any]], Chat]
    """What a request's body says."""
    asked: Callable[[Chat, str], dict[str, Any]]
    """What a client had been asked that said so to this model, in chat form."""
    answers: AnswerFormat
    model_type: str = "chat"
    unfinished: frozenset[str] = frozenset()
    """What an answer that is none yet, or will never be one, says as its status."""


_WIRES = (
    _Wire(
        # On Azure the address names the model, and the body need not.
        re.compile(r"/openai/deployments/(?P<model>[^/]+)/chat/completions$"),
        "azure",
        read_openai_chat,
        asked_of_openai,
        AnswerFormat(client=OpenAIChatLM, choices="choices"),
    ),
    _Wire(
        re.compile(r"/chat/completions$"),
        "openai",
        read_openai_chat,
        asked_of_openai,
        AnswerFormat(client=OpenAIChatLM, choices="choices"),
    ),
    _Wire(
        re.compile(r"/responses$"),
        "openai",
        read_responses,
        asked_of_openai,
        AnswerFormat(client=OpenAILM),
        "responses",
        frozenset({"queued", "in_progress", "cancelled", "failed"}),
    ),
    _Wire(
        re.compile(r"/messages$"),
        "anthropic",
        read_anthropic,
        asked_of_anthropic,
        AnswerFormat(client=AnthropicLM, schema_tool=SCHEMA_TOOL),
    ),
    _Wire(
        re.compile(r"/models/(?P<model>[^/]+):(?:generateContent|streamGenerateContent)$"),
        "gemini",
        read_gemini,
        asked_of_gemini,
        AnswerFormat(client=GeminiLM, choices="candidates", usage="usageMetadata"),
    ),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """An exchange at the LM seam."""

    interactions: tuple[Interaction, ...]
    """One per answer; they share the request."""
    model: str
    model_type: str
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters in the words of `dspy.LM`."""


def read_exchange(exchange: Exchange) -> Reading:
    """What an exchange says.

    Raises:
        CassetteFormatError: It is no LM call of a provider that is known here, or says what an LM call cannot.
    """
    wire, found = _wire_of(exchange.path)
    body = exchange.body()
    try:
        _refuse_unfinished(exchange, wire.unfinished)
        name = str(found.groupdict().get("model") or body["model"])
        model = f"{_provider_of(exchange.host, wire)}/{name}"
        said = wire.read(body)
        if said.residue:
            raise CassetteFormatError(said.residue[0])
        form = as_asked(wire.asked(said, name))
        request = request_from_openai_chat({**form, "model": model})
        answers = tuple(_interactions(wire, request, exchange, name))
    except KeyError as error:
        raise CassetteFormatError(f"the request lacks {error}") from error
    except (LM15Error, Refused, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CassetteFormatError(str(error) or repr(error)) from error
    params = {key: value for key, value in form.items() if key not in _NOT_PARAMETERS}
    return Reading(answers, model, wire.model_type, params)


def is_lm_call(path: str) -> bool:
    """Whether what is asked at this path can be read as a call of an LM."""
    return any(wire.path.search(path) for wire in _WIRES)


def _wire_of(path: str) -> tuple[_Wire, re.Match[str]]:
    for wire in _WIRES:
        if found := wire.path.search(path):
            return wire, found
    raise CassetteFormatError(f"{path} is no path of an LM that is known here")


def _refuse_unfinished(exchange: Exchange, unfinished: frozenset[str]) -> None:
    """Look whether an answer is one: what runs in the background is said to be queued, and is asked for later.

    Raises:
        CassetteFormatError: It is none.
    """
    if not unfinished or exchange.status >= 400 or not exchange.answered.lstrip().startswith(b"{"):
        return
    status = json.loads(exchange.answered).get("status")
    if status in unfinished:
        raise CassetteFormatError(
            f"its answer is {status}, and no recorded GET of it says what came of it; an LM call ends with an answer"
        )


def _provider_of(host: str, wire: _Wire) -> str:
    return next((provider for end, provider in _HOSTS.items() if host.endswith(end)), wire.provider)


def _interactions(wire: _Wire, request: Request, exchange: Exchange, name: str) -> Iterator[Interaction]:
    asked = request_to_dict(request)
    for answer in wire.answers.read(exchange, name):
        cost = None if answer.response is None else cost_of(request.model, request, answer.response)
        yield Interaction(asked, cost=cost, **answer.record())

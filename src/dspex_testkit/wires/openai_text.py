"""OpenAI's text completions."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from dspex_testkit.wires.base import Wire, sse
from dspex_testkit.wires.canonical import request_of
from dspex_testkit.wires.chat_form import Chat
from dspex_testkit.wires.exchange import Answered, Ask, Pause, in_words
from dspex_testkit.wires.failures import Failure, refuse
from dspex_testkit.wires.fields import how_many, model_of, object_of, whole_number
from dspex_testkit.wires.logprobs import tokens
from dspex_testkit.wires.openai_errors import MESSAGES, STATUSES, openai_error


class OpenAIText(Wire):
    """`POST …/completions`."""

    provider = "openai"
    statuses = STATUSES
    messages = MESSAGES

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Ask:
        """The request in neutral words."""
        model = model_of(body)
        prompt = body.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise refuse("invalid_request", "prompt: one text is wanted; the simulator answers one prompt at a time.")
        parameters = {name: body.get(name) for name in ("max_tokens", "temperature", "top_p", "seed", "stop")}
        chat = Chat({"messages": [{"role": "user", "content": prompt}], **parameters})
        return Ask(
            provider=self.provider,
            model=model,
            request=request_of(chat, model, wanted="prompt"),
            stream=body.get("stream") is True,
            n=whole_number(body, "n", 1, most=128),
            include_usage=object_of(body, "stream_options").get("include_usage") is True,
            top_logprobs=None if body.get("logprobs") is None else how_many(body, "logprobs"),
            options={"echo": prompt if body.get("echo") else ""},
        )

    def write(self, ask: Ask, answered: Answered) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = [
            _choice(ask, index, ask.options["echo"] + choice.text, choice.finish)
            for index, choice in enumerate(answered.choices)
        ]
        return {**_head(ask, answered), "choices": choices, "usage": _usage(answered)}

    def stream(self, ask: Ask, answered: Answered) -> Iterator[bytes | Pause]:
        """The frames of a streamed answer, and the pauses between them."""
        head = _head(ask, answered)
        for index, choice in enumerate(answered.choices):
            for word in [*in_words(ask.options["echo"]), *choice.words]:
                yield from word.before
                yield sse({**head, "choices": [_choice(ask, index, word.text, None)]})
            yield sse({**head, "choices": [_choice(ask, index, "", choice.finish)]})
        if ask.include_usage:
            yield sse({**head, "choices": [], "usage": _usage(answered)})
        yield sse("[DONE]")

    def error(self, failure: Failure, status: int) -> dict[str, Any]:
        """The body of a refusal."""
        return openai_error(failure, status)


def _head(ask: Ask, answered: Answered) -> dict[str, Any]:
    return {
        "id": answered.id("cmpl-"),
        "object": "text_completion",
        "created": answered.created,
        "model": ask.model,
        "system_fingerprint": "fp_simulated",
    }


def _choice(ask: Ask, index: int, text: str, finish: str | None) -> dict[str, Any]:
    # Nothing but text exists here: whatever else ended an answer, it stopped.
    reason = finish if finish in (None, "length", "content_filter") else "stop"
    return {"index": index, "text": text, "logprobs": _logprobs(ask, text), "finish_reason": reason}


def _logprobs(ask: Ask, text: str) -> dict[str, Any] | None:
    if ask.top_logprobs is None:
        return None
    made = list(tokens(text, ask.top_logprobs))
    return {
        "tokens": [token.text for token in made],
        "token_logprobs": [token.logprob for token in made],
        "top_logprobs": [dict(token.top) for token in made],
        "text_offset": list(accumulate((len(token.text) for token in made), initial=0))[:-1],
    }


def _usage(answered: Answered) -> dict[str, int]:
    return {
        "prompt_tokens": answered.input_tokens,
        "completion_tokens": answered.output_tokens,
        "total_tokens": answered.input_tokens + answered.output_tokens,
    }

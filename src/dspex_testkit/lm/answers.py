"""What a response says: its text, its tokens, and the values that the adapter in use reads from it."""

import inspect
from collections.abc import Mapping
from typing import Any

from dspy.lm15 import Response
from dspy.utils.exceptions import AdapterParseError

from dspex_testkit.calls import Usage
from dspex_testkit.mock_lm.capture import Capture
from dspex_testkit.mock_lm.values import to_json_mapping


def text_of(response: Response) -> str:
    """The answer's text."""
    return response.message.text or ""


def read_outputs(capture: Capture | None, response: Response) -> dict[str, Any] | None:
    """The values that the program will read, or None where its adapter cannot read them."""
    return read_text(capture, text_of(response))


def read_text(capture: Capture | None, text: str) -> dict[str, Any] | None:
    """The same of an answer's text."""
    if capture is None or capture.stage != "answer":
        return None
    adapter = capture.adapter
    try:
        # Unwrapped: the program's callbacks are not to hear of our own parsing.
        return dict(inspect.unwrap(type(adapter).parse)(adapter, capture.signature, text))
    except (AdapterParseError, ValueError, TypeError):
        return None


def inputs_of(capture: Capture | None, request: Any) -> dict[str, Any]:
    """What was asked, as JSON values: the program's inputs, or the last message where there is no program."""
    if capture is None:
        return {"prompt": request.messages[-1].text or ""}
    names = capture.signature.input_fields
    return dict(to_json_mapping({name: value for name, value in capture.inputs.items() if name in names}))


def signature_of(capture: Capture | None) -> str | None:
    """The name of the signature that is being answered."""
    return None if capture is None else str(getattr(capture.full_signature, "__name__", "")) or None


def usage_of(provider: str, model: str, response: Response) -> Usage:
    """The tokens of a call, in one way of counting: the cached are part of the input, the reasoning of the output.

    Providers differ in that, and DSPy hands on what they say.
    """
    told = response.usage
    inputs, outputs = told.input_tokens, told.output_tokens
    if inputs is not None and (provider == "anthropic" or (provider == "vertex" and "claude" in model)):
        inputs += (told.cache_read_tokens or 0) + (told.cache_write_tokens or 0)
    elif outputs is not None and provider in ("google", "vertex", "xai"):
        outputs += told.reasoning_tokens or 0
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        reasoning_tokens=told.reasoning_tokens,
        cached_tokens=told.cache_read_tokens,
        cache_write_tokens=told.cache_write_tokens,
    )


def as_json(outputs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Output values as the journal keeps them."""
    return None if outputs is None else dict(to_json_mapping(outputs))

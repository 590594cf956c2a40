"""Calls of LMs that keep no journal: real providers', and those of engines that are not the kit's."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

from dspex_testkit.calls import Caller, Journal, LMCall, Usage
from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.engines.entry import Entry
from dspex_testkit.engines.responses import as_json, read_text
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.lm.composed import ComposedLM
from dspex_testkit.lm.config.providers import find_provider
from dspex_testkit.lm.config.reading import parse_lm_config
from dspex_testkit.lm.config.values import LMConfig
from dspex_testkit.redaction import NO_LOOKS, Redactor, Secret, Secrets, error_redactor, secrets_by_place

_asked_now: ContextVar[Any] = ContextVar("dspex_testkit_asked_now", default=None)
"""The LM that is being asked."""


class WatchedCall:
    """One call on its way to the journal.

    Args:
        lm: The LM.
        request: Gives what it is sent, or None where that cannot be said.
        capture: What the adapter knew, or None.
        journal: Where the call is written.
    """

    def __init__(self, lm: Any, request: Callable[[], Any], capture: Capture | None, journal: Journal) -> None:
        provider, model = identity_of(lm)
        real = is_provider_lm(lm)
        identity = LMCall(provider=provider, model=model, mocked=not real, engine="live" if real else "custom")
        self._entry = Entry(identity, request(), capture, Caller(), _WithoutSecrets(journal, _secrets_of(lm)))

    def answered(self, result: Any) -> None:
        """Write down an answer: DSPy's result of the call."""
        text = "\n".join(map(_text, result.outputs or ()))
        outputs = None if not result.outputs else read_text(self._entry.capture, _text(result.outputs[0]))
        response = next(iter(result.responses), None)
        self._entry.write(
            {
                "outputs": as_json(outputs),
                "completion": text,
                "finish_reason": None if response is None else str(response.finish_reason),
                "usage": _usage(result.usage or {}),
                "cost": _cost(result),
                "cache_hit": bool(result.cache_hit),
            }
        )

    def failed(self, error: BaseException) -> None:
        """Write down that there is no answer, and why."""
        self._entry.failed(error)


class _WithoutSecrets:
    """Passes calls on to a journal that is to show no key."""

    def __init__(self, journal: Journal, secrets: Secrets) -> None:
        self._journal = journal
        self._answers, self._errors = Redactor(secrets, NO_LOOKS), error_redactor(secrets)

    @property
    def keeps_prompts(self) -> bool:
        """Whether calls are to be written with their prompts."""
        return self._journal.keeps_prompts

    def learn(self, secrets: Collection[str]) -> None:
        """Pass on what no call is to show."""
        self._journal.learn(secrets)

    def record(self, call: LMCall) -> LMCall:
        """Write a call down."""
        return self._journal.record(call.without_secrets(self._answers, self._errors))


@contextmanager
def watched(lm: Any, begin: Callable[[], WatchedCall]) -> Iterator[WatchedCall | None]:
    """Write a call down however it ends; gives None where that is done by others.

    Args:
        lm: Who is asked.
        begin: Makes the call.
    """
    outer = _asked_now.get()
    # An LM whose `forward` is its own asks itself once more; one that the kit composes asks others, and tells of them.
    if outer is lm or isinstance(outer, ComposedLM):
        yield None
        return
    token = _asked_now.set(lm)
    watching = None if isinstance(lm, ComposedLM) else begin()
    try:
        yield watching
    except BaseException as error:
        if watching is not None:
            watching.failed(error)
        raise
    finally:
        _asked_now.reset(token)


def is_provider_lm(lm: Any) -> bool:
    """Whether DSPy's own clients answer for an LM, and with that a provider."""
    return isinstance(getattr(lm, "engine", None), str)


def identity_of(lm: Any) -> tuple[str, str]:
    """Provider and model as journals name them."""
    name = str(lm.model)
    try:
        value = parse_lm_config(name).value if is_provider_lm(lm) else None
    except DSPexTestkitError:
        value = None
    if isinstance(value, LMConfig):
        return value.provider, value.model
    head, slash, rest = name.partition("/")
    # A model alone DSPy takes for OpenAI's.
    return (head, rest) if slash else ("openai" if is_provider_lm(lm) else "custom", name)


def _text(output: Any) -> str:
    """The text of one of DSPy's outputs, which is a mapping where there is more than text."""
    return str((output.get("text") if isinstance(output, Mapping) else output) or "")


def _usage(told: Mapping[str, Any]) -> Usage:
    read, spent = (told.get(f"{kind}_tokens_details") or {} for kind in ("prompt", "completion"))
    return Usage(
        input_tokens=told.get("prompt_tokens"),
        output_tokens=told.get("completion_tokens"),
        reasoning_tokens=spent.get("reasoning_tokens"),
        cached_tokens=read.get("cached_tokens"),
        cache_write_tokens=read.get("cache_creation_tokens"),
    )


def _cost(result: Any) -> Decimal | None:
    if result.cache_hit:
        return Decimal(0)
    return None if result.cost is None else Decimal(f"{result.cost:.10g}")


def _secrets_of(lm: Any) -> Secrets:
    """The keys that the LM was given, or finds in the environment."""
    provider = find_provider(identity_of(lm)[0])
    variables = () if provider is None else provider.key_variables
    secrets = Secrets(map(Secret, secrets_by_place(dict(getattr(lm, "kwargs", None) or {}))))
    for name in variables:
        secrets.add(os.environ.get(name), name)
    return secrets

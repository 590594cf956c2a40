"""Answers from an LM cassette: what was recorded at the LM seam, replayed over HTTP.

A request is looked up in the form that is the same whichever client sends it; see `sent_form`. What is not recorded is
an error, which names the nearest recordings.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dspy.lm15 import LM15Error, TransportError

from dspex_testkit.calls import Journal, LMCall, Usage
from dspex_testkit.cassettes import CassetteOptions, CassetteReport, Interaction, OpenCassette, cassette_options
from dspex_testkit.cassettes.api import REPLAY_OPTIONS
from dspex_testkit.cassettes.playing import paced, readable, unfinished
from dspex_testkit.dspy_internals.wire import error_from_dict, request_to_dict, response_from_dict
from dspex_testkit.engines.prompts import prompt_for
from dspex_testkit.engines.responses import inputs_of, outputs_of, signature_of, usage_of, with_data_as_text
from dspex_testkit.errors import CassetteFormatError, UsageError
from dspex_testkit.simulator.choices import ChoiceBuilder, choice_of_response
from dspex_testkit.simulator.failures import failure_of
from dspex_testkit.simulator.prompts import Asked
from dspex_testkit.simulator.sent_form import PARAMS, SentRules
from dspex_testkit.wires.exchange import Ask, Spoken, Unanswered
from dspex_testkit.wires.failures import Refused


class RecordedAnswers:
    """Answers as a cassette says.

    Args:
        path: The cassette.
        options: Some of `REPLAY_OPTIONS`.
        lm_id: What the calls carry as `lm_id`.
        journal: Where the calls will go.

    Raises:
        CassetteError: It cannot be opened.
        UsageError: An option cannot be used.
        MissingExtraError: The extra `cassettes` is not installed.
    """

    source = "replay"
    """What answers, in a word."""

    def __init__(
        self, path: str | os.PathLike[str], *, options: Mapping[str, Any] | None = None, lm_id: str, journal: Journal
    ) -> None:
        self.path = Path(path).resolve()
        self._options = read_options(options or {})
        self._lm_id = lm_id
        self._journal = journal
        self.begin_anew()

    def begin_anew(self) -> None:
        """Play from the beginning, and forget what was missed.

        Raises:
            CassetteError: The file is gone or spoilt.
        """
        self._cassette = OpenCassette(self.path, options=self._options)

    def report(self) -> CassetteReport:
        """What was played and missed so far."""
        return self._cassette.report()

    async def answer(self, asked: Asked, provider: str) -> Spoken:
        """Play one recording.

        Raises:
            Unanswered: There is none, or the provider had failed.
        """
        call, cassette = self._call(asked, provider), self._cassette
        request = request_to_dict(replace(asked.ask.request, model=f"{provider}/{asked.ask.model}"))
        found = self._find(request)
        if found is None:
            # In a thread: looking for what is nearest takes a second in a large cassette, and others are served.
            missed = await asyncio.to_thread(cassette.miss, request)
            raise Unanswered(missed, replace(call, error=missed.message))
        call = replace(call, rule=f"cassette:{cassette.name}", cost=found.cost, time=time.time())
        try:
            with readable(self.path):
                if found.response is None:
                    return self._unanswered(found, asked.ask, call)
                return _spoken(found, asked, call, realtime=self._options.realtime)
        except CassetteFormatError as unread:
            raise Unanswered(unread, replace(call, error=unread.message)) from unread

    def _find(self, asked: dict[str, Any]) -> Interaction | None:
        """The recording that answers."""
        return self._cassette.play(asked)

    def _unanswered(self, found: Interaction, ask: Ask, call: LMCall) -> Spoken:
        """What came before the recorded call failed, or before nobody waited any more; then the connection breaks.

        Raises:
            Unanswered: Nothing of it can be sent.
        """
        if found.error is not None:
            failed: Any = error_from_dict(found.error)
            error, told = _refusal(failed), f"{type(failed).__name__}: {failed.message}"
        else:
            error = unfinished(self.path, str(found.ended), len(found.chunks or ()), found.elapsed_ms)
            told = error.message
        call = replace(call, error=told)
        if not ask.stream or not found.chunks:
            raise Unanswered(error, call)
        choice = _heard(found.chunks, realtime=self._options.realtime).broken()
        return Spoken(choice, Usage(), replace(call, completion=choice.text))

    def _call(self, asked: Asked, provider: str) -> LMCall:
        ask, capture = asked.ask, asked.capture
        return LMCall(
            provider=provider,
            model=ask.model,
            engine=self.source,
            lm_id=self._lm_id,
            signature=signature_of(capture),
            inputs=inputs_of(capture, ask.request),
            prompt=prompt_for(self._journal, f"{provider}/{ask.model}", ask.request, capture),
            time=time.time(),
        )


def read_options(given: Mapping[str, Any]) -> CassetteOptions:
    """How a cassette is played over HTTP.

    Raises:
        UsageError: An option cannot be used.
    """
    unknown = sorted(given.keys() - REPLAY_OPTIONS)
    if unknown:
        raise UsageError(f"Unknown cassette option {unknown[0]!r}; known are {', '.join(sorted(REPLAY_OPTIONS))}.")
    try:
        options = cassette_options(**{"params": PARAMS, **given})
    except (TypeError, ValueError) as error:
        raise UsageError(f"The cassette's options cannot be used: {error}.") from error
    return replace(
        options,
        rules=SentRules(**{each.name: getattr(options.rules, each.name) for each in fields(options.rules)}),
        rerecord="run the program on the LM itself within cassettes.record(lm, path, record_mode='new_episodes')",
    )


def _refusal(failed: LM15Error) -> LM15Error | Refused:
    """The recorded failure with the status that came with it; a connection that broke has none."""
    return failed if isinstance(failed, TransportError) else Refused(replace(failure_of(failed), status=failed.status))


def _spoken(found: Interaction, asked: Asked, call: LMCall, *, realtime: bool) -> Spoken:
    response = with_data_as_text(response_from_dict(found.response or {}))
    choice = choice_of_response(response)
    if asked.ask.stream and found.chunks is not None:
        choice = _heard(found.chunks, realtime=realtime).whole(response)
    # In one way of counting, whichever the provider's is.
    usage = usage_of(call.provider, call.model, response)
    told = replace(
        call,
        outputs=outputs_of(asked.capture, response),
        completion=choice.text,
        parts=tuple(part.type for part in response.message.parts),
        finish_reason=choice.finish,
        usage=usage,
    )
    return Spoken(choice, usage, told)


def _heard(chunks: tuple[dict[str, Any], ...], *, realtime: bool) -> ChoiceBuilder:
    """The recorded stream, at the pace at which it came or at once."""
    hearing = ChoiceBuilder()
    for pause, event in paced(chunks, realtime=realtime):
        hearing.hear(event, pause)
    return hearing

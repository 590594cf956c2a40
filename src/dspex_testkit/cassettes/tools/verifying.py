"""Asking the recorded LMs again, without the program that asked them first."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import LM15Error, Request

from dspex_testkit.cassettes import ask_live
from dspex_testkit.cassettes.drift import Comparator, Drift, compare, same_words
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.tools.hygiene import calls_of
from dspex_testkit.dspy_internals.wire import error_to_dict, request_from_dict, response_to_dict
from dspex_testkit.errors import CassetteFormatError


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a file."""

    drifts: tuple[Drift, ...]
    skipped: tuple[str, ...] = ()
    """HTTP traffic that is no LM call that can be asked again; one line each."""


def verify_file(
    path: Path, *, model: str | None = None, api_base: str | None = None, comparator: Comparator = same_words
) -> Verified:
    """Send every recorded request to its LM and compare the answers. Nothing is written.

    HTTP traffic is read as the LM calls that it is, and asked again as such: what was sent is known, with which key
    and where is not.

    Args:
        path: A cassette of either level.
        model: The model to ask, in place of the recorded ones.
        api_base: Where to ask, in place of the provider's address.
        comparator: Whether two texts say the same.

    Raises:
        CassetteError: It is no cassette, or holds no LM call.
    """
    lms: dict[str, Any] = {}
    found = []
    recordings, skipped = calls_of(path)
    with ExitStack() as clean_up:
        for position, recorded in recordings:
            wanted = model or recorded.live_model or recorded.model
            if wanted not in lms:
                lms[wanted] = dspy.LM(wanted, cache=False, **({"api_base": api_base} if api_base else {}))
                clean_up.callback(lms[wanted].close)
            try:
                asked = request_from_dict(recorded.request)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CassetteFormatError(
                    f"{path}: interactions[{position}].request cannot be read: {error}"
                ) from error
            live = _ask(lms[wanted], asked, recorded.request)
            drift = compare(recorded, live, position=position, comparator=comparator)
            if drift is not None:
                found.append(drift)
    return Verified(tuple(found), skipped)


def _ask(lm: Any, asked: Request, written: dict[str, Any]) -> Interaction:
    started = time.perf_counter()
    try:
        response = ask_live.ask(lm, asked)
    except LM15Error as error:
        return Interaction(written, error=error_to_dict(error))
    elapsed = (time.perf_counter() - started) * 1000
    return Interaction(written, response=response_to_dict(response), elapsed_ms=elapsed)

"""Asking the recorded LMs again, without the program that asked them first."""

import time
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import LM15Error

from dspex_testkit.cassettes import asking
from dspex_testkit.cassettes.document import read_document
from dspex_testkit.cassettes.drift import Comparator, Drift, compare, same_words
from dspex_testkit.cassettes.dspy_wire import request_from_dict, response_to_dict
from dspex_testkit.cassettes.errors_wire import error_to_dict
from dspex_testkit.cassettes.interaction import Interaction


def verify_file(
    path: Path, *, model: str | None = None, api_base: str | None = None, comparator: Comparator = same_words
) -> list[Drift]:
    """Send every recorded request to its LM and compare the answers. Nothing is written.

    Args:
        path: A cassette of LM calls.
        model: The model to ask, in place of the recorded ones.
        api_base: Where to ask, in place of the provider's address.
        comparator: Whether two texts say the same.

    Raises:
        CassetteError: It is no cassette of LM calls.
    """
    lms: dict[str, Any] = {}
    found = []
    for position, recorded in enumerate(read_document(path).interactions):
        wanted = model or recorded.live_model or recorded.model
        if wanted not in lms:
            lms[wanted] = dspy.LM(wanted, cache=False, **({"api_base": api_base} if api_base else {}))
        drift = compare(recorded, _ask(lms[wanted], recorded), position=position, comparator=comparator)
        if drift is not None:
            found.append(drift)
    for lm in lms.values():
        lm.close()
    return found


def _ask(lm: Any, recorded: Interaction) -> Interaction:
    started = time.perf_counter()
    try:
        response = asking.ask(lm, request_from_dict(recorded.request))
    except LM15Error as error:
        return Interaction(recorded.request, error=error_to_dict(error))
    elapsed = (time.perf_counter() - started) * 1000
    return Interaction(recorded.request, response=response_to_dict(response), elapsed_ms=elapsed)

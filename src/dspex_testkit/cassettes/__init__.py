"""Recordings of what LMs said: made once, replayed for ever, and checked for keys before they are written.

The default level is the LM seam: the canonical request and response, which are the same whichever client carried
them. `http_cassette` records the providers' HTTP traffic instead. Both are vcrpy cassettes.

    document, interaction  what a file holds; `yaml_text` reads and writes it, `index_cache` keeps it parsed
    files, names, saving   reading and replacing files, one recorder at a time; `leaks` searches them for secrets first
    cleaning, local_paths  what of an interaction may be kept
    modes, age, unchanged  what opening one does; how old it may be; what a new recording leaves as it was
    matching, playback     which requests are equal, and which recording answers next; `schemas` and `remembered` help,
                           `misses` says what came near
    cassette, report       one open cassette, and what came of it; `drift` compares it with the provider of today
    interfaces             what bridges and LMs need of a cassette that may be open in another process
    session_cassettes      the cassettes of a bridge, one per session
    lm, engine             the `dspy.LM` of a cassette; `ask_live` asks the one behind, `playing` and `answered` replay
    api, library           what users call; a folder of cassettes
    convert, traffic/      LM cassettes made of recorded HTTP traffic
    http/                  cassettes of the HTTP level
    tools/                 the command line's
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dspex_testkit.errors import MissingExtraError
from dspex_testkit.mock_lm.recordings import register

if TYPE_CHECKING:
    from dspex_testkit.cassettes.age import StaleCassetteWarning
    from dspex_testkit.cassettes.api import (
        SENDABLE_OPTIONS,
        HTTPOptions,
        LMOptions,
        cassette_options,
        open_cassette,
        record,
        replay,
        sent_options,
    )
    from dspex_testkit.cassettes.cassette import CassetteOptions, IncompleteRecordingWarning, OpenCassette
    from dspex_testkit.cassettes.drift import Drift, Severity
    from dspex_testkit.cassettes.http.cassette import HTTPCassette
    from dspex_testkit.cassettes.http.opening import http_cassette
    from dspex_testkit.cassettes.interaction import Interaction
    from dspex_testkit.cassettes.library import CassetteLibrary
    from dspex_testkit.cassettes.lm import CassetteLM
    from dspex_testkit.cassettes.matching import MatchRules
    from dspex_testkit.cassettes.modes import RecordMode
    from dspex_testkit.cassettes.report import CassetteReport
    from dspex_testkit.cassettes.session_cassettes import CassetteDeck, DeckSettings

# Only what is used is imported: most of it imports dspy.
_HOME = {
    "CassetteDeck": "session_cassettes",
    "CassetteLM": "lm",
    "CassetteLibrary": "library",
    "CassetteOptions": "cassette",
    "CassetteReport": "report",
    "DeckSettings": "session_cassettes",
    "Drift": "drift",
    "HTTPCassette": "http.cassette",
    "HTTPOptions": "api",
    "IncompleteRecordingWarning": "cassette",
    "Interaction": "interaction",
    "LMOptions": "api",
    "MatchRules": "matching",
    "OpenCassette": "cassette",
    "RecordMode": "modes",
    "SENDABLE_OPTIONS": "api",
    "Severity": "drift",
    "StaleCassetteWarning": "age",
    "cassette_options": "api",
    "sent_options": "api",
    "http_cassette": "http.opening",
    "open_cassette": "api",
    "record": "api",
    "replay": "api",
}

__all__ = [
    "SENDABLE_OPTIONS",
    "CassetteDeck",
    "CassetteLM",
    "CassetteLibrary",
    "CassetteOptions",
    "CassetteReport",
    "DeckSettings",
    "Drift",
    "HTTPCassette",
    "HTTPOptions",
    "IncompleteRecordingWarning",
    "Interaction",
    "LMOptions",
    "MatchRules",
    "OpenCassette",
    "RecordMode",
    "Severity",
    "StaleCassetteWarning",
    "cassette_options",
    "http_cassette",
    "open_cassette",
    "record",
    "replay",
    "sent_options",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_HOME[name]}")
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    return getattr(module, name)


def missing_extra(error: ModuleNotFoundError) -> Exception:
    """What to raise where an import failed: which extra is missing, if one is."""
    if error.name in ("yaml", "vcr", "filelock", "platformdirs"):
        return MissingExtraError("Recording", "cassettes")
    return error


register(__getattr__)

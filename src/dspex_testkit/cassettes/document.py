"""`Document`: what a file of LM interactions holds."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dspex_testkit.cassettes import index_cache, yaml_text
from dspex_testkit.cassettes.files import read_bytes
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.errors import CassetteFormatError
from dspex_testkit.limits import json_kind

VERSION = 1
"""vcrpy's version of the file format."""
FORMAT = 2
"""Our version of what stands in its bodies, and of what is compared of HTTP traffic."""
_READABLE = (1, 2)
_OURS = "dspex_testkit"


@dataclass(frozen=True, slots=True)
class RecordedLM:
    """An LM as it was when it was recorded: its parameters, and its capabilities, on which adapters' prompts depend."""

    model: str
    model_type: str = "chat"
    params: dict[str, Any] = field(default_factory=dict)
    """Default parameters; no keys and no addresses."""
    function_calling: bool = False
    response_schema: bool = False
    reasoning: bool = False
    supported_params: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Its form in a file."""
        return {
            "model": self.model,
            "model_type": self.model_type,
            "params": self.params,
            "capabilities": {
                "function_calling": self.function_calling,
                "response_schema": self.response_schema,
                "reasoning": self.reasoning,
                "params": list(self.supported_params),
            },
        }

    @classmethod
    def from_record(cls, record: Any, place: str) -> "RecordedLM":
        """Read its form in a file.

        Raises:
            CassetteFormatError: Something is missing or of the wrong type.
        """
        try:
            can = record.get("capabilities", {})
            return cls(
                model=str(record["model"]),
                model_type=str(record.get("model_type", "chat")),
                params=dict(record.get("params") or {}),
                function_calling=can.get("function_calling") is True,
                response_schema=can.get("response_schema") is True,
                reasoning=can.get("reasoning") is True,
                supported_params=tuple(str(name) for name in can.get("params", ())),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CassetteFormatError(f"{place} describes no LM: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Document:
    """LMs and what they were asked, in recorded order."""

    interactions: tuple[Interaction, ...] = ()
    lms: tuple[RecordedLM, ...] = ()
    format: int = FORMAT
    """A file of the first format stays one, until somebody upgrades it."""

    def to_record(self) -> dict[str, Any]:
        """Its form in a file."""
        header = {"level": "lm", "format": self.format, "lms": [lm.to_record() for lm in self.lms]}
        return {
            "version": VERSION,
            "metadata": {_OURS: header},
            "interactions": [each.to_record(old=self.format == 1) for each in self.interactions],
        }


def read_document(path: Path) -> Document:
    """Read a file of LM interactions.

    Raises:
        CassetteNotFoundError: There is no such file.
        CassetteFormatError: The file is no cassette, of another version, or of the HTTP level.
    """
    return document_from(read_record(path), path)


def read_record(path: Path) -> Any:
    """The JSON values of a cassette of either level, by way of the index where it knows this very content.

    Raises:
        CassetteNotFoundError: There is no such file.
        CassetteFormatError: The file is no cassette.
    """
    content = read_bytes(path)
    record = index_cache.recall(content)
    if record is not None:
        return record
    record = parse_record(content, path)
    index_cache.remember(content, record)
    return record


def parse_record(content: bytes, path: object) -> dict[str, Any]:
    """The JSON values of a cassette of either level.

    Raises:
        CassetteFormatError: The content is no cassette of a known version.
    """
    details = {"path": str(path)}
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CassetteFormatError(f"{path} is not text in UTF-8: {error}", details=details) from error
    if not text.strip():
        raise CassetteFormatError(f"{path} is empty; delete it to record it again", details=details)
    record = _loaded(text, path)
    if not isinstance(record, dict) or "interactions" not in record:
        raise CassetteFormatError(f"{path} is no cassette: it has no 'interactions'", details=details)
    if record.get("version") != VERSION:
        raise CassetteFormatError(
            f"{path} is a cassette of version {record.get('version')!r}, and this reads version {VERSION}; "
            "record it again",
            details=details,
        )
    if not isinstance(record["interactions"], list):
        raise CassetteFormatError(f"{path}: 'interactions' must be a list", details=details)
    return record


def _loaded(text: str, path: object) -> Any:
    """The values of YAML or JSON. YAML reads most of JSON, and some of it otherwise: pairs of escaped surrogates."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return yaml_text.load(text, path=path)


def level_of(record: Any) -> str:
    """`lm` for recordings of ours at the LM seam, else `http`."""
    header = record.get("metadata")
    ours = header.get(_OURS) if isinstance(header, dict) else None
    return str(ours.get("level")) if isinstance(ours, dict) else "http"


def format_of(record: Any) -> int:
    """The format of a cassette of HTTP traffic; what does not say so, vcrpy's own files among them, is of the first.

    Raises:
        CassetteFormatError: It is of one to come.
    """
    header = record.get("metadata")
    ours = header.get(_OURS) if isinstance(header, dict) else None
    found = ours.get("format", 1) if isinstance(ours, dict) else 1
    if found not in _READABLE:
        raise CassetteFormatError(
            f"The cassette has format {found!r}, and this reads formats 1 and 2; use a newer version of dspex-testkit, "
            "or record it again"
        )
    return int(found)


def refuse_nonsense(item: Any, place: str) -> None:
    """Look whether an interaction is what vcrpy will take it for, before it is asked for.

    Raises:
        CassetteFormatError: It is something else.
    """
    try:
        request, response = item["request"], item["response"]
        sound = isinstance(request["method"], str) and isinstance(request["uri"], str)
        # For httpx there was another form before vcrpy's version 6, which it still reads.
        sound = sound and ("status_code" in response or isinstance(response["status"]["code"], int))
        sound = sound and ("content" in response or isinstance(response["body"], dict))
        sound = sound and all(isinstance(each.get("headers") or {}, dict) for each in (request, response))
    except (KeyError, TypeError, AttributeError) as error:
        raise CassetteFormatError(f"{place} is no request with its response: {error!r}") from error
    if not sound:
        raise CassetteFormatError(f"{place} is no request with its response: method, uri, status, headers and body")


def document_from(record: Any, path: object) -> Document:
    """The document of JSON values.

    Raises:
        CassetteFormatError: They are none, or of a format to come.
    """
    if level_of(record) != "lm":
        raise CassetteFormatError(
            f"{path} records HTTP traffic, not LM calls; open it with level='http', or make LM calls of it with: "
            f"dspex-testkit cassettes convert {path}",
            details={"path": str(path)},
        )
    header = record["metadata"][_OURS]
    if header.get("format") not in _READABLE:
        raise CassetteFormatError(
            f"{path} has format {header.get('format')!r}, and this reads formats 1 and 2; use a newer version of "
            "dspex-testkit, or record it again",
            details={"path": str(path)},
        )
    try:
        lms = header.get("lms") or []
        if not isinstance(lms, list):
            raise CassetteFormatError(f"lms must be a list, but {json_kind(lms)} came")
        return Document(
            interactions=tuple(
                Interaction.from_record(item, f"interactions[{i}]") for i, item in enumerate(record["interactions"])
            ),
            lms=tuple(RecordedLM.from_record(item, f"lms[{i}]") for i, item in enumerate(lms)),
            format=header["format"],
        )
    except CassetteFormatError as error:
        raise CassetteFormatError(f"{path}: {error.message}", details={"path": str(path)}) from error

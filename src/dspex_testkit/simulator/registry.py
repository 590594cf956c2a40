"""The targets of one server, and how a request finds its own."""

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, TypedDict, Unpack

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.errors import UsageError
from dspex_testkit.limits import brief
from dspex_testkit.mock_lm import MockSpec, parse_mock_spec
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.nearest import nearest_hint
from dspex_testkit.simulator.http_faults import HTTPFault, read_http_fault
from dspex_testkit.simulator.mocked import MockAnswers
from dspex_testkit.simulator.namespace import Answers, Namespace

PREFIX: Final = "/t/"
"""Before a target's id in a URL."""
HEADER: Final = "x-dspex-target"
DEFAULT_ID: Final = "default"
_KEY: Final = "sk-simulated-"


class TargetSettings(TypedDict, total=False):
    """What a target answers and what goes wrong with it; what is None, or left out, is left as it is."""

    spec: MockSpec | Mapping[str, Any] | None
    """A mock spec, or its JSON."""
    cassette: str | os.PathLike[str] | None
    """An LM cassette from which it answers, in place of a spec."""
    cassette_options: Mapping[str, Any] | None
    """How that is played: some of `cassettes.api.REPLAY_OPTIONS`, each as of `cassettes.cassette_options`."""
    faults: Any
    """What goes wrong on the way; one fault, or several."""
    limits: Mapping[str, Any] | None
    """`requests_per_minute`, `tokens_per_minute`."""


class Registry:
    """Targets by id and by key.

    Args:
        clock: Where time comes from.
        journal: Where every call is written.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self.clock = clock
        self.journal = journal
        self._namespaces: dict[str, Namespace] = {}
        self._by_key: dict[str, Namespace] = {}
        self._ids = count(1)
        self._lock = threading.Lock()
        self.default = self._make(DEFAULT_ID, None, None, {})

    def add(self, provider: str | None, model: str | None, **given: Unpack[TargetSettings]) -> tuple[Namespace, str]:
        """A new target and its key.

        Args:
            provider: The provider it stands for.
            model: The model it was made for.
            given: What it answers, and what goes wrong.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            CassetteError: The cassette cannot.
            UsageError: A fault, a limit or an option cannot.
        """
        with self._lock:
            namespace = self._make(f"t{next(self._ids)}", provider, model, given)
            key = f"{_KEY}{namespace.id}-{secrets.token_hex(8)}"
            self._by_key[key] = namespace
            return namespace, key

    def configure(self, id: str, **given: Unpack[TargetSettings]) -> None:
        """Replace what is given of a target.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            CassetteError: The cassette cannot.
            UsageError: There is no such target, or something else cannot be used.
        """
        self.get(id).configure(**self._read(id, given))

    def remove(self, id: str) -> None:
        """Forget a target; its calls stay in the journal.

        Raises:
            UsageError: There is none, or it is the default.
        """
        namespace = self.get(id)
        if namespace is self.default:
            raise UsageError("The default target cannot be removed; it answers whoever has no other.")
        with self._lock:
            self._namespaces.pop(id, None)
            self._by_key = {key: each for key, each in self._by_key.items() if each is not namespace}

    def get(self, id: str) -> Namespace:
        """The target of this id.

        Raises:
            UsageError: There is none.
        """
        # One look: another thread may remove it between two.
        if (namespace := self._namespaces.get(id)) is not None:
            return namespace
        raise UsageError(f"There is no target {id!r}; there are {', '.join(list(self._namespaces))}.")

    def find(self, path: str, headers: Mapping[str, str], keys: Sequence[str]) -> tuple[Namespace, str]:
        """The target that a request is for, by URL prefix, header or key, and the rest of the path.

        Raises:
            UsageError: It names a target that is not there; no other is to answer in its stead.
        """
        if path.startswith(PREFIX):
            id, slash, rest = path[len(PREFIX) :].partition("/")
            return self.get(id), slash + rest
        if HEADER in headers:
            return self.get(headers[HEADER]), path
        for key in keys:
            if (namespace := self._by_key.get(key)) is not None:
                return namespace, path
        return self.default, path

    def models(self, namespace: Namespace) -> list[str]:
        """What a target's list of models says; the default target lists those of all."""
        namespaces = self if namespace is self.default else [namespace]
        return sorted({each.model for each in namespaces if each.model}) or ["simulated-model"]

    def calls(self, id: str | None = None, *, since: int = 0) -> list[LMCall]:
        """The journaled calls, of one target or all."""
        return [call for call in self.journal.calls(since=since) if id is None or call.lm_id == id]

    def reset(self) -> None:
        """Forget the journal; scripts, recordings, fault schedules and rate limits begin anew."""
        self.journal.clear()
        for namespace in self:
            namespace.reset()

    def __iter__(self) -> Iterator[Namespace]:
        return iter(list(self._namespaces.values()))

    def _make(self, id: str, provider: str | None, model: str | None, given: Mapping[str, Any]) -> Namespace:
        settings = {"answers": self._mocked(id, {}), "faults": (), "limits": {}, **self._read(id, given)}
        namespace = self._namespaces[id] = Namespace(id, provider=provider, model=model, clock=self.clock, **settings)
        return namespace

    def _read(self, id: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is given, as a namespace takes it; what is None is left as it is."""
        said = {name: value for name, value in given.items() if value is not None}
        read: dict[str, Any] = {}
        for name in said.keys() - TargetSettings.__annotations__.keys():
            known = list(TargetSettings.__annotations__)
            raise UsageError(f"Unknown setting {name!r}{nearest_hint(name, known)}; known are {', '.join(known)}.")
        if "spec" in said and "cassette" in said:
            raise UsageError("A target answers from a spec or from a cassette; give one of them.")
        if "cassette_options" in said and "cassette" not in said:
            raise UsageError("cassette_options belong to a cassette; give that too.")
        if "spec" in said:
            read["answers"] = self._mocked(id, said["spec"])
        if "cassette" in said:
            options = said.get("cassette_options")
            read["answers"] = recorded_answers(said["cassette"], options=options, lm_id=id, journal=self.journal)
        if "faults" in said:
            read["faults"] = read_faults(said["faults"])
        if "limits" in said:
            read["limits"] = said["limits"]
        return read

    def _mocked(self, id: str, spec: Any) -> MockAnswers:
        return MockAnswers(read_spec(spec), lm_id=id, journal=self.journal, clock=self.clock)


def recorded_answers(path: str | os.PathLike[str], **options: Any) -> Answers:
    """The answers of a cassette.

    Raises:
        CassetteError: It cannot be opened.
        MissingExtraError: The extra `cassettes` is not installed.
    """
    # Here, because a simulator of mocks does without what reads cassettes.
    from dspex_testkit.simulator.recorded import RecordedAnswers

    return RecordedAnswers(path, **options)


def read_spec(spec: MockSpec | Mapping[str, Any] | None) -> MockSpec:
    """A mock spec, from its JSON or as it is."""
    return spec if isinstance(spec, MockSpec) else parse_mock_spec(spec or {})


def read_faults(faults: Iterable[Any] | str | Mapping[str, Any]) -> list[HTTPFault]:
    """Faults in any form; one alone needs no list.

    Raises:
        UsageError: They are none.
    """
    given = [faults] if isinstance(faults, str | Mapping | HTTPFault) else faults
    if not isinstance(given, Iterable):
        raise UsageError(f"faults: a list of faults is wanted, not {brief(given)}.")
    return [read_http_fault(fault, f"faults[{index}]") for index, fault in enumerate(given)]


def read_sent_spec(given: Mapping[str, Any]) -> MockSpec:
    """A mock spec that came over HTTP, which may name no code to import, and whose patterns are bounded.

    Raises:
        InvalidMockSpecError: It cannot be used.
        UsageError: It names a function.
    """
    spec = parse_mock_spec(given, sent=True)
    if spec.function is not None:
        raise UsageError("A function cannot be set over HTTP; start the simulator in the process that has it.")
    return spec

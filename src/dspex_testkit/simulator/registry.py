"""The targets of one server, and how a request finds its own."""

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.errors import UsageError
from dspex_testkit.mock_lm import MockSpec, parse_mock_spec
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.simulator.http_faults import HTTPFault, read_http_fault
from dspex_testkit.simulator.redaction import keys_of
from dspex_testkit.simulator.tenant import Tenant

PREFIX: Final = "/t/"
"""Before a target's id in a URL."""
HEADER: Final = "x-dspex-target"
DEFAULT_ID: Final = "default"
_KEY: Final = "sk-simulated-"


class Registry:
    """Targets by id and by key.

    Args:
        clock: Where time comes from.
        journal: Where every call is written.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self.clock = clock
        self.journal = journal
        self._tenants: dict[str, Tenant] = {}
        self._by_key: dict[str, Tenant] = {}
        self._ids = count(1)
        self._lock = threading.Lock()
        self.default = self._make(DEFAULT_ID, None, None, None, (), None)

    def add(
        self,
        provider: str | None,
        model: str | None,
        *,
        spec: MockSpec | Mapping[str, Any] | None = None,
        faults: Iterable[Any] = (),
        limits: Mapping[str, Any] | None = None,
    ) -> tuple[Tenant, str]:
        """A new target and its key.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            UsageError: A fault or a limit cannot.
        """
        with self._lock:
            tenant = self._make(f"t{next(self._ids)}", provider, model, spec, read_faults(faults), limits)
            key = f"{_KEY}{tenant.id}-{secrets.token_hex(8)}"
            self._by_key[key] = tenant
            return tenant, key

    def get(self, id: str) -> Tenant:
        """The target of this id.

        Raises:
            UsageError: There is none.
        """
        if id in self._tenants:
            return self._tenants[id]
        raise UsageError(f"There is no target {id!r}; there are {', '.join(self._tenants)}.")

    def find(self, path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[Tenant, str]:
        """The target that a request is for, by URL prefix, header or key, and the rest of the path."""
        if path.startswith(PREFIX):
            id, slash, rest = path[len(PREFIX) :].partition("/")
            if id in self._tenants:
                return self._tenants[id], slash + rest
        named = self._tenants.get(headers.get(HEADER, ""))
        if named is not None:
            return named, path
        by_key = (self._by_key[key] for key in keys_of(headers, query) if key in self._by_key)
        return next(by_key, self.default), path

    def models(self, tenant: Tenant) -> list[str]:
        """What a target's list of models says; the default target lists those of all."""
        tenants = self._tenants.values() if tenant is self.default else [tenant]
        return sorted({each.model for each in tenants if each.model}) or ["simulated-model"]

    def calls(self, id: str | None = None, *, since: int = 0) -> list[LMCall]:
        """The journaled calls, of one target or all."""
        return [call for call in self.journal.calls(since=since) if id is None or call.lm_id == id]

    def reset(self) -> None:
        """Forget the journal; scripts, fault schedules and rate limits begin anew."""
        self.journal.clear()
        for tenant in self._tenants.values():
            tenant.reset()

    def __iter__(self) -> Any:
        return iter(list(self._tenants.values()))

    def _make(
        self,
        id: str,
        provider: str | None,
        model: str | None,
        spec: MockSpec | Mapping[str, Any] | None,
        faults: Sequence[HTTPFault],
        limits: Mapping[str, Any] | None,
    ) -> Tenant:
        tenant = Tenant(
            id,
            provider=provider,
            model=model,
            spec=read_spec(spec),
            faults=faults,
            limits=limits or {},
            clock=self.clock,
        )
        self._tenants[id] = tenant
        return tenant


def read_spec(spec: MockSpec | Mapping[str, Any] | None) -> MockSpec:
    """A mock spec, from its JSON or as it is."""
    return spec if isinstance(spec, MockSpec) else parse_mock_spec(spec or {})


def read_faults(faults: Iterable[Any] | str | Mapping[str, Any]) -> list[HTTPFault]:
    """Faults in any form; one alone needs no list."""
    given = [faults] if isinstance(faults, str | Mapping | HTTPFault) else list(faults)
    return [read_http_fault(fault, f"faults[{index}]") for index, fault in enumerate(given)]


def refuse_imports(spec: Mapping[str, Any]) -> None:
    """Over HTTP nobody names code to be imported.

    Raises:
        UsageError: Somebody did.
    """
    if parse_mock_spec(spec).function is not None:
        raise UsageError("A function cannot be set over HTTP; start the simulator in the process that has it.")

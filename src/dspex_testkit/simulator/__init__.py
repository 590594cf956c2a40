"""Providers on localhost: their wire formats and their faults, answered by the same specs as the mock LMs.

`ProviderSimulator` is the server; whatever speaks HTTP can be its client. Needs the extra `simulator`.

    server, command          the server, in a thread or for a command; `admin` is its API for other processes
    proxy, recording         what stands before a real LM and keeps what it says, and the command that does so
    target                   what a client needs to reach one simulated model
    registry, namespace      the targets of a server, and each as the server sees it
    handler, delivery        one HTTP request: understood, answered, sent
    routes                   which path belongs to which format of `wires`; `embeddings` are served beside them
    reading                  from a body to what it asks
    mocked, recorded         answers from a mock spec, or from a cassette by the request's `sent_form`
    prompts, shaped          the signature behind a prompt, and types for its schemas
    choices, noted_time      what an engine said, and how long it would have waited
    failures, http_faults    what a provider says where an engine fails, faults of connection and server; `buckets` are
                             rate limits
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dspex_testkit.simulator.server import ProviderSimulator
    from dspex_testkit.simulator.target import Target

_HOMES = {"ProviderSimulator": "server", "Target": "target"}

__all__ = ["ProviderSimulator", "Target"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""An option of a fault is heeded or refused, and each vocabulary of faults knows the other's names."""

from typing import Any

import httpx
import pytest

from dspex_testkit.errors import InvalidMockSpecError, UsageError
from dspex_testkit.mock_lm.fault_spec import ALIASES, FITTING, KINDS, read_fault
from dspex_testkit.simulator import ProviderSimulator, http_faults
from dspex_testkit.simulator.http_faults import read_http_fault

_VALUES: dict[str, Any] = {
    "message": "x",
    "retry_after": 1,
    "retry_after_form": "ms",
    "after_chunks": 2,
    "stall_ms": 5,
    "delay_ms": 5,
    "field": "answer",
    "status": 502,
    "megabytes": 1,
    "location": "/x",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", FITTING)
def test_an_option_of_a_mocks_fault_fits_its_kind_or_is_refused(kind: str, option: str) -> None:
    """Never accepted and ignored."""
    fault = {"kind": kind, option: _VALUES[option]}
    if kind in FITTING[option]:
        assert getattr(read_fault(fault, "fault"), option) == _VALUES[option]
    else:
        with pytest.raises(InvalidMockSpecError, match=f"{option} says nothing of '{kind}'; it is for"):
            read_fault(fault, "fault")


@pytest.mark.parametrize("kind", http_faults.KINDS)
@pytest.mark.parametrize("option", http_faults._FITTING)
def test_an_option_of_a_fault_of_the_connection_fits_its_kind_or_is_refused(kind: str, option: str) -> None:
    """The same of the simulator's."""
    more = {"retry_after": 1} if option == "retry_after_form" else {}
    fault = {"kind": kind, option: _VALUES[option], **more}
    if kind in http_faults._FITTING[option]:
        assert getattr(read_http_fault(fault), option) == _VALUES[option]
    else:
        with pytest.raises(UsageError, match="says nothing of"):
            read_http_fault(fault)


def test_options_that_need_another_are_refused_without_it() -> None:
    """A seed without a rate, a form without a time."""
    with pytest.raises(InvalidMockSpecError, match="seed is the seed of a rate"):
        read_fault({"kind": "timeout", "seed": 3}, "fault")
    with pytest.raises(UsageError, match="retry_after_form"):
        read_http_fault({"kind": "rate_limit", "retry_after_form": "ms"})


@pytest.mark.parametrize("name", ALIASES)
def test_a_mock_knows_the_simulators_names(name: str) -> None:
    """As its own kinds."""
    assert read_fault(name, "fault").kind == ALIASES[name]


@pytest.mark.parametrize("name", http_faults.ALIASES)
def test_the_simulator_knows_the_mocks_names(name: str) -> None:
    """With the names of their options."""
    assert read_http_fault(name).kind == http_faults.ALIASES[name]
    assert read_http_fault({"kind": "stall", "stall_ms": 7}).delay_ms == 7


def _post(sim: ProviderSimulator, fault: Any, *, stream: bool = False, model: str = "openai/m") -> httpx.Response:
    target = sim.target(model, spec={"responses": {"default": "one two three four"}}, faults=[fault])
    path, body = "chat/completions", {"model": "m", "messages": [{"role": "user", "content": "?"}], "stream": stream}
    if model.startswith("anthropic"):
        path, body = "messages", {**body, "max_tokens": 99}
    return httpx.post(f"{target.api_base}/{path}", json=body, headers={"Authorization": f"Bearer {target.api_key}"})


@pytest.mark.parametrize("kind", ["html", "empty", "empty_object"])
def test_a_status_is_heeded_where_a_body_is_nonsense(sim: ProviderSimulator, kind: str) -> None:
    """A gateway's page comes with its status."""
    assert _post(sim, {"kind": kind, "status": 502}).status_code == 502


@pytest.mark.parametrize("model", ["openai/m", "anthropic/m"])
def test_an_error_may_come_in_the_middle_of_a_stream(sim: ProviderSimulator, model: str) -> None:
    """In the provider's words, after some chunks; and in the place of an answer that is not streamed."""
    fault = {"kind": "error_event", "after_chunks": 2, "message": "overheated"}
    response = _post(sim, fault, stream=True, model=model)
    events = [line for line in response.text.splitlines() if line.startswith("data:")]
    assert len(events) == 3
    assert "overheated" in events[-1]
    assert ("event: error" in response.text) == model.startswith("anthropic")
    assert _post(sim, fault, model=model).status_code == 500


def test_a_connection_may_be_reset_in_the_middle_of_a_stream(sim: ProviderSimulator) -> None:
    """Which the client's next read tells; also where the answer is not streamed."""
    for stream in (True, False):
        with pytest.raises(httpx.TransportError):
            _post(sim, {"kind": "reset_stream", "after_chunks": 1}, stream=stream)


def test_one_chunk_at_a_place_may_be_bad(sim: ProviderSimulator) -> None:
    """The others are what they are."""
    response = _post(sim, {"kind": "bad_chunk", "after_chunks": 1}, stream=True)
    events = [line for line in response.text.splitlines() if line.startswith("data: ") and "[DONE]" not in line]
    assert [event.startswith("data: {") for event in events[:3]] == [True, False, True]

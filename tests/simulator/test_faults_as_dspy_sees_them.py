"""Faults over HTTP reach a program as the exceptions of production, on both of DSPy's HTTP stacks."""

from typing import Any

import dspy
import pytest

from dspex_testkit.simulator import ProviderSimulator, Target
from tests.support.loops import run
from tests.support.versions import since

MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-3-5-haiku-20241022",
    "gemini": "gemini/gemini-2.0-flash",
    "ollama": "ollama_chat/llama3",
    "cohere": "cohere_chat/command-r",
}
STACKS = ("native", "litellm")
ROUTES = [(provider, stack) for provider in MODELS for stack in STACKS if (provider, stack) != ("cohere", "native")]

INVALID, AUTH, UNSUPPORTED = "LMInvalidRequestError", "LMAuthError", "LMUnsupportedModelError"
SERVER, TRANSPORT, PROVIDER = "LMServerError", "LMTransportError", "LMProviderError"
# A broken answer is told by litellm as an error of the server or of the connection, depending on the provider.
LITELLM_BROKEN = {"openai": SERVER, "anthropic": TRANSPORT, "ollama": TRANSPORT, "cohere": TRANSPORT}
LITELLM_CUT = {"openai": SERVER, "anthropic": SERVER, "cohere": SERVER, "gemini": TRANSPORT, "ollama": TRANSPORT}

Expected = tuple[str, int]
"""The exception and the number of requests, with two retries."""

# The usual outcome per fault, on either stack …
USUAL: dict[str, tuple[Expected, Expected]] = {
    "invalid_request": ((INVALID, 1), (INVALID, 1)),
    "too_large": ((INVALID, 1), (INVALID, 1)),
    "unprocessable": ((INVALID, 1), (INVALID, 1)),
    "auth": ((AUTH, 1), (AUTH, 1)),
    "permission": ((AUTH, 1), (AUTH, 1)),
    "not_found": ((UNSUPPORTED, 1), (UNSUPPORTED, 1)),
    "context_length": (("ContextWindowExceededError", 1), ("ContextWindowExceededError", 1)),
    "rate_limit": (("LMRateLimitError", 3), ("LMRateLimitError", 3)),
    "billing": (("LMBillingError", 1), (INVALID, 1)),
    "server_error": ((SERVER, 3), (SERVER, 3)),
    "unavailable": ((SERVER, 3), (SERVER, 3)),
    "overloaded": ((SERVER, 3), (SERVER, 3)),
    "timeout": (("LMTimeoutError", 3), ("LMTimeoutError", 3)),
    "hang": ((TRANSPORT, 3), ("LMTimeoutError", 3)),
    "redirect": ((PROVIDER, 1), (UNSUPPORTED, 2)),
}
# … what differs by provider …
EXCEPTIONS: dict[tuple[str, str, str], Expected] = {
    ("not_found", "anthropic", "native"): (INVALID, 1),
    ("permission", "gemini", "litellm"): (INVALID, 1),
    ("context_length", "ollama", "litellm"): (INVALID, 1),
    ("billing", "openai", "litellm"): ("LMBillingError", 1),
}
# … and two families of faults that litellm tells by provider.
BROKEN = ("malformed", "empty", "html")
CUT = ("truncated", "reset", "close")


def expected(fault: str, provider: str, stack: str) -> Expected:
    """What DSPy makes of a fault."""
    if fault in BROKEN:
        if stack == "native":
            return PROVIDER, 1
        return (INVALID, 1) if provider == "gemini" else (LITELLM_BROKEN[provider], 3)
    if fault in CUT:
        return (TRANSPORT, 3) if stack == "native" else (LITELLM_CUT[provider], 3)
    return EXCEPTIONS.get((fault, provider, stack)) or USUAL[fault][STACKS.index(stack)]


def lm_on(target: Target, stack: str, **params: Any) -> Any:
    """An LM on a target that tries three times."""
    return target.lm(engine="auto" if stack == "native" else stack, num_retries=2, **params)


@pytest.mark.usefixtures("slept")
@pytest.mark.parametrize(("provider", "stack"), ROUTES)
@pytest.mark.parametrize("fault", [*USUAL, *BROKEN, *CUT])
def test_a_fault_arrives_as_production_would_raise_it(
    sim: ProviderSimulator, fault: str, provider: str, stack: str
) -> None:
    """Class and number of attempts are those that a real provider causes."""
    target = sim.target(MODELS[provider], faults=[fault])
    lm = lm_on(target, stack, **({"timeout": 0.6} if fault == "hang" else {}))

    with pytest.raises(dspy.LMError) as raised:
        lm("hello")

    assert (type(raised.value).__name__, len(target.calls)) == expected(fault, provider, stack)
    # Where a redirect led, nothing was wrong any more but the address.
    assert {call.fault for call in target.calls} <= {fault, None if fault == "redirect" else fault}


@pytest.mark.parametrize(("provider", "stack"), ROUTES)
def test_an_empty_object_is_an_answer_to_the_native_client_only(
    sim: ProviderSimulator, slept: list[float], provider: str, stack: str
) -> None:
    """DSPy's own client takes `{}` for an answer without text; litellm fails."""
    lm = lm_on(sim.target(MODELS[provider], faults=["empty_object"]), stack)

    if stack == "native":
        assert lm("hello") == [""]
    else:
        with pytest.raises(dspy.LMError):
            lm("hello")


@pytest.mark.parametrize("form", ["seconds", "date", "ms"])
def test_the_native_client_comes_again_when_it_was_told_to(
    sim: ProviderSimulator, slept: list[float], form: str
) -> None:
    """Each spelling of Retry-After is understood; the second attempt is answered."""
    fault = {"kind": "rate_limit", "calls": [1], "retry_after": 7, "retry_after_form": form}
    target = sim.target("openai/gpt-4o-mini", spec={"script": ["at last"]}, faults=[fault])

    assert lm_on(target, "native")("hello") == ["at last"]

    # A date says when, not how long; what has passed since it was written is gone.
    assert len(slept) == 1
    assert 5 < slept[0] <= 8
    assert [call.fault for call in target.calls] == ["rate_limit", None]


@pytest.mark.parametrize("provider", MODELS)
def test_litellm_heeds_retry_after_on_its_openai_route_since_1_109(
    sim: ProviderSimulator, slept: list[float], provider: str
) -> None:
    """Before, and on every other route, DSPy's own backoff is all there is on that stack."""
    fault = {"kind": "rate_limit", "calls": [1, 2], "retry_after": 7}
    target = sim.target(MODELS[provider], spec={"script": ["at last"]}, faults=[fault])

    assert lm_on(target, "litellm")("hello") == ["at last"]
    assert slept == ([7, 7] if provider == "openai" and since("litellm", "1.109") else [1, 2])


@pytest.mark.usefixtures("slept")
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    ("kind", "status", "attempts"),
    [
        *(("invalid_request", status, 1) for status in (400, 404, 409, 422)),
        ("timeout", 408, 3),
        ("rate_limit", 429, 3),
        *(("server_error", status, 3) for status in (500, 502, 503, 504, 529)),
    ],
)
def test_what_may_pass_is_tried_again(
    sim: ProviderSimulator, kind: str, status: int, attempts: int, stack: str
) -> None:
    """DSPy tells the two apart by the status; a miss of the simulator's is a 400, and is asked once."""
    target = sim.target("openai/gpt-4o-mini", faults=[{"kind": kind, "status": status}])

    with pytest.raises(dspy.LMError):
        lm_on(target, stack)("hello")

    assert len(target.calls) == attempts


@pytest.mark.parametrize("kind", ["wrong_content_type", "slow_first_byte"])
@pytest.mark.parametrize(("provider", "stack"), ROUTES)
def test_an_odd_answer_is_an_answer(sim: ProviderSimulator, kind: str, provider: str, stack: str) -> None:
    """A wrong content type and a late first byte do no harm."""
    delay = {"delay_ms": 1} if kind == "slow_first_byte" else {}
    target = sim.target(MODELS[provider], spec={"script": ["Paris"]}, faults=[{"kind": kind, **delay}])

    assert lm_on(target, stack)("hello") == ["Paris"]


def test_an_oversized_answer_arrives_whole(sim: ProviderSimulator) -> None:
    """Megabytes of white space are read to their end."""
    fault = {"kind": "oversized", "megabytes": 2}
    target = sim.target("openai/gpt-4o-mini", spec={"script": ["Paris"]}, faults=[fault])

    assert lm_on(target, "native")("hello") == ["Paris"]


def test_asynchronous_calls_meet_the_same_faults(sim: ProviderSimulator) -> None:
    """The async clients raise what the sync ones raise."""
    for stack in STACKS:
        target = sim.target("openai/gpt-4o-mini", faults=["auth"])
        with pytest.raises(dspy.LMAuthError):
            run(lm_on(target, stack).acall("hello"))


def test_a_mock_without_an_answer_fails_at_once_and_says_why(sim: ProviderSimulator) -> None:
    """A miss is no fault of a provider: it is not retried, and its message and code arrive."""
    for stack in STACKS:
        target = sim.target("openai/gpt-4o-mini", spec={"responses": {"What is 2+2?": "4"}})
        with pytest.raises(dspy.LMInvalidRequestError, match="No key of this mock"):
            lm_on(target, stack)("What is 3+3?")
        assert len(target.calls) == 1
        assert "What is 2+2?" in str(target.calls[0].error)


@pytest.mark.usefixtures("slept")
def test_a_mocks_own_faults_become_the_providers(sim: ProviderSimulator) -> None:
    """What a spec calls a rate limit or a broken connection is one over HTTP too."""
    wanted = {"rate_limit": dspy.LMRateLimitError, "connection": dspy.LMTransportError, "auth": dspy.LMAuthError}
    for kind, error in wanted.items():
        target = sim.target("openai/gpt-4o-mini", spec={"faults": kind})
        with pytest.raises(error):
            lm_on(target, "native")("hello")
        assert target.calls[0].fault == kind

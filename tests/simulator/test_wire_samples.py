"""What providers document of their formats, against what is simulated: `fixtures/wire_samples`, one file a provider."""

from collections.abc import Iterator
from typing import Any

import pytest

from dspex_testkit.simulator import ProviderSimulator
from tests.support.fixture_files import samples
from tests.support.web import ask

SAMPLES = samples("wire_samples")


def places(value: Any, place: str = "") -> Iterator[tuple[str, type]]:
    """Each place in a JSON value, with the type of what stands there; items of a list share theirs."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{place}.{key}".removeprefix(".")
            yield inner, type(item)
            yield from places(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from places(item, place)


@pytest.mark.parametrize("provider", SAMPLES)
def test_a_request_is_answered_in_the_providers_form(sim: ProviderSimulator, provider: str) -> None:
    """A request as DSPy sends it; nothing is made up, and what is left out is what the sample says is left out."""
    sample = SAMPLES[provider]
    target = sim.target(sample["model"], spec={"responses": {"What is the capital of France?": "Paris"}})

    reply = ask(target.root + sample["path"], sample["request"], headers=sample.get("headers"))

    assert reply.status == 200
    simulated, documented = set(places(reply.json)), set(places(sample["response"]))
    assert simulated - documented == set(), "the provider sends none of these"
    missing = {place for place, _ in documented - simulated}
    assert {place for place in missing if not place.startswith(tuple(sample["not_simulated"]))} == set()
    assert {place for place in sample["not_simulated"] if place not in missing} == set(), "strike what is simulated"
    assert '"Paris"' in reply.text


@pytest.mark.parametrize("provider", SAMPLES)
def test_a_rate_limit_is_refused_in_the_providers_form(sim: ProviderSimulator, provider: str) -> None:
    """Status 429, with every key of the provider's body; codes and types are its own words."""
    sample = SAMPLES[provider]
    target = sim.target(sample["model"], faults=["rate_limit"])

    reply = ask(target.root + sample["path"], sample["request"], headers=sample.get("headers"))

    assert reply.status == 429
    assert set(places(reply.json)) == set(places(sample["rate_limit"]))
    assert words(reply.json) == words(sample["rate_limit"])


def words(value: dict[str, Any]) -> dict[str, Any]:
    """What clients tell errors by."""
    inner = value["error"] if isinstance(value.get("error"), dict) else {}
    return {key: inner[key] for key in ("type", "code", "status") if key in inner}

"""Whatever a client sends is answered by what it says, never by `internal_error`: hostile values in every argument."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dspex_testkit.bridge import Bridge, BridgeSettings
from dspex_testkit.errors import DSPexTestkitError
from dspex_testkit.protocol import Request, Response, encode_response
from tests.support.hostile import HOSTILE, KEYS, PLACES, PREPARED, Place, on_the_wire, samples

SENDABLE = {name for name, value in HOSTILE.items() if on_the_wire(value)}
STRIDE = 12
"""Every value is put into every argument; into what is nested within arguments one of so many, all in turn."""

FEWER = {"define_lm": 3, "predict": 3, "create_gemini_program": 3}
"""Commands that read what others read too, and need not be swept as thickly."""


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge with a program and a named LM."""
    made = Bridge(BridgeSettings(cassettes=str(tmp_path), cache_dir=str(tmp_path / "cache")), mode="pool-worker")
    prepare(made)
    yield made
    made.close()


def prepare(bridge: Bridge) -> None:
    """Forget what a sweep has left, and begin anew."""
    bridge.handle(Request(1, "reset_state", {}))
    for command, args in PREPARED:
        assert bridge.handle(Request(1, command, args)).success


def problem(response: Response, *, sendable: bool) -> str | None:
    """What is wrong with a reply, if anything is."""
    if response.code == "internal_error":
        return f"{response.message}"[:300]
    if sendable:
        try:
            encode_response(response)
        except DSPexTestkitError as error:
            return f"the reply cannot be sent: {error.message}"[:300]
    return None


def swept(places: list[Place]) -> Iterator[tuple[Place, str, tuple[str, dict[str, Any]]]]:
    """The places with hostile values and keys in them."""
    for number, place in enumerate(places):
        step = STRIDE if len(place.path) > 1 or place.sample else FEWER.get(place.command, 1)
        for name, value in list(HOSTILE.items())[number % step :: step]:
            yield place, name, place.request(value)
        for name, key in KEYS.items():
            if (renamed := place.request_with_key(key)) is not None:
                yield place, f"key {name}", renamed


@pytest.mark.parametrize("command", list(samples()))
def test_no_argument_of_any_command_provokes_an_internal_error(bridge: Bridge, command: str) -> None:
    """Nor does using what was accepted; each reply can be sent."""
    found: dict[str, str] = {}
    asked = 0
    places = [place for place in PLACES if place.command == command]
    for place, name, (_, args) in swept(places):
        response = bridge.handle(Request(2, command, args))
        asked += 1
        answers = [(command, response)]
        if response.success and asked % 4 == 0:
            answers += [(c, bridge.handle(Request(3, c, a))) for c, a in place.follow_up(args)]
        for then, answer in answers:
            wrong = problem(answer, sendable=name.startswith("key") or name in SENDABLE)
            if wrong is not None:
                found.setdefault(wrong, f"{place} = {name} > {then}")
    assert asked >= len(places), "the sweep found places"
    assert found == {}


@pytest.mark.parametrize(("command", "args"), [(c, a) for c, all in samples().items() for a in all])
def test_what_stands_around_the_hostile_values_is_in_order(bridge: Bridge, command: str, args: dict[str, Any]) -> None:
    """Else the sweep would test nothing: each sample succeeds, or fails for what the bridge does not have."""
    response = bridge.handle(Request(2, command, args))

    assert response.success or response.code in EXPECTED.get(command, ()), response


EXPECTED: dict[str, tuple[str, ...]] = {
    "undefine_lm": ("unknown_lm",),
    "use_cassette": ("cassette_not_found", "policy_unavailable", "usage_error"),
    "eject_cassette": ("cassette_error",),
    "execute_gemini_program": ("command_error",),
    "cleanup_session": ("invalid_args",),
    "get_session_data": ("invalid_args",),
}


def test_what_no_json_can_carry_is_no_internal_error_either(bridge: Bridge) -> None:
    """In a test's own process it reaches the bridge all the same."""
    response = bridge.handle(Request(2, "get_stats", {"session_id": 10**5000}))

    assert response.code == "invalid_args"

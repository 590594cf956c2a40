"""The environment of the process and what clients say stay apart."""

import os

import pytest

from dspex_testkit.bridge import Bridge
from dspex_testkit.protocol import Request

KEY = "sk-planted-secret-1234567890"
ASK = {"program_id": "p", "inputs": {"question": "Who?"}}


def test_nothing_that_a_client_sends_reaches_the_environment() -> None:
    """Keys are handed to the LM that they belong to, and to nobody else in the process."""
    bridge = Bridge()
    before = dict(os.environ)
    for provider, model in (("google", "gemini-pro"), ("openai", "gpt-4")):
        bridge.handle(Request(1, "configure_lm", {"provider": provider, "model": model, "api_key": KEY}))
        bridge.handle(Request(2, "create_program", {"id": "p", "signature": "question -> answer"}))
        assert bridge.handle(Request(3, "execute_program", ASK)).success

    assert {name: value for name, value in os.environ.items() if before.get(name) != value or KEY in value} == {}


def test_a_key_in_the_environment_is_no_lm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a default that somebody set answers unasked; a key that lies about does not."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    bridge = Bridge()
    bridge.handle(Request(1, "create_program", {"id": "p", "signature": "question -> answer"}))

    response = bridge.handle(Request(2, "execute_program", ASK))

    assert (response.code, response.message) == ("no_lm_loaded", "No LM is loaded.")

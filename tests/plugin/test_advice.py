"""The likeliest first errors end with what to write."""

import pytest

pytest_plugins = ["pytester"]


def test_an_lm_that_nobody_answers_for_says_what_to_write(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key, and with one but off the network; and in a thread that lost its context."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    # There pytest says each failure again at the end.
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        """
import threading
import dspy

qa = dspy.Predict("question -> answer")

def test_no_key(lm_journal):
    qa(question="?", lm=dspy.LM("openai/gpt-4o"))

def test_no_network(lm_journal):
    qa(question="?", lm=dspy.LM("openai/gpt-4o", api_key="k" * 24))

def test_thread(dspy_lm):
    errors = []

    def work():
        try:
            qa(question="?")
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    raise errors[0]
"""
    )
    result = pytester.runpytest_inprocess("-q")
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    assert text.count("@pytest.mark.lm_policy('mock')") == 2
    assert text.count("@pytest.mark.lm('openai/gpt-4o', responses=") == 2
    assert "contextvars.copy_context()" in text

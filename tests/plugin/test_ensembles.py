"""Ensembles in suites of pytest."""

import pytest

pytest_plugins = ["pytester"]

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
SUITE = """
def test_members_answer_as_one(bridge, lm_journal):
    members = [{"provider": "mock", "model": name, "responses": {"default": answer}}
               for name, answer in (("a", "yes"), ("b", "no"), ("c", "yes"))]
    bridge.configure_lm({"kind": "ensemble", "strategy": "majority", "members": members})
    qa = bridge.create_program("question -> answer")

    assert qa(question="Really?").answer == "yes"
    assert {"a", "b", "c"} <= {call.model for call in lm_journal.calls}
"""


@pytest.mark.parametrize("mode", ["inproc", "standalone", "pool"])
def test_an_ensemble_is_an_lm_like_any_other(pytester: pytest.Pytester, mode: str) -> None:
    """Given to the fixture `bridge`, its members answer as one and stand in the journal, in every mode."""
    pytester.makeini(INI)
    pytester.makepyfile(SUITE)

    pytester.runpytest(f"--bridge-mode={mode}").assert_outcomes(passed=1)

"""A support desk whose LMs switch: the suite that the picture of the report shows.

pytest --bridge-mode=pool --lm-report=report.html docs/examples/test_switching.py
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dspex_testkit.errors import RemoteCommandError
from dspex_testkit.plugin import BridgeFixture, LMJournal, Program

DESK = {"provider": "google", "model": "gemini-2.5-flash", "mock": {"responses": {"default": "Please wait."}}}
EXPERT = {"provider": "anthropic", "model": "claude-sonnet-4-5", "mock": {"responses": {"default": "Reset it."}}}
WRITER = {"provider": "openai", "model": "gpt-4o", "mock": {"responses": {"default": "Dear customer, …"}}}
BUSY = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "mock": {"responses": {"default": "Yes."}, "faults": [{"kind": "rate_limit", "calls": [1]}]},
}


@pytest.fixture
def triage(bridge: BridgeFixture) -> Program:
    """A program of one session, without an LM of its own, on the desk's."""
    bridge.configure_lm(DESK)
    return bridge.session("carol").create_program("question -> answer", id="triage")


def test_an_expert_takes_over_for_one_question(triage: Program, lm_journal: LMJournal) -> None:
    """The LM of one execution answers that one alone."""
    for _ in range(2):
        triage(question="My router blinks red.")
    triage.execute(question="It still blinks.", lm=EXPERT)
    triage(question="Thank you!")

    assert [call.scope for call in lm_journal.calls] == ["global", "global", "execution", "global"]


def test_customers_are_served_side_by_side(bridge: BridgeFixture, lm_journal: LMJournal) -> None:
    """Two sessions at once, each with its own LM, and a program that keeps to its own."""
    bridge.configure_lm(DESK)

    def serve(customer: str, lm: object) -> None:
        session = bridge.session(customer)
        triage = session.create_program("question -> answer", id=f"triage-{customer}")
        letter = session.create_program("topic -> letter", id=f"letter-{customer}", lm=WRITER)
        triage(question=f"Where is my parcel? ({customer})")
        session.configure_lm(lm)
        for number in range(3):
            triage(question=f"And parcel {number}?")
            letter(topic=f"parcel {number}")

    with ThreadPoolExecutor(2) as customers:
        list(customers.map(serve, ("alice", "bob"), (EXPERT, DESK)))
    assert {call.scope for call in lm_journal.calls} == {"global", "session", "program"}


def test_a_busy_lm_is_asked_again(triage: Program) -> None:
    """A rate limit reaches the caller, and the second attempt succeeds."""
    triage.session.configure_lm(BUSY)
    with pytest.raises(RemoteCommandError):
        triage(question="Is anybody there?")
    assert triage(question="Is anybody there?").answer == "Yes."

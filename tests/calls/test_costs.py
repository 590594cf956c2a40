"""Sums over calls: exact, bounded, and nothing is lost."""

from decimal import Decimal

from dspex_testkit.calls import LMCall, Usage
from dspex_testkit.calls.costs import Costs


def call(session_id: str | None = None, program_id: str | None = "p", cost: str | None = "0.1") -> LMCall:
    """A call with a cost."""
    return LMCall(
        provider="mock",
        model="m",
        session_id=session_id,
        program_id=program_id,
        usage=Usage(input_tokens=2, output_tokens=1),
        cost=None if cost is None else Decimal(cost),
    )


def test_throw_away_sessions_do_not_grow_the_sums() -> None:
    """The oldest lose their own sum, and their calls stay in every other."""
    costs = Costs(max_groups=10)
    for n in range(1000):
        costs.add(call(session_id=f"s{n}"))

    told = costs.to_dict()

    assert len(told["sessions"]) <= 10
    assert "s999" in told["sessions"]
    assert (told["total"]["calls"], told["total"]["cost"]) == (1000, "100.0")
    assert told["programs"]["p"]["calls"] == told["lms"]["mock/m"]["calls"] == 1000


def test_throw_away_programs_do_not_grow_the_sums() -> None:
    """Nor do programs that are made for one execution each."""
    costs = Costs(max_groups=10)
    for n in range(1000):
        costs.add(call(program_id=f"p{n}"))

    assert len(costs.to_dict()["programs"]) <= 10
    assert costs.to_dict()["providers"]["mock"]["input_tokens"] == 2000


def test_a_forgotten_session_stays_in_the_other_sums() -> None:
    """Only its own line goes."""
    costs = Costs()
    costs.add(call(session_id="a"))
    costs.forget_session("a")

    assert costs.to_dict(session_id="a")["total"]["calls"] == 0
    assert costs.to_dict()["programs"]["p"]["calls"] == 1


def test_a_group_without_any_price_is_unknown() -> None:
    """Beside a group whose price is known."""
    costs = Costs()
    costs.add(call(program_id="known"))
    costs.add(call(program_id="unknown", cost=None))

    programs = costs.to_dict()["programs"]
    assert (programs["known"]["cost"], programs["unknown"]["cost"]) == ("0.1", None)

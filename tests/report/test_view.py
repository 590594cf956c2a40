"""What the report shows, before it is drawn."""

from dspex_testkit.calls import Scope
from dspex_testkit.report.view import build_view, letter
from tests.support.lm_records import call, change


def switches(*calls: dict[str, object]) -> list[str | None]:
    """For each call, the LM that it took the place of."""
    view = build_view(calls)
    lms = [lm["name"] for lm in view["lms"]]
    return [None if (index := entry["switched_from"]) is None else lms[index] for entry in view["entries"]]


def test_a_call_with_another_lm_than_the_one_before_it_switches() -> None:
    """The first call of a lane switches nothing."""
    assert switches(call("a/1"), call("a/1"), call("b/2"), call("a/1")) == [None, None, "a/1", "b/2"]


def test_sessions_and_tests_switch_apart() -> None:
    """What another session or another test does is no switch."""
    assert (
        switches(
            call("a/1", session_id="alice"),
            call("b/2", session_id="bob"),
            call("c/3"),
            call("b/2", session_id="alice", test="t::one"),
            call("a/1", session_id="alice"),
        )
        == [None] * 5
    )


def test_a_session_switches_also_where_it_changes_the_worker() -> None:
    """A pool moves sessions about."""
    first, second = call("a/1", session_id="alice", worker_id="w1"), call("b/2", session_id="alice", worker_id="w2")

    assert switches(first, second) == [None, "a/1"]


def test_members_of_an_ensemble_switch_nothing() -> None:
    """They are part of one call."""
    assert (
        switches(call("a/1"), call("b/2", parent_id="x"), call("c/3", parent_id="x"), call("a/1", call_id="x"))
        == [None] * 4
    )


def test_a_mock_is_not_the_provider_whose_name_it_carries() -> None:
    """Two LMs, and going from one to the other is a switch."""
    view = build_view([call("a/1"), call("a/1", mocked=False)])

    assert [(lm["name"], lm["mocked"]) for lm in view["lms"]] == [("a/1", True), ("a/1", False)]
    assert view["entries"][1]["switched_from"] == 0


def test_a_change_stands_before_the_calls_that_came_after_it() -> None:
    """By time, within its own test; the numbers of calls do not count changes."""
    view = build_view(
        [
            call("a/1", time=1.0, seq=2, test="t"),
            call("b/2", time=3.0, seq=4, test="t"),
            call("b/2", time=2.5, seq=1, test="u"),
        ],
        [change("b/2", time=2.0, seq=3, test="t"), change("c/3", time=9.0, seq=5, test="t")],
    )

    assert [entry.get("number", entry.get("lm_name")) for entry in view["entries"]] == [1, "b/2", 2, "c/3", 3]
    assert [entry["lm_index"] for entry in view["entries"]] == [0, 1, 1, None, 1]


def test_a_change_to_a_named_lm_has_the_letter_of_what_it_stands_for() -> None:
    """By way of other names too, and of its own test's definitions only."""

    def named(time: float, lm: dict[str, str], *, name: str | None = None, test: str = "t") -> dict[str, object]:
        kind = "configured" if name is None else "defined"
        return {"type": "lm_changed", "kind": kind, "name": name, "lm": lm, "time": time, "test": test}

    entries = build_view(
        [call("a/1", time=9.0, test="t"), call("b/2", time=9.1, test="t")],
        [
            named(1.0, {"provider": "b", "model": "2"}, name="house"),
            named(2.0, {"lm": "house"}, name="alias"),
            named(3.0, {"lm": "alias"}),
            named(4.0, {"provider": "a", "model": "1"}, name="house"),
            named(5.0, {"lm": "house"}),
            named(6.0, {"lm": "house"}, test="another"),
        ],
    )["entries"]

    letters = [
        (entry["lm_name"], entry["lm_index"]) for entry in entries if "number" not in entry and entry["test"] == "t"
    ]
    assert letters == [
        ("b/2", 1),
        ("the LM named house", 1),
        ("the LM named alias", 1),
        ("a/1", 0),
        ("the LM named house", 0),
    ]
    assert entries[0]["lm_index"] is None


def test_changes_of_a_test_without_calls_are_kept() -> None:
    """They come first."""
    entries = build_view([call(time=1.0)], [change("a/1", Scope.SESSION, time=5.0, test="lonely")])["entries"]

    assert [entry.get("test") for entry in entries] == ["lonely", None]


def test_no_calls_are_no_lms() -> None:
    """An empty run has a report too."""
    assert build_view([]) == {"lms": [], "lanes": [], "tests": {}, "entries": []}


def test_every_lm_has_a_letter_of_its_own() -> None:
    """Also beyond the alphabet."""
    assert [letter(index) for index in (0, 25, 26, 51, 52, 702)] == ["A", "Z", "AA", "AZ", "BA", "AAA"]
    assert len({letter(index) for index in range(2000)}) == 2000

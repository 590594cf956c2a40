"""What each record mode plays, asks and writes."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dspy
import pytest
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes import StaleCassetteWarning
from dspex_testkit.errors import (
    CassetteBusyError,
    CassetteDriftError,
    CassetteError,
    NoMatchingInteractionError,
    NothingRecordedError,
    StaleCassetteError,
    UsageError,
)
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.simulator import ProviderSimulator

Ask = Callable[..., str]


@pytest.fixture
def recorded(path: Path, sums: MockLM, ask: Ask) -> Path:
    """A cassette that knows one sum."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
    return path


def answers(path: Path) -> list[str]:
    """The recorded texts."""
    document = yaml.safe_load(path.read_text())
    texts = [item["response"]["body"]["response"]["message"]["parts"][0]["text"] for item in document["interactions"]]
    return [text.split("\n")[1] for text in texts]


def test_once_replays_an_existing_cassette_only(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """Where there is a cassette, mode once asks nobody and misses what is new."""
    before = recorded.read_bytes()
    with cassettes.open_cassette(recorded, "once") as cassette:
        assert ask(cassette.lm_for(sums), "2+2") == "4"
    with pytest.raises(NoMatchingInteractionError), cassettes.record(sums, recorded, record_mode="once") as lm:
        ask(lm, "2+3")
    assert recorded.read_bytes() == before


def test_new_episodes_records_only_what_is_new(recorded: Path, ask: Ask) -> None:
    """Known requests are replayed, unknown ones asked and appended."""
    changed = MockLM.deterministic({"2+2": "changed", "2+3": "5"}, provider="openai", model="gpt-4o-mini")
    with cassettes.record(changed, recorded, record_mode="new_episodes") as lm:
        assert [ask(lm, "2+2"), ask(lm, "2+3")] == ["4", "5"]
    assert answers(recorded) == ["4", "5"]


def test_all_replaces_what_was_asked_again_and_keeps_the_rest(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """Mode all asks for everything, as in vcrpy."""
    with cassettes.record(sums, recorded, record_mode="new_episodes") as lm:
        ask(lm, "2+3")
    changed = MockLM.deterministic({"2+2": "four"}, provider="openai", model="gpt-4o-mini")
    with cassettes.record(changed, recorded, record_mode="all") as lm:
        assert ask(lm, "2+2") == "four"
    assert answers(recorded) == ["5", "four"]


def test_rewrite_keeps_nothing_of_before(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """Mode rewrite leaves exactly what was asked this time."""
    with cassettes.record(sums, recorded, record_mode="rewrite") as lm:
        ask(lm, "3+3")
    assert answers(recorded) == ["6"]


def test_a_rewrite_that_records_nothing_leaves_the_file(recorded: Path, sums: MockLM) -> None:
    """A rewrite without a call is an error, and the old recording survives."""
    before = recorded.read_bytes()
    with pytest.raises(NothingRecordedError), cassettes.record(sums, recorded, record_mode="rewrite"):
        pass
    assert recorded.read_bytes() == before


@pytest.mark.parametrize(
    ("answer", "severity"),
    [("four", "text"), ({"answer": "4", "unit": "apples"}, "schema")],
)
def test_verify_reports_drift_and_changes_nothing(
    path: Path, ask: Ask, sums: MockLM, answer: Any, severity: str
) -> None:
    """Mode verify asks the LM, names how grave the difference is, and leaves the file alone."""
    old = MockLM.deterministic({"2+2": "4" if severity == "text" else {"answer": "4"}})
    with cassettes.record(old, path) as lm:
        lm("2+2")
    before = path.read_bytes()
    new = MockLM.deterministic({"2+2": answer})
    with pytest.raises(CassetteDriftError, match=severity), cassettes.record(new, path, record_mode="verify") as lm:
        lm("2+2")
    assert path.read_bytes() == before


def test_verify_passes_where_the_answer_is_the_same(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """No drift, no error; and a comparator decides what the same is."""
    with cassettes.record(sums, recorded, record_mode="verify") as lm:
        ask(lm, "2+2")
    loud = MockLM.deterministic({"2+2": "FOUR"}, provider="openai", model="gpt-4o-mini")
    options: dict[str, Any] = {"record_mode": "verify", "comparator": lambda old, new: len(old) < len(new)}
    with cassettes.record(loud, recorded, **options) as lm:
        ask(lm, "2+2")
    with cassettes.record(loud, recorded, record_mode="verify", fail_on="schema") as lm:
        ask(lm, "2+2")


def test_verify_says_what_the_program_asks_that_was_not_recorded(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """The request and the fields in which the nearest recording differs, as a miss says."""
    with (
        pytest.raises(CassetteDriftError, match="schema: unrecorded") as caught,
        cassettes.record(sums, recorded, record_mode="verify") as lm,
    ):
        ask(lm, "2+2", config={"temperature": 0.5})
    assert "'[[ ## question ## ]]" in caught.value.message
    assert "Nearest is interaction 0, which differs in:" in caught.value.message
    assert "params.temperature: asked 0.5" in caught.value.message


def test_verify_without_a_key_says_so_and_calls_it_no_drift(
    recorded: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the program swallows the failure."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        pytest.raises(CassetteError, match=r"could not be verified:\n.*OPENAI_API_KEY") as caught,
        cassettes.record(dspy.LM("openai/gpt-4o-mini"), recorded, record_mode="verify") as lm,
        suppress(dspy.LMError),
    ):
        ask(lm, "2+2")
    assert not isinstance(caught.value, CassetteDriftError)


@pytest.mark.parametrize("mode", ["rewrite", "all"])
@pytest.mark.parametrize("level", ["lm", "http"])
def test_what_is_recorded_again_and_says_the_same_leaves_the_file_as_it_was(path: Path, level: str, mode: str) -> None:
    """Dates, pace, ids of requests and what a provider's cache had do not count; of what changed, the change alone."""
    program = dspy.Predict("question -> answer")
    streamed = dspy.streamify(program, async_streaming=False)

    def record(record_mode: str) -> None:
        with ExitStack() as stack:
            lm = target.lm()
            if level == "lm":
                lm = stack.enter_context(cassettes.record(lm, path, record_mode=record_mode))
            else:
                stack.enter_context(cassettes.http_cassette(path, record_mode=record_mode))
            with dspy.context(lm=lm):
                program(question="2+2")
                program(question="2+3")
                list(streamed(question="2+2"))

    with ProviderSimulator() as simulator:
        target = simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": "4", "2+3": "5"}})
        record("once")
        earlier = path.read_text().replace(f"{datetime.now(UTC):%Y-%m-%d}T", "2020-01-01T")
        assert "2020-01-01T" in earlier
        path.write_text(earlier)
        written = path.stat().st_mtime_ns
        record(mode)
        assert path.read_text() == earlier
        assert path.stat().st_mtime_ns == written
        target.configure(spec={"responses": {"2+2": "4", "2+3": "five"}})
        record(mode)
    assert path.read_text().count("2020-01-01T") == earlier.count("2020-01-01T") - 1
    assert "five" in path.read_text()


@pytest.mark.parametrize("level", ["lm", "http"])
def test_where_age_counts_a_recording_that_is_too_old_is_renewed(
    path: Path, sums: MockLM, ask: Ask, level: str
) -> None:
    """With `max_age`, recording again makes it young, whatever it says."""
    with ProviderSimulator() as simulator:
        lm = simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": "4"}}).lm()

        def record(**options: Any) -> None:
            if level == "lm":
                with cassettes.record(lm, path, **options) as recorder:
                    ask(recorder, "2+2")
            else:
                with cassettes.http_cassette(path, **options):
                    ask(lm, "2+2")

        record(record_mode="once")
        path.write_text(path.read_text().replace(f"{datetime.now(UTC):%Y-%m-%d}T", "2020-01-01T"))
        record(record_mode="rewrite", max_age="90d")
    assert "2020-01-01" not in path.read_text()


def test_verify_without_a_call_is_an_error(recorded: Path, sums: MockLM) -> None:
    """A comparison that compared nothing did not do what was asked."""
    with pytest.raises(NothingRecordedError), cassettes.record(sums, recorded, record_mode="verify"):
        pass


def test_two_recorders_of_one_cassette_are_refused(path: Path, sums: MockLM, ask: Ask) -> None:
    """The second recorder is told at once; after the first has closed, it may record."""
    with cassettes.record(sums, path) as lm:
        with pytest.raises(CassetteBusyError):
            cassettes.open_cassette(path, "rewrite")
        ask(lm, "2+2")
    cassettes.open_cassette(path, "rewrite").discard()


def test_commit_and_discard_decide_what_is_kept(path: Path, sums: MockLM, ask: Ask) -> None:
    """Whoever runs the test decides after it: commit keeps, discard forgets, and both only count once."""
    first = cassettes.open_cassette(path, "once")
    ask(first.lm_for(sums), "2+2")
    first.discard()
    first.commit()
    assert not path.exists()
    second = cassettes.open_cassette(path, "once")
    ask(second.lm_for(sums), "2+2")
    assert second.commit().committed
    assert path.exists()


def test_the_report_says_what_was_left_over(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """Played, unplayed and missed interactions are counted."""
    with cassettes.record(sums, recorded, record_mode="new_episodes") as lm:
        ask(lm, "2+3")
    cassette = cassettes.open_cassette(recorded)
    lm = cassette.lm_for()
    ask(lm, "2+3")
    with pytest.raises(NoMatchingInteractionError):
        ask(lm, "9+9")
    report = cassette.report()
    assert (report.interactions, report.played, report.unplayed) == (2, 1, (0,))
    assert "9+9" in report.misses[0].message


def test_an_old_recording_warns_or_fails(recorded: Path) -> None:
    """What is older than allowed is reported with its date."""
    text = recorded.read_text()
    year = datetime.now(UTC).year
    recorded.write_text(text.replace(f"'{year}-", "'2020-"))
    with pytest.warns(StaleCassetteWarning, match="2020"):
        cassettes.replay(recorded, max_age="90d")
    with pytest.raises(StaleCassetteError, match="days ago"):
        cassettes.replay(recorded, max_age="90d", on_stale="fail")
    cassettes.replay(recorded, max_age="100y", on_stale="fail")


@pytest.mark.parametrize(
    "options", [{"record_mode": "sometimes"}, {"max_age": "soon"}, {"match_on": ["mood"]}, {"fail_on": "a bit"}]
)
def test_options_that_are_none_are_refused(recorded: Path, sums: MockLM, options: dict[str, Any]) -> None:
    """A misspelled mode, age, field or severity is an error that lists the right ones."""
    with pytest.raises(UsageError), cassettes.record(sums, recorded, **options):
        pass


def test_live_lm_is_not_asked_while_replaying(recorded: Path, ask: Ask) -> None:
    """Mode none with an LM behind plays the recording with that LM's own parameters."""
    nobody = dspy.LM("openai/gpt-4o-mini", api_base="http://127.0.0.1:9", api_key="none", cache=False, num_retries=0)
    with cassettes.record(nobody, recorded, record_mode="none") as lm:
        assert ask(lm, "2+2") == "4"

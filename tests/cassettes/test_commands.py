"""What `dspex-testkit cassettes` and `dspex-testkit record` print, write and return."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dspy
import pytest
import vcr
import yaml

from dspex_testkit import cassettes
from dspex_testkit.cassettes import Interaction
from dspex_testkit.cassettes.document import Document, read_document
from dspex_testkit.cassettes.names import file_name
from dspex_testkit.cassettes.saving import save
from dspex_testkit.cli import main
from dspex_testkit.mock_lm import MockLM
from dspex_testkit.redaction import Secrets
from dspex_testkit.simulator import ProviderSimulator
from dspex_testkit.simulator.target import Target

Ask = Callable[..., str]


@pytest.fixture
def recorded(path: Path, sums: MockLM, ask: Ask) -> Path:
    """A cassette of two sums."""
    with cassettes.record(sums, path) as lm:
        ask(lm, "2+2")
        ask(lm, "2+3")
    return path


@pytest.fixture
def target() -> Iterator[Target]:
    """A simulated provider that can add."""
    with ProviderSimulator() as simulator:
        yield simulator.target("openai/gpt-4o-mini", spec={"responses": {"2+2": "4", "2+3": "5"}})


def test_list_names_every_cassette(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each: path, level, interactions, models, date."""
    assert main(["cassettes", "list", str(recorded.parent)]) == 0
    line = capsys.readouterr().out
    assert f"{recorded}  lm  2 interactions  openai/gpt-4o-mini  20" in line
    assert main(["cassettes", "list", "--json", str(recorded)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["interactions"] == 2


def test_stats_add_up_and_name_duplicates(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Totals over a folder; what is recorded twice is named."""
    (recorded.parent / "copy.yaml").write_bytes(recorded.read_bytes())
    assert main(["cassettes", "stats", "--duplicates", "--json", str(recorded.parent)]) == 0
    totals = json.loads(capsys.readouterr().out)
    assert (totals["cassettes"], totals["interactions"], len(totals["duplicates"])) == (2, 4, 2)
    assert totals["input_tokens"] > 100


def test_show_reads_like_a_conversation(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Questions and answers are printed; one interaction comes with its system prompt."""
    assert main(["cassettes", "show", str(recorded)]) == 0
    shown = capsys.readouterr().out
    assert "    2+2\n" in shown
    assert "system:" not in shown
    assert main(["cassettes", "show", "-n", "1", str(recorded)]) == 0
    shown = capsys.readouterr().out
    assert "    2+3\n" in shown
    assert "system:" in shown
    assert main(["cassettes", "show", "-n", "9", str(recorded)]) == 2


def test_show_reads_http_cassettes_as_the_calls_that_they_are(
    tmp_path: Path, target: Target, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traffic is as readable as LM calls."""
    raw = tmp_path / "raw.yaml"
    with cassettes.http_cassette(raw, record_mode="once"):
        ask(target.lm(), "2+2")
    assert main(["cassettes", "show", str(raw)]) == 0
    shown = capsys.readouterr().out
    assert "[0] openai/gpt-4o-mini" in shown
    assert "    2+2\n" in shown


def test_diff_names_what_differs(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal files give 0; another answer gives 1 and shows both."""
    other = tmp_path / "other.yaml"
    other.write_bytes(recorded.read_bytes())
    assert main(["cassettes", "diff", str(recorded), str(other)]) == 0
    other.write_text(other.read_text().replace("              4\n", "              four\n"))
    capsys.readouterr()
    assert main(["cassettes", "diff", str(recorded), str(other)]) == 1
    assert "text: openai/gpt-4o-mini" in capsys.readouterr().out


def test_scrub_cuts_out_what_was_recorded_before_it_was_known(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that got into a file is taken out, and a clean file stays as it is."""
    before = recorded.read_bytes()
    assert main(["cassettes", "scrub", str(recorded)]) == 0
    assert recorded.read_bytes() == before
    recorded.write_text(recorded.read_text().replace("              4\n", "              my-password-is-4\n"))
    monkeypatch.setenv("SOME_PASSWORD", "my-password-is-4")
    assert main(["cassettes", "scrub", str(recorded)]) == 0
    assert "my-password" not in recorded.read_text()
    assert "1 interactions changed" in capsys.readouterr().out


def test_scrub_leaves_no_key_in_the_pieces_of_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that nobody told us about, and that came in two chunks, goes with them; the answer is streamed anew."""
    path, pieces = tmp_path / "c.yaml", ("sk-abcdefgh", "ijklmnopq123")
    request = {"model": "openai/m", "messages": [{"role": "user", "parts": [{"type": "text", "text": "?"}]}]}
    message = {"role": "assistant", "parts": [{"type": "text", "text": "".join(pieces)}]}
    response = {"model": "m", "message": message, "finish_reason": "stop", "usage": {}}
    events = [{"type": "delta", "delta": {"type": "text", "text": piece, "part_index": 0}} for piece in pieces]
    chunks = tuple({"at_ms": 0.0, "event": event} for event in events)
    save(path, Document((Interaction(request, response=response, chunks=chunks),)), secrets=Secrets())

    assert main(["cassettes", "scrub", str(path)]) == 0

    assert "1 interactions changed" in capsys.readouterr().out
    assert [piece for piece in pieces if piece in path.read_text()] == []
    assert cassettes.replay(path)("?") == ["[redacted]"]


def test_scrub_cuts_secrets_out_of_http_cassettes_too(
    tmp_path: Path, target: Target, ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traffic still replays afterwards; what cannot be cut out is named, and the file left as it was."""
    raw = tmp_path / "raw.yaml"
    with cassettes.http_cassette(raw, record_mode="once"):
        ask(target.lm(), "2+2")
    raw.write_text(raw.read_text().replace('"chat.completion"', '"my-password-is-4"'))
    monkeypatch.setenv("SOME_PASSWORD", "my-password-is-4")
    assert main(["cassettes", "scrub", str(raw)]) == 0
    assert "my-password" not in raw.read_text()
    with cassettes.http_cassette(raw):
        assert ask(target.lm(), "2+2") == "4"
    raw.write_text(raw.read_text().replace('"[redacted]"', '["my-secret/", "password"]'))
    before = raw.read_bytes()
    monkeypatch.setenv("OTHER_PASSWORD", "my-secret/password")
    assert main(["cassettes", "scrub", str(raw)]) == 2
    assert "OTHER_PASSWORD" in capsys.readouterr().err
    assert raw.read_bytes() == before


def test_verify_asks_again_and_changes_nothing(
    recorded: Path, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without drift 0, with drift 1 and its severity, and the file as it was."""
    monkeypatch.setenv("OPENAI_API_KEY", target.api_key)
    before = recorded.read_bytes()
    arguments = ["cassettes", "verify", str(recorded), "--api-base", target.api_base]
    assert main([*arguments, "--fail-on", "schema"]) == 0
    target.configure(spec={"responses": {"2+2": "IV", "2+3": "5"}})
    capsys.readouterr()
    main(arguments)
    target.configure(spec={"responses": {"2+2": "IV", "2+3": "5"}})
    assert main([*arguments, "--json"]) == 1
    assert recorded.read_bytes() == before


def test_verify_asks_again_what_http_cassettes_hold(
    tmp_path: Path, target: Target, ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traffic is asked again as the LM calls that it is; what is none is named."""
    monkeypatch.setenv("OPENAI_API_KEY", target.api_key)
    raw = tmp_path / "raw.yaml"
    with cassettes.http_cassette(raw, record_mode="once"):
        ask(target.lm(), "2+2")
    record = yaml.safe_load(raw.read_text())
    stranger = {
        **deepcopy(record["interactions"][0]),
        "request": {"method": "GET", "uri": "https://llm.test/v1/models"},
    }
    raw.write_text(yaml.safe_dump({**record, "interactions": [stranger, *record["interactions"]]}))
    before = raw.read_bytes()
    arguments = ["cassettes", "verify", str(raw), "--api-base", target.api_base]
    assert main(arguments) == 0
    assert "not verified: " in capsys.readouterr().err
    target.configure(spec={"responses": {"2+2": "IV"}})
    assert main(arguments) == 1
    assert "text: interaction 1: the wording differs" in capsys.readouterr().out
    assert raw.read_bytes() == before


def test_verify_asks_for_a_stream_what_was_streamed(
    path: Path, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the program did; what was read no further has no answer to compare, and is named."""
    monkeypatch.setenv("OPENAI_API_KEY", target.api_key)
    program = dspy.streamify(dspy.Predict("question -> answer"), async_streaming=False)
    with cassettes.record(target.lm(), path) as lm, dspy.context(lm=lm):
        assert list(program(question="2+2"))
    document = read_document(path)
    early = replace(document.interactions[0], response=None, ended="closed")
    save(path, replace(document, interactions=(*document.interactions, early)), secrets=Secrets())
    before = len(target.calls)

    assert main(["cassettes", "verify", str(path), "--api-base", target.api_base]) == 0

    asked = target.calls[before:]
    assert len(asked) == 1
    assert asked[0].stream_chunks
    assert "interactions[1]: it has no answer to compare: it was closed" in capsys.readouterr().err


def test_verify_says_that_a_key_is_missing_and_not_that_the_provider_has_changed(
    recorded: Path, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, the variable's name, and each call that was not compared."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert main(["cassettes", "verify", str(recorded), "--api-base", target.api_base]) == 2

    out, err = capsys.readouterr()
    assert f"{recorded}: 0 drifts" in out
    assert "schema" not in out
    assert err.count("not verified: ") == 2
    assert err.count("OPENAI_API_KEY") == 2


def test_verify_tells_the_price_first_and_asks_no_more_than_the_sample_and_the_budget_allow(
    recorded: Path, target: Target, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would cost more is refused before anything is asked, and so is what nobody can price."""
    monkeypatch.setenv("OPENAI_API_KEY", target.api_key)
    command = ["cassettes", "verify", str(recorded), "--api-base", target.api_base, "--fail-on", "schema"]
    price = sum((each.cost or Decimal(0) for each in read_document(recorded).interactions), Decimal(0))
    assert price > 0

    assert main([*command, "--budget", f"{price / 2:f}"]) == 2
    assert "more than the budget" in capsys.readouterr().err
    assert main([*command, "--model", "openai/nobody-s-model", "--budget", "1"]) == 2
    assert "2 whose price nobody knows" in capsys.readouterr().err
    assert target.calls == []

    assert main([*command, "--budget", f"{price:f}"]) == 0
    assert capsys.readouterr().err.startswith(f"Asking 2 recorded calls again, for about {price:f} USD")
    assert len(target.calls) == 2
    assert main([*command, "--sample", "1", "--budget", f"{price:f}"]) == 0
    assert "Asking 1 recorded calls of 2, chosen at random, again" in capsys.readouterr().err
    assert len(target.calls) == 3


@pytest.mark.parametrize("options", [["--sample", "0"], ["--sample", "few"], ["--budget", "-1"], ["--budget", "nan"]])
def test_a_sample_or_budget_that_is_none_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With what was wanted and what came."""
    with pytest.raises(SystemExit, match="2"):
        main(["cassettes", "verify", *options])
    assert f"got {options[1]!r}" in capsys.readouterr().err


def test_convert_writes_beside_and_does_not_overwrite(tmp_path: Path, target: Target, ask: Ask) -> None:
    """The output is NAME.lm.yaml; a second time only with --force."""
    raw = tmp_path / "raw.yaml"
    with cassettes.http_cassette(raw, record_mode="once"):
        ask(target.lm(), "2+2")
    assert main(["cassettes", "convert", str(raw)]) == 0
    assert ask(cassettes.replay(tmp_path / "raw.lm.yaml"), "2+2") == "4"
    assert main(["cassettes", "convert", str(raw)]) == 2
    assert main(["cassettes", "convert", "--force", str(raw)]) == 0


@pytest.fixture
def others(tmp_path: Path, target: Target, ask: Ask) -> Path:
    """The folder of a suite that was recorded by vcrpy itself."""
    folder = tmp_path / "cassettes"
    for name in ("test_one/test_adds.yaml", "test_two/test_adds[2 + 3].yaml", "test_two/test_more.json"):
        kind = "json" if name.endswith("json") else "yaml"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with vcr.VCR(serializer=kind, filter_headers=["authorization"]).use_cassette(str(path)):
            ask(target.lm(engine="litellm"), "2+2" if "one" in name else "2+3")
    (folder / "test_two" / "data.json").write_text('{"not": "a cassette"}')
    return folder


def written(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file())


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore")  # litellm's
def test_convert_takes_folders_and_writes_where_the_plugin_looks(
    others: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """In place of the traffic, under the names that tests have; a second time there is nothing to do."""
    assert main(["cassettes", "convert", str(others), "--in-place"]) == 0
    assert capsys.readouterr().out.count("Wrote ") == 3
    spaced = file_name("test_adds[2 + 3]")
    assert written(others) == sorted(
        ["test_one/test_adds.yaml", f"test_two/{spaced}", "test_two/data.json", "test_two/test_more.yaml"]
    )
    assert ask(cassettes.replay(others / "test_one/test_adds.yaml"), "2+2") == "4"
    assert ask(cassettes.replay(others / "test_two" / spaced), "2+3") == "5"
    assert main(["cassettes", "convert", str(others), "--in-place"]) == 2
    assert "no cassette of HTTP traffic" in capsys.readouterr().err


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore")  # litellm's
def test_convert_writes_a_folder_beside_or_elsewhere(others: Path, tmp_path: Path, ask: Ask) -> None:
    """The traffic stays; nothing is written at all where one of the files is there already."""
    before = written(others)
    elsewhere = tmp_path / "elsewhere"
    assert main(["cassettes", "convert", str(others), "-o", str(elsewhere)]) == 0
    assert written(others) == before
    assert len(written(elsewhere)) == 3
    assert ask(cassettes.replay(elsewhere / "test_one/test_adds.yaml"), "2+2") == "4"
    (others / "test_two/test_more.lm.yaml").write_text("mine")
    assert main(["cassettes", "convert", str(others)]) == 2
    assert written(others) == sorted([*before, "test_two/test_more.lm.yaml"])
    assert main(["cassettes", "convert", str(others), "--force"]) == 0
    assert len(written(others)) == len(before) + 3


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore")  # litellm's
def test_convert_in_place_loses_nothing_and_goes_on_after_what_it_cannot_convert(
    others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no LM call stays with its file, which is named; the others are converted."""
    mixed = others / "test_one/test_adds.yaml"
    record = yaml.safe_load(mixed.read_text())
    stranger = {
        **deepcopy(record["interactions"][0]),
        "request": {"method": "GET", "uri": "https://llm.test/v1/models", "headers": {}, "body": None},
    }
    mixed.write_text(yaml.safe_dump({**record, "interactions": [stranger, *record["interactions"]]}))
    before = mixed.read_bytes()
    assert main(["cassettes", "convert", str(others), "--in-place", "--json"]) == 2
    out, err = capsys.readouterr()
    assert f"not converted: {mixed} stays as it is" in err
    assert [row["failure"] is None for row in json.loads(out)] == [False, True, True]
    assert mixed.read_bytes() == before
    assert main(["cassettes", "convert", str(mixed), "--in-place", "--force"]) == 0
    assert f"left out {mixed}: interactions[0]" in capsys.readouterr().err


def test_show_turns_recordings_into_text_for_git_diff(
    recorded: Path, sums: MockLM, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the settings of the how-to, `git diff` says which answer changed, in the words of the conversation."""
    page = (Path(__file__).parents[2] / "docs/howto/record-your-first-cassette.md").read_text(encoding="utf-8")
    settings = page.partition("## What changed, in git")[2].partition("```sh\n")[2].partition("```")[0]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    root = recorded.parents[1]

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.test"]
        return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    subprocess.run(["sh", "-ec", settings], cwd=root, check=True)
    git("add", "-A")
    git("commit", "-qm", "before")
    recorded.write_text(re.sub(r"(?m)^( *)4$", r"\1four", recorded.read_text(), count=1))

    changed = [line for line in git("diff").splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]

    assert len(changed) == 2
    assert changed[0].split() == ["-", "4"]
    assert changed[1].split() == ["+", "four"]


def test_prune_names_first_and_takes_out_on_demand(
    recorded: Path, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unplayed interactions and orphan files of a run are named, and go with --yes."""
    orphan = recorded.parent / "orphan.yaml"
    orphan.write_bytes(recorded.read_bytes())
    library = cassettes.CassetteLibrary(recorded.parent)
    cassette = library.open("test")
    ask(cassette.lm_for(), "2+3")
    assert library.orphans() == [orphan]
    report = tmp_path / "report.json"
    report.write_text(json.dumps([one.to_dict() for one in library.reports()]))
    arguments = ["cassettes", "prune", str(recorded.parent), "--report", str(report)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "unplayed interactions 0" in shown
    assert f"{orphan}: no test opened it" in shown
    assert orphan.exists()
    assert main([*arguments, "--yes"]) == 0
    assert not orphan.exists()
    assert len(yaml.safe_load(recorded.read_text())["interactions"]) == 1


def test_prune_takes_http_traffic_out_too(tmp_path: Path, target: Target, ask: Ask) -> None:
    """What is left still replays."""
    raw, report = tmp_path / "cassettes" / "raw.yaml", tmp_path / "report.json"
    with cassettes.http_cassette(raw, record_mode="once"):
        ask(target.lm(), "2+2")
        ask(target.lm(), "2+3")
    with cassettes.http_cassette(raw) as cassette:
        ask(target.lm(), "2+3")
    report.write_text(json.dumps([cassette.report().to_dict()]))

    assert main(["cassettes", "prune", str(raw.parent), "--report", str(report), "--yes"]) == 0

    with cassettes.http_cassette(raw) as cassette:
        assert ask(target.lm(), "2+3") == "5"
    assert (cassette.report().interactions, cassette.report().unplayed) == (1, ())


def test_read_only_cassettes_are_left_alone(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither scrubbing nor pruning nor converting touches them, for root too."""
    monkeypatch.setenv("SOME_PASSWORD", "question")
    recorded.chmod(0o444)
    report = tmp_path / "report.json"
    report.write_text(json.dumps([{"path": str(recorded), "unplayed": [0, 1]}]))
    before = recorded.read_bytes()
    for command in (["scrub", str(recorded)], ["prune", str(recorded.parent), "--report", str(report), "--yes"]):
        assert main(["cassettes", *command]) == 2
        assert "read-only" in capsys.readouterr().err
    report.write_text("[]")
    assert main(["cassettes", "prune", str(recorded.parent), "--report", str(report), "--yes"]) == 2
    assert recorded.read_bytes() == before


def test_only_the_named_cassettes_are_recorded_again(recorded: Path, sums: MockLM, ask: Ask) -> None:
    """In a library one cassette can be rewritten while all others replay."""
    other = recorded.parent / "other.yaml"
    other.write_bytes(recorded.read_bytes())
    library = cassettes.CassetteLibrary(recorded.parent, record_mode="rewrite", only=["oth*"])
    before = recorded.read_bytes()
    with library.open("test") as cassette:
        ask(cassette.lm_for(sums), "2+2")
    with library.open("other") as cassette:
        ask(cassette.lm_for(sums), "3+3")
    assert recorded.read_bytes() == before
    assert len(yaml.safe_load(other.read_text())["interactions"]) == 1


@pytest.mark.parametrize(
    "arguments", [["list", "nowhere"], ["show", "nowhere.yaml"], ["prune", ".", "--report", "nowhere.json"]]
)
def test_what_is_not_there_is_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and one line that names the file."""
    assert main(["cassettes", *arguments]) == 2
    assert "nowhere" in capsys.readouterr().err


SUITE = """
import sys
from tests.support.bridges import Process
config, status = {config!r}, int(sys.argv[1])
def ask(client, session, question):
    client.call("configure_lm", dict(config, session_id=session))
    client.call("create_program", {{"id": "qa", "signature": "question -> answer", "session_id": session}})
    run = {{"program_id": "qa", "session_id": session, "inputs": {{"question": question}}}}
    print(client.call("execute_program", run)["answer"])
worker = dict(mode="pool-worker")
with Process() as one, Process(worker_id="w2", **worker) as two, Process(worker_id="w3", **worker) as three:
    ask(one, "shared", "2+2")
    ask(two, "shared", "2+3")
    ask(two, "pooled", "2+3")
    ask(three, "pooled", "2+2")
    one.call("use_cassette", {{"session_id": "named", "name": "suite/named"}})
    ask(one, "named", "2+2")
    one.call("eject_cassette", {{"session_id": "named", "passed": status == 0}})
sys.exit(status)
"""


@pytest.fixture
def suite(tmp_path: Path, target: Target) -> list[str]:
    """A command that starts two bridges and asks both, as an Elixir suite would."""
    config = {"provider": "openai", "model": "gpt-4o-mini", "api_base": target.api_base, "api_key": target.api_key}
    script = tmp_path / "suite.py"
    script.write_text(SUITE.format(config=config))
    return [sys.executable, str(script)]


def test_recording_a_command_keeps_what_its_bridges_asked(
    tmp_path: Path, suite: list[str], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of one session end up in one cassette, a pool's in its order, and it replays without the provider."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    folder = tmp_path / "recorded"
    assert main(["record", "--cassettes", str(folder), "--", *suite, "0"]) == 0
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        "pooled.yaml",
        "shared.yaml",
        "suite/named.yaml",
    ]
    assert len(yaml.safe_load((folder / "shared.yaml").read_text())["interactions"]) == 2
    pooled = [
        str(interaction["request"])
        for interaction in yaml.safe_load((folder / "pooled.yaml").read_text())["interactions"]
    ]
    assert ["2+3" in asked for asked in pooled] == [True, False]
    asked = len(target.calls)
    assert target.api_key not in (folder / "shared.yaml").read_text()
    assert main(["record", "--cassettes", str(folder), "--", *suite, "0"]) == 0
    assert len(target.calls) == asked


def test_a_command_that_fails_keeps_nothing(
    tmp_path: Path, suite: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    """Its exit status is passed on, and the folder stays empty."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    folder = tmp_path / "recorded"
    assert main(["record", "--cassettes", str(folder), "--", *suite, "3"]) == 3
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert "not kept" in capsys.readouterr().err


def test_a_command_that_records_nothing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A green run without a recording did not do what was asked."""
    assert main(["record", "--cassettes", str(tmp_path / "c"), "--", sys.executable, "-c", "pass"]) == 2
    assert "no bridge recorded anything" in capsys.readouterr().err
    assert main(["record", "--cassettes", str(tmp_path / "c")]) == 2

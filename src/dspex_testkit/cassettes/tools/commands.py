"""The commands ``dspex-testkit cassettes …`` and ``dspex-testkit record``. Importing this costs nothing."""

import argparse
import json
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspex_testkit.cassettes import missing_extra
from dspex_testkit.errors import UsageError

if TYPE_CHECKING:
    from dspex_testkit.cassettes.drift import Drift
    from dspex_testkit.redaction import Redactor


def add_commands(commands: Any) -> None:
    """Add both to the command line's parser."""
    command = commands.add_parser("record", help="run a command whose bridges record what real LMs say")
    command.add_argument("--cassettes", type=Path, default=Path("cassettes"), metavar="DIR", help="where to")
    command.add_argument("--mode", default="new_episodes", help="once, new_episodes, all or rewrite")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    command.set_defaults(run=_with_extra(_record))

    group = commands.add_parser("cassettes", help="look after recordings")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")

    action = _action(actions, "list", _list, "what is there", many=True)
    action = _action(actions, "stats", _stats, "how much is there, and what it would cost live", many=True)
    action.add_argument("--duplicates", action="store_true", help="also name what is recorded twice")
    action = _action(actions, "show", _show, "one cassette, for reading")
    action.add_argument("-n", type=int, metavar="N", help="only this interaction, with its whole prompt")
    action = actions.add_parser("diff", help="what differs between two cassettes")
    action.add_argument("paths", nargs=2, type=Path, metavar="FILE")
    action.set_defaults(run=_with_extra(_diff))
    action = _action(actions, "scrub", _scrub, "cut secrets out of cassettes that exist", many=True)
    action.add_argument("--pattern", action="append", default=[], metavar="REGEX", help="cut out what this finds too")
    action = _action(actions, "upgrade", _upgrade, "write cassettes of the first format as of today's", many=True)
    action.add_argument("--check", action="store_true", help="change nothing; end with status 1 if there are some")
    action = _action(actions, "verify", _verify, "ask the real LMs again and compare; changes nothing", many=True)
    action.add_argument("--model", help="ask this model instead of the recorded one")
    action.add_argument("--api-base", help="where to ask; the key is taken from the provider's variable")
    action.add_argument("--fail-on", default="text", help="the least drift that fails: text, parameters or schema")
    action.add_argument("--sample", type=_count, metavar="N", help="ask only so many of the calls, chosen at random")
    action.add_argument("--budget", type=_dollars, metavar="USD", help="ask nothing where it would cost more than this")
    action = _action(actions, "convert", _convert, "make LM calls of vcrpy cassettes of HTTP traffic", many=True)
    action.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="a file, or a folder for a folder (default: NAME.lm.yaml beside)",
    )
    action.add_argument("--in-place", action="store_true", help="write where the plugin looks, in place of the traffic")
    action.add_argument("--force", action="store_true", help="overwrite the output; in place, drop what is no LM call")
    action = _action(actions, "prune", _prune, "name, or take out, what a test run did not play")
    action.add_argument("--report", type=Path, required=True, metavar="JSON", help="cassette reports of that run")
    action.add_argument("--yes", action="store_true", help="really do it")


def _with_extra(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The command, saying which extra is missing where one is."""

    def checked(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error

    return checked


def _action(actions: Any, name: str, run: Any, about: str, *, many: bool = False) -> Any:
    action = actions.add_parser(name, help=about)
    if many:
        action.add_argument("paths", nargs="*", type=Path, default=[Path("cassettes")], metavar="PATH")
        action.add_argument("--json", action="store_true", help="print JSON")
    else:
        action.add_argument("path", type=Path, metavar="PATH")
    action.set_defaults(run=_with_extra(run))
    return action


def _record(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.modes import RecordMode
    from dspex_testkit.cassettes.tools.recording import record_command

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("Which command is to be recorded? Write it after --, as in: dspex-testkit record -- mix test")
    result = record_command(command, folder=options.cassettes, mode=RecordMode.of(options.mode))
    if result.status:
        print(f"{command[0]} ended with status {result.status}; its recordings were not kept", file=sys.stderr)
    for path in result.written:
        print(f"Recorded {path}", file=sys.stderr)
    return result.status


def _list(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import summarize

    summaries = [summarize(path) for path in _files(options.paths)]
    if options.json:
        rows = [
            {
                "path": str(one.path),
                "level": one.level,
                "interactions": one.interactions,
                "models": list(one.models),
                "oldest": one.oldest,
                "bytes": one.size,
            }
            for one in summaries
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for one in summaries:
        date = (one.oldest or "")[:10]
        print(f"{one.path}  {one.level}  {one.interactions} interactions  {', '.join(one.models)}  {date}".rstrip())
    return 0


def _stats(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import duplicates, most_used_models, summarize

    files = _files(options.paths)
    summaries = [summarize(path) for path in files]
    totals: dict[str, Any] = {
        "cassettes": len(summaries),
        "interactions": sum(one.interactions for one in summaries),
        "errors": sum(one.errors for one in summaries),
        "streamed": sum(one.streamed for one in summaries),
        "input_tokens": sum(one.input_tokens for one in summaries),
        "output_tokens": sum(one.output_tokens for one in summaries),
        "cost": format(sum(one.cost for one in summaries), "f"),
        "bytes": sum(one.size for one in summaries),
        "models": dict(most_used_models(summaries)),
    }
    if options.duplicates:
        totals["duplicates"] = [[f"{path}[{i}]" for path, i in places] for places in duplicates(files)]
    if options.json:
        print(json.dumps(totals, indent=2))
        return 0
    for name, value in totals.items():
        print(f"{name}: {value}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import calls_of

    calls, skipped = calls_of(options.path)
    positions = sorted({position for position, _ in calls})
    if options.n is not None and options.n not in positions:
        there = ", ".join(map(str, positions)) or "none"
        raise UsageError(f"{options.path} has LM calls at the positions {there}, and no {options.n}")
    for line in skipped:
        print(f"not shown: {line}", file=sys.stderr)
    for position, interaction in calls:
        if options.n is not None and position != options.n:
            continue
        about = [interaction.model, (interaction.recorded_at or "")[:19], f"{interaction.elapsed_ms or 0:.0f} ms"]
        if interaction.cost is not None:
            about.append(f"{interaction.cost:f} USD")
        print(f"[{position}] {'  '.join(about)}")
        messages = list(interaction.request["messages"])
        if options.n is None:
            messages = messages[-1:]
        elif interaction.request.get("system"):
            print(f"  system:\n{_indented(str(interaction.request['system']))}")
        for message in messages:
            text = "".join(str(part.get("text", f"({part.get('type')})")) for part in message.get("parts", []))
            print(f"  {message.get('role')}:\n{_indented(text)}")
        print(f"  answer:\n{_indented(interaction.text)}")
    return 0


def _diff(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import compare_files

    lines = compare_files(*options.paths)
    print("\n".join(lines) if lines else "They say the same.")
    return 1 if lines else 0


def _scrub(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import scrub

    redactor = _redactor(options.pattern)
    for path in _files(options.paths):
        changed = scrub(path, redactor)
        print(f"{path}: {changed} interactions changed" if changed else f"{path}: clean")
    return 0


def _upgrade(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import upgrade

    redactor = _redactor([])
    changed = [path for path in _files(options.paths) if upgrade(path, redactor, check=options.check)]
    if options.json:
        print(json.dumps([str(path) for path in changed], indent=2))
    else:
        for path in changed:
            print(f"{path}: {'of the first format' if options.check else 'upgraded'}")
    return 1 if changed and options.check else 0


def _verify(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.drift import Severity
    from dspex_testkit.cassettes.tools.verifying import plan_verification, verify

    least = Severity.of(options.fail_on)
    plan = plan_verification(_files(options.paths), model=options.model, sample=options.sample, budget=options.budget)
    # What it costs is told before anything is spent.
    print(plan, file=sys.stderr, flush=True)
    for line in plan.skipped:
        print(f"not verified: {line}", file=sys.stderr)
    lacking = False
    found: dict[str, list[Drift]] = {}
    for verified in verify(plan, api_base=options.api_base, budget=options.budget):
        path = verified.path
        found[str(path)] = verified.drifts
        lacking = lacking or bool(verified.unasked)
        for line in verified.unasked:
            print(f"not verified: {line}", file=sys.stderr)
        if not options.json:
            for drift in verified.drifts:
                print(f"{path}: {drift}\n  - {drift.recorded[:200]!r}\n  + {drift.live[:200]!r}")
            print(f"{path}: {len(verified.drifts)} drifts")
    if options.json:
        rows = {
            path: [{"severity": d.severity.name.lower(), "interaction": d.interaction, "what": d.what} for d in drifts]
            for path, drifts in found.items()
        }
        print(json.dumps(rows, indent=2))
    if any(drift.severity >= least for drifts in found.values() for drift in drifts):
        return 1
    return 2 if lacking else 0


def _convert(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.convert import convert_files

    done = []
    for one in convert_files(
        options.paths, _redactor([]), output=options.output, in_place=options.in_place, force=options.force
    ):
        done.append(one)
        for line in one.left_out:
            print(f"left out {line}", file=sys.stderr)
        if one.failure is not None:
            print(f"not converted: {one.failure}", file=sys.stderr)
        elif not options.json:
            print(f"Wrote {one.target} with {one.interactions} interactions")
    if options.json:
        rows = [
            {
                "source": str(one.source),
                "target": str(one.target),
                "interactions": one.interactions,
                "failure": one.failure,
            }
            for one in done
        ]
        print(json.dumps(rows, indent=2))
    return 2 if any(one.failure is not None for one in done) else 0


def _prune(options: argparse.Namespace) -> int:
    from dspex_testkit.cassettes.tools.hygiene import plan_pruning, prune

    try:
        reports = json.loads(options.report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"The report {options.report} cannot be read: {error}") from error
    plan = plan_pruning(options.path, reports)
    for path, positions in plan.unplayed.items():
        print(f"{path}: unplayed interactions {', '.join(map(str, positions))}")
    for path in plan.orphans:
        print(f"{path}: no test opened it")
    if options.yes:
        prune(plan)
    elif plan.unplayed or plan.orphans:
        print("Nothing was changed; --yes takes them out.")
    return 0


def _files(paths: list[Path]) -> list[Path]:
    from dspex_testkit.cassettes.library import cassette_files

    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}")
    return list(cassette_files(paths))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a number of at least 1, got {text!r}")
    return int(text)


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"wanted an amount of US dollars such as 0.50, got {text!r}")
    return amount


def _redactor(patterns: list[str]) -> "Redactor":
    from dspex_testkit.redaction import Redactor, compile_patterns

    return Redactor(patterns=compile_patterns(patterns))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.strip().splitlines())

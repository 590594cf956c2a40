"""The command line ``dspex-testkit``. Each subcommand imports what it needs, so that help comes at once."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dspex_testkit import __version__
from dspex_testkit.errors import DSPexTestkitError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        0 where all went well, 1 where a check failed, 2 where something was asked wrongly or could not be done.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["bridge"]:
        # Its options are the bridge's own.
        from dspex_testkit.launch.main import main as serve

        serve(arguments[1:])
    if not _streams_are_open():
        return 2
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except DSPexTestkitError as error:
        print(f"dspex-testkit: {error.message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has seen enough; Python's own flush at exit must not complain about it.
        sys.stdout = None
        return 0
    except OSError as error:
        print(f"dspex-testkit: {error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        sys.stdout = None  # what it still holds could not be written either
        return 2


def _streams_are_open() -> bool:
    """Whether there is somewhere to write to; a stream that was closed at the start is nobody else's from now on."""
    from dspex_testkit.runtime.stdio import fill_closed, lossy_stream

    fill_closed()
    # Else Python would print among the output what is meant for an error stream that is not there.
    sys.stderr = sys.stderr or lossy_stream(2)
    if sys.stdout is None:
        print("dspex-testkit: standard output must be open", file=sys.stderr)
    return sys.stdout is not None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dspex-testkit", description="Run DSPex's Python side without an API key, with mock LMs built in."
    )
    parser.add_argument("--version", action="version", version=f"dspex-testkit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("install", help="write dspy_bridge.py where DSPex looks for it")
    command.add_argument("folder", type=Path, metavar="DIR", help="for example deps/dspex/priv/python")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--in-place", action="store_true", help="put a file that is not ours aside; uninstall restores it")
    how.add_argument("--force", action="store_true", help="overwrite a file that is not ours")
    command.add_argument(
        "--python", action="store_true", help="also write an interpreter that spares DSPex's check two imports of dspy"
    )
    command.set_defaults(run=_install)

    command = commands.add_parser("uninstall", help="take it away, and bring back what was put aside")
    command.add_argument("folder", type=Path, metavar="DIR")
    command.set_defaults(run=_uninstall)

    command = commands.add_parser("doctor", help="replay DSPex's own check and a real start; say what to mend")
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("--python", metavar="PYTHON", help="DSPex's python_executable; default: this interpreter")
    command.add_argument("--json", action="store_true", help="print a JSON object instead of lines")
    command.set_defaults(run=_doctor)

    command = commands.add_parser("settings", help="list what can be set, and how")
    command.add_argument("--markdown", action="store_true", help="as a table for a page")
    command.set_defaults(run=_settings)

    command = commands.add_parser("demo", help="watch LMs switch in a real bridge process")
    command.add_argument("--json", action="store_true", help="print a JSON list of rows instead of a table")
    command.set_defaults(run=_demo)

    command = commands.add_parser("report", help="draw LM calls as a page: which LM answered, and which scope decided")
    command.add_argument("calls", type=Path, metavar="CALLS.jsonl", help="as pytest's --lm-journal writes it")
    command.add_argument(
        "--format", choices=["html", "markdown"], default="html", help="a page, or lines for a job's summary"
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: the same name with .html; Markdown is printed"
    )
    command.add_argument("--title", help="heading of the page")
    command.set_defaults(run=_report)

    command = commands.add_parser("serve", help="answer on this machine as LM providers do, for a command or for all")
    command.add_argument("--port", type=int, default=0, help="default: any free one")
    command.add_argument("--rules", type=Path, metavar="FILE", help="a mock spec in JSON, TOML or YAML")
    command.add_argument("--cassette", type=Path, metavar="FILE", help="an LM cassette to answer from, in its place")
    command.add_argument("--realtime", action="store_true", help="play its streams at the pace at which they came")
    command.add_argument(
        "--cassettes", type=Path, metavar="FOLDER", help="whose cassettes clients may name over the admin API"
    )
    command.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:KEY=VALUE,…]",
        help="what goes wrong, for example rate_limit:calls=1+3,retry_after=2; may be repeated",
    )
    command.add_argument("--journal", type=Path, metavar="FILE", help="write the LM calls there as JSON lines")
    command.add_argument(
        "--record-mode",
        choices=("none", "once", "new_episodes", "all", "rewrite"),
        default="none",
        help="what to do with --cassette: replay it (default), or record what real LMs say",
    )
    command.add_argument("--local-lm", type=Path, metavar="PATH.gguf", help="weights that answer for every provider")
    command.add_argument("--alias", metavar="NAME", help="the model's name; default: that of the file")
    command.add_argument(
        "--upstream", action="append", default=[], metavar="PROVIDER=URL", help="where a provider is; may be repeated"
    )
    command.add_argument("command", nargs="*", metavar="-- COMMAND", help="run with every provider's base redirected")
    command.set_defaults(run=_serve)

    from dspex_testkit.cassettes.tools.commands import add_commands

    add_commands(commands)

    commands.add_parser("bridge", help="serve on standard input and output, as dspex-bridge does", add_help=False)
    return parser


def _install(options: argparse.Namespace) -> int:
    from dspex_testkit.launch.install import BACKUP, install, install_python, script_path
    from dspex_testkit.setting_table import FILE_NAME

    launcher = install(options.folder, force=options.force, in_place=options.in_place)
    python = str(install_python(options.folder).absolute()) if options.python else sys.executable
    path = script_path(launcher)
    print(f"Wrote {launcher}; its settings are in {FILE_NAME} beside it.")
    if launcher.with_name(BACKUP).exists():
        print(f"What was there is kept as {BACKUP}; 'dspex-testkit uninstall {options.folder}' brings it back.")
    print("\nTell DSPex, in config/test.exs:\n")
    print("    config :dspex, :python_bridge,")
    print(f"      python_executable: {json.dumps(python)},")
    print(f"      script_path: {json.dumps(path or 'python/dspy_bridge.py')}")
    if path is None:
        print("\nDSPex appends script_path to its own priv folder, so it has to lead from there to the launcher.")
    print("\nDSPex's Elixir side insists on a key, which nobody reads:\n")
    print("    export GEMINI_API_KEY=offline")
    print(f"\nCheck it with: dspex-testkit doctor {options.folder}")
    return 0


def _uninstall(options: argparse.Namespace) -> int:
    from dspex_testkit.launch.install import uninstall

    for path in uninstall(options.folder):
        print(f"{'Brought back' if path.exists() else 'Removed'} {path}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from dspex_testkit.launch.doctor import examine

    steps = []
    for step in examine(options.folder, python=options.python):
        steps.append(step)
        if not options.json:
            print(f"{'ok    ' if step.ok else 'FAILED'}  {step.name}: {step.found}", flush=True)
            if step.advice:
                print(f"        → {step.advice}")
    well = all(step.ok for step in steps)
    if options.json:
        print(json.dumps({"ok": well, "steps": [asdict(step) for step in steps]}, indent=2, ensure_ascii=False))
    return 0 if well else 1


def _settings(options: argparse.Namespace) -> int:
    from dspex_testkit.setting_table import SETTINGS

    if options.markdown:
        print("| setting | variable | option | values | default | what it is for |\n|---|---|---|---|---|---|")
    for setting in SETTINGS:
        flag = setting.flag or "none"
        if options.markdown:
            cells = (
                f"`{setting.name}`",
                f"`{setting.env}`",
                f"`{flag}`" if setting.flag else flag,
                setting.kind.wanted,
                f"`{setting.shown_default}`",
                setting.help,
            )
            print("| " + " | ".join(cells) + " |")
        else:
            print(f"{setting.name}\n    {setting.help}\n    {setting.env}, {flag}; {setting.kind.wanted}")
            print(f"    default: {setting.shown_default}\n")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from dspex_testkit import demo

    demo.run(as_json=options.json)
    return 0


def _report(options: argparse.Namespace) -> int:
    from dspex_testkit.report import read_entries, render, render_markdown, write

    entries = read_entries(options.calls)
    title = options.title or "LM calls"
    if options.format == "markdown":
        page = render_markdown(entries.calls, changes=entries.changes, title=title)
        if options.output is None:
            print(page, end="")
            return 0
    else:
        page = render(entries.calls, changes=entries.changes, title=title, meta={"from": options.calls.name})
    path = options.output or options.calls.with_suffix(".html")
    write(path, page)
    print(f"Wrote {path}: {len(entries.calls)} LM {'call' if len(entries.calls) == 1 else 'calls'}.")
    return 0


def _serve(options: argparse.Namespace) -> int:
    mode, cassette = options.record_mode, options.cassette
    if mode != "none" and cassette is None:
        raise UsageError(f"--record-mode {mode} records into --cassette FILE; give that too")
    # Where everything is replayed nobody is asked.
    replays = cassette is not None and (mode == "none" or (mode == "once" and cassette.exists()))
    if replays or (mode == "none" and options.local_lm is None):
        if not replays and (options.upstream or options.alias):
            raise UsageError("--upstream needs --record-mode, and --alias --local-lm; without those nobody is asked")
        from dspex_testkit.simulator.command import serve

        return serve(
            options.command,
            port=options.port,
            rules=options.rules,
            cassette=cassette,
            realtime=options.realtime,
            cassettes=options.cassettes,
            faults=options.fault,
            journal=options.journal,
        )
    simulated = {"--rules": options.rules, "--realtime": options.realtime, "--cassettes": options.cassettes}
    for name, given in {**simulated, "--fault": options.fault}.items():
        if given:
            raise UsageError(f"{name} is for simulated providers, and a real LM is asked; leave it out")
    from dspex_testkit.simulator.recording import serve_live

    return serve_live(
        options.command,
        port=options.port,
        cassette=cassette,
        record_mode=mode,
        local_lm=options.local_lm,
        alias=options.alias,
        upstreams=options.upstream,
        policy=os.environ.get("DSPEX_TESTKIT_OFFLINE_POLICY"),
        journal=options.journal,
    )


if __name__ == "__main__":
    sys.exit(main())

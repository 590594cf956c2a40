"""Take every figure and print it; ``--write docs/benchmarks.md`` keeps the ratios."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks import cassettes, concurrency, harness, host, mock_engine, pipe, simulator, startup
from benchmarks.measure import Figure
from dspex_testkit.launch.install import install

PAGE = """\
# Benchmarks

Each figure is a ratio of two medians that were taken in turns within one run, so a slow machine slows both sides.
`python -m benchmarks` takes them again; `--write docs/benchmarks.md` wrote this page.

{machine}

{table}

What is not counted: installing the launcher, importing dspy in the client, and the first execution of a process, which
waits for the import of dspy unless that has finished in the background.

`DummyLM` is reached by a shortcut past DSPy's canonical request that is closed to other engines and announced for
removal; the engine that returns a constant shows what the way round costs.
"""


def take(*, scale: float) -> Iterator[Figure]:
    """Every figure, as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="dspex-testkit-benchmarks-") as folder:
        launcher = install(Path(folder))
        yield from startup.figures(launcher, scale=scale)
        yield from pipe.figures(launcher, scale=scale)
        yield from host.figures(launcher, scale=scale)
        yield from concurrency.figures(launcher, scale=scale)
    yield from mock_engine.figures(scale=scale)
    yield from mock_engine.rule_figures(scale=scale)
    yield from cassettes.figures(scale=scale)
    yield from cassettes.http_figures(scale=scale)
    yield from simulator.figures(scale=scale)
    yield from harness.figures(scale=scale)


def machine() -> str:
    """What the ratios may depend on; nothing that names the machine."""
    return (
        f"{platform.python_implementation()} {platform.python_version()}, DSPy {version('dspy')}, "
        f"{os.cpu_count()} cores, {platform.system()}."
    )


def table(figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table, ratios only."""
    lines = ["| what | against | ratio | aim |", "|---|---|---|---|"]
    lines += [f"| {f.subject} | {f.baseline} | {f.ratio:.2f} | {f.shown_aim} |" for f in figures]
    return "\n".join(lines)


def main() -> int:
    """Print figures as they come.

    Returns:
        0; a figure that misses its aim is told, not failed: it may be the machine's.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the ratios to this Markdown page")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of rounds (default: 1)")
    options = parser.parse_args()
    print(machine())
    figures = []
    for figure in take(scale=options.scale):
        figures.append(figure)
        verdict = "" if figure.reached else "  ← beyond the aim"
        print(
            f"{figure.ratio:6.2f} (aim {figure.shown_aim}) {figure.subject}, {figure.subject_ms:.3f} {figure.unit}, "
            f"against {figure.baseline}, {figure.baseline_ms:.3f} {figure.unit}; {figure.rounds} rounds{verdict}",
            flush=True,
        )
    if options.write:
        options.write.write_text(PAGE.format(machine=machine(), table=table(figures)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

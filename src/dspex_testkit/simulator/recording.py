"""``dspex-testkit serve`` with a real LM behind it: weights of one's own, or the providers themselves, recorded."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dspex_testkit.cassettes import OpenCassette, RecordMode
from dspex_testkit.errors import UsageError
from dspex_testkit.local_lm import LocalLM
from dspex_testkit.simulator.command import environment, missing_keys, run_or_serve, write_calls
from dspex_testkit.simulator.proxy import OWN_SERVERS, PROVIDERS, RecordingProxy, Upstream, read_upstreams
from dspex_testkit.simulator.recorded import read_options


def serve_live(
    command: Sequence[str],
    *,
    port: int = 0,
    cassette: Path | None = None,
    record_mode: str = "once",
    local_lm: Path | None = None,
    alias: str | None = None,
    upstreams: Sequence[str] = (),
    policy: str | None = None,
    journal: Path | None = None,
) -> int:
    """Run a command against a real LM, or serve until interrupted; what it says is recorded where that is wanted.

    Args:
        command: What to run; empty to serve.
        port: 0 for any free one.
        cassette: Where LM calls are kept; without one they are only passed on.
        record_mode: Any that records.
        local_lm: Weights that answer in the place of every provider.
        alias: The name under which they are asked for.
        upstreams: Other addresses of providers, `openai=https://…`.
        policy: The offline policy, which has to say that providers may be asked.
        journal: Where the LM calls go as JSON lines; left out, they are told on standard error.

    Returns:
        The command's exit status; where that is 0 and nothing may be recorded, because an LM could not be asked, 1.

    Raises:
        UsageError: An option cannot be used, or providers may not be asked.
        LocalLMError: The weights cannot be served.
        CassetteError: The cassette cannot be opened or written, or nothing was recorded.
    """
    if local_lm is None and policy not in ("live", "record"):
        raise UsageError(
            f"Providers would be asked, and the offline policy is {policy or 'mock'!r}: allow it with "
            "DSPEX_TESTKIT_OFFLINE_POLICY=record, or let weights of your own answer (--local-lm PATH.gguf)"
        )
    if local_lm is not None and upstreams:
        raise UsageError("--local-lm answers in the place of every provider; leave --upstream out")
    if alias is not None and local_lm is None:
        raise UsageError("--alias names the weights of --local-lm; give that too")
    asked = {name: Upstream(root) for name, root in PROVIDERS.items()} | read_upstreams(upstreams)
    with ExitStack() as clean_up:
        lm = None if local_lm is None else LocalLM(local_lm, model=alias)
        opened = None if cassette is None else _opened(cassette, record_mode)
        if opened is not None:
            clean_up.callback(opened.discard)
        if lm is not None:
            clean_up.enter_context(lm)
            asked = dict.fromkeys((*PROVIDERS, *OWN_SERVERS), Upstream(lm.url, lm.model))
            print(f"{lm.path.name} answers as {lm.model!r}", file=sys.stderr)
        proxy = RecordingProxy(asked, cassette=opened, port=port)
        with proxy:
            env = environment(proxy.url, proxy.base, keys=missing_keys() if lm is not None else {})
            status = run_or_serve(proxy, command, env)
        return _ended(proxy, status, cassette, journal)


def _opened(path: Path, record_mode: str) -> OpenCassette:
    return OpenCassette(path.resolve(), RecordMode.of(record_mode), read_options({}))


def _ended(proxy: RecordingProxy, status: int, cassette: Path | None, journal: Path | None) -> int:
    """Keep what was said, unless something went wrong; the exit status."""
    wrong = list(dict.fromkeys(proxy.troubles))
    if status and cassette is not None:
        wrong.append(f"the command ended with status {status}")
    for line in wrong:
        print(f"dspex-testkit: {'nothing was recorded: ' * (cassette is not None)}{line}", file=sys.stderr)
    if wrong:
        proxy.discard()
        return status or 1
    with warnings.catch_warnings():
        # Said below, as lines of this command's.
        warnings.simplefilter("ignore")
        report = proxy.commit()
    write_calls(proxy.calls, journal)
    if report is not None:
        print(f"{report.path}: {report.recorded} recorded, {report.played} played", file=sys.stderr)
        for line in (*report.not_kept, *proxy.not_kept):
            print(f"  not kept: {line}", file=sys.stderr)
    return status

"""The process that has the weights ends with whoever started it; weights that llama.cpp cannot read are told."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dspex_testkit.errors import LocalLMError
from dspex_testkit.local_lm import LocalLM
from real_lm.record import server, weights
from tests.support.waiting import eventually


def test_spoilt_weights_are_told_in_one_line(tmp_path: Path) -> None:
    """With what llama.cpp says of them."""
    file = tmp_path / "half.gguf"
    with weights().open("rb") as whole:
        file.write_bytes(whole.read(1 << 20))

    with pytest.raises(LocalLMError) as refused:
        LocalLM(file).start()

    assert f"{file} cannot be served" in refused.value.message
    assert "\n" not in refused.value.message


def test_weights_that_do_not_fit_in_what_a_process_may_have_are_told_in_one_line() -> None:
    """As llama.cpp tells it, with what to do; nothing is left running."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "from dspex_testkit.errors import LocalLMError; from dspex_testkit.local_lm import LocalLM\n"
        "try: LocalLM(sys.argv[1]).start()\n"
        "except LocalLMError as error: print(error.message)"
    )

    command = [sys.executable, "-c", program, str(weights())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120)

    assert done.stdout.count("\n") == 1
    assert "cannot be served" in done.stdout
    assert "that fit in memory" in done.stdout


def test_its_process_ends_with_it() -> None:
    """Stopped, and stopped again."""
    served = server().start()
    assert served.pid is not None
    child = psutil.Process(served.pid)

    served.stop()
    served.stop()

    assert not child.is_running()


def test_its_process_ends_with_a_process_that_was_killed() -> None:
    """No weights outlive whoever wanted them."""
    program = "import time; from real_lm.record import server; print(server().start().pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=_ROOT) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(owner.pid, 9)

    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


_ROOT = Path(__file__).parents[1]

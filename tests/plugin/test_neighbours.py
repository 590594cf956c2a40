"""Whoever does not use the kit notices nothing of the plugin; whoever uses other plugins keeps them."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers\nasyncio_default_fixture_loop_scope = function\n")


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    """Pytest imports it for everybody: no dspy, no pydantic, no orjson, no asyncio of ours."""
    code = (
        "import sys, pytest; before = set(sys.modules); import dspex_testkit.plugin, dspex_testkit.plugin.cases, "
        "dspex_testkit.plugin.repeats, dspex_testkit.plugin.run; "
        "print(*sorted(name.partition('.')[0] for name in set(sys.modules) - before))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"dspy", "pydantic", "orjson", "faker", "vcr", "yaml", "asyncio", "psutil", "rich"} & set(found)


def test_a_suite_that_does_not_use_the_kit_runs_as_without_it(pytester: pytest.Pytester) -> None:
    """Same outcomes, same reports, nothing imported but names, nothing patched, nothing on the terminal."""
    pytester.makepyfile(
        """
        import socket
        import sys

        def test_nothing_is_loaded():
            assert "dspy" not in sys.modules
            allowed = {"errors", "nearest", "runtime", "runtime.network", "dspy_internals", "dspy_internals.asked_lm",
                       "cassettes", "cassettes.names", "mock_lm", "mock_lm.recordings"}
            assert not [name for name in sys.modules if name.startswith("dspex_testkit.") and "plugin" not in name
                        and name.removeprefix("dspex_testkit.") not in allowed]

        def test_sockets_are_python_s():
            assert socket.socket.connect.__objclass__.__module__ == "_socket"

        def test_no_audit_hook_was_added():
            from dspex_testkit.runtime import network
            assert not network._hooked

        def test_failing():
            assert [1] == [2]
        """
    )

    with_plugin = pytester.runpytest_subprocess("-q", "-p", "no:randomly", "--junitxml=with.xml")
    without = pytester.runpytest_subprocess("-q", "-p", "no:dspex_testkit", "--junitxml=without.xml")

    with_plugin.assert_outcomes(passed=3, failed=1)
    without.assert_outcomes(passed=3, failed=1)
    lines = [
        [line for line in run.outlines if "passed" not in line and "xml" not in line] for run in (with_plugin, without)
    ]
    assert lines[0] == lines[1]
    assert "property" not in (pytester.path / "with.xml").read_text(encoding="utf-8")


def test_a_suite_may_have_fixtures_and_markers_of_the_same_names(pytester: pytest.Pytester) -> None:
    """A `bridge` that is somebody else's, over a river or a network, is none of ours."""
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit.runtime import network

        @pytest.fixture
        def bridge():
            return "over a river"

        @pytest.mark.bridge("stone")
        def test_it(bridge):
            assert bridge == "over a river"
            assert network.put_guard(None) is None
            assert 0
        """
    )

    run = pytester.runpytest_inprocess("--bridge-mode=all")

    run.assert_outcomes(failed=1)
    run.stdout.no_fnmatch_line("*LM calls*")


def test_markers_options_and_fixtures_are_documented(pytester: pytest.Pytester) -> None:
    """`--markers`, `--help` and `--fixtures` know all of them; every option begins with bridge or lm."""
    markers = pytester.runpytest_inprocess("--markers").stdout.str()
    fixtures = pytester.runpytest_inprocess("--fixtures").stdout.str()
    helped = pytester.runpytest_inprocess("--help").stdout.str()

    for name in ("bridge(", "lm(", "lm_faults(", "lm_policy(", "lm_live", "lm_seeds(", "lm_matrix("):
        assert f"@pytest.mark.{name}" in markers
    for name in ("bridge", "bridge_pool", "bridge_factory", "mock_lm", "dspy_lm", "lm_journal", "lm_config", "lm_seed"):
        assert f"\n{name} -- " in fixtures
    group = helped.partition("bridges and LMs (dspex-testkit):")[2].partition("\n\n")[0]
    flags = [word for word in group.split() if word.startswith("--")]
    assert len(flags) >= 9
    assert all(flag.startswith(("--bridge-", "--lm-")) for flag in flags)


def test_it_lives_beside_other_plugins(pytester: pytest.Pytester) -> None:
    """Sockets blocked by pytest-socket, cassettes of pytest-recording, async tests of both kinds, snapshots."""
    pytester.makepyfile(
        """
        import dspy
        import pytest

        qa = dspy.Predict("question -> answer")
        pytestmark = pytest.mark.lm(responses={"default": "42"})

        @pytest.mark.disable_socket
        def test_without_any_socket(dspy_lm, bridge):
            assert qa(question="?").answer == "42"
            assert bridge.create_program("question -> answer")(question="?").answer == "42"

        @pytest.mark.allow_hosts(["127.0.0.1"])
        def test_with_allowed_hosts(dspy_lm):
            assert qa(question="?").answer == "42"

        @pytest.mark.vcr
        @pytest.mark.block_network
        def test_with_a_cassette(dspy_lm, vcr):
            assert qa(question="?").answer == "42"

        @pytest.mark.asyncio
        async def test_asyncio(bridge, snapshot):
            answer = await bridge.create_program("question -> answer").acall(question="?")
            assert dict(answer) == snapshot
        """
    )

    run = pytester.runpytest_inprocess("--record-mode=none", "--snapshot-update")

    run.assert_outcomes(passed=4)


def test_a_debugger_finds_the_bridge_of_this_process(pytester: pytest.Pytester) -> None:
    """Under --pdb the frames of an execution in process are there to look at."""
    pytester.makepyfile(
        """
        def test_it(bridge):
            bridge.configure_lm("openai/gpt-4o")
            bridge.create_program("question -> answer")(question="?")
            assert False
        """
    )

    run = pytester.run(
        sys.executable, "-m", "pytest", "--pdb", "-q", stdin=b"p bridge.mode + '!'\np len(bridge.programs())\nq\n"
    )

    run.stdout.fnmatch_lines(["*(Pdb) 'inproc!'", "*(Pdb) 1"])


def test_pytest_cov_measures_what_forked_workers_run(pytester: pytest.Pytester) -> None:
    """With coverage's patches for subprocesses, the lines of a mock's function are seen in every mode."""
    files = {
        ".coveragerc": "[run]\nsource = answers\nparallel = true\npatch = subprocess, fork, _exit\n",
        "answers.py": "def answer(call):\n    words = call.inputs['question'].split()\n    return words[-1].upper()\n",
    }
    for name, text in files.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    pytester.makepyfile(
        """
        def test_it(bridge):
            bridge.configure_lm("mock", function="answers:answer")
            assert bridge.create_program("question -> answer")(question="say hello").answer == "HELLO"
        """
    )
    pytester.makeconftest(
        """
        def pytest_dspex_configure_bridge(item, settings):
            settings["allow_import"] = ("answers",)
        """
    )

    run = pytester.runpytest_subprocess(
        "--cov=answers", "--cov-report=term", "--bridge-mode=pool", "--bridge-workers=1"
    )

    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["answers.py * 100%"])

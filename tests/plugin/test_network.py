"""Tests that use the kit stay off the network, and so do their bridges."""

import socket
import threading
from collections.abc import Iterator

import pytest

from dspex_testkit.errors import NetworkBlockedError
from dspex_testkit.runtime.network import Guard, put_guard

pytest_plugins = ["pytester"]

# TEST-NET-3, where nobody lives: a connection that is not refused here would hang, not answer.
NOWHERE = "203.0.113.7"


@pytest.fixture
def guarded() -> Iterator[None]:
    """A guard without exceptions."""
    before = put_guard(Guard(who=lambda: "somebody"))
    yield
    put_guard(before)


@pytest.mark.parametrize("address", [(NOWHERE, 80), ("example.invalid", 80)])
def test_other_machines_cannot_be_connected_to(guarded: None, address: tuple[str, int]) -> None:
    """Neither by address nor by name, and the error says who tried."""
    with pytest.raises(NetworkBlockedError, match=r"203\.0\.113\.7|looking up example\.invalid") as raised:
        socket.create_connection(address, timeout=1)

    assert "somebody" in raised.value.message
    assert raised.value.details["host"] == address[0]


def test_no_way_out_is_forgotten(guarded: None) -> None:
    """Non-blocking connections, datagrams, IPv6 and all look-ups are refused alike."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.setblocking(False)
        with pytest.raises(NetworkBlockedError):
            stream.connect_ex((NOWHERE, 80))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(NetworkBlockedError):
        datagrams.sendto(b"?", (NOWHERE, 53))
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as stream, pytest.raises(NetworkBlockedError):
        stream.connect(("2001:db8::7", 80))
    for look_up in (socket.gethostbyname, socket.gethostbyname_ex):
        with pytest.raises(NetworkBlockedError):
            look_up("example.invalid")


def test_this_machine_stays_reachable(guarded: None) -> None:
    """Loopback by address or name, and sockets of the file system."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with socket.create_connection((host, port), timeout=60):
                server.accept()[0].close()
    left, right = socket.socketpair(socket.AF_UNIX)
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    left.close()
    right.close()


def test_threads_are_guarded_too(guarded: None) -> None:
    """What a test starts is the test's."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            socket.create_connection((NOWHERE, 80), timeout=1)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert [type(error) for error in caught] == [NetworkBlockedError]


def test_hosts_may_be_allowed() -> None:
    """An allowed host is looked up, and its addresses may be connected to."""
    guard = Guard(allow_hosts=[NOWHERE, "allowed.invalid"])

    guard.check_address((NOWHERE, 80))
    guard.check_name("allowed.invalid")
    with pytest.raises(NetworkBlockedError):
        guard.check_name("other.invalid")


def test_only_tests_that_use_the_kit_are_guarded(pytester: pytest.Pytester) -> None:
    """By fixture, by marker; a test of somebody else's is left alone."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nlm_allow_hosts = allowed.test\n")
    pytester.makepyfile(
        """
        import pytest
        from dspex_testkit.errors import NetworkBlockedError
        from dspex_testkit.runtime import network

        def guard():
            current = network.put_guard(None)
            network.put_guard(current)
            return current

        def test_fixture(mock_lm):
            with pytest.raises(NetworkBlockedError, match="test .*::test_fixture"):
                guard().check_name("example.org")
            guard()._check("allowed.test", "")

        @pytest.mark.lm("mock", unused="report")
        def test_marker():
            assert guard() is not None

        def test_other():
            assert guard() is None

        @pytest.mark.lm_live
        def test_live(mock_lm):
            assert guard() is None
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=3, skipped=1)
    pytester.runpytest_inprocess("--lm-live").assert_outcomes(passed=4)
    everywhere = pytester.runpytest_inprocess("-o", "lm_block_network=true")
    everywhere.assert_outcomes(passed=2, skipped=1, failed=1)
    everywhere.stdout.fnmatch_lines(["FAILED *::test_other*"])


def test_bridges_of_a_test_are_guarded(pytester: pytest.Pytester) -> None:
    """In process and in their own processes, with the LM named that would have been asked."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        f"""
        import pytest
        from dspex_testkit.errors import RemoteCommandError

        @pytest.mark.bridge(offline_policy="live")
        @pytest.mark.parametrize("base", ["http://{NOWHERE}/v1", "http://example.invalid/v1"])
        def test_it(bridge, base):
            bridge.configure_lm("openai/gpt-4o", api_key="sk-none", api_base=base)
            with pytest.raises(RemoteCommandError, match="refused.*LM openai/gpt-4o for (test|the bridge)"):
                bridge.create_program("question -> answer")(question="?")
        """
    )

    pytester.runpytest_inprocess("--bridge-mode=all").assert_outcomes(passed=6)

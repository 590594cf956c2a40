"""A bridge as tests like to see it: sessions with an LM, and programs that are called.

Everything here goes through one client's `call`, so it reads the same whether the bridge is in this process, in one of
its own, or a pool of workers.
"""

import warnings
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from dspex_testkit.errors import BridgeWarning, UsageError
from dspex_testkit.plugin.answers import Answer
from dspex_testkit.plugin.lm_configs import LM, as_map, config_of
from dspex_testkit.plugin.options import Mode
from dspex_testkit.pool import BridgeClient, BridgePool
from dspex_testkit.protocol import Response
from dspex_testkit.redaction import Secrets

if TYPE_CHECKING:
    from dspex_testkit.plugin.cassettes import CaseCassettes

__tracebackhide__ = True  # a test that fails shows its own lines


class Session:
    """A bridge as one session sees it; `BridgeFixture` is the view of callers without one.

    Args:
        bridge: The bridge.
        session_id: Its name; None for callers without a session.
    """

    def __init__(self, bridge: "BridgeFixture", session_id: str | None) -> None:
        self.bridge = bridge
        self.session_id = session_id

    def create_program(
        self,
        signature: str | Mapping[str, Any],
        *,
        id: str | None = None,
        lm: LM | None = None,
        program_type: str | None = None,
        tools: list[Any] | None = None,
        instructions: str | None = None,
        use_dynamic_signature: bool | None = None,
    ) -> "Program":
        """Create a program.

        Args:
            signature: ``"question -> answer"``, or a definition.
            id: Its id; ``program_1`` and so on if None.
            lm: Its LM; that of a wider scope if None.
            program_type: ``predict`` (default), ``chain_of_thought``, ``react`` or ``program_of_thought``.
            tools: The tools of a ``react`` program.
            instructions: What the program is told to do.
            use_dynamic_signature: False for ``question -> answer``, whatever the signature says.

        Raises:
            RemoteCommandError: It cannot be created.
        """
        program_id = id or self.bridge._next_program_id()
        given = {
            "id": program_id,
            "signature": signature,
            "program_type": program_type,
            "tools": tools,
            "instructions": instructions,
            "use_dynamic_signature": use_dynamic_signature,
        }
        args: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if lm is not None:
            args["lm_config"] = config_of(lm)
        return Program(self, program_id, self.call("create_program", args))

    def program(self, program_id: str) -> "Program":
        """A program that was created elsewhere, as this session would find it."""
        return Program(self, program_id, {})

    def configure_lm(self, lm: LM | None = None, /, **config: Any) -> dict[str, Any]:
        """Give this session, or without one the whole bridge, its LM.

        Args:
            lm: A model, a config or a `MockLM`.
            config: Keys of a config, by name.

        Raises:
            RemoteCommandError: The config cannot be used.
        """
        return self.call("configure_lm", as_map(lm, config))

    def define_lm(self, name: str, lm: LM | None = None, /, **config: Any) -> dict[str, Any]:
        """Keep an LM under a name that may be given wherever an LM is wanted."""
        return self.call("define_lm", {**as_map(lm, config), "name": name})

    def get_lm(self) -> dict[str, Any]:
        """What would answer here, and what each scope holds."""
        return self.call("get_lm")

    def programs(self) -> list[dict[str, Any]]:
        """The programs that were created here."""
        listed: list[dict[str, Any]] = self.call("list_programs", {"session_id": self.session_id or "anonymous"})[
            "programs"
        ]
        return listed

    def cleanup(self) -> None:
        """Forget the session: its programs, its LM, its data and its calls.

        Raises:
            UsageError: This is the view of callers without a session.
        """
        if self.session_id is None:
            raise UsageError("cleanup ends a session, and this is none; use bridge.session('…').cleanup()")
        self.bridge._keep_calls()
        self.bridge._leave_cassettes(self.session_id)
        self.call("cleanup_session")
        if isinstance(self.bridge.client, BridgePool):
            # DSPex's pool remembers programs on its own, and would bring them back.
            self.bridge.client.sessions.end_session(self.session_id)

    def call(
        self, command: str, args: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """The result of any command; what it warns of is a `BridgeWarning`, which fails the test. `ask` issues none.

        Raises:
            RemoteCommandError: It failed.
            PoolError: There is no answer.
        """
        return self._heard(self._client().call(command, self._named(command, args), timeout=timeout))

    async def acall(
        self, command: str, args: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """`call` for an event loop."""
        return self._heard(await self._client().acall(command, self._named(command, args), timeout=timeout))

    def ask(self, command: str, args: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> Response:
        """The answer to any command, also where it failed."""
        return self._client().ask(command, self._named(command, args), timeout=timeout)

    def __repr__(self) -> str:
        return f"<Session {self.session_id!r} of {self.bridge!r}>"

    def _heard(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result, once each of its warnings has been issued; an execution repeats those of its program."""
        given = result.get("warnings")
        outputs = result.get("outputs")
        # An output of a program may have that name, and stands at the top too where nobody is warned.
        of_program = isinstance(outputs, Mapping) and outputs.get("warnings") == given
        for text in given if isinstance(given, list) and not of_program else ():
            if text not in self.bridge._warned:
                self.bridge._warned.add(text)
                warnings.warn(text, BridgeWarning, stacklevel=3)
        return result

    def _client(self) -> BridgeClient:
        client = self.bridge.client
        if not isinstance(client, BridgePool):
            return client
        return client.anonymous() if self.session_id is None else client.session(self.session_id)

    def _named(self, command: str, args: Mapping[str, Any] | None) -> dict[str, Any]:
        named = {**(args or {}), **({} if self.session_id is None else {"session_id": self.session_id})}
        self.bridge._secrets.learn(named)
        self.bridge._enter_cassette(command, named.get("session_id"))
        return named


class BridgeFixture(Session):
    """What the fixture `bridge` gives.

    Args:
        client: Reaches the bridge, as long as its test runs.
        mode: Where it runs.
        keep_calls: Has the calls that the bridge is about to forget written down.
        cassettes: The test's recordings.
        secrets: Learns the keys of what the bridge is sent.
    """

    def __init__(
        self,
        client: BridgeClient,
        mode: Mode,
        *,
        keep_calls: Any = None,
        cassettes: "CaseCassettes | None" = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._client_now: BridgeClient | None = client
        self._ended_with = ""
        self.mode: Mode = mode
        self._keep = keep_calls
        self._cassettes = cassettes
        self._secrets = Secrets() if secrets is None else secrets
        self._numbers = count(1)
        self._warned: set[str] = set()
        super().__init__(self, None)

    @property
    def client(self) -> BridgeClient:
        """Reaches the bridge.

        Raises:
            UsageError: Its test has ended, and the bridge may be another's.
        """
        if self._client_now is None:
            raise UsageError(
                f"this bridge belonged to {self._ended_with}, which has ended; what goes on after a test (a thread, a "
                "task, an object that is kept) has to be ended within it, or to have a bridge of its own"
            )
        return self._client_now

    def end(self, test: str) -> None:
        """Answer nobody any more: the test that had the bridge has ended."""
        self._client_now, self._ended_with = None, test

    def session(self, session_id: str) -> Session:
        """The bridge as a session sees it."""
        return Session(self, session_id)

    def reset(self) -> None:
        """Forget programs, LMs, sessions and counts; the test's journal keeps its calls."""
        self._keep_calls()
        self._leave_cassettes(None, every=True)
        self.call("reset_state")
        if isinstance(self.client, BridgePool):
            self.client.sessions.clear()

    @property
    def pool(self) -> BridgePool:
        """The pool, for tests of the pool itself.

        Raises:
            UsageError: The bridge is none.
        """
        if not isinstance(self.client, BridgePool):
            raise UsageError(
                f"this test's bridge runs {self.mode}; a test of the pool itself says @pytest.mark.bridge(mode='pool')"
            )
        return self.client

    def __repr__(self) -> str:
        return f"<Bridge {self.mode}>"

    def _keep_calls(self) -> None:
        if self._keep is not None:
            self._keep()

    def _enter_cassette(self, command: str, session_id: str | None) -> None:
        if self._cassettes is not None:
            self._cassettes.enter(self, command, session_id)

    def _leave_cassettes(self, session_id: str | None, *, every: bool = False) -> None:
        if self._cassettes is not None:
            self._cassettes.leave(self, session_id, every=every)

    def _next_program_id(self) -> str:
        return f"program_{next(self._numbers)}"


class Program:
    """A program of a bridge: call it with its inputs.

    Args:
        session: Whose it is.
        program_id: Its id.
        created: What the bridge said when it was created.
    """

    def __init__(self, session: Session, program_id: str, created: Mapping[str, Any]) -> None:
        self.session = session
        self.program_id = program_id
        self.created = dict(created)

    def __call__(self, **inputs: Any) -> Answer:
        """Run it.

        Raises:
            RemoteCommandError: It failed; the error has the bridge's code.
        """
        return self.execute(inputs)

    async def acall(self, **inputs: Any) -> Answer:
        """The same for an event loop."""
        return await self.aexecute(inputs)

    def execute(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        lm: LM | None = None,
        session: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        **more_inputs: Any,
    ) -> Answer:
        """Run it on an LM of this execution's own, or in another session.

        Args:
            inputs: Inputs whose names are taken here, such as ``{"lm": …}``.
            lm: Answers this execution alone.
            session: In whose name; its own session if None.
            timeout: Seconds to wait.
            options: Further options of the command.
            more_inputs: Inputs.

        Raises:
            RemoteCommandError: It failed.
        """
        args = self._args(inputs, more_inputs, lm, options)
        return Answer(self._in(session).call("execute_program", args, timeout=timeout))

    async def aexecute(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        lm: LM | None = None,
        session: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        **more_inputs: Any,
    ) -> Answer:
        """`execute` for an event loop."""
        args = self._args(inputs, more_inputs, lm, options)
        return Answer(await self._in(session).acall("execute_program", args, timeout=timeout))

    def get_lm(self) -> dict[str, Any]:
        """What would answer it, and what each scope holds."""
        return self.session.call("get_lm", {"program_id": self.program_id})

    def info(self) -> dict[str, Any]:
        """What the bridge knows of it."""
        return self.session.call("get_program_info", {"program_id": self.program_id})

    def delete(self) -> None:
        """Delete it."""
        self.session.call("delete_program", {"program_id": self.program_id})

    def __repr__(self) -> str:
        return f"<Program {self.program_id!r} of {self.session!r}>"

    def _in(self, session: str | None) -> Session:
        return self.session if session is None else self.session.bridge.session(session)

    def _args(
        self, inputs: Mapping[str, Any] | None, more: Mapping[str, Any], lm: LM | None, options: Any
    ) -> dict[str, Any]:
        args: dict[str, Any] = {"program_id": self.program_id, "inputs": {**(inputs or {}), **more}}
        if options is not None or lm is not None:
            args["options"] = {**(options or {}), **({} if lm is None else {"lm_config": config_of(lm)})}
        return args

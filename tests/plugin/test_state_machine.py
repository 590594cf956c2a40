"""Which LM answers, against ten lines that say it, through random commands in every mode."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dspex_testkit.errors import RemoteCommandError
from dspex_testkit.plugin.bridge_plans import Plan
from dspex_testkit.plugin.bridges import BridgeSource, reset
from dspex_testkit.plugin.facade import BridgeFixture, Program
from dspex_testkit.plugin.options import MODES, Mode
from dspex_testkit.pool import BridgeClient

LMS = st.sampled_from(["mock/a", "mock/b", "openai/gpt-4o", "anthropic/claude-3-haiku"])
SESSIONS = st.sampled_from([None, "alice", "bob"])
SIGNATURE = "question -> answer"


class Model:
    """What the bridge is to do: programs by session and id, and the LM of each scope."""

    def __init__(self) -> None:
        self.programs: dict[tuple[str | None, str], str | None] = {}
        self.lms: dict[str | None, str] = {}

    def find(self, session: str | None, program: str) -> tuple[str | None, str] | None:
        """A session sees its own programs, then those without a session."""
        return next((key for key in ((session, program), (None, program)) if key in self.programs), None)

    def resolve(self, session: str | None, program: str, override: str | None) -> tuple[str, str] | None:
        """Execution, program, session, global: the narrowest that names an LM."""
        key = self.find(session, program)
        own = self.programs[key] if key else None
        named = {"execution": override, "program": own, "session": session and self.lms.get(session)}
        return next(((lm, scope) for scope, lm in {**named, "global": self.lms.get(None)}.items() if lm), None)


class Switching(RuleBasedStateMachine):
    """Configures, creates, executes, deletes and ends sessions in any order."""

    client: ClassVar[BridgeClient]
    mode: ClassVar[Mode]
    programs: Bundle[str] = Bundle("programs")

    @initialize()
    def begin(self) -> None:
        """An empty bridge, and an empty model of it."""
        reset(self.client)
        self.model = Model()
        self.bridge = BridgeFixture(self.client, self.mode)

    @rule(session=SESSIONS, lm=LMS)
    def configure(self, session: str | None, lm: str) -> None:
        """Give a session, or everybody, an LM."""
        self._as(session).configure_lm(lm)
        self.model.lms[session] = lm

    @rule(target=programs, session=SESSIONS, program=st.sampled_from(["p", "q"]), lm=st.none() | LMS)
    def create(self, session: str | None, program: str, lm: str | None) -> Any:
        """Create a program, with an LM of its own or without."""
        if (session, program) in self.model.programs:
            return multiple()
        self._as(session).create_program(SIGNATURE, id=program, lm=lm)
        self.model.programs[session, program] = lm
        return program

    @rule(session=SESSIONS, program=programs, override=st.none() | LMS)
    def execute(self, session: str | None, program: str, override: str | None) -> None:
        """Execute it: the LM that the model names answers, by the scope that the model names."""
        found = self._as(session).program(program)
        expected = self.model.resolve(session, program, override)
        if self.model.find(session, program) is None:
            self._fails(found, "program_not_found")
        elif expected is None:
            self._fails(found, "no_lm_loaded")
        else:
            answer = found.execute(question="?", lm=override)
            assert (str(answer.answered_by), str(answer.answered_by.scope)) == expected

    @rule(session=SESSIONS, program=consumes(programs))
    def delete(self, session: str | None, program: str) -> None:
        """Delete a program as a session sees it."""
        if (key := self.model.find(session, program)) is not None:
            self._as(session).program(program).delete()
            del self.model.programs[key]

    @rule(session=st.sampled_from(["alice", "bob"]))
    def end(self, session: str) -> None:
        """End a session: its LM and its programs are gone."""
        self.bridge.session(session).cleanup()
        self.model.lms.pop(session, None)
        self.model.programs = {key: lm for key, lm in self.model.programs.items() if key[0] != session}

    @invariant()
    def lists_what_there_is(self) -> None:
        """The bridge knows the programs that the model knows."""
        if hasattr(self, "bridge"):
            listed = self.client.call("list_programs")["programs"]
            assert {(each["session_id"], each["id"]) for each in listed} == set(self.model.programs)

    def _as(self, session: str | None) -> Any:
        return self.bridge if session is None else self.bridge.session(session)

    @staticmethod
    def _fails(program: Program, code: str) -> None:
        with pytest.raises(RemoteCommandError) as raised:
            program(question="?")
        assert raised.value.remote_code == code


@pytest.fixture(scope="module")
def source() -> Iterator[BridgeSource]:
    """Where the bridges come from."""
    source = BridgeSource()
    yield source
    source.close()


@pytest.mark.parametrize("mode", MODES)
def test_the_narrowest_scope_answers_whatever_happens(source: BridgeSource, mode: Mode) -> None:
    """In process, standalone and pooled, a bridge does what ten lines say; a failure shrinks to a short script."""
    machine = type(f"Switching_{mode}", (Switching,), {"client": source.lend(Plan(mode, 2)), "mode": mode})

    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )

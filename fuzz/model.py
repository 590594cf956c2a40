"""What a bridge promises of programs, sessions and LM scopes, written down a second time from the documentation.

Nothing of the kit is imported here, so that no mistake of its code can be in both. The rules are those of `How scopes
resolve` and of the reference of commands; each method is told a command and says what has to be answered.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

Session = str | None
"""A named session, or callers without one."""


@dataclass(frozen=True, slots=True)
class LM:
    """A config that names an LM."""

    provider: str
    model: str
    params: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    """What it always answers; None where the mock makes something up."""

    def public(self) -> dict[str, Any]:
        """As it is shown."""
        return {"provider": self.provider, "model": self.model, "params": self.params}


@dataclass(frozen=True, slots=True)
class Patch:
    """Parameters without a model."""

    params: dict[str, Any]

    def public(self) -> dict[str, Any]:
        """As it is shown."""
        return {"params": self.params}


@dataclass(frozen=True, slots=True)
class Named:
    """A reference to a named LM."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A config that is refused."""

    code: str
    raw: Any


Value = LM | Patch | Named
Config = Value | Unusable


class Token:
    """One act of giving an LM to a scope or a name; the bridge's own id of it is learnt from a reply."""

    def __init__(self, lm_id: str | None = None) -> None:
        self.lm_id = lm_id


@dataclass(frozen=True, slots=True)
class Held:
    """What a scope holds."""

    scope: str
    value: Value
    token: Token | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The LM of an execution."""

    lm: LM
    scope: str
    token: Token | None
    patched_by: tuple[str, ...]
    name: str | None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a program is, its LM included; equal where the bridge has to take two for the same."""

    signature: str
    program_type: str
    lm: Value | None


@dataclass(slots=True)
class Program:
    """A program that a bridge keeps."""

    id: str
    session: Session
    definition: Definition
    held: Held | None
    executions: int = 0


@dataclass(slots=True)
class Kept:
    """What is kept of a session, or of the callers without one."""

    programs: dict[str, Program] = field(default_factory=dict)
    lm: Held | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Refusal(Exception):
    """What a command is answered with where it fails."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """An LM call, as the journal has it."""

    scope: str
    provider: str
    model: str
    program: str
    session: Session
    answer: str | None


class Model:
    """A bridge, or a pool whose workers share their state.

    Args:
        replaces: Whether a program takes the place of another one of its id, as in a pool.
        default: What the default scope holds.
    """

    def __init__(self, *, replaces: bool, default: LM | None = None) -> None:
        self.replaces = replaces
        self.default = Held("default", default, None) if default else None
        self.shared = Kept()
        self.sessions: dict[str, Kept] = {}
        self.names: dict[str, Held] = {}
        self.deleted: set[tuple[Session, str]] = set()

    # LM scopes

    def configure(self, session: Session, config: Config) -> tuple[Token, LM]:
        """`configure_lm`."""
        value = self._usable(config)
        if isinstance(value, Patch):
            raise Refusal("invalid_lm_config")
        held = Held("global" if session is None else "session", value, Token())
        self._open(session).lm = held
        assert held.token is not None
        return held.token, self._expand(value)[0]

    def define(self, name: str, config: Config) -> tuple[Token, bool]:
        """`define_lm`; also whether the name had another LM."""
        value = self._usable(config)
        if isinstance(value, Patch):
            raise Refusal("invalid_lm_config")
        inner: Value = value
        while isinstance(inner, Named):
            if inner.name == name:
                raise Refusal("lm_cycle")
            inner = self.names[inner.name].value
        token = Token()
        redefined = self.names.pop(name, None) is not None
        self.names[name] = Held("named", value, token)
        return token, redefined

    def undefine(self, name: str) -> None:
        """`undefine_lm`."""
        if name not in self.names:
            raise Refusal("unknown_lm")
        if self.users(name):
            raise Refusal("lm_in_use")
        del self.names[name]

    def users(self, name: str) -> int:
        """How many scopes and names refer to a name."""
        kept = [self.shared, *self.sessions.values()]
        held = [self.default, *(one.lm for one in kept)]
        held += [program.held for one in kept for program in one.programs.values()]
        held += [other for their, other in self.names.items() if their != name]
        return sum(1 for one in held if one and isinstance(one.value, Named) and one.value.name == name)

    def resolve(
        self, overrides: Iterable[Config], program: Program | None, session: Session
    ) -> tuple[Resolved | None, dict[str, Any]]:
        """The LM of an execution, None where no scope names one; and what each scope holds, as it is shown."""
        own = self._find(session)
        given = [Held("execution", self._usable(config), None) for config in overrides]
        held: list[Held | None] = [*given, program.held if program else None]
        held += [own.lm if session is not None and own else None, self.shared.lm, self.default]
        scopes: dict[str, Any] = dict.fromkeys(("execution", "program", "session", "global", "default"))
        for one in held:
            if one is not None and scopes[one.scope] is None:
                scopes[one.scope] = self.shown(one.value)
        return self._choose([one for one in held if one is not None]), scopes

    def _choose(self, held: list[Held]) -> Resolved | None:
        patches: list[Held] = []
        for one in held:
            if isinstance(one.value, Patch):
                patches.append(one)
                continue
            lm, token = self._expand(one.value)
            params = dict(lm.params)
            for patch in reversed(patches):
                assert isinstance(patch.value, Patch)
                params |= patch.value.params
            return Resolved(
                replace(lm, params=params),
                one.scope,
                token or one.token,
                tuple(patch.scope for patch in patches),
                one.value.name if isinstance(one.value, Named) else None,
            )
        return None

    def shown(self, value: Value) -> dict[str, Any]:
        """A value as the wire shows it."""
        if not isinstance(value, Named):
            return value.public()
        return {"lm": value.name, "params": value.params, "stands_for": self._expand(value)[0].public()}

    def _usable(self, config: Config) -> Value:
        if isinstance(config, Unusable):
            raise Refusal(config.code)
        if isinstance(config, Named) and config.name not in self.names:
            # A word that is no name is taken for a model, and nobody knows its provider.
            raise Refusal("invalid_lm_config")
        return config

    def _expand(self, value: LM | Named) -> tuple[LM, Token | None]:
        if isinstance(value, LM):
            return value, None
        definition = self.names[value.name]
        assert isinstance(definition.value, LM | Named)
        lm, token = self._expand(definition.value)
        return replace(lm, params={**lm.params, **value.params}), token or definition.token

    # Programs

    def create(self, id: str, session: Session, signature: str, program_type: str, lm: Config | None) -> Program:
        """`create_program`."""
        value = None if lm is None else self._usable(lm)
        definition = Definition(signature, program_type, value)
        known = self._open(session).programs.get(id) if session in self._known() else None
        if known is not None and known.definition != definition and not self.replaces:
            raise Refusal("program_exists")
        return self._put(id, session, definition)

    def _put(self, id: str, session: Session, definition: Definition) -> Program:
        held = Held("program", definition.lm, Token()) if definition.lm is not None else None
        program = Program(id, session, definition, held)
        programs = self._open(session).programs
        programs.pop(id, None)
        programs[id] = program
        self.deleted.discard((session, id))
        return program

    def find(self, id: str, session: Session, remembered: Definition | None = None) -> Program:
        """What a command means: what a pool remembers of it, the session's own, or the one without a session."""
        own = self._find(session)
        known = (own.programs.get(id) if own else None) or self.shared.programs.get(id)
        gone = (session, id) in self.deleted
        if not (own and id in own.programs):
            # What was everybody's is gone for everybody.
            gone = gone or (None, id) in self.deleted
        if gone or (known and known.definition == remembered):
            remembered = None
        if remembered is not None:
            if remembered.lm is not None:
                self._usable(remembered.lm)
            return self._put(id, session, remembered)
        if known is None:
            raise Refusal("program_not_found")
        return known

    def delete(self, id: str, session: Session, remembered: Definition | None = None) -> None:
        """`delete_program`."""
        program = self.find(id, session, remembered)
        owner = self._find(program.session)
        assert owner is not None
        del owner.programs[id]
        self.deleted.add((program.session, id))

    def programs(self, session: Session, *, everywhere: bool = False) -> list[Program]:
        """Those of a session, those without one, or all."""
        if everywhere:
            kept = [self.shared, *self.sessions.values()]
        else:
            own = self._find(session)
            kept = [own] if own else []
        return [program for one in kept for program in one.programs.values()]

    def cleanup(self, session: Session, *, everywhere: bool = False) -> int:
        """`cleanup`: programs are forgotten, and nothing else."""
        gone = self.programs(session, everywhere=everywhere)
        for program in gone:
            owner = self._find(program.session)
            assert owner is not None
            del owner.programs[program.id]
        return len(gone)

    # Sessions

    def cleanup_session(self, session: str) -> int:
        """`cleanup_session`: the number of programs that went with it."""
        kept = self.sessions.pop(session, None)
        return len(kept.programs) if kept else 0

    def reset(self) -> int:
        """`reset_state`: the number of programs that went."""
        gone = len(self.programs(None, everywhere=True))
        self.shared = Kept()
        self.sessions.clear()
        self.names.clear()
        self.deleted.clear()
        return gone

    def data(self, session: str) -> dict[str, Any]:
        """`get_session_data`."""
        kept = self.sessions.get(session)
        return dict(kept.data) if kept else {}

    def update_data(self, session: str, operation: str, key: str, value: Any) -> list[str]:
        """`update_session_data`: the keys that there are now."""
        data = self._open(session).data
        if operation == "set":
            data[key] = value
        elif operation == "delete":
            data.pop(key, None)
        elif operation == "merge":
            data.update(value)
        else:
            data.clear()
        return sorted(data)

    def _known(self) -> set[Session]:
        return {None, *self.sessions}

    def _find(self, session: Session) -> Kept | None:
        return self.shared if session is None else self.sessions.get(session)

    def _open(self, session: Session) -> Kept:
        return self.shared if session is None else self.sessions.setdefault(session, Kept())

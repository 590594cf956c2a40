"""Random commands to live bridges, many on their way at once, and each reply compared with what the model says."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from fuzz.model import LM, Call, Config, Definition, Model, Named, Patch, Refusal, Resolved, Session, Unusable
from fuzz.processes import PATIENCE, Bridge, Mode, Port, Sandbox, wait_for

Check = Callable[[dict[str, Any]], str | None]
"""What is wrong with a result, if anything."""
Send = tuple[str, dict[str, Any], str | None, Check]
"""A command, its arguments, the code with which it is to fail, and what a result must be."""

SESSIONS: tuple[Session, ...] = (None, "s0", "s1", "s2", "s3", "s4", "s5")
IDS = tuple(f"p{number}" for number in range(6))
NAMES = ("fast", "deep", "cheap", "spare")
SIGNATURES: Mapping[str, Any] = {
    "text": "question -> answer",
    "map": {"inputs": [{"name": "question", "type": "string"}], "outputs": [{"name": "answer", "type": "string"}]},
    "told": {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}], "instructions": "Answer briefly."},
}
_PREFIXES = {"openai": "openai", "google": "gemini", "anthropic": "anthropic", "mock": "mock"}
_MODELS = {
    "openai": ("gpt-4", "gpt-4o-mini"),
    "google": ("gemini-1.5-flash", "gemini-pro"),
    "anthropic": ("claude-3", "claude-3-haiku"),
    "mock": ("mock",),
}
_WINDOW = 48
"""Requests of one port that are on their way at once."""
_STRETCH = 400
"""Commands between two moments in which nothing is on its way."""


@dataclass(slots=True)
class Tally:
    """What was counted."""

    commands: int = 0
    refused: int = 0
    """Of them, as the model wanted."""
    executions: int = 0
    wrong: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0
    notes: list[str] = field(default_factory=list)
    """What was found, with the commands that led there."""

    @property
    def faults(self) -> int:
        """What ought to be 0."""
        return self.wrong + self.lost + self.doubled + self.late

    def add(self, other: "Tally") -> None:
        """Count another's, too."""
        for name in ("commands", "refused", "executions", "wrong", "lost", "doubled", "late"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes

    def __str__(self) -> str:
        return (
            f"{self.commands} commands ({self.executions} executions, {self.refused} refusals that the model wants): "
            f"{self.wrong} wrong, {self.lost} lost, {self.doubled} doubled, {self.late} late"
        )


@dataclass(frozen=True, slots=True)
class Remembered:
    """What DSPex's pool keeps of a created program."""

    id: str
    session: Session
    definition: Definition
    data: dict[str, Any]


class Machine:
    """Makes up commands, and knows what has to come of them.

    Args:
        dice: Decides.
        model: What the bridges at its ports share.
        memory: Programs as DSPex's pool remembers them; machines of one pool have it in common.
    """

    def __init__(self, dice: random.Random, model: Model, memory: list[Remembered]) -> None:
        self.dice = dice
        self.model = model
        self.memory = memory
        self.calls: list[Call] = []
        """Calls since the journal was last looked at."""
        self.dropped: set[Session] = set()
        """Sessions whose calls may be gone since then."""
        self.seen = 0
        """The journal's last number then."""
        self._answers = 0
        self._alone: Sequence[tuple[int, Callable[[], Send]]] = (
            (6, self._configure_bridge),
            (6, self._define),
            (3, self._undefine),
            (3, self._list_lms),
            (8, lambda: self._create(None)),
            (2, lambda: self._delete(None)),
            (1, self._delete_what_all_share),
            (1, self._cleanup),
            (2, self._list_everything),
        )
        self._anybody: Sequence[tuple[int, Callable[[Session], Send]]] = (
            (30, self._execute),
            (20, self._get_lm),
            (3, self._predict),
            (3, self._list_programs),
            (4, self._info),
            (2, self._get_stats),
            (1, self._unknown_command),
            (1, self._ping),
        )
        self._in_session: Sequence[tuple[int, Callable[[str], Send]]] = (
            (10, self._configure),
            (14, self._create),
            (4, self._delete),
            (4, self._update_data),
            (3, self._get_data),
            (1, self._cleanup_session),
        )

    def next(self, sessions: Sequence[Session], *, alone: bool) -> Send:
        """A command of one of these sessions.

        Args:
            sessions: Those whose state nobody else changes meanwhile.
            alone: Whether that holds for what all sessions share, too.
        """
        session = self.dice.choice(sessions)
        makers: list[tuple[int, Callable[[], Send]]] = [(w, lambda m=m: m(session)) for w, m in self._anybody]  # type: ignore[misc]
        if session is not None:
            makers += [(w, lambda m=m: m(session)) for w, m in self._in_session]  # type: ignore[misc]
        if alone:
            makers += self._alone
        (make,) = self.dice.choices([make for _, make in makers], [weight for weight, _ in makers])
        return make()

    # LM configs

    def _params(self) -> dict[str, Any]:
        choices = {"temperature": (0.0, 0.3, 0.7, 1.0), "max_tokens": (500, 1000), "top_p": (0.5, 1.0)}
        names = self.dice.sample(sorted(choices), self.dice.choice((0, 0, 1, 2)))
        return {name: self.dice.choice(choices[name]) for name in names}

    def _config(self) -> tuple[Config, Any]:
        """A config and a way of writing it."""
        kind = self.dice.choices(("lm", "patch", "named", "unusable"), (70, 8, 18, 4))[0]
        if kind == "patch":
            params = self._params() or {"temperature": 0.5}
            return Patch(params), self.dice.choice(({"params": params}, params))
        if kind == "named":
            named = Named(self.dice.choice(NAMES), self._params())
            if not named.params and self.dice.random() < 0.3:
                return named, named.name
            return named, {"lm": named.name, **named.params}
        if kind == "unusable":
            return self._unusable()
        provider = self.dice.choice(sorted(_PREFIXES))
        self._answers += 1
        answer = None if self.dice.random() < 0.1 else f"answer {self._answers}"
        lm = LM(provider, self.dice.choice(_MODELS[provider]), self._params(), answer)
        return lm, self._written(lm)

    def _unusable(self) -> tuple[Config, Any]:
        raw, code = self.dice.choice(
            (
                ({"provider": "openai"}, "invalid_lm_config"),
                ({"provider": "opnai", "model": "gpt-4"}, "unknown_provider"),
                ({"provider": "openai", "model": "gpt-4", "temperature": "warm"}, "invalid_lm_config"),
                ({"provider": "openai", "model": "gpt-4", "params": {"temprature": 1}}, "invalid_lm_config"),
                ({"lm": 7}, "invalid_lm_config"),
                ({"provider": "mock", "mock": {"respnses": {}}}, "invalid_mock_spec"),
            )
        )
        return Unusable(code, raw), raw

    def _written(self, lm: LM) -> Any:
        spec = {} if lm.answer is None else {"responses": {"default": self._answer(lm.answer)}}
        prefixed = f"{_PREFIXES[lm.provider]}/{lm.model}"
        flat = {"provider": lm.provider, "model": lm.model, **lm.params, **spec}
        shapes = [
            flat,
            {"lm": flat},
            {"type": lm.provider, "model": lm.model, **lm.params, **spec},
            {"provider": lm.provider, "model": lm.model, "params": lm.params, **({"mock": spec} if spec else {})},
            {"model": prefixed, **lm.params, **spec},
            {"lm": prefixed, **lm.params, **spec},
        ]
        if lm.provider == "mock":
            shapes = shapes[:3]
        return self.dice.choice(shapes)

    def _answer(self, text: str) -> Any:
        return text if self.dice.random() < 0.5 else {"answer": text}

    # Commands about LM scopes

    def _configure(self, session: Session) -> Send:
        config, raw = self._config()
        while not isinstance(raw, dict):
            config, raw = self._config()
        args = self._in(session, raw)
        try:
            token, lm = self.model.configure(session, config)
        except Refusal as refusal:
            return self._refused("configure_lm", args, refusal)

        def check(result: dict[str, Any]) -> str | None:
            token.lm_id = result["lm_id"]
            wanted = {"status": "configured", "provider": lm.provider, "model": lm.model, "mocked": True}
            wanted["scope"] = "global" if session is None else "session"
            # Of a reference, what stands beside it counts as well.
            wanted["temperature"] = lm.params.get("temperature")
            return differs(result, wanted)

        return "configure_lm", args, None, check

    def _configure_bridge(self) -> Send:
        return self._configure(None)

    def _define(self) -> Send:
        name = self.dice.choice(NAMES)
        config, raw = self._config()
        while not isinstance(raw, dict):
            config, raw = self._config()
        args = {**raw, "name": name}
        try:
            token, redefined = self.model.define(name, config)
        except Refusal as refusal:
            return self._refused("define_lm", args, refusal)
        assert isinstance(config, LM | Named)
        wanted = {"status": "redefined" if redefined else "defined", "name": name, "lm": self.model.shown(config)}

        def check(result: dict[str, Any]) -> str | None:
            token.lm_id = result["lm_id"]
            return differs(result, wanted)

        return "define_lm", args, None, check

    def _undefine(self) -> Send:
        name = self.dice.choice((*NAMES, "nobody"))
        try:
            self.model.undefine(name)
        except Refusal as refusal:
            return self._refused("undefine_lm", {"name": name}, refusal)
        return "undefine_lm", {"name": name}, None, lambda result: differs(result, {"status": "undefined"})

    def _list_lms(self) -> Send:
        wanted = [
            (name, self.model.shown(held.value), held.token, self.model.users(name))
            for name, held in self.model.names.items()
        ]

        def check(result: dict[str, Any]) -> str | None:
            came = [(lm["name"], lm["lm"], lm["lm_id"], len(lm["used_by"])) for lm in result["lms"]]
            known = [(name, lm, token.lm_id if token else None, users) for name, lm, token, users in wanted]
            return None if came == known else f"named LMs {came} in place of {known}"

        return "list_lms", {}, None, check

    def _overrides(self) -> tuple[list[Config], dict[str, Any]]:
        """What an execution says of its LM, narrowest first, and the arguments that say it."""
        overrides: list[Config] = []
        args: dict[str, Any] = {}
        if self.dice.random() < 0.55:
            return overrides, args
        options: dict[str, Any] = {}
        for place in (options, args):
            if self.dice.random() < 0.2:
                place["temperature"] = self.dice.choice((0.1, 0.9))
                overrides.append(Patch({"temperature": place["temperature"]}))
        for place in (options, args):
            if self.dice.random() < 0.3:
                config, place["lm_config"] = self._config()
                overrides.append(config)
        for place in (options, args):
            if self.dice.random() < 0.15:
                config, place["lm"] = self._config()
                if isinstance(config, Unusable) and config.raw == {"lm": 7}:
                    del place["lm"]
                else:
                    overrides.append(config)
        if options:
            args["options"] = options
        elif self.dice.random() < 0.2:
            args["options"] = self.dice.choice(([], {}))
        return overrides, args

    def _get_lm(self, session: Session) -> Send:
        overrides, args = self._overrides()
        args = self._in(session, args)
        try:
            program = None
            if self.dice.random() < 0.6:
                args["program_id"] = self.dice.choice(IDS)
                program = self.model.find(args["program_id"], session, self._remembered(args, session))
            resolved, scopes = self.model.resolve(overrides, program, session)
        except Refusal as refusal:
            return self._refused("get_lm", args, refusal)

        def check(result: dict[str, Any]) -> str | None:
            if result["scopes"] != scopes:
                return f"scopes {result['scopes']} in place of {scopes}"
            if resolved is None or result["lm"] is None:
                return None if resolved is result["lm"] else f"lm {result['lm']} in place of {resolved}"
            wanted = {**resolved.lm.public(), "scope": resolved.scope, "patched_by": list(resolved.patched_by)}
            wanted |= {"mocked": True, "name": resolved.name}
            if resolved.token is not None and resolved.token.lm_id is not None:
                wanted["lm_id"] = resolved.token.lm_id
            return differs({"name": None, **result["lm"]}, wanted)

        return "get_lm", args, None, check

    # Commands about programs

    def _create(self, session: Session) -> Send:
        id = self.dice.choice(IDS)
        signature = self.dice.choice(sorted(SIGNATURES))
        program_type = self.dice.choice(("predict", "predict", "chain_of_thought"))
        written = SIGNATURES[signature]
        args = self._in(session, {"id": id, "signature": written, "program_type": program_type})
        config: Config | None = None
        if self.dice.random() < 0.5:
            config, raw = self._config()
            if isinstance(written, dict) and self.dice.random() < 0.4:
                args["signature"] = {**written, "lm_config": raw}
            else:
                args["lm_config"] = raw
        # A text and a map without types come to the same program.
        canonical = "plain" if signature == "text" else signature
        try:
            program = self.model.create(id, session, canonical, program_type, config)
        except Refusal as refusal:
            return self._refused("create_program", args, refusal)

        def check(result: dict[str, Any]) -> str | None:
            kept = ("program_id", "signature_def", "signature_class", "field_mapping", "program_type", "signature")
            self.memory.append(Remembered(id, session, program.definition, {name: result[name] for name in kept}))
            del self.memory[:-40]
            return differs(result, {"program_id": id, "status": "created", "program_type": program_type})

        return "create_program", args, None, check

    def _remembered(self, args: dict[str, Any], session: Session) -> Definition | None:
        """Now and then, what a pool remembers of the program, written into the arguments."""
        if self.dice.random() > 0.3:
            return None
        known = [one for one in self.memory if one.id == args["program_id"] and one.session == session]
        if not known:
            return None
        one = self.dice.choice(known)
        args["program_data"] = {**one.data, "created_at": 1, "execution_count": 0, "last_executed": None}
        return one.definition

    def _execute(self, session: Session) -> Send:
        id = self.dice.choice(IDS)
        overrides, args = self._overrides()
        args = self._in(session, {**args, "program_id": id, "inputs": {"question": f"Which of {id}?"}})
        try:
            program = self.model.find(id, session, self._remembered(args, session))
            if not overrides and self.dice.random() < 0.06:
                args["inputs"] = self.dice.choice(({}, {"query": "?"}, "?", [1], None))
                raise Refusal("invalid_args")
            resolved, _ = self.model.resolve(overrides, program, session)
            if resolved is None:
                raise Refusal("no_lm_loaded")
        except Refusal as refusal:
            return self._refused("execute_program", args, refusal)
        program.executions += 1
        self.calls.append(
            Call(resolved.scope, resolved.lm.provider, resolved.lm.model, id, session, resolved.lm.answer)
        )
        return "execute_program", args, None, self._answered(resolved, id)

    def _predict(self, session: Session) -> Send:
        overrides, args = self._overrides()
        while sum(isinstance(config, Unusable) for config in overrides) > 1:
            # The program is read before its execution is, so of two faults another is told than elsewhere.
            overrides, args = self._overrides()
        args = self._in(session, {**args, "signature": "question -> answer", "inputs": {"question": "What?"}})
        # What is said of the LM is said of the program and of its execution, and the execution is the narrower one.
        try:
            resolved, _ = self.model.resolve(overrides, None, session)
            if resolved is None:
                raise Refusal("no_lm_loaded")
        except Refusal as refusal:
            return self._refused("predict", args, refusal)
        self.calls.append(
            Call(resolved.scope, resolved.lm.provider, resolved.lm.model, "", session, resolved.lm.answer)
        )
        return "predict", args, None, self._answered(resolved, None)

    @staticmethod
    def _answered(resolved: Resolved, id: str | None) -> Check:
        lm = {"provider": resolved.lm.provider, "model": resolved.lm.model, "scope": resolved.scope, "mocked": True}
        answer = resolved.lm.answer

        def check(result: dict[str, Any]) -> str | None:
            if id is not None and result["program_id"] != id:
                return f"program {result['program_id']!r} in place of {id!r}"
            if result["lm"] != lm:
                return f"LM {result['lm']} in place of {lm}"
            if answer is not None and result["outputs"]["answer"] != answer:
                return f"answer {result['outputs']['answer']!r} in place of {answer!r}"
            return None if result["answer"] == result["outputs"]["answer"] else "two answers"

        return check

    def _delete(self, session: Session) -> Send:
        # One of its own: a session that deletes what all share would get in the way of the others.
        own = [program.id for program in self.model.programs(session)]
        id = self.dice.choice([*own, "p9"])
        return self._deleted(id, session)

    def _delete_what_all_share(self) -> Send:
        """As a session that has none of the name."""
        session = self.dice.choice([session for session in SESSIONS if session is not None])
        own = {program.id for program in self.model.programs(session)}
        shared = [program.id for program in self.model.programs(None) if program.id not in own]
        return self._deleted(self.dice.choice([*shared, "p9"]), session)

    def _deleted(self, id: str, session: Session) -> Send:
        args = self._in(session, {"program_id": id})
        try:
            self.model.delete(id, session)
        except Refusal as refusal:
            return self._refused("delete_program", args, refusal)
        return "delete_program", args, None, lambda result: differs(result, {"program_id": id, "status": "deleted"})

    def _info(self, session: Session) -> Send:
        id = self.dice.choice(IDS)
        args = self._in(session, {"program_id": id})
        try:
            program = self.model.find(id, session, self._remembered(args, session))
        except Refusal as refusal:
            return self._refused("get_program_info", args, refusal)
        definition = program.definition
        wanted = {"id": id, "program_type": definition.program_type, "session_id": program.session}
        return "get_program_info", args, None, lambda result: differs(result, wanted)

    def _list_programs(self, session: Session) -> Send:
        wanted = sorted(program.id for program in self.model.programs(session))
        return "list_programs", {"session_id": session or "anonymous"}, None, lambda result: _lists(result, wanted)

    def _list_everything(self) -> Send:
        wanted = sorted(program.id for program in self.model.programs(None, everywhere=True))
        return "list_programs", {}, None, lambda result: _lists(result, wanted)

    def _cleanup(self) -> Send:
        which = self.dice.choice(("all", "anonymous", *(one for one in SESSIONS if one)))
        args = {} if which == "all" else {"session_id": which}
        gone = self.model.cleanup(None if which in ("all", "anonymous") else which, everywhere=which == "all")
        return "cleanup", args, None, lambda result: differs(result, {"status": "cleaned", "programs_removed": gone})

    # Commands about sessions, and about the bridge

    def _cleanup_session(self, session: str) -> Send:
        gone = self.model.cleanup_session(session)
        self.dropped.add(session)
        wanted = {"status": "cleaned", "session_id": session, "programs_removed": gone}
        return "cleanup_session", {"session_id": session}, None, lambda result: differs(result, wanted)

    def _update_data(self, session: str) -> Send:
        operation = self.dice.choice(("set", "set", "delete", "merge", "clear"))
        key = self.dice.choice(("step", "state", "naïve ключ"))
        value: Any = self.dice.choice((1, 2.5, None, "a\u2028b", [1, {"x": None}], True))
        if operation == "merge":
            value = {"merged": value}
        keys = self.model.update_data(session, operation, key, value)
        args = {"session_id": session, "operation": operation, "key": key, "value": value}
        wanted = {"status": "acknowledged", "keys": keys}
        return "update_session_data", args, None, lambda result: differs(result, wanted)

    def _get_data(self, session: str) -> Send:
        wanted = {"session_id": session, "data": self.model.data(session)}
        return "get_session_data", {"session_id": session}, None, lambda result: differs(result, wanted)

    def _get_stats(self, session: Session) -> Send:
        wanted = {"programs_count": len(self.model.programs(session))}
        return "get_stats", {"session_id": session or "anonymous"}, None, lambda result: differs(result, wanted)

    def _unknown_command(self, session: Session) -> Send:
        return self._refused("exceute_program", self._in(session, {}), Refusal("unknown_command"))

    def _ping(self, session: Session) -> Send:
        return "ping", self._in(session, {}), None, lambda result: differs(result, {"status": "ok"})

    def _in(self, session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
        if session is not None:
            return {**args, "session_id": session}
        return {**args, **self.dice.choice(({}, {"session_id": "anonymous"}, {"session_id": None}))}

    @staticmethod
    def _refused(command: str, args: dict[str, Any], refusal: Refusal) -> Send:
        return command, args, refusal.code, lambda result: None


def differs(came: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What is otherwise than it should be."""
    for name, value in wanted.items():
        if name not in came or came[name] != value:
            return f"{name} {came.get(name)!r} in place of {value!r}"
    return None


def _lists(result: dict[str, Any], wanted: list[str]) -> str | None:
    came = sorted(program["id"] for program in result["programs"])
    return None if came == wanted and result["total_count"] == len(wanted) else f"programs {came} in place of {wanted}"


@dataclass(slots=True)
class Pending:
    """A request that is on its way."""

    command: str
    args: dict[str, Any]
    code: str | None
    check: Check

    @property
    def at_once(self) -> bool:
        """Whether a standalone bridge answers it in its turn, and not when an execution has ended."""
        # A ping never waits for an import, so it may overtake.
        return self.command != "ping" and (self.code is not None or self.command not in ("execute_program", "predict"))


class Conversation:
    """One port's requests and their replies.

    Args:
        port: The port.
        in_order: Whether all replies come in order, as a pool's worker gives them.
        tally: Where it is counted.
    """

    def __init__(self, port: Port, tally: Tally, *, in_order: bool) -> None:
        self.port = port
        self.pending: dict[int, Pending] = {}
        self._tally = tally
        self._in_order = in_order
        self._next = 0
        self._last: deque[str] = deque(maxlen=60)

    def send(self, message: Send) -> None:
        """Have a command written."""
        command, args, code, check = message
        id = self._next
        self._next += 1
        self.pending[id] = Pending(command, args, code, check)
        self._last.append(f"{id} {command} {args}" + (f" → {code}" if code else ""))
        self.port.request(id, command, args)
        self._tally.commands += 1
        self._tally.refused += code is not None
        self._tally.executions += code is None and command in ("execute_program", "predict")

    def hear(self) -> None:
        """Compare what has arrived with what was wanted."""
        replies, self.port.replies = self.port.replies, []
        for reply in replies:
            id = reply.get("id")
            pending = self.pending.get(id) if isinstance(id, int) else None
            if pending is None:
                if isinstance(id, int) and 0 <= id < self._next:
                    self._note("doubled", f"{id} was answered before: {reply}")
                else:
                    self._note("wrong", f"nobody asked {id!r}: {reply}")
                continue
            if self._overtook(id):  # type: ignore[arg-type]
                self._note("late", f"what was asked before {id} is answered after it")
            del self.pending[id]  # type: ignore[arg-type]
            if problem := self._problem(pending, reply):
                self._note("wrong", f"{id} {pending.command} {pending.args}: {problem}")
        if self.port.garbled:
            self._note("wrong", f"{self.port.garbled} packets are no JSON objects")
            self.port.garbled = 0

    def lose(self) -> None:
        """Count what was never answered."""
        for id, pending in self.pending.items():
            self._note("lost", f"{id} {pending.command} {pending.args}")
        self.pending.clear()

    def _overtook(self, id: int) -> bool:
        if not (self._in_order or self.pending[id].at_once):
            return False
        for earlier, pending in self.pending.items():
            if earlier == id:
                return False
            if self._in_order or pending.at_once:
                return True
        return False

    def _problem(self, pending: Pending, reply: dict[str, Any]) -> str | None:
        code = None if reply.get("success") is True else reply.get("error_code", "no code")
        if code != pending.code:
            return f"{code or 'success'} in place of {pending.code or 'success'}: {reply.get('error') or reply}"
        if code is not None:
            return None if f"[{code}]" in str(reply.get("error")) else f"the error does not end in its code: {reply}"
        try:
            return pending.check(reply["result"])
        except (KeyError, TypeError, IndexError) as error:
            return f"{type(error).__name__} {error} in {reply}"

    def _note(self, kind: str, text: str) -> None:
        setattr(self._tally, kind, getattr(self._tally, kind) + 1)
        if len(self._tally.notes) < 3:
            before = "\n      ".join(self._last)
            self._tally.notes.append(f"{kind} at {self.port.name}: {text}\n    after\n      {before}")


class Attack:
    """Random commands to the bridges of one setting.

    Args:
        machines: Who makes them up, each with the conversations of the ports that share its model.
        tally: Where it is counted.
        dice: Decides who does what.
    """

    def __init__(
        self, machines: Sequence[tuple[Machine, list[Conversation]]], tally: Tally, dice: random.Random
    ) -> None:
        self._machines = machines
        self._conversations = [one for _, conversations in machines for one in conversations]
        self._tally = tally
        self._dice = dice

    def run(self, commands: int) -> None:
        """Send so many, and hear what comes of them; ends early where something was found."""
        wanted = self._tally.commands + commands
        while self._tally.commands < wanted and not self._tally.faults:
            plans = [self._plan(machine, conversations) for machine, conversations in self._machines]
            for _ in range(_STRETCH):
                for (machine, _), plan in zip(self._machines, plans, strict=True):
                    conversation, sessions, alone = self._dice.choice(plan)
                    self._make_room(conversation)
                    conversation.send(machine.next(sessions, alone=alone))
            if not self._settle():
                break
            for machine, conversations in self._machines:
                self._look_at_journal(machine, self._dice.choice(conversations))
                if self._dice.random() < 0.05:
                    self._reset(machine, self._dice.choice(conversations))
        for conversation in self._conversations:
            conversation.lose()

    def _plan(
        self, machine: Machine, conversations: list[Conversation]
    ) -> list[tuple[Conversation, Sequence[Session], bool]]:
        """Who speaks next, and of which sessions: one bridge of everything, or each of sessions of its own."""
        if len(conversations) == 1 or self._dice.random() < 0.4:
            return [(self._dice.choice(conversations), SESSIONS, True)]
        named = [session for session in SESSIONS if session is not None]
        self._dice.shuffle(named)
        return [(one, named[number :: len(conversations)], False) for number, one in enumerate(conversations)]

    def _make_room(self, conversation: Conversation) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(conversation.pending) >= _WINDOW and not conversation.port.ended and time.monotonic() < deadline:
            self._hear()

    def _settle(self) -> bool:
        """Wait until everything has been answered; whether it has."""
        deadline = time.monotonic() + PATIENCE
        while any(one.pending for one in self._conversations):
            if time.monotonic() > deadline or any(one.port.ended for one in self._conversations):
                return False
            self._hear()
        return True

    def _hear(self) -> None:
        wait_for([one.port for one in self._conversations], 1.0)
        for one in self._conversations:
            one.hear()

    def _look_at_journal(self, machine: Machine, conversation: Conversation) -> None:
        """Compare the calls since the last look: who asked, which LM answered, and what."""
        calls, dropped = machine.calls, machine.dropped
        machine.calls, machine.dropped = [], set()
        wanted = Counter(call for call in calls if call.session not in dropped)

        def check(result: dict[str, Any]) -> str | None:
            machine.seen = result["last_seq"]
            known = {call.answer for call in calls}
            came = Counter(_call(call, known) for call in result["calls"] if call["session_id"] not in dropped)
            if came == wanted:
                return None
            return f"the journal has {list((came - wanted).elements())} in place of {list((wanted - came).elements())}"

        conversation.send(("get_journal", {"since": machine.seen}, None, check))
        self._settle()

    def _reset(self, machine: Machine, conversation: Conversation) -> None:
        gone = machine.model.reset()
        conversation.send(
            ("reset_state", {}, None, lambda result: differs(result, {"status": "reset", "programs_cleared": gone}))
        )
        self._settle()


def _call(call: dict[str, Any], known: set[str | None]) -> Call:
    program = call["program_id"] if call["program_id"] in IDS else ""
    answer = (call["outputs"] or {}).get("answer")
    answer = answer if answer in known else None
    return Call(call["scope"], call["provider"], call["model"], program, call["session_id"], answer)


@dataclass(frozen=True, slots=True)
class Setting:
    """How the bridges under attack run."""

    name: str
    mode: Mode
    workers: int
    host: bool
    default: LM | None = None


SETTINGS = (
    Setting("standalone", "standalone", 1, host=True),
    Setting("standalone without a host", "standalone", 1, host=False, default=LM("openai", "gpt-4")),
    Setting("pool of three", "pool-worker", 3, host=True, default=LM("google", "gemini-pro")),
    Setting("pool of three without a host", "pool-worker", 3, host=False),
)


def attack(setting: Setting, commands: int, seed: int) -> Tally:
    """Send random commands to live bridges and count what is wrong with the replies."""
    tally = Tally()
    dice = random.Random(f"{seed} {setting.name}")
    told = {"host": "auto" if setting.host else "off"}
    if setting.default:
        told["default_lm"] = f"{_PREFIXES[setting.default.provider]}/{setting.default.model}"
    with Sandbox() as sandbox, ExitStack() as open_bridges:
        bridges = [
            open_bridges.enter_context(Bridge(sandbox, setting.mode, number, settings=told))
            for number in range(setting.workers)
        ]
        in_order = setting.mode == "pool-worker"
        conversations = [Conversation(bridge.port, tally, in_order=in_order) for bridge in bridges]
        memory: list[Remembered] = []
        groups = [conversations] if setting.host else [[one] for one in conversations]
        machines = [
            (Machine(dice, Model(replaces=in_order, default=setting.default), memory), group) for group in groups
        ]
        Attack(machines, tally, dice).run(commands)
    return tally

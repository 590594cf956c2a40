"""`CassetteLM`: the `dspy.LM` that a cassette gives."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, Self, cast

from dspex_testkit.calls import Journal, LMCall
from dspex_testkit.cassettes.document import RecordedLM
from dspex_testkit.cassettes.engine import AsyncCassetteEngine, CassetteEngine
from dspex_testkit.cassettes.interfaces import CassetteInUse, SavableCassette
from dspex_testkit.dspy_internals.execution import CLIENT_KEYS
from dspex_testkit.engines.engine_lm import EngineLM
from dspex_testkit.errors import UsageError
from dspex_testkit.mock_lm import MockLM


class CassetteLM(EngineLM):
    """An LM that answers from a recording, records another LM, or compares the two.

    It is never cached, and never retries: what is recorded is how a call ended. What it answered is in `journal`,
    except for calls that a bridge asked for.

    Args:
        cassette: The cassette, or what gives the one of the present caller.
        lm: The LM behind it; None to replay only.
        model: The name under which calls are kept; by default that of the LM, or the only one in the cassette.
        identity: What is known of the LM, where neither the LM nor the cassette is to be asked.
        template: What the journal says of every call, where the model's name does not tell.

    Raises:
        UsageError: There is no LM, and the cassette holds none or several.
    """

    def __init__(
        self,
        cassette: SavableCassette | Callable[[], CassetteInUse],
        lm: Any = None,
        *,
        model: str | None = None,
        identity: RecordedLM | None = None,
        template: LMCall | None = None,
    ) -> None:
        opened = None if callable(cassette) else cassette
        identity = identity or _identity(opened, lm, model)
        if opened is not None and lm is not None:
            for name in ("api_key", "azure_ad_token_provider"):
                opened.learn(getattr(lm, "kwargs", {}).get(name), f"the LM's {name}")
        self.journal = Journal()
        engine = CassetteEngine(
            cassette if callable(cassette) else _Always(cassette),
            lm,
            identity,
            self.journal,
            journaled_elsewhere=isinstance(lm, MockLM),
            template=template,
        )
        super().__init__(
            identity.model,
            engine,
            AsyncCassetteEngine(engine),
            params=identity.params,
            model_type=identity.model_type,
        )
        self.cassette = cassette
        self.behind = lm

    def close(self) -> None:
        """Do nothing: the recorded LM is closed by the code that created it."""

    def dump_state(self) -> dict[str, Any]:
        """Enough to replay again; a recording is not continued in another process.

        Raises:
            TypeError: The cassette is given by a bridge, and means nothing elsewhere.
        """
        if callable(self.cassette):
            raise TypeError("An LM of a bridge's cassettes cannot be saved; set the program's LM again after loading")
        options = self.cassette.replay_options()
        state = self.dump_identity() | {"cassette": str(self.cassette.path), "model": self.model}
        return state | ({"options": options} if options else {})

    @classmethod
    def load_state(cls, state: dict[str, Any], *, allow_custom_lm_class: bool = False) -> Self:
        """An LM that replays the same cassette from its beginning."""
        return cast("Self", MockLM.replay(state["cassette"], model=state["model"], **state.get("options", {})))

    def __copy__(self) -> Self:
        """Another LM on the same recording, for `copy` and `copy.copy`; without this it would be opened anew."""
        return self._twin(self._state())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Another LM on the same recording, whose place in it both move on, and with the same journal."""
        shared = ("cassette", "behind")
        return self._twin(
            {name: each if name in shared else deepcopy(each, memo) for name, each in self._state().items()}
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, an LM that replays from the beginning."""
        return _loaded, (type(self), self.dump_state(), dict(self.kwargs))

    def _state(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.__getstate__())

    def _twin(self, state: dict[str, Any]) -> Self:
        twin = object.__new__(type(self))
        twin.__setstate__(state)
        return twin


def _loaded(cls: type[CassetteLM], state: dict[str, Any], kwargs: dict[str, Any]) -> CassetteLM:
    lm = cls.load_state(state)
    lm.kwargs = kwargs
    return lm


class _Always:
    """Gives one cassette, whoever asks."""

    def __init__(self, cassette: SavableCassette) -> None:
        self._cassette = cassette

    def __call__(self) -> CassetteInUse:
        return self._cassette


def describe(lm: Any, model: str | None = None) -> RecordedLM:
    """The parameters and capabilities of an LM that replay needs, without keys and addresses."""
    params = {
        name: value
        for name, value in dict(lm.kwargs).items()
        if name not in CLIENT_KEYS and value is not None and name != "prompt_cache"
    }
    return RecordedLM(
        model=model or str(lm.model),
        model_type=str(getattr(lm, "model_type", "chat")),
        params=params,
        function_calling=bool(lm.supports_function_calling),
        response_schema=bool(lm.supports_response_schema),
        reasoning=bool(lm.supports_reasoning),
        supported_params=tuple(sorted(lm.supported_params)),
    )


def _identity(cassette: SavableCassette | None, lm: Any, model: str | None) -> RecordedLM:
    if lm is not None and (cassette is None or cassette.wants_live_lm):
        return describe(lm, model)
    assert cassette is not None
    name = model or (None if lm is None else str(lm.model))
    recorded = cassette.recorded_lm(name)
    if recorded is not None:
        return recorded if lm is None else _with_params_of(lm, recorded)
    if lm is not None:
        return describe(lm, model)
    if name is not None:
        return RecordedLM(model=name)
    models = cassette.models
    if len(models) == 1:
        return RecordedLM(model=models[0])
    known = ", ".join(models) if models else "none"
    raise UsageError(f"Which LM of {cassette.path} is wanted? Name one with model=; it has recordings of {known}")


def _with_params_of(lm: Any, recorded: RecordedLM) -> RecordedLM:
    """The recorded LM's abilities with the present one's parameters: those are what a test may have changed."""
    params = {name: value for name, value in dict(lm.kwargs).items() if name not in CLIENT_KEYS and value is not None}
    return replace(recorded, params=params)

"""`MockLM`: a `dspy.LM` that answers without a provider."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pydantic_core import PydanticSerializationError

import dspex_testkit.mock_lm.offline  # noqa: F401
from dspex_testkit.calls import Counters, Journal
from dspex_testkit.engines.engine_lm import EngineLM
from dspex_testkit.mock_lm.answers import NOTHING
from dspex_testkit.mock_lm.clock import Clock
from dspex_testkit.mock_lm.engine import AsyncMockEngine, Capabilities, MockEngine
from dspex_testkit.mock_lm.functions import path_of
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.recordings import recordings
from dspex_testkit.mock_lm.rule import RuleSpec
from dspex_testkit.mock_lm.spec import SPEC_KEYS, MockSpec, parse_mock_spec

_CONNECTION_KEYS = frozenset({"api_key", "api_base", "base_url", "api_version", "timeout", "headers", "extra_headers"})


class MockLM(EngineLM):
    """A mock LM for programs of DSPy: sync, async, streaming, `n`, tools, every adapter, save and load.

    It is never cached and never retried. What it answered is in `journal`, except for calls that a bridge asked for.

    Args:
        spec: How it answers: a `MockSpec`, its JSON, or None for derived answers.
        provider: The provider it stands for.
        model: The model it stands for, without the provider's prefix.
        params: Default parameters of its calls (`temperature`, …). No combination is refused, as a real model might;
            keys and addresses are dropped, for there is nobody to send them to.
        capabilities: What that model can do beyond text.
        state: Where script positions and the like are counted.
        journal: Where calls are written.
        clock: Where delays are waited for; a `VirtualClock` where nobody is to wait.
        num_retries: How often DSPy tries again after a failure that may pass.
        allow_import: Module prefixes from which the spec may name a function.
        callbacks: DSPy callbacks of this LM.

    Raises:
        InvalidMockSpecError: The spec cannot be used.
    """

    def __init__(
        self,
        spec: MockSpec | Mapping[str, Any] | None = None,
        *,
        provider: str = "mock",
        model: str = "mock",
        params: Mapping[str, Any] | None = None,
        capabilities: Capabilities | None = None,
        state: Counters | None = None,
        journal: Journal | None = None,
        clock: Clock | None = None,
        num_retries: int = 0,
        allow_import: Sequence[str] | None = None,
        callbacks: list[Any] | None = None,
    ) -> None:
        parsed = spec if isinstance(spec, MockSpec) else parse_mock_spec(spec or {})
        engine = MockEngine(
            parsed,
            provider=provider,
            model=model,
            capabilities=capabilities or Capabilities(),
            state=state,
            journal=journal,
            clock=clock,
            allow_import=allow_import,
        )
        super().__init__(
            f"{provider}/{model}",
            engine,
            AsyncMockEngine(engine),
            params={name: value for name, value in (params or {}).items() if name not in _CONNECTION_KEYS},
            num_retries=num_retries,
            callbacks=callbacks,
        )

    @classmethod
    def from_spec(
        cls,
        spec: MockSpec | Mapping[str, Any],
        **options: Any,
    ) -> Self:
        """A mock from its JSON; the options are those of the class.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
        """
        return cls(spec, **options)

    @classmethod
    def deterministic(
        cls,
        responses: Mapping[str, Any] | None = None,
        *,
        rules: Sequence[Mapping[str, Any] | RuleSpec] = (),
        default: Any = NOTHING,
        **options: Any,
    ) -> Self:
        """Answers from rules and a table; without either, answers derived from model, signature and inputs.

        Args:
            responses: Answers by the value of an input, or by the JSON of all inputs.
            rules: Answers under conditions; they come first.
            default: The answer where nothing matches.
            options: Further keys of the spec, and the options of the class.
        """
        spec: dict[str, Any] = {} if responses is None else {"responses": dict(responses)}
        if default is not NOTHING:
            spec["default"] = default
        if rules:
            spec["rules"] = list(rules)
        return cls._from(spec, options)

    @classmethod
    def scripted(cls, answers: list[Any], *, on_exhausted: str = "error", **options: Any) -> Self:
        """Answers in the order of the calls."""
        return cls._from({"script": list(answers), "on_exhausted": on_exhausted}, options)

    @classmethod
    def random(cls, seed: int | str = 0, **options: Any) -> Self:
        """Random typed answers that are the same for the same seed and request."""
        return cls._from({"mode": "random", "seed": seed}, options)

    @classmethod
    def replay(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """An LM that answers from a recording; see `dspex_testkit.cassettes`.

        Raises:
            CassetteError: The recording cannot be used.
            MissingExtraError: The extra `cassettes` is not installed.
        """
        return recordings("replay")(path, **options)

    @classmethod
    def record(cls, lm: Any, path: str | os.PathLike[str], **options: Any) -> Any:
        """A context manager that gives an LM which asks another one and keeps what it says.

        Args:
            lm: The LM that is asked, such as a ``dspy.LM`` of a provider.
            path: Where the recording is written when the block ends.
            options: As of `dspex_testkit.cassettes.record`.

        Raises:
            CassetteError: The recording cannot be used.
            MissingExtraError: The extra `cassettes` is not installed.
        """
        return recordings("record")(lm, path, **options)

    @classmethod
    def function(cls, function: Callable[[MockCall], Any] | str, **options: Any) -> Self:
        """Answers of a function, sync or async, that gets a `MockCall` and returns an answer in any form."""
        return cls._from({"function": function}, options)

    @classmethod
    def _from(cls, spec: dict[str, Any], options: dict[str, Any]) -> Self:
        """Tell keys of the spec from options of the class."""
        more = {key: options.pop(key) for key in list(options) if key in SPEC_KEYS}
        return cls({**spec, **more}, **options)

    @property
    def journal(self) -> Journal:
        """What this LM was asked and what it answered."""
        return self.mock_engine.journal

    @property
    def spec(self) -> MockSpec:
        """How this LM answers."""
        return self.mock_engine.spec

    def unused_rules(self) -> list[str]:
        """Names of the rules that have not answered yet."""
        return self.mock_engine.source.rules.unused()

    @property
    def mock_engine(self) -> MockEngine:
        """The engine, typed."""
        engine = self.engine
        assert isinstance(engine, MockEngine)
        return engine

    def __repr__(self) -> str:
        spec = self.spec
        seed = f", seed={spec.seed!r}" if spec.seed is not None or spec.mode == "random" else ""
        return f"{type(self).__name__}({self.model!r}, mode={spec.mode!r}{seed})"

    def dump_state(self) -> dict[str, Any]:
        """Everything that `load_state` needs: the spec and whom the mock stands for, never the journal."""
        engine = self.mock_engine
        capabilities = engine.capabilities
        return self.dump_identity() | {
            "provider": engine.provider,
            "model": engine.model,
            "spec": _dump_spec(engine.spec),
            "params": dict(self.kwargs),
            "capabilities": {
                "function_calling": capabilities.function_calling,
                "response_schema": capabilities.response_schema,
                "reasoning": capabilities.reasoning,
                "params": sorted(capabilities.params),
            },
        }

    @classmethod
    def load_state(cls, state: dict[str, Any], *, allow_custom_lm_class: bool = False) -> Self:
        """The mock that was dumped, with a journal and positions of its own."""
        can = state.get("capabilities", {})
        return cls(
            state["spec"],
            provider=state["provider"],
            model=state["model"],
            params=state.get("params"),
            capabilities=Capabilities(**{**can, "params": frozenset(can.get("params", ()))}),
        )


def _dump_spec(spec: MockSpec) -> dict[str, Any]:
    """The spec as JSON.

    Raises:
        TypeError: It holds a function that cannot be found again by name.
    """
    if callable(spec.function):
        spec = spec.model_copy(update={"function": path_of(spec.function)})
    try:
        dumped: dict[str, Any] = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    except PydanticSerializationError as error:
        raise TypeError(f"A mock that answers by Python objects cannot be saved: {error}") from error
    return {**dumped, "mode": spec.mode}

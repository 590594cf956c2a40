"""`Target`: what a client needs to reach one simulated model, in the spelling of each kind of client."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from dspex_testkit.calls import LMCall
from dspex_testkit.errors import UsageError
from dspex_testkit.lm.config.providers import find_provider, provider_of_model

if TYPE_CHECKING:
    from dspex_testkit.cassettes import CassetteReport
    from dspex_testkit.simulator.registry import Registry, TargetSettings


@dataclass(frozen=True, slots=True)
class Target:
    """One simulated model, apart from all others on the same server.

    It is found by its URL as well as by its key, so a client that lets only one of them be set reaches it too.
    """

    id: str
    provider: str
    """The provider as this kit names it: `google`, not `gemini`."""
    model: str
    """The model as `dspy.LM` and litellm take it, with its prefix."""
    root: str
    """The target's URL without a provider's version: `http://127.0.0.1:PORT/t/ID`."""
    api_key: str = field(repr=False)
    registry: "Registry" = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The model without its prefix, as the official SDKs take it."""
        return self.model.partition("/")[2]

    @property
    def api_base(self) -> str:
        """The base for `dspy.LM`."""
        return self.root + {"google": "/v1beta", "cohere": "/v2/chat"}.get(self.provider, "/v1")

    @property
    def litellm_api_base(self) -> str:
        """The base for litellm, and so for `dspy.LM(engine="litellm")`."""
        return self.root if self.provider in ("anthropic", "ollama") else self.api_base

    @property
    def sdk_base_url(self) -> str:
        """The base for the provider's own SDK."""
        return self.root if self.provider in ("anthropic", "google", "cohere", "ollama") else self.api_base

    @property
    def calls(self) -> list[LMCall]:
        """What was asked of this target and what it answered, in order."""
        return self.registry.calls(self.id)

    @property
    def cassette(self) -> "CassetteReport | None":
        """What was played, missed and left over of its cassette; None where it answers from a spec."""
        return self.registry.get(self.id).answers.report()

    def lm(self, *, engine: str = "auto", **params: Any) -> Any:
        """A `dspy.LM` on this target, without DSPy's cache and, as nothing else is said, without its retries.

        Args:
            engine: `auto` for the stack that DSPy would choose, `native` or `litellm` for a certain one.
            params: Whatever else `dspy.LM` takes.
        """
        import dspy

        litellm = engine == "litellm"
        options = {"api_base": self.litellm_api_base if litellm else self.api_base, "api_key": self.api_key}
        return dspy.LM(self.model, engine=engine, **{"cache": False, "num_retries": 0, **options, **params})

    def configure(self, **given: "Unpack[TargetSettings]") -> None:
        """Replace what is given, as of `ProviderSimulator.target`.

        Positions of scripts, recordings and fault schedules begin anew.
        """
        self.registry.configure(self.id, **given)

    def remove(self) -> None:
        """Let the server forget this target; its calls stay in the journal."""
        self.registry.remove(self.id)

    def to_dict(self) -> dict[str, str]:
        """Everything as JSON: what the admin API answers, and what a client in another language needs."""
        return {
            "id": self.id,
            "provider": self.provider,
            "model": self.model,
            "api_base": self.api_base,
            "litellm_api_base": self.litellm_api_base,
            "sdk_base_url": self.sdk_base_url,
            "api_key": self.api_key,
        }


def read_model(model: str) -> tuple[str, str]:
    """The provider and the model with its prefix.

    A prefix that the kit does not know is taken for a server compatible with OpenAI.

    Raises:
        UsageError: There is no prefix and the name does not tell.
    """
    prefix, slash, _ = model.partition("/")
    if slash:
        known = find_provider(prefix)
        return (prefix if known is None else known.name), model
    provider = provider_of_model(model)
    if provider is None:
        raise UsageError(f"Which provider serves {model!r}? Write 'provider/{model}', for example 'openai/{model}'.")
    return provider.name, f"{provider.prefix}/{model}"

"""The table of providers: their names, DSPy's prefix for their models, and the variables that hold their keys.

Spellings follow DSPy 3.4 (``google`` models are ``gemini/…``, Cohere's chat models ``cohere_chat/…``).
"""

import re
from dataclasses import dataclass

from dspex_testkit.errors import UnknownProviderError
from dspex_testkit.nearest import nearest_hint

MOCK = "mock"
ENSEMBLE = "ensemble"
"""What stands for the provider of several LMs that answer as one."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table."""

    name: str
    """The name that the bridge reports."""
    prefix: str
    """What DSPy puts before the slash."""
    key_variables: tuple[str, ...] = ()
    """Environment variables that usually hold the key, in order of preference; empty where no key is needed."""
    aliases: tuple[str, ...] = ()
    """Other spellings that are accepted."""
    vendor_models: bool = False
    """True where model names contain a slash of their own (``openrouter`` serves ``openai/gpt-4o``)."""
    families: str | None = None
    """A pattern for bare model names that belong to this provider without doubt."""
    ambient: bool = False
    """True where the variables are read by the provider's own client and are no `api_key` (AWS)."""


_TABLE = (
    Provider(MOCK, MOCK, families=r"mock(-.*)?"),
    Provider("openai", "openai", ("OPENAI_API_KEY",), families=r"(gpt-|chatgpt-|o[1345](-|$)|text-davinci).*"),
    Provider("google", "gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), ("gemini",), families=r"gemini-.*"),
    Provider("anthropic", "anthropic", ("ANTHROPIC_API_KEY",), families=r"claude-.*"),
    Provider("cohere", "cohere_chat", ("COHERE_API_KEY", "CO_API_KEY"), ("cohere_chat",), families=r"command(-.*)?"),
    Provider("azure", "azure", ("AZURE_API_KEY",)),
    Provider("bedrock", "bedrock", ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"), ambient=True),
    Provider("deepseek", "deepseek", ("DEEPSEEK_API_KEY",), families=r"deepseek-.*"),
    Provider("groq", "groq", ("GROQ_API_KEY",), vendor_models=True),
    Provider("mistral", "mistral", ("MISTRAL_API_KEY",), families=r"(open-)?(mistral|mixtral|codestral)-.*"),
    Provider("ollama", "ollama", (), ("ollama_chat",)),
    Provider("openrouter", "openrouter", ("OPENROUTER_API_KEY",), vendor_models=True),
    Provider("together", "together_ai", ("TOGETHER_API_KEY",), ("together_ai",), vendor_models=True),
    Provider("vertex", "vertex_ai", (), ("vertex_ai",)),
    Provider("xai", "xai", ("XAI_API_KEY",), families=r"grok-.*"),
    # DSPex's documents call "answer from a recording" so; under the policy `mock` it is an identity like any other.
    Provider("cached", "cached"),
)
PROVIDERS = {provider.name: provider for provider in _TABLE}
_BY_SPELLING = {spelling: p for p in _TABLE for spelling in (p.name, p.prefix, *p.aliases)}
# Classes of DSPy before 2.6 that older notes name, and the provider that took each one's place.
_RETIRED_CLASSES = {
    "openai": "openai",
    "azureopenai": "azure",
    "google": "google",
    "googlevertexai": "vertex",
    "claude": "anthropic",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "mistral": "mistral",
    "groqlm": "groq",
    "together": "together",
    "bedrock": "bedrock",
    "awsanthropic": "bedrock",
    "awsmistral": "bedrock",
    "ollamalocal": "ollama",
    "databricks": "openai",
    "hfclienttgi": "openai",
    "hfclientvllm": "openai",
    "premai": "openai",
    "snowflake": "openai",
    "watsonx": "openai",
}
_FAMILIES = tuple((re.compile(p.families), p) for p in _TABLE if p.families)

_OPENAI_REASONING = re.compile(
    r"^(?:o[1345](?:-(?:mini|nano|pro))?(?:-\d{4}-\d{2}-\d{2})?|gpt-5(?:\.\d+)*(?!-chat)(?:-.*)?)$"
)


def find_provider(name: str) -> Provider | None:
    """The provider of this name or alias, in upper or lower case; None where there is none."""
    return _BY_SPELLING.get(name.strip().lower())


def get_provider(name: str) -> Provider:
    """The provider of this name or alias.

    Raises:
        UnknownProviderError: The table has no such name.
    """
    if provider := find_provider(name):
        return provider
    _explain_retired_class(name)
    hint = nearest_hint(name.strip(), _BY_SPELLING)
    raise UnknownProviderError(
        f"Unsupported provider {name!r}{hint}; write one of {', '.join(PROVIDERS)}",
        details={"provider": name, "known": list(PROVIDERS)},
    )


def _explain_retired_class(name: str) -> None:
    """Say what became of ``dspy.OpenAI`` and the like.

    Raises:
        UnknownProviderError: The name is one of them.
    """
    module, _, rest = name.strip().lower().partition(".")
    successor = _RETIRED_CLASSES.get(re.split(r"\W", rest, maxsplit=1)[0]) if module == "dspy" else None
    if successor is None:
        return
    raise UnknownProviderError(
        f"{name.strip()!r} names a class that DSPy no longer has (they went with DSPy 2.6); write provider "
        f"{successor!r} and the model beside it, in Python dspy.LM('{PROVIDERS[successor].prefix}/<model>')",
        details={"provider": name, "nearest": successor},
    )


def provider_of_model(model: str) -> Provider | None:
    """The provider that a bare model name belongs to without doubt, else None."""
    return next((provider for pattern, provider in _FAMILIES if pattern.fullmatch(model.lower())), None)


def is_openai_reasoning_model(model: str) -> bool:
    """Whether DSPy treats the model as one of OpenAI's reasoning families, whose sampling cannot be tuned.

    DSPy decides this in a private function; asking it would import dspy to configure an LM. A canary test holds
    the two together.
    """
    return _OPENAI_REASONING.match(model.split("/")[-1].lower()) is not None

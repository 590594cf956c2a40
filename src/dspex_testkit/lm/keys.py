"""Where the key of a live LM comes from: the config, the variable that it names, or the provider's usual one."""

import os
from collections.abc import Mapping

from dspex_testkit.errors import MissingKeyError
from dspex_testkit.lm.config.providers import get_provider
from dspex_testkit.lm.config.values import LMConfig


def find_key(config: LMConfig, environ: Mapping[str, str] | None = None) -> str | None:
    """The key that a live LM of this config is to use, or None where its provider needs none from us.

    Args:
        config: The config of one LM, not of an ensemble.
        environ: The environment; that of the process if None.

    Raises:
        MissingKeyError: The provider needs a key and there is none; the message names the variables.
    """
    environ = os.environ if environ is None else environ
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    provider = get_provider(config.provider)
    variables = (config.api_key_env,) if config.api_key_env else provider.key_variables
    found = next((environ[name] for name in variables if environ.get(name)), None)
    if found is None and variables:
        raise MissingKeyError(
            f"{config.provider}/{config.model} is to answer live, but there is no key: set {' or '.join(variables)} in "
            f"the bridge's environment, {_in_the_config(config)}",
            details={"provider": config.provider, "variables": list(variables)},
        )
    return None if provider.ambient and config.api_key_env is None else found


def _in_the_config(config: LMConfig) -> str:
    if config.api_base is None:
        return "or write 'api_key' or 'api_key_env' into the LM config"
    return f"or write 'api_key' into the LM config (any text, if the server at {config.api_base} wants none)"

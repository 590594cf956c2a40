"""The former place of `lm.config.reading`; kept for what imports it."""

from dspex_testkit.lm.config.reading import KNOWN_KEYS, parse_lm_config
from dspex_testkit.lm.config.values import ParsedConfig

__all__ = ["KNOWN_KEYS", "ParsedConfig", "parse_lm_config"]

"""The former place of `lm.config.params`; kept for what imports it."""

from dspex_testkit.lm.config.params import PARAMS, check_param, nearest

__all__ = ["PARAMS", "check_param", "nearest"]

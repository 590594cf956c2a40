"""The former place of `lm.config.params`; kept for what imports it."""

from dspex_testkit.lm.config.params import PARAMS, check_param
from dspex_testkit.nearest import nearest_hint as nearest

__all__ = ["PARAMS", "check_param", "nearest"]

"""The module variables in which DSPy keeps what `dspy.configure` has set."""

import threading

import dspy

from dspex_testkit.dspy_internals import global_settings
from dspex_testkit.dspy_internals.global_settings import module


def test_dspy_still_keeps_its_settings_there() -> None:
    """The canary: a setting, its owner's thread, and the lock."""
    before = global_settings.take_snapshot()
    try:
        global_settings.put_back(global_settings.fresh())
        assert dspy.settings.lm is None
        dspy.configure(max_errors=3)
        assert getattr(module, global_settings.CONFIG)["max_errors"] == 3
        assert getattr(module, global_settings.OWNERS[0]) == threading.get_ident()
        assert all(hasattr(module, name) for name in ("config_owner_async_task", "global_lock", "DEFAULT_CONFIG"))
        assert global_settings.take_snapshot().differs(global_settings.fresh())
    finally:
        global_settings.put_back(before)
    assert not global_settings.take_snapshot().differs(before)

"""How a mock's own failure reaches the caller.

DSPy turns whatever an engine raises into one of its `LMError` classes, unless it is one already. A mock's error is
therefore raised as both: `except NoMatchingRuleError` and `except dspy.LMError` each catch it, and its code and
message are the mock's.
"""

from typing import Any

import dspy

from dspex_testkit.errors import DSPexTestkitError


def find_mock_error(exc: BaseException | None) -> DSPexTestkitError | None:
    """The kit's own error behind an exception, if there is one.

    Follows causes, contexts and exception groups, because modules of DSPy wrap what their LM raises.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [exc]
    while pending:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        if isinstance(current, DSPexTestkitError):
            return current
        seen.add(id(current))
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending += [current.__cause__, current.__context__]
    return None


def as_lm_error(error: DSPexTestkitError, *, model: str, note: str = "") -> DSPexTestkitError:
    """The same error as a class that is also DSPy's `LMError`, so that it passes DSPy's boundary unchanged.

    Args:
        error: What went wrong.
        model: The LM in which it did.
        note: A sentence to add to the message.
    """
    if issubclass(type(error), dspy.LMError):
        return error
    return _rebuild(type(error), error.message + note, error.details, model)


def _rebuild(cls: type[DSPexTestkitError], message: str, details: dict[str, Any], model: str) -> DSPexTestkitError:
    both = _as_lm_error_class(cls)
    # Neither __init__ is run: DSPy's would prefix the message and set attributes that are read-only here.
    error: Any = both.__new__(both, message)
    vars(error).update(
        details=dict(details),
        model=model,
        provider=None,
        provider_code=None,
        status=None,
        request_id=None,
        retry_after=None,
        _mock_class=cls,
    )
    assert isinstance(error, DSPexTestkitError)
    return error


def _reduce(self: Any) -> tuple[Any, ...]:
    return _rebuild, (self._mock_class, self.message, self.details, self.model)


def _as_lm_error_class(cls: type[DSPexTestkitError]) -> Any:
    if cls not in _classes:
        _classes[cls] = type(cls.__name__, (cls, dspy.LMError), {"__module__": cls.__module__, "__reduce__": _reduce})
    return _classes[cls]


_classes: dict[type[DSPexTestkitError], Any] = {}

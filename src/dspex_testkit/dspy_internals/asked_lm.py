"""Which LM DSPy is asking at this moment, by the frame of the function through which every call goes.

For whoever refuses what that call does and wants to name the LM. It imports nothing of DSPy, because a process asks it
that may be importing DSPy just now. `tests/dspy_internals/test_asked_lm.py` fails loudly when DSPy moves its function.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_MODULE = "dspy.clients.execution"
_LOCAL = "lm"


def asked_lm() -> str | None:
    """The model that DSPy is about to ask, if it is DSPy that asks."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == _MODULE and _LOCAL in frame.f_locals:
            return str(getattr(frame.f_locals[_LOCAL], "model", None))
        frame = frame.f_back
    return None

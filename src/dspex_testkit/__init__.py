"""Test DSPex and DSPy programs without an API key: a bridge, mock LMs, and a record of which LM answered.

Importing this package does not import dspy; names that need it are loaded on first use.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # the launcher imports this package before its first answer: nothing heavy up here
    from dspex_testkit.mock_lm import MockLM

__version__ = "0.1.0"
__all__ = ["MockLM", "__version__"]


def __getattr__(name: str) -> object:
    if name == "MockLM":
        from dspex_testkit.mock_lm import MockLM

        return MockLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

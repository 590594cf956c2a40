"""What DSPy's list of models says of one: what it can do, and what an answer of it cost.

`tests/dspy_internals/test_model_list.py` fails loudly when one of these moves. `price_list` reads the same list
without importing dspy.
"""

from decimal import Decimal

from dspy.clients.costs import estimate_cost
from dspy.clients.model_metadata import model_info
from dspy.lm15 import Request, Response

__all__ = ["cost_of", "model_info"]


def cost_of(wanted: str, request: Request, response: Response) -> Decimal | None:
    """What a model's answer cost in US dollars by the prices that DSPy ships; None where they do not tell."""
    provider, slash, model = wanted.partition("/")
    if not slash:
        return None
    cost, _ = estimate_cost(response, provider=provider, requested_model=model, request=request)
    # DSPy multiplies in floating point; ten digits are more than any price list has.
    return None if cost is None else Decimal(f"{cost:.10g}")

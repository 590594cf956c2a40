"""The JSON form of canonical requests and responses, which `dspy.lm15` does not publish.

The one place in this room that looks into DSPy; `tests/lm/test_response_cache.py` notices when it moves.
"""

from dspy._vendor.lm15.serde import request_to_dict, response_from_dict, response_to_dict

__all__ = ["request_to_dict", "response_from_dict", "response_to_dict"]

"""Keeps DSPy from asking the network for what it ships.

DSPy and litellm fetch a price list when a model's metadata is first read, unless a variable says otherwise. A process
of ours sets it at its start; where mocks are used in somebody else's process, importing them is that start. A value
that is already there is left alone.
"""

import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

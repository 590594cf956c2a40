"""What providers' HTTP traffic says at the LM seam: a recorded request and response become LM calls.

A request body is brought into OpenAI's chat form, because that is the form in which DSPy itself makes canonical
requests: what comes out is what a program would ask. A response is read by DSPy's own client, over a transport that
holds nothing but the recording. This package asks nobody and writes nothing.
"""

from dspex_testkit.cassettes.traffic.background import answered_later
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.cassettes.traffic.reading import Reading, is_lm_call, read_exchange

__all__ = ["Exchange", "Reading", "answered_later", "is_lm_call", "read_exchange"]

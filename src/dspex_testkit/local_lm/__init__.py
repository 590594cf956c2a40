"""A real LM on this machine: a user's own weights (GGUF), served by llama.cpp in a child process, on loopback alone.

It speaks as OpenAI does, so whatever asks a provider can ask it, and what it says can be recorded without a key. Needs
the extra `local`.
"""

from dspex_testkit.local_lm.server import LocalLM

__all__ = ["LocalLM"]

"""Which LM answers, and why: configs, providers, scopes, resolution, the offline policy.

Nothing here imports dspy until an LM is built (`factory`), so that configuring costs no import.
"""

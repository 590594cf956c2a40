"""Measurements, each a ratio of two things taken in turns within one run.

``python -m benchmarks`` prints them; absolute times belong to a machine and are left out of what is kept.
"""

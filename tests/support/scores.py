"""Scoring functions for ensembles under test."""

from collections.abc import Mapping
from typing import Any


def longest(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> float:
    """The longer the answer, the better."""
    return float(len(outputs["answer"]))


def broken(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> float:
    """Fails on every answer."""
    raise ZeroDivisionError("no score")

"""How long things take: evenly spread, or with the long tail that networks have. Draws only; nobody waits here."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

__all__ = ["Latency", "LogNormal", "drawn_s", "read_latency"]


class LogNormal(NamedTuple):
    """Seconds with a long tail: half of all draws lie below `median_s`; `sigma` 0.5 is calm, 1 is wild.

    No draw exceeds `most_s`.
    """

    median_s: float
    sigma: float
    most_s: float = 60.0


Latency = tuple[float, float] | LogNormal
"""Seconds, drawn evenly between two, or with a long tail."""


def drawn_s(latency: Latency, rng: random.Random) -> float:
    """One draw; nothing is drawn for a latency that is always 0."""
    if isinstance(latency, LogNormal):
        return min(latency.most_s, rng.lognormvariate(math.log(latency.median_s), latency.sigma))
    low, high = latency
    return rng.uniform(low, high) if high > 0 else 0.0


def read_latency(name: str, value: float | Latency) -> Latency:
    """A latency as it was given, made sure of. Raises: ValueError."""
    if isinstance(value, LogNormal):
        if not (value.median_s > 0 and value.sigma >= 0 and value.most_s >= value.median_s):
            raise ValueError(f"{name} needs a median above 0, a sigma from 0 on, and a most above the median: {value}")
        return value
    low, high = value if isinstance(value, tuple) else (value, value)
    if not 0 <= low <= high:
        raise ValueError(f"{name} must be seconds or a range (low, high) of seconds, not {value!r}")
    return float(low), float(high)

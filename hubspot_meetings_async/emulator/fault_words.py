"""Faults and latencies as words of a command line: `0.01:503`, `#3:reset-applied@meetings.batch_*`, `0.02~0.8`.

Knows the spelling. Must not know what the faults do.
"""

from __future__ import annotations

from typing import Any, get_args

from .faults import Fault, FaultRule, Kind
from .latency import Latency, LogNormal

__all__ = ["FAULT_WORDS", "fault_rule", "latency"]

_KINDS = tuple(kind.replace("_", "-") for kind in get_args(Kind) if kind != "status")
FAULT_WORDS = (
    f"a status (503, or 503=2 with a Retry-After of 2 s), {', '.join(_KINDS)}; latency takes seconds (latency=0.5, or"
    " latency=0.5~0.8 with a lognormal tail), drip the pause (drip=0.1), oversized and gzip-bomb a number of bytes;"
    " with -applied behind it to strike after the write (504-applied), -late=S to write S seconds after the answer"
    " (504-late=2), @OPERATION for some calls only (reset@meetings.batch_*)"
)


def fault_rule(text: str) -> FaultRule:
    """A rule as `RATE:FAULT`, or `#N:FAULT` for the Nth matching request alone. Raises: ValueError."""
    when, colon, rest = text.partition(":")
    what, _, operation = rest.partition("@")
    words: dict[str, Any] = {"operation": operation or "*"}
    try:
        if not colon:
            raise ValueError("takes RATE:FAULT or #N:FAULT")
        if when.startswith("#"):
            words["skip"] = int(when[1:]) - 1
        else:
            words["rate"] = float(when)
        return FaultRule(fault=_fault(what), **words)
    except ValueError as error:
        raise ValueError(f"--fault {text}: {error}. FAULT is {FAULT_WORDS}") from None


def latency(text: str) -> Latency:
    """Seconds (`0.02`), a range (`0.01:0.05`), or a median with a lognormal tail (`0.02~0.8`). Raises: ValueError."""
    try:
        if "~" in text:
            median, _, sigma = text.partition("~")
            return LogNormal(float(median), float(sigma))
        low, _, high = text.partition(":")
        return float(low), float(high or low)
    except ValueError:
        raise ValueError(
            "a latency is seconds (0.02), a range of seconds (0.01:0.05), or a median and the sigma of a lognormal tail"
            f" (0.02~0.8), not {text!r}"
        ) from None


def _fault(text: str) -> Fault:
    words: dict[str, Any] = {}
    what, late, after = text.partition("-late=")
    if late:
        words["applied_after_s"] = float(after)
    word = what.removesuffix("-applied")
    words["applied"] = word != what
    name, equals, number = word.partition("=")
    if name.isdigit():
        if equals:
            words["retry_after"] = number
        return Fault(status=int(name), **words)
    if name not in _KINDS:
        raise ValueError(f"there is no fault {name!r}")
    if name == "latency":
        median, _, sigma = number.partition("~")
        words["latency_s"] = float(median)
        words["latency_sigma"] = float(sigma) if sigma else None
    elif name == "drip" and equals:
        words["pause_s"] = float(number)
    elif name in ("oversized", "gzip-bomb") and equals:
        words["size_bytes"] = int(number)
    elif equals:
        raise ValueError(f"{name} takes no number")
    words["kind"] = name.replace("-", "_")
    return Fault(**words)

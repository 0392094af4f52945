"""What the rate-limit headers of an answer say.

This module knows their names, and how numbers stand in them. It must not know what follows from those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from .published import DAILY_HEADER, DAILY_REMAINING_HEADER, INTERVAL_HEADER, MAX_HEADER, REMAINING_HEADER

__all__ = ["HeaderReader", "Reading"]


class Reading(NamedTuple):
    """What the rate-limit headers of one answer say; None for each that is absent or no number."""

    limit: int | None
    remaining: int | None
    window_s: float | None
    daily_limit: int | None
    daily_remaining: int | None


_Texts: TypeAlias = tuple[str | None, str | None, str | None, str | None, str | None]


class HeaderReader:
    """Reads the rate-limit headers of answers. What stands there as it did last time is not parsed again."""

    __slots__ = ("_reading", "_texts")

    def __init__(self) -> None:
        self._texts: _Texts = (None, None, None, None, None)
        self._reading = Reading(None, None, None, None, None)

    def read(self, headers: Mapping[str, str]) -> Reading:
        """The headers of one answer. Any of them may be missing."""
        get = headers.get
        # Where one of the day's two is missing, as under OAuth, both are; without the other it would be of no use.
        daily_remaining = get(DAILY_REMAINING_HEADER)
        daily = None if daily_remaining is None else get(DAILY_HEADER)
        texts = (get(MAX_HEADER), get(REMAINING_HEADER), get(INTERVAL_HEADER), daily, daily_remaining)
        if texts != self._texts:
            self._texts, self._reading = texts, _parsed(texts)
        return self._reading


def _parsed(texts: _Texts) -> Reading:
    limit, remaining, interval_ms, daily_limit, daily_remaining = map(_count, texts)
    return Reading(limit, remaining, interval_ms / 1000 if interval_ms else None, daily_limit, daily_remaining)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if number > 0 else 0

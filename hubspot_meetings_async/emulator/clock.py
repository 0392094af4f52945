"""The two clocks of an account: the wall (timestamps of records, midnight) and the steady one (rate windows).

Knows nothing of HTTP, records or quotas. Everything else in the emulator asks a `Clock` and never the `time` module, so
a test can own the time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["AccountDay", "Clock", "ManualClock", "MovableClock", "SystemClock"]

_FURTHEST_S = 100 * 365 * 86_400.0


class Clock(Protocol):
    """Where the emulator reads the time."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds, HubSpot's own precision."""
        ...

    def steady_s(self) -> float:
        """Seconds that only ever grow; rate windows are measured with it."""
        ...


@runtime_checkable
class MovableClock(Clock, Protocol):
    """A clock that a test can move."""

    def advance(self, seconds: float) -> None:
        """Move both hands forward. Raises: ValueError for less than 0 seconds."""
        ...


class SystemClock:
    """The machine's clocks, which run on from wherever `advance()` moved them."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        """How far both hands are ahead of the machine's."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def steady_s(self) -> float:
        """`time.monotonic()`, and what it was moved by."""
        return time.monotonic() + self.ahead_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move both hands forward; they run on from there."""
        self.ahead_ms += round(_forward(seconds) * 1000)


class ManualClock:
    """A clock that stands still until `advance()` moves both hands."""

    def __init__(self, *, wall_ms: int = 1_795_249_800_123, steady_s: float = 0.0) -> None:
        self._wall_ms = wall_ms
        self._steady_s = steady_s
        self._moved_ns = 0  # whole ones: many small moves are one large one, for both hands

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._wall_ms + self._moved_ns // 1_000_000

    def steady_s(self) -> float:
        """Seconds since the start of this clock."""
        return self._steady_s + self._moved_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Move both hands forward, by whole nanoseconds."""
        self._moved_ns += round(_forward(seconds) * 1e9)


def _forward(seconds: float) -> float:
    if not 0 <= seconds < _FURTHEST_S:
        raise ValueError(f"a clock only moves forward, and by less than a hundred years: not by {seconds!r} s")
    return seconds


class AccountDay:
    """The days of an account: daily quotas start anew at midnight in its own time zone.

    Args:
        timezone: an IANA name. Raises: ValueError when this machine does not know it.
    """

    def __init__(self, timezone: str = "UTC") -> None:
        self.name = timezone
        self._zone: tzinfo = UTC
        if timezone != "UTC":
            try:
                self._zone = ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"unknown time zone {timezone!r}; use an IANA name such as Europe/Berlin") from None

    def number(self, wall_ms: int) -> int:
        """A number for the day of this moment, one higher each day."""
        return self._local(wall_ms).toordinal()

    def ends_in_s(self, wall_ms: int) -> float:
        """Seconds until midnight."""
        now = self._local(wall_ms)
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), tzinfo=self._zone)
        return midnight.timestamp() - wall_ms / 1000

    def _local(self, wall_ms: int) -> datetime:
        return datetime.fromtimestamp(wall_ms / 1000, tz=self._zone)

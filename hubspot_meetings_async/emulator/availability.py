"""When somebody can be met: working hours in a time zone, busy times, and the slots that are left.

Pure: moments in (Unix milliseconds), moments out. Must not know links, bookings, requests or the clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = ["DAY_MS", "MINUTE_MS", "BusyTimes", "MinuteRange", "WorkingHours", "month_span", "slots", "zone"]

MINUTE_MS = 60_000
DAY_MS = 86_400_000
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

MinuteRange = tuple[int, int]
"""Minutes after midnight, from and to; 1440 is the midnight that ends the day."""


@lru_cache(maxsize=512)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises: ValueError for one this machine does not know."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    # ZoneInfo looks the name up as a file: wrong names end as several kinds of error.
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; use an IANA name such as Europe/Berlin") from None


class WorkingHours:
    """When somebody works, by groups of weekdays.

    Args:
        hours: `{"MON_FRI": "09:00-12:00"}`, or a list of such ranges; a group is a day (`MON`) or runs from one day to
            another (`SAT_SUN`). A range may end at `24:00`.

    Raises: ValueError.
    """

    def __init__(self, hours: Mapping[str, str | Sequence[str]]) -> None:
        self.groups: dict[str, tuple[MinuteRange, ...]] = {}
        self.texts = {group: [texts] if isinstance(texts, str) else list(texts) for group, texts in hours.items()}
        """What it was made from."""
        week: list[list[MinuteRange]] = [[] for _ in _DAYS]
        for group, texts in self.texts.items():
            ranges = tuple(_range(text) for text in texts)
            self.groups[group] = ranges
            for day in _days(group):
                week[day].extend(ranges)
        self._week = [_merged(ranges) for ranges in week]

    def spans(self, zone: tzinfo, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """The working time that begins in `[start_ms, end_ms)`, in order.

        Working time is laid over the real hours of the zone: across a change of the clocks it is an hour longer or
        shorter, so no slot lies in an hour that does not exist, and the hour that comes twice is offered twice.
        """
        day = datetime.fromtimestamp(start_ms / 1000, tz=zone).date()
        while True:
            for start, end in self._week[day.weekday()]:
                span = _moment(day, start, zone, opening=True), _moment(day, end, zone, opening=False)
                if start_ms <= span[0] < end_ms and span[0] < span[1]:
                    yield span
            day += timedelta(days=1)
            if _moment(day, 0, zone, opening=True) >= end_ms:
                return


class BusyTimes:
    """When somebody is taken: times that overlap are one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start_ms: int, end_ms: int) -> None:
        """Take `[start_ms, end_ms)`. Raises: ValueError when it is empty."""
        if start_ms >= end_ms:
            raise ValueError(f"a busy time must end after it starts, not {start_ms} to {end_ms}")
        first = bisect_left(self._ends, start_ms + 1)
        last = bisect_left(self._starts, end_ms)
        if first < last:
            start_ms = min(start_ms, self._starts[first])
            end_ms = max(end_ms, self._ends[last - 1])
        self._starts[first:last] = [start_ms]
        self._ends[first:last] = [end_ms]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """All taken times, in order."""
        return list(zip(self._starts, self._ends, strict=True))

    def free(self, start_ms: int, end_ms: int) -> bool:
        """Whether nothing of `[start_ms, end_ms)` is taken."""
        before = bisect_left(self._starts, end_ms) - 1
        return before < 0 or self._ends[before] <= start_ms

    def between(self, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
        """The taken times that reach into `[start_ms, end_ms)`."""
        first = bisect_left(self._ends, start_ms + 1)
        last = bisect_left(self._starts, end_ms)
        return list(zip(self._starts[first:last], self._ends[first:last], strict=True))


def slots(
    spans: Iterable[tuple[int, int]], *, duration_ms: int, step_ms: int, free: Callable[[int, int], bool]
) -> Iterator[int]:
    """The starts of all free slots: one every `step_ms` from the beginning of each span, so slots overlap."""
    for start, end in spans:
        for at in range(start, end - duration_ms + 1, step_ms):
            if free(at, at + duration_ms):
                yield at


def month_span(now_ms: int, offset: int, zone: tzinfo) -> tuple[int, int]:
    """First and last moment (exclusive) of the month that lies `offset` months from now in a zone.

    Raises: ValueError beyond the year 9998.
    """
    today = datetime.fromtimestamp(now_ms / 1000, tz=zone).date()
    number = today.year * 12 + today.month - 1 + offset
    first, following = (date(n // 12, n % 12 + 1, 1) for n in (number, number + 1))
    return _moment(first, 0, zone, opening=True), _moment(following, 0, zone, opening=True)


def _moment(day: date, minute: int, zone: tzinfo, *, opening: bool) -> int:
    """The moment when clocks in the zone show this time of day.

    Of a time that comes twice the second one opens and the first one closes. A time that is skipped is the moment of
    the skip.
    """
    wall = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
    moment = wall.replace(tzinfo=zone, fold=1 if opening else 0).timestamp()
    shown = datetime.fromtimestamp(moment, tz=zone).replace(tzinfo=None)
    if shown != wall:
        moment = wall.replace(tzinfo=zone, fold=0).timestamp()
        while datetime.fromtimestamp(moment - 60, tz=zone).replace(tzinfo=None) >= wall:
            moment -= 60
    return round(moment * 1000)


def _range(text: str) -> MinuteRange:
    start, _, end = text.partition("-")
    opens, closes = _minute(start), _minute(end)
    if opens is None or closes is None or opens >= closes:
        raise ValueError(f"working hours are ranges like 09:00-17:30, not {text!r}")
    return opens, closes


def _minute(text: str) -> int | None:
    hour, colon, minute = text.strip().partition(":")
    if not colon or not (hour.isdigit() and minute.isdigit()):
        return None
    total = int(hour) * 60 + int(minute)
    return total if int(minute) < 60 and total <= 1440 else None


def _days(group: str) -> list[int]:
    names = [name[:3].upper() for name in group.split("_")]
    if not 1 <= len(names) <= 2 or any(name not in _DAYS for name in names):
        raise ValueError(f"working hours are for a day (MON) or a row of days (MON_FRI), not for {group!r}")
    first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
    return [day % 7 for day in range(first, first + (last - first) % 7 + 1)]


def _merged(ranges: Iterable[MinuteRange]) -> list[MinuteRange]:
    merged: list[MinuteRange] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged

"""The free slots of a meeting link as one stream over months.

This module knows how HubSpot's pages of months follow each other. It must not know paths, or how anything travels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from ..errors import DurationNotOffered, UnexpectedResponse
from ..models.scheduler import AvailabilityPage, Slot
from ..moments import Zone

__all__ = ["MOST_MONTHS", "SlotQuery", "Slots"]

MOST_MONTHS: Final = 121
"""Months that are looked at, the current one included: ten years, which no link offers."""

_CLOCK_DOUBT: Final = timedelta(minutes=5)
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)

_Free = tuple[datetime, int, datetime]
"""A free time: begin (UTC), length in ms, end (UTC); sorts as slots are given out."""


class SlotQuery(Struct, frozen=True, kw_only=True):
    """What a stream of slots is to hold; `start` and `end` are in UTC, `duration_ms` None is every length."""

    slug: str
    zone: Zone
    duration_ms: int | None
    start: datetime | None
    end: datetime | None
    months: int | None


class Slots:
    """Free slots over months: `async for` gives each once, in order. Each iteration begins anew.

    `page` reads the month of an offset, `durations_s` the lengths that the link offers; `now` is the local clock.
    """

    def __init__(
        self,
        asked: SlotQuery,
        *,
        page: Callable[[int], Awaitable[AvailabilityPage]],
        durations_s: Callable[[], Awaitable[tuple[float, ...]]],
        now: Callable[[], datetime],
    ) -> None:
        self._asked = asked
        self._page = page
        self._durations_s = durations_s
        self._now = now

    async def __aiter__(self) -> AsyncIterator[Slot]:
        asked, tz = self._asked, self._asked.zone.tz
        last = (_BEGINNING, 0)
        async for month in self._months():
            for begin, length_ms, end in month:
                # In UTC: datetimes of one zone compare by what the clocks show, and those repeat an hour in autumn.
                if (begin, length_ms) <= last:
                    continue
                last = (begin, length_ms)
                if asked.end is not None and begin >= asked.end:
                    return
                if asked.duration_ms in (None, length_ms) and (asked.start is None or begin >= asked.start):
                    yield Slot(begin.astimezone(tz), end.astimezone(tz), length_ms / 1000)

    async def _months(self) -> AsyncIterator[list[_Free]]:
        """The free times of month after month, of all lengths: any of them tells when the end is passed."""
        asked = self._asked
        before = self._now()
        for offset in range(asked.months or MOST_MONTHS):
            now = self._now()
            page = await self._page(offset)
            free = _free_times(page)
            if offset == 0:
                await self._check_duration(page)
            elif self._month_may_have_turned(since=before):
                # HubSpot counts from its current month. When that changes between two calls, the month between their
                # answers now stands where the earlier one stood.
                free += _free_times(await self._page(offset - 1))
            yield sorted(free)
            if page.link_availability is None or not page.link_availability.has_more:
                return
            before = now
        if asked.months is None:
            raise UnexpectedResponse(f"HubSpot promises free times beyond {MOST_MONTHS} months; give end= or months=")

    async def _check_duration(self, page: AvailabilityPage) -> None:
        """A length that is not on the page has no free time this month, or none ever: the link's settings tell."""
        asked_ms = self._asked.duration_ms
        if asked_ms is None or any(length_ms == asked_ms for length_ms, _ in _by_length(page)):
            return
        offered_s = await self._durations_s()
        if offered_s and asked_ms / 1000 not in offered_s:
            listed = ", ".join(f"{length_s:g}" for length_s in offered_s)
            raise DurationNotOffered(
                f"the meeting link {self._asked.slug!r} has no meetings of {asked_ms / 1000:g} s, but of {listed} s",
                offered_s=offered_s,
            )

    def _month_may_have_turned(self, *, since: datetime) -> bool:
        # In which zone HubSpot counts is not documented: the visitor's or UTC. Its clock and ours may differ.
        first, last = since - _CLOCK_DOUBT, self._now() + _CLOCK_DOUBT
        return any(_month(first, tz) != _month(last, tz) for tz in (self._asked.zone.tz, UTC))


def _month(moment: datetime, tz: tzinfo) -> tuple[int, int]:
    local = moment.astimezone(tz)
    return local.year, local.month


def _by_length(page: AvailabilityPage) -> Iterator[tuple[int, Iterable[_Free]]]:
    found = page.link_availability.link_availability_by_duration if page.link_availability is not None else {}
    for key, times in found.items():
        length_ms = times.meeting_duration_ms
        if length_ms is None:
            if not (key.isascii() and key.isdigit()):
                raise UnexpectedResponse(f"HubSpot names a meeting's length {key[:40]!r}, which is no number of ms")
            length_ms = int(key[:20])
        yield length_ms, [(free.start_at, length_ms, free.end_at) for free in times.availabilities]


def _free_times(page: AvailabilityPage) -> list[_Free]:
    return [free for _, times in _by_length(page) for free in times]

"""What the emulator has seen: requests, answers, what they did, and how much of the quota was used.

Knows numbers. Must not know HTTP or rules; the front door reports each request, the rest is read from the other rooms.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque

import msgspec

from .faults import Faults
from .portal import Portal
from .quota import AppWindow, Quota

__all__ = ["AppUse", "Counts", "RateLimited", "RecordCounts", "RequestEntry", "Second", "Stats", "stats"]

KEEP_SECONDS = 180


class RequestEntry(msgspec.Struct, frozen=True):
    """One request as the log remembers it; `at_s` counts from the start, `status` is 0 when no answer was sent.

    `took_s` is from its arrival until its answer began to leave. Sizes are those of the bodies, before any packing.
    The body itself is kept only where the emulator was told so, and never that of a call for tokens.
    """

    number: int
    at_s: float
    method: str
    path: str
    operation: str
    status: int
    fault: str | None
    correlation_id: str
    app: str | None
    took_s: float = 0.0
    request_bytes: int = 0
    answer_bytes: int = 0
    query: str = ""
    body: bytes | None = None


class Second(msgspec.Struct):
    """How many requests of one second the account's limits refused, and how many a fault struck."""

    refused: int = 0
    struck: int = 0


class RateLimited(msgspec.Struct, frozen=True, kw_only=True):
    """Answers with 429: those the account's limits demanded, and those a fault injected."""

    genuine: int
    ten_secondly: int
    secondly: int
    daily: int
    injected: int


class RecordCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What requests did to meetings, and how many there are (archived ones too)."""

    created: int
    updated: int
    archived: int
    stored: int


class AppUse(msgspec.Struct, frozen=True, kw_only=True):
    """The window of one app; seconds count from the start of the emulator.

    `per_second[n]` are the accepted requests of second n after `first_s`.
    """

    accepted: int
    refused: int
    most_in_window: int
    first_s: float | None
    last_s: float | None
    per_second: list[int]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Everything counted since the start or the last reset."""

    uptime_s: float
    requests: int
    by_operation: dict[str, int]
    by_status: dict[str, int]
    rate_limited: RateLimited
    records: RecordCounts
    faults: dict[str, int]
    limit: int | None
    window_s: float
    daily_limit: int | None
    daily_used: int
    apps: dict[str, AppUse]
    searches: AppUse
    """The searches of all apps, whose window is a second."""

    @property
    def most_in_window(self) -> int:
        """The most requests accepted in any window of any app."""
        return max((use.most_in_window for use in self.apps.values()), default=0)


class Counts:
    """The tally of requests and a log of the last ones."""

    def __init__(self, *, keep: int, started_s: float, keep_bodies: bool = False) -> None:
        self._keep = keep
        self.keep_bodies = keep_bodies
        self.reset(started_s=started_s)

    def reset(self, *, started_s: float) -> None:
        """Start anew."""
        self.started_s = started_s
        self.requests = 0
        self.judged = 0
        self.by_operation: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.injected_429 = 0
        self.recent: deque[RequestEntry] = deque(maxlen=self._keep)
        self.left = 0
        self.seconds: dict[int, Second] = {}
        """What happened in each of the last seconds, by whole seconds since the start."""

    def arrive(self, operation: str) -> int:
        """Count a request; returns its number, from 1."""
        self.requests += 1
        self.by_operation[operation] += 1
        return self.requests

    def judge(self) -> None:
        """Count a request that was stamped, and refused or carried out."""
        self.judged += 1

    def leave(self, entry: RequestEntry) -> None:
        """Count what became of it."""
        self.left += 1
        self.by_status[entry.status] += 1
        if entry.fault is not None or entry.status == 429:
            self._note(int(entry.at_s), entry)
        if self._keep:
            self.recent.append(entry)

    def _note(self, second: int, entry: RequestEntry) -> None:
        seen = self.seconds.get(second)
        if seen is None:
            seen = self.seconds[second] = Second()
            for old in [known for known in self.seconds if known < second - KEEP_SECONDS]:
                del self.seconds[old]
        if entry.fault is None:
            seen.refused += 1
        else:
            seen.struck += 1


def stats(counts: Counts, quota: Quota, faults: Faults, portal: Portal, now_s: float) -> Stats:
    """Put the numbers of all rooms together."""
    store = portal.meetings.store
    ten_secondly, daily = quota.refused["TEN_SECONDLY_ROLLING"], quota.refused["DAILY"]
    secondly = quota.refused["SECONDLY"]
    return Stats(
        uptime_s=now_s - counts.started_s,
        requests=counts.requests,
        by_operation=dict(counts.by_operation),
        by_status={str(status) if status else "no answer": number for status, number in counts.by_status.items()},
        rate_limited=RateLimited(
            genuine=ten_secondly + secondly + daily,
            ten_secondly=ten_secondly,
            secondly=secondly,
            daily=daily,
            injected=counts.injected_429,
        ),
        records=RecordCounts(created=store.created, updated=store.updated, archived=store.archived, stored=len(store)),
        faults=dict(faults.injected),
        limit=quota.limit,
        window_s=quota.window_s,
        daily_limit=quota.daily_limit,
        daily_used=quota.daily_used,
        apps={name: _use(window, counts.started_s) for name, window in quota.apps.items()},
        searches=_use(quota.searches, counts.started_s),
    )


def _use(window: AppWindow, started_s: float) -> AppUse:
    stamps = window.accepted
    return AppUse(
        accepted=len(stamps),
        refused=window.refused,
        most_in_window=window.most_in_window,
        first_s=stamps[0] - started_s if stamps else None,
        last_s=stamps[-1] - started_s if stamps else None,
        per_second=_per_second(stamps),
    )


def _per_second(stamps: array[float]) -> list[int]:
    if not stamps:
        return []
    first = stamps[0]
    bins = [0] * (int(stamps[-1] - first) + 1)
    for stamp in stamps:
        bins[int(stamp - first)] += 1
    return bins

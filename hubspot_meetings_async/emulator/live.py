"""One look at everything, small enough to be asked for every second: what the page at `/` shows.

Knows the `House` and numbers. Must not know HTTP; and shows neither tokens nor bodies nor queries.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import islice

import msgspec

from .associations import OBJECT_TYPES
from .counts import RequestEntry, Second
from .house import House

__all__ = ["Live", "live"]

SPAN_S = 120
"""How far back the chart goes."""
SHOWN_REQUESTS = 50
SHOWN_APPS = 8
LONGEST_PATH = 300


class WindowUse(msgspec.Struct, frozen=True, kw_only=True):
    """The fullest window of any app, second by second, and what went wrong in each.

    `used[n]` are the requests in the window that ends `n` seconds after `first_s`; the last entry is this moment.
    """

    window_s: float
    limit: int | None
    first_s: int
    used: list[int]
    refused: list[int]
    struck: list[int]


class AppLine(msgspec.Struct, frozen=True, kw_only=True):
    """One app's window at this moment, and in all."""

    name: str
    used: int
    limit: int | None
    most: int
    accepted: int
    refused: int


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a limit is used; `resets_in_s` is for the daily one."""

    used: int
    limit: int | None
    refused: int
    resets_in_s: float | None = None


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds now (`live`, `in_bin`), and what requests did to its meetings."""

    live: int
    in_bin: int
    created: int
    updated: int
    archived: int
    associations: int
    others: dict[str, int]


class ArmedFault(msgspec.Struct, frozen=True, kw_only=True):
    """A rule at work. `left` None is no end."""

    name: str
    operation: str
    left: int | None
    struck: int
    skip: int
    rate: float | None


class RequestLine(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `at_ms` is Unix time, `status` 0 is no answer."""

    number: int
    at_ms: int
    method: str
    path: str
    status: int
    fault: str | None
    took_ms: float
    request_bytes: int
    answer_bytes: int
    app: str | None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows. `recent` has the last answers first, and `left` is how many there were in all."""

    portal_id: int
    timezone: str
    now_ms: int
    started_ms: int
    requests: int
    left: int
    window: WindowUse
    apps: list[AppLine]
    more_apps: int
    searches: Use
    daily: Use
    refused: int
    injected_429: int
    records: Records
    armed: list[ArmedFault]
    injected: dict[str, int]
    operations: list[str]
    recent: list[RequestLine]


def live(house: House) -> Live:
    """The state of this moment. Cheap: nothing here grows with the number of records or requests."""
    counts, quota, faults = house.counts, house.quota, house.faults
    at, now_ms = house.clock.steady_s(), house.clock.wall_ms()
    started_ms = now_ms - round((at - counts.started_s) * 1000)
    daily = house.portal.daily_use()
    apps = _apps(house, at)
    return Live(
        portal_id=house.portal.portal_id,
        timezone=house.day.name,
        now_ms=now_ms,
        started_ms=started_ms,
        requests=counts.requests,
        left=counts.left,
        window=_window(house, at),
        apps=apps[:SHOWN_APPS],
        more_apps=max(0, len(apps) - SHOWN_APPS),
        searches=Use(used=quota.searches_used(at), limit=quota.search_limit, refused=quota.refused["SECONDLY"]),
        daily=Use(
            used=daily.used,
            limit=daily.limit,
            refused=quota.refused["DAILY"],
            resets_in_s=(daily.resets_at_ms - now_ms) / 1000,
        ),
        refused=sum(quota.refused.values()),
        injected_429=counts.injected_429,
        records=_records(house),
        armed=[
            ArmedFault(
                name=rule.fault.name, operation=rule.operation, left=left, struck=struck, skip=rule.skip, rate=rule.rate
            )
            for rule, left, struck in faults.rules()
        ],
        injected=dict(faults.injected),
        operations=sorted(counts.by_operation),
        recent=[_line(entry, started_ms) for entry in islice(reversed(counts.recent), SHOWN_REQUESTS)],
    )


def _window(house: House, at: float) -> WindowUse:
    counts, window_s = house.counts, house.quota.window_s
    now_s = at - counts.started_s
    first_s = max(0, int(now_s) - SPAN_S)
    ends = [counts.started_s + second for second in range(first_s, int(now_s) + 1)] + [at]
    stamps = [app.accepted for app in house.quota.apps.values()]
    stamps = [one for one in stamps if one and one[-1] > ends[0] - window_s]
    nothing = Second()
    seconds = [counts.seconds.get(second, nothing) for second in range(first_s, int(now_s) + 1)]
    return WindowUse(
        window_s=window_s,
        limit=house.quota.limit,
        first_s=first_s,
        used=[max((_within(one, end, window_s) for one in stamps), default=0) for end in ends],
        refused=[second.refused for second in seconds],
        struck=[second.struck for second in seconds],
    )


def _within(stamps: array[float], end: float, window_s: float) -> int:
    return bisect_right(stamps, end) - bisect_right(stamps, end - window_s)


def _apps(house: House, at: float) -> list[AppLine]:
    """The apps that called, the busiest of this moment first."""
    lines = [
        AppLine(
            name=name,
            used=house.quota.used(name, at),
            limit=house.quota.limit_of(name),
            most=window.most_in_window,
            accepted=len(window.accepted),
            refused=window.refused,
        )
        for name, window in house.quota.apps.items()
    ]
    return sorted(lines, key=lambda line: (-line.used, -line.accepted, line.name))


def _records(house: House) -> Records:
    store = house.portal.meetings.store
    others = {type_.plural: len(house.portal.crm(type_.plural).store) for type_ in OBJECT_TYPES[1:]}
    return Records(
        live=len(store) - store.in_bin,
        in_bin=store.in_bin,
        created=store.created,
        updated=store.updated,
        archived=store.archived,
        associations=house.portal.associations.pairs,
        others={name: number for name, number in others.items() if number},
    )


def _line(entry: RequestEntry, started_ms: int) -> RequestLine:
    return RequestLine(
        number=entry.number,
        at_ms=started_ms + round(entry.at_s * 1000),
        method=entry.method,
        path=entry.path if len(entry.path) <= LONGEST_PATH else entry.path[:LONGEST_PATH] + "…",
        status=entry.status,
        fault=entry.fault,
        took_ms=round(entry.took_s * 1000, 1),
        request_bytes=entry.request_bytes,
        answer_bytes=entry.answer_bytes,
        app=entry.app,
    )

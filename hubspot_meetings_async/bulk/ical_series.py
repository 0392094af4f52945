"""The occurrences of a repeating event within a window: rules, exceptions, and single ones that were changed.

This module knows how series are expanded, and what an expansion may cost. It must not know files, or meetings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from .ical_events import Event, Moment, instant
from .ical_zones import Zones
from .lines import Unreadable

__all__ = ["Occurrence", "occurrences", "searches"]

MOST: Final = 10_000
"""Occurrences of one event within the window."""

_MOST_STEPS: Final = 200_000
"""Occurrences from the first one on that an expansion goes through, at most."""

_SLACK: Final = timedelta(days=2)
_RULE = re.compile(r"[A-Z-]+=[A-Z0-9,+-]+(?:;[A-Z-]+=[A-Z0-9,+-]+)*")
_PER_DAY: Final = {"YEARLY": 1, "MONTHLY": 1, "WEEKLY": 1, "DAILY": 1, "HOURLY": 24}


class Occurrence(NamedTuple):
    """One time at which an event takes place; `instance` names it (its `RECURRENCE-ID`) when it is one of several."""

    event: Event
    start: Moment
    end: Moment
    instance: Moment | None


def occurrences(series: Sequence[Event], since: datetime, until: datetime, zones: Zones) -> list[Occurrence]:
    """What of a series begins within the window, in the order of time.

    `series` are the events of one UID: the one with the rules, if the file has it, and those that stand for single
    occurrences (`RECURRENCE-ID`), also for all from one on (`RANGE=THISANDFUTURE`). Of two that say the same thing the
    one with the higher `SEQUENCE` counts, or the later. Raises: Unreadable for rules that nobody could follow.
    """
    main, changed = _sorted(series, zones)
    found: list[Occurrence] = []
    used: set[datetime] = set()
    if main is not None:
        shifts = [one for _, one in sorted(changed.items()) if one.and_future]
        reach = max((abs(_shift(one, zones)) for one in shifts), default=timedelta(0)) + _SLACK
        for start, end in _expanded(main, since - reach, until + reach):
            at = instant(start, zones)
            if at in changed:
                used.add(at)
                found.append(_as_changed(changed[at]))
                continue
            ruling = next((one for one in reversed(shifts) if instant(_instance(one), zones) < at), None)
            if ruling is not None:
                start = start + _shift(ruling, zones)
                end = start + ruling.length
            found.append(Occurrence(ruling or main, start, end, _original(at, start, main)))
        used.update(instant(one, zones) for one in main.excluded)
        # What was changed before the rules were, and is none of their occurrences any more, is gone.
        used.update(
            at for at, one in changed.items() if one.sequence < main.sequence and since - reach <= at < until + reach
        )
    found += [_as_changed(one) for at, one in changed.items() if at not in used]
    within = [one for one in found if since <= instant(one.start, zones) < until]
    if len(within) > MOST:
        raise Unreadable(
            f"the event takes place {len(within):,} times within the window; {MOST:,} are the most. Make the window "
            "smaller with --from and --until (since= and until= in a program)"
        )
    return sorted(within, key=lambda one: instant(one.start, zones))


def _sorted(series: Sequence[Event], zones: Zones) -> tuple[Event | None, dict[datetime, Event]]:
    """The event with the rules, and those that stand for single occurrences, by these."""
    main: Event | None = None
    changed: dict[datetime, Event] = {}
    for event in series:
        if event.recurrence_id is None:
            main = event if main is None or event.sequence >= main.sequence else main
        else:
            at = instant(event.recurrence_id, zones)
            before = changed.get(at)
            changed[at] = event if before is None or event.sequence >= before.sequence else before
    return main, changed


def _as_changed(event: Event) -> Occurrence:
    return Occurrence(event, event.start, event.start + event.length, event.recurrence_id)


def _instance(event: Event) -> Moment:
    return event.recurrence_id if event.recurrence_id is not None else event.start


def _shift(event: Event, zones: Zones) -> timedelta:
    """By how much a changed occurrence was moved."""
    return instant(event.start, zones) - instant(_instance(event), zones)


def _original(at: datetime, start: Moment, main: Event) -> Moment:
    """What names the occurrence: when it was to begin by the rules."""
    if isinstance(main.start, datetime):
        return at
    return start.date() if isinstance(start, datetime) else start


def _expanded(main: Event, since: datetime, until: datetime) -> Iterator[tuple[Moment, Moment]]:
    """Starts and ends by rules and dates alone, without those that are excluded."""
    from icalendar import Calendar, vDDDTypes, vRecur
    from icalendar import Event as Component
    from recurring_ical_events import CalendarQuery  # pyright: ignore[reportMissingTypeStubs]  (it has none)

    for rule in main.rules:
        _need_bounded(rule, main, until)
    component = cast("Any", Component())
    component.add("UID", main.uid)
    try:
        component["DTSTART"] = vDDDTypes(main.start)
        component["DTEND"] = vDDDTypes(main.start + main.length)
        if main.excluded:
            component.add("EXDATE", list(main.excluded))
        if main.added:
            component.add("RDATE", list(main.added))
        for rule in main.rules:
            component.add("RRULE", vRecur.from_ical(rule))
        calendar = cast("Any", Calendar())
        calendar.add_component(component)
        for one in cast("list[Any]", CalendarQuery(calendar).between(since, until)):
            yield one["DTSTART"].dt, one["DTEND"].dt
    except (ValueError, TypeError, OverflowError, KeyError, IndexError, AttributeError) as error:
        raise Unreadable(f"its repetition can not be worked out: {str(error)[:200]}") from error


def searches(event: Event) -> bool:
    """Whether its rules may be ones that no day satisfies, which takes seconds to find out."""
    return any(rule.count("BY") > 1 or "BYSETPOS" in rule or "BYMONTHDAY" in rule for rule in event.rules)


def _need_bounded(rule: str, event: Event, until: datetime) -> None:
    """Refuse what would be expanded for ever, or nearly. Raises: Unreadable."""
    if not _RULE.fullmatch(rule):
        raise Unreadable(f"RRULE is not written as NAME=VALUE;…: {rule[:80]!r}")
    pieces = dict(piece.split("=", 1) for piece in rule.split(";"))
    if len(pieces) != rule.count(";") + 1 or {"COUNT", "UNTIL"} <= pieces.keys():
        raise Unreadable(f"it says twice how it repeats, or both COUNT and UNTIL: {rule[:80]!r}")
    per_day = _PER_DAY.get(pieces.get("FREQ", ""))
    if per_day is None:
        raise Unreadable(
            f"it repeats by {rule[:80]!r}; of FREQ, {', '.join(reversed(_PER_DAY))} are taken: what takes place every "
            "minute is no meeting"
        )
    interval = pieces.get("INTERVAL", "1")
    if not interval.isdecimal() or not 0 < int(interval[:9]) < 10_000:
        raise Unreadable(f"INTERVAL of a repetition is a number from 1 to 9999, not {interval[:20]!r}")
    by = {name: value.split(",") for name, value in pieces.items() if name.startswith("BY")}
    if per_day > 1 and by:
        raise Unreadable(f"an hourly repetition is taken without BY… only, not {rule[:80]!r}")
    for name in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        per_day *= len(by.get(name, "1"))
    days = max((until.date() - _date(event.start)).days, 1)
    if days * per_day > _MOST_STEPS:
        raise Unreadable(
            f"it may take place {days * per_day:,} times from {event.start:%Y} to {until:%Y}: {rule[:80]!r}"
        )


def _date(moment: Moment) -> date:
    return moment.date() if isinstance(moment, datetime) else moment

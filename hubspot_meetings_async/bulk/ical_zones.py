"""What local times of a calendar file mean: time zones by name, and those that the file defines itself.

This module knows how calendars name time zones. It must not know events or files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, tzinfo
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from .ical_lines import Part, property_of
from .lines import Unreadable

__all__ = ["UnknownZone", "Zones"]

_MOST_LINES: Final = 1_000
_YEARLY = re.compile(r"(?:^|;)FREQ=YEARLY(?:;|$)", re.IGNORECASE)
_NO_STEP = re.compile(r"(?:^|;)INTERVAL=0*(?:;|$)", re.IGNORECASE)


class UnknownZone(Unreadable):
    """A time zone that is not known here, and was not defined by the file so far."""


class Zones:
    """The time zones of one file; `default` is that of times which name none.

    A name of the IANA database is that zone, whatever the file says of it; also as Windows spells it, and with a
    vendor's prefix. Any other name is the zone that the file defines by it.
    """

    def __init__(self, default: ZoneInfo | None = None) -> None:
        self.default: tzinfo | None = default
        self._defined: dict[str, Part] = {}
        self._known: dict[str, tzinfo] = {}

    def define(self, part: Part) -> None:
        """Take a `VTIMEZONE` of the file; what is wrong with it is told when an event needs it."""
        for number, text in part.lines:
            if text[:4].upper() == "TZID":
                self._defined.setdefault(property_of(number, text).value.strip(), part)
                return

    def named(self, name: str) -> tzinfo:
        """The zone of this name. Raises: UnknownZone; Unreadable when the file's definition of it makes no sense."""
        zone = self._known.get(name)
        if zone is None:
            zone = _by_name(name)
            if zone is None:
                part = self._defined.get(name)
                if part is None:
                    raise UnknownZone(
                        f"the time zone {name[:80]!r} is neither known here nor defined in the file (VTIMEZONE)"
                    )
                zone = _defined(part, name)
            self._known[name] = zone
        return zone

    def aware(self, moment: date | datetime, name: str | None) -> date | datetime:
        """A moment in its zone; days stay days. Raises: Unreadable for a time that names none, without a default."""
        if not isinstance(moment, datetime) or moment.tzinfo is not None:
            return moment
        zone = self.named(name) if name else self.default
        if zone is None:
            raise Unreadable(
                f"{moment.isoformat()} names no time zone, nor does the calendar; say which is meant with --timezone "
                "Europe/Berlin (timezone= in a program)"
            )
        return moment.replace(tzinfo=zone)


def _by_name(name: str) -> tzinfo | None:
    for one in _spellings(name):
        try:
            return ZoneInfo(one)
        except (OSError, ValueError, LookupError):
            continue
    return None


def _spellings(name: str) -> Iterator[str]:
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    cleaned = name.strip("/")
    yield cleaned
    if cleaned in WINDOWS_TO_OLSON:
        yield WINDOWS_TO_OLSON[cleaned]
    pieces = cleaned.split("/")
    if name.startswith("/"):
        yield from ("/".join(pieces[-length:]) for length in (3, 2) if len(pieces) > length)


def _defined(part: Part, name: str) -> tzinfo:
    """The zone that a file defines. Rules other than yearly ones would take for ever, and no clocks change so often."""
    from icalendar import Timezone

    rules = [text for _, text in part.lines if text[:5].upper() == "RRULE"]
    strange = [rule for rule in rules if not _YEARLY.search(rule.partition(":")[2]) or _NO_STEP.search(rule)]
    if part.trouble or strange or len(part.lines) > _MOST_LINES:
        why = part.trouble or ("its rules are not yearly" if strange else f"more than {_MOST_LINES:,} lines")
        raise Unreadable(f"the file's definition of {name[:80]!r} (line {part.start}) can not be used: {why}")
    text = "\r\n".join(("BEGIN:VTIMEZONE", *(text for _, text in part.lines), "END:VTIMEZONE", ""))
    try:
        zone = cast("Any", Timezone.from_ical(text)).to_tz(lookup_tzid=False)
        datetime(2026, 1, 1, tzinfo=zone).utcoffset()
    except Exception as error:  # what such definitions can do to their readers is open-ended
        raise Unreadable(
            f"the file's definition of {name[:80]!r} (line {part.start}) can not be used: {str(error)[:200]}"
        ) from error
    return cast("tzinfo", zone)

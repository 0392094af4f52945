"""Rows of a table as records: which column is which property, and what its dates and times mean.

This module knows calendar exports, property names and time zones. It must not know files, quotes or HubSpot's calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ..errors import ConfigurationError, InvalidRecord
from ..inputs import Record
from ..models import Association, to_company, to_contact, to_deal, to_ticket
from .lines import Unreadable

__all__ = ["TIME_PROPERTIES", "Columns", "Plan"]

TIME_PROPERTIES: Final = ("hs_timestamp", "hs_meeting_start_time", "hs_meeting_end_time")
"""Columns of these properties are read as dates and times; all others are passed on as text."""

_MAKERS = {"contact": to_contact, "company": to_company, "deal": to_deal, "ticket": to_ticket}
_PROPERTY_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """How the columns of a CSV file become properties.

    A column named like a property (`hs_meeting_title`) is that property, and `id` is the meeting's id; no setting is
    needed for those. Empty cells are left out. `hs_timestamp` takes the start time where the file does not give it.

    Attributes:
        mapped: Column to property. `{"Subject": "hs_meeting_title"}`; two columns joined by a space:
            `{"Start Date+Start Time": "hs_meeting_start_time"}`; `{"notes": ""}` leaves a column out.
        timezone: The zone of times that name none, such as `Europe/Berlin`. In the hour that a clock change repeats,
            the first pass is meant; a time that a clock change skips makes the row `Broken`.
        date_format: A `strptime` format for dates; else ISO 8601, Unix milliseconds, `MM/DD/YYYY` and `DD.MM.YYYY`
            are understood, each with or without a time (`14:30`, `2:30 PM`).
        associated: `contact`, `company`, `deal` or `ticket` to the column that holds their ids, separated by `;`.
    """

    mapped: Mapping[str, str] = {}
    timezone: str | None = None
    date_format: str | None = None
    associated: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for name in self.mapped.values():
            if name and not _PROPERTY_NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no property name (a-z, 0-9 and _, a letter first)")
        for kind in self.associated:
            if kind not in _MAKERS:
                raise ConfigurationError(f"{kind!r} can not be associated; choose from {', '.join(_MAKERS)}")
        self.zone()

    def zone(self) -> ZoneInfo | None:
        """The time zone, looked up. Raises: ConfigurationError when there is none of that name."""
        if self.timezone is None:
            return None
        try:
            return ZoneInfo(self.timezone)
        except (OSError, ValueError, LookupError) as error:
            raise ConfigurationError(
                f"no time zone {self.timezone!r} is known here; write it like Europe/Berlin"
                " (on a machine without zone data: pip install tzdata)"
            ) from error


class Plan:
    """What to do with each cell of a row, worked out once from the header."""

    def __init__(self, header: Sequence[str], columns: Columns, warn: Callable[[str], None]) -> None:
        self._names = [name.strip() for name in header]
        self._times = _Times(columns.zone(), columns.date_format, warn)
        self._targets: list[tuple[str, tuple[int, ...]]] = []
        self._links = [(_MAKERS[kind], self._place(column)) for kind, column in columns.associated.items()]
        used = {place for _, place in self._links}
        for column, target in columns.mapped.items():
            places = self._places(column)
            used.update(places)
            if target:
                self._targets.append((target, places))
        ignored = self._take_properties(used)
        doubled = {target for target, _ in self._targets if [t for t, _ in self._targets].count(target) > 1}
        if doubled:
            raise ConfigurationError(f"more than one column of the file gives {', '.join(sorted(doubled))}")
        if not self._targets:
            raise ConfigurationError(
                f"no column of the header is a property: {self._shown()}. The first line must name the columns;"
                " map them like --map 'Subject=hs_meeting_title'"
            )
        if ignored:
            warn(f"columns that are no properties and are left out: {', '.join(ignored)}")

    def _take_properties(self, used: set[int]) -> list[str]:
        """Take the columns that are properties by their own name; give back those that are not."""
        ignored: list[str] = []
        for place, name in enumerate(self._names):
            if place in used:
                continue
            if _PROPERTY_NAME.fullmatch(name):
                self._targets.append((name, (place,)))
            else:
                ignored.append(name or f"(column {place + 1} has no name)")
        return ignored

    def _shown(self) -> str:
        shown = ", ".join(self._names)
        return shown if len(shown) <= 200 else shown[:200] + "…"

    def _places(self, column: str) -> tuple[int, ...]:
        if column in self._names or "+" not in column:
            return (self._place(column),)
        return tuple(self._place(part.strip()) for part in column.split("+"))

    def _place(self, column: str) -> int:
        found = [place for place, name in enumerate(self._names) if name == column.strip()]
        if len(found) != 1:
            trouble = "is not there" if not found else f"is there {len(found)} times"
            raise ConfigurationError(f"the column {column!r} {trouble}; the file has: {self._shown()}")
        return found[0]

    def record(self, row: Sequence[str], number: int) -> Record:
        """The record of one row. Raises: Unreadable."""
        properties: dict[str, Any] = {}
        for target, places in self._targets:
            text = row[places[0]] if len(places) == 1 else " ".join(filter(str.strip, [row[place] for place in places]))
            if not text.strip():
                continue
            properties[target] = self._times.utc(target, text) if target in TIME_PROPERTIES else text
        if "hs_timestamp" not in properties and "hs_meeting_start_time" in properties:
            properties["hs_timestamp"] = properties["hs_meeting_start_time"]
        given_id: str | None = properties.pop("id", None)
        return Record(
            properties=properties,
            id=given_id.strip() if given_id else None,
            associations=self._associations(row) if self._links else (),
            ref=number,
        )

    def _associations(self, row: Sequence[str]) -> tuple[Association, ...]:
        try:
            return tuple(
                make(one.strip()) for make, place in self._links for one in row[place].split(";") if one.strip()
            )
        except InvalidRecord as error:
            raise Unreadable(error.message) from error


# ---- dates and times ---------------------------------------------------------------------------------------------

_TIME = r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?:\s*(?P<half>[ap])\.?m\.?)?)?"
_DATES = [
    re.compile(date + _TIME, re.IGNORECASE)
    for date in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    )
]


class _Times:
    def __init__(self, zone: ZoneInfo | None, date_format: str | None, warn: Callable[[str], None]) -> None:
        self._zone = zone
        self._format = date_format
        self._warn: Callable[[str], None] | None = warn

    def utc(self, name: str, text: str) -> str:
        """`text` as HubSpot takes it. Raises: Unreadable, saying what is wrong with it."""
        try:
            moment = self._parsed(text.strip())
            return self._aware(moment).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        except Unreadable as error:
            raise Unreadable(f"{name}: {text.strip()[:80]!r} {error}") from error
        except (ValueError, OverflowError) as error:
            raise Unreadable(f"{name}: {text.strip()[:80]!r} is no date and time: {error}") from error

    def _parsed(self, text: str) -> datetime:
        if self._format is not None:
            return datetime.strptime(text, self._format)  # noqa: DTZ007  (the zone is put on by the caller)
        if text.isdecimal() and len(text) in (12, 13):
            return _EPOCH + timedelta(milliseconds=int(text))
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
        for pattern in _DATES:
            found = pattern.fullmatch(text)
            if found is not None:
                return self._from_parts(text, found)
        raise Unreadable("is no date that is understood here; say how it is written with --date-format '%d/%m/%y …'")

    def _from_parts(self, text: str, found: re.Match[str]) -> datetime:
        year, month, day, hour, minute, second = (
            int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
        )
        if found["half"]:
            if not 1 <= hour <= 12:
                raise Unreadable("has an hour that does not go with AM or PM")
            hour = hour % 12 + (12 if found["half"] in "pP" else 0)
        if self._warn is not None and "/" in text and day <= 12 and day != month:
            self._warn(f"dates with slashes are read month first ({text[:40]!r}); --date-format says otherwise")
            self._warn = None
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  (the zone is put on by the caller)

    def _aware(self, moment: datetime) -> datetime:
        if moment.utcoffset() is not None:
            return moment
        if self._zone is None:
            raise Unreadable("names no time zone; say which is meant with --timezone Europe/Berlin")
        aware = moment.replace(tzinfo=self._zone)
        if aware.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != moment:
            raise Unreadable(f"does not exist in {self._zone.key}: the clocks were put forward over it")
        return aware

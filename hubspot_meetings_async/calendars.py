"""Calendar files (`.ics`) for programs: their events as records, and their attendees as contacts of the meetings.

This module knows which calls of a client push a calendar. It must not know how files are read, or arguments of the
command line.

    attendees = Attendees(hubspot)
    async with hubspot.bulk.upsert(read_ics("team.ics"), id_property="ical_uid") as run:
        async for outcome in run:
            await attendees.note(outcome)
    print(await attendees.link())
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Final, cast

from msgspec import Struct

from .bulk.outcomes import Ambiguous, Created, NotSent, Outcome, Read, Rejected, Updated
from .bulk.sources import Broken, EventSettings, Happening, Source
from .client import MeetingsClient
from .errors import InvalidRecord
from .inputs import Record
from .models import LinkFailure

__all__ = ["AttendeeReport", "Attendees", "Broken", "Happening", "read_ics"]

_AT_ONCE: Final = 1_000
_FAILURES_KEPT: Final = 100


def read_ics(
    path: str | os.PathLike[str] | BinaryIO,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    timezone: str | None = None,
    id_property: str = "ical_uid",
    owners: Mapping[str, str] | None = None,
    on_broken: Callable[[Broken], None] | None = None,
) -> Iterator[Record]:
    """The events of a calendar file as records for `hubspot.bulk.upsert(…, id_property=id_property)`, lazily.

    A repeating event becomes a record for each of its occurrences. `record.ref` is a `Happening`, with the attendees.

    Args:
        path: a file's name (`.gz` is unpacked), `-` for standard input, or an open binary stream.
        since: leave out what begins before it; aware; by default a year before today.
        until: leave out what begins then or later; aware; by default a year after today. With a journal give both:
            the source must be the same when the run is gone on with, also tomorrow.
        timezone: the zone of times that name none, where the calendar does not say (`Europe/Berlin`).
        id_property: the unique property that keeps the UID (of an occurrence, `UID/RECURRENCE-ID`).
        owners: HubSpot's owner ids by organizers' e-mail addresses.
        on_broken: is given each event that makes no sense.

    Raises: ConfigurationError for a setting or a file that makes no sense, or without the extra `icalendar`; OSError
    when the file can not be read; without `on_broken`, InvalidRecord for the first event that makes no sense.
    """
    settings = EventSettings(
        since=since,
        until=until,
        timezone=timezone,
        id_property=id_property,
        owners={address.lower(): owner for address, owner in (owners or {}).items()},
    )
    return _records(Source(path, format="ics", events=settings), on_broken)


def _records(source: Source, on_broken: Callable[[Broken], None] | None) -> Iterator[Record]:
    with source:
        for item in source:
            if isinstance(item, Record):
                yield item
            elif on_broken is not None:
                on_broken(item)
            else:
                raise InvalidRecord(f"{source.name}, the event on line {item.line}: {item.reason}")


class AttendeeReport(Struct, frozen=True, kw_only=True):
    """What became of attendees: `linked` pairs of a meeting and a contact, addresses `without_contact`.

    `failed` counts pairs that HubSpot refused, of which `failures` keeps the first 100; `unknown` are meetings that
    were not found by their key (their records were not done).
    """

    linked: int = 0
    failed: int = 0
    failures: tuple[LinkFailure, ...] = ()
    unknown: int = 0
    without_contact: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{self.linked:,} attendees linked", f"{len(self.without_contact):,} addresses without a contact"]
        words += [f"{self.failed:,} links refused"] if self.failed else []
        return ", ".join(words)


class Attendees:
    """Ties meetings to those of their attendees that are contacts, found by e-mail address.

    Links are set beside the run, 1,000 meetings at a time: HubSpot's upserts take none. Linking twice has the effect
    of once, and no link is ever removed. Somebody who is no contact is named in the report; no contacts are made.

    A run that goes on with a journal passes over what is settled and tells no outcome of it: let `expect` see every
    record (`map(attendees.expect, records)`), and `link` looks the meetings of those up.
    """

    def __init__(self, hubspot: MeetingsClient, *, id_property: str = "ical_uid") -> None:
        self._hubspot = hubspot
        self._id_property = id_property
        self._expected: dict[str, tuple[str, ...]] = {}
        self._waiting: list[tuple[str, tuple[str, ...]]] = []
        self._contacts: dict[str, str | None] = {}
        self._linked = self._failed = self._unknown = 0
        self._failures: list[LinkFailure] = []

    def expect(self, record: Record) -> Record:
        """Hear of a record on its way into the run; gives it back."""
        people = _attendees(record)
        if people:
            self._expected[self._key(record)] = people
        return record

    async def note(self, outcome: Outcome[Any, Any]) -> None:
        """Hear of an outcome; now and then this links what has come together. Raises: as `link`."""
        people = _attendees(outcome.record)
        if not people:
            return
        if isinstance(outcome, (Created, Updated)):
            self._waiting.append((cast("str", outcome.meeting.id), people))
        if not isinstance(outcome, Ambiguous):
            self._expected.pop(self._key(outcome.record), None)
        if len(self._waiting) >= _AT_ONCE:
            await self._flush()

    async def link(self) -> AttendeeReport:
        """Link what is left, and tell what became of all.

        Raises: Forbidden when the app may not read contacts, and as any search and batch of associations.
        """
        await self._flush()
        await self._look_up()
        return AttendeeReport(
            linked=self._linked,
            failed=self._failed,
            failures=tuple(self._failures),
            unknown=self._unknown,
            without_contact=tuple(sorted(address for address, id_ in self._contacts.items() if id_ is None)),
        )

    def _key(self, record: Record) -> str:
        return str(cast("Mapping[str, Any]", record.properties)[self._id_property])

    async def _look_up(self) -> None:
        """Find the meetings of records whose outcome nobody told."""
        expected, self._expected = self._expected, {}
        if not expected:
            return
        async with self._hubspot.bulk.read(
            list(expected), id_property=self._id_property, properties=[self._id_property]
        ) as run:
            async for outcome in run:
                if isinstance(outcome, Read):
                    self._waiting.append((outcome.meeting.id, expected[outcome.record]))
                    if len(self._waiting) >= _AT_ONCE:
                        await self._flush()
                elif isinstance(outcome, NotSent) and outcome.error is not None:
                    raise outcome.error
                elif isinstance(outcome, Rejected):
                    self._unknown += 1
        await self._flush()

    async def _flush(self) -> None:
        """Link the meetings that wait. They go on waiting when it fails."""
        addresses = {address for _, people in self._waiting for address in people} - self._contacts.keys()
        if addresses:
            found = await self._hubspot.contacts.by_email(sorted(addresses))
            self._contacts.update((address, found.get(address)) for address in addresses)
        pairs = [(meeting, id_) for meeting, people in self._waiting for one in people if (id_ := self._contacts[one])]
        report = await self._hubspot.associations.associate_default("meetings", "contacts", pairs)
        self._waiting.clear()
        self._linked += report.done
        self._failed += len(report.failures)
        self._failures += report.failures[: _FAILURES_KEPT - len(self._failures)]


def _attendees(record: object) -> tuple[str, ...]:
    ref = record.ref if isinstance(record, Record) else None
    return ref.attendees if isinstance(ref, Happening) else ()

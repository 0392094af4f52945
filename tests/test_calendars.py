"""Calendars for programs, and who the people in them are, against the emulator over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import ConfigurationError, Contacts, InvalidRecord, MeetingsClient
from hubspot_meetings_async.calendars import Attendees, Broken, Happening, read_ics
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.wire import Quota, Request, Trail

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def event(number: int, *addresses: str) -> str:
    people = "".join(f"ATTENDEE:mailto:{address}\n" for address in addresses)
    return f"BEGIN:VEVENT\nUID:e{number}\nDTSTART:20261101T090000Z\nSUMMARY:Event {number}\n{people}END:VEVENT\n"


def calendar(folder: Path, *events: str) -> Path:
    path = folder / "team.ics"
    path.write_text(f"BEGIN:VCALENDAR\n{''.join(events)}END:VCALENDAR\n")
    return path


@asynccontextmanager
async def account() -> AsyncIterator[tuple[Emulator, MeetingsClient]]:
    async with Emulator(limit=None) as emulator:
        emulator.portal.add_property("ical_uid", unique=True)
        async with MeetingsClient("any-word", base_url=emulator.url) as hubspot:
            yield emulator, hubspot


class TestReadIcs:
    def test_events_are_records(self, tmp_path: Path) -> None:
        (record,) = read_ics(calendar(tmp_path, event(1, "Ada@example.com")), since=SINCE, until=UNTIL)
        assert record.ref == Happening(2, None, ("ada@example.com",))

    def test_a_broken_event_is_an_error_unless_somebody_takes_it(self, tmp_path: Path) -> None:
        path = calendar(tmp_path, event(1).replace("UID:e1\n", ""), event(2))
        with pytest.raises(InvalidRecord, match=r"team\.ics, the event on line 2: the event has no UID"):
            list(read_ics(path, since=SINCE, until=UNTIL))
        heard: list[Broken] = []
        assert len(list(read_ics(path, since=SINCE, until=UNTIL, on_broken=heard.append))) == 1
        assert [item.line for item in heard] == [2]


class TestContacts:
    async def test_any_number_of_addresses_in_few_searches_however_they_are_written(self) -> None:
        async with account() as (emulator, hubspot):
            ids = {
                f"p{n}@example.com": emulator.portal.add_object("contacts", properties={"email": f"p{n}@example.com"})
                for n in range(0, 250, 2)
            }
            found = await hubspot.contacts.by_email([f" P{n}@Example.com" for n in range(250)] + ["", "p1@example.com"])
            assert found == ids
            assert emulator.stats().by_operation["contacts.search"] == 3

    async def test_long_addresses_keep_within_hubspots_3000_characters(self) -> None:
        async with account() as (emulator, hubspot):
            assert await hubspot.contacts.by_email([f"{'ü' * 60}{n}@example.com" for n in range(30)]) == {}
            assert set(emulator.stats().by_status) == {"200"}

    @pytest.mark.parametrize(
        ("version", "path"),
        [("v3", "/crm/v3/objects/contacts/search"), ("2026-09", "/crm/objects/2026-09/contacts/search")],
    )
    async def test_each_search_waits_at_the_gate_of_searches(self, version: str, path: str) -> None:
        sent: list[tuple[str, Quota]] = []

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            sent.append((request.path, request.quota))
            return request.decoder.decode(b'{"total": 0, "results": []}') if request.decoder else None

        assert await Contacts(call, api_version=version).by_email(["ada@example.com"]) == {}
        assert sent == [(path, Quota.SEARCH)]

    async def test_one_string_is_no_list(self) -> None:
        async with account() as (_, hubspot):
            with pytest.raises(ConfigurationError, match="a list"):
                await hubspot.contacts.by_email("ada@example.com")


class TestAttendees:
    async def test_attendees_who_are_contacts_are_linked(self, tmp_path: Path) -> None:
        """Once each, however often the calendar is pushed; the others are named."""
        path = calendar(
            tmp_path, event(1, "ada@example.com", "nobody@example.com"), event(2, "ADA@example.com"), event(3)
        )
        async with account() as (emulator, hubspot):
            ada = emulator.portal.add_object("contacts", properties={"email": "ada@example.com"})
            for _ in range(2):
                attendees = Attendees(hubspot)
                records = read_ics(path, since=SINCE, until=UNTIL)
                async with hubspot.bulk.upsert(records, id_property="ical_uid") as run:
                    async for outcome in run:
                        await attendees.note(outcome)
                report = await attendees.link()
                assert str(report) == "2 attendees linked, 1 addresses without a contact"
                assert report.without_contact == ("nobody@example.com",)
            linked = {
                meeting.properties["ical_uid"]: [one.id for one in meeting.associations["contacts"].results]
                async for meeting in hubspot.meetings.list(properties=["ical_uid"], associations=["contacts"])
                if meeting.associations
            }
            assert linked == {"e1": [ada], "e2": [ada]}
            assert emulator.stats().by_operation["contacts.search"] == 2

    async def test_what_an_earlier_run_has_done_is_linked_too(self, tmp_path: Path) -> None:
        """A run that goes on tells no outcome of what is settled; the meetings are found by their keys."""
        path = calendar(tmp_path, event(1, "ada@example.com"), event(2))
        async with account() as (emulator, hubspot):
            ada = emulator.portal.add_object("contacts", properties={"email": "ada@example.com"})
            journal = tmp_path / "j"
            await hubspot.bulk.upsert(read_ics(path, since=SINCE, until=UNTIL), id_property="ical_uid", journal=journal)

            attendees = Attendees(hubspot)
            records = map(attendees.expect, read_ics(path, since=SINCE, until=UNTIL))
            async with hubspot.bulk.upsert(records, id_property="ical_uid", journal=journal) as run:
                async for outcome in run:
                    await attendees.note(outcome)
            assert run.report.settled_before == 2
            assert (await attendees.link()).linked == 1
            (meeting,) = [one async for one in hubspot.associations.list("contacts", ada, "meetings")]
            assert (await hubspot.meetings.get(meeting.to_object_id, properties=["ical_uid"])).properties[
                "ical_uid"
            ] == "e1"

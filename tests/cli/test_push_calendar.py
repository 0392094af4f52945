"""`hubspot-meetings push calendar.ics` against the emulator: as a process, over a socket."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hubspot_meetings_async.cli.app import app
from hubspot_meetings_async.emulator import Emulator

from .command import lines_of, run

WINDOW = ("--from", "2026-01-01", "--until", "2027-01-01")
TEAM = """\
BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:kick-off
DTSTART;TZID=Europe/Berlin:20261102T090000
DURATION:PT1H
SUMMARY:Kick-off
LOCATION:https://meet.example.com/1
ORGANIZER:mailto:owner@example.com
ATTENDEE:mailto:ada@example.com
ATTENDEE:mailto:nobody@example.com
END:VEVENT
BEGIN:VEVENT
UID:weekly
DTSTART;TZID=Europe/Berlin:20261103T090000
RRULE:FREQ=WEEKLY;COUNT=3
SUMMARY:Weekly
ATTENDEE:mailto:ada@example.com
END:VEVENT
END:VCALENDAR
"""


@asynccontextmanager
async def account() -> AsyncIterator[tuple[Emulator, str]]:
    """An account and the id of its contact Ada."""
    async with Emulator(limit=None) as hubspot:
        ada = hubspot.portal.add_object("contacts", properties={"email": "ada@example.com"})
        yield hubspot, ada


def linked_to(hubspot: Emulator, contact: str) -> int:
    """How many meetings a contact has."""
    return len(hubspot.portal.tied("contacts", int(contact), "meetings", limit=100)[0])


def stored(hubspot: Emulator) -> dict[str, dict[str, Any]]:
    """The meetings by their UID."""
    return {one["ical_uid"]: one for one in hubspot.portal.objects()}


async def test_a_second_push_updates_and_doubles_nothing(tmp_path: Path) -> None:
    """Events become meetings, the occurrences of a series one each; what changed in the calendar changes in HubSpot."""
    path = tmp_path / "team.ics"
    path.write_text(TEAM)
    async with account() as (hubspot, ada):
        push = ["push", "team.ics", "--base-url", hubspot.url, "--json", *WINDOW]
        first = await run(*push, "--create-property", "--owner", "Owner@example.com=77", cwd=tmp_path)
        assert first.code == 0, first.err
        assert (first.account["created"], first.account["updated"]) == (4, 0)
        assert first.account["attendees"] == {
            "linked": 4,
            "failed": 0,
            "failures": [],
            "without_contact": ["nobody@example.com"],
        }
        assert "No contact has the address nobody@example.com." in first.err
        assert set(stored(hubspot)) == {
            "kick-off",
            "weekly/20261103T080000Z",
            "weekly/20261110T080000Z",
            "weekly/20261117T080000Z",
        }
        assert stored(hubspot)["kick-off"]["hubspot_owner_id"] == "77"
        assert os.listdir(tmp_path) == ["team.ics"]

        path.write_text(
            TEAM.replace("20261102T09", "20261102T11")
            .replace("SUMMARY:Kick-off", "SUMMARY:Kick-off\nSTATUS:CANCELLED")
            .replace("COUNT=3", "COUNT=3\nEXDATE;TZID=Europe/Berlin:20261110T090000")
        )
        again = await run(*push, cwd=tmp_path)
        assert again.code == 0, again.err
        assert (again.account["created"], again.account["updated"]) == (0, 3)
        assert len(stored(hubspot)) == 4
        kick_off = stored(hubspot)["kick-off"]
        assert kick_off["hs_meeting_start_time"].startswith("2026-11-02T10:00")
        assert kick_off["hs_meeting_outcome"] == "CANCELED"
        assert linked_to(hubspot, ada) == 4


async def test_what_is_wrong_goes_to_the_rejects_by_occurrence(tmp_path: Path) -> None:
    """Broken events with their text; refused ones with the line and which occurrence; each can be pushed again."""
    bad = TEAM.replace("UID:kick-off\n", "").replace("ORGANIZER", "X").replace("SUMMARY:Weekly", "SUMMARY:Weekly")
    (tmp_path / "team.ics").write_text(bad)
    async with account() as (hubspot, _):
        hubspot.portal.add_property("ical_uid", unique=True)
        hubspot.faults.fail_next(400, times=None, operation="meetings.batch_upsert")
        push = ["push", "team.ics", "--base-url", hubspot.url, "--json", *WINDOW]
        done = await run(*push, cwd=tmp_path)
    assert done.code == 1, done.err
    broken, *refused = lines_of(tmp_path / "team.ics.rejects.jsonl")
    assert (broken["line"], broken["outcome"]) == (3, "broken")
    assert "no UID" in broken["reason"]
    assert [(one["line"], one["occurrence"]) for one in refused] == [
        (12, "20261103T080000Z"),
        (12, "20261110T080000Z"),
        (12, "20261117T080000Z"),
    ]


async def test_a_push_that_was_cut_off_is_finished_with_its_links(tmp_path: Path) -> None:
    """The links failed after the meetings were written; the journal is kept, and resume sets them."""
    (tmp_path / "team.ics").write_text(TEAM)
    async with account() as (hubspot, ada):
        hubspot.portal.add_property("ical_uid", unique=True)
        hubspot.faults.fail_next(403, operation="contacts.search")
        done = await run("push", "team.ics", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        assert done.code == 3, done.err
        assert done.account["created"] == 4
        assert linked_to(hubspot, ada) == 0
        finished = await run("resume", "team.ics.journal", "--json", cwd=tmp_path)
        assert finished.code == 0, finished.err
        assert (finished.account["settled_before"], finished.account["attendees"]["linked"]) == (4, 4)
        assert linked_to(hubspot, ada) == 4
        assert not (tmp_path / "team.ics.journal").exists()


async def test_a_push_that_goes_on_keeps_its_window(tmp_path: Path) -> None:
    """The usual window moves with the days; a journal is of the events that it was begun with."""
    (tmp_path / "team.ics").write_text(TEAM)
    async with account() as (hubspot, _):
        hubspot.portal.add_property("ical_uid", unique=True)
        push = ["push", "team.ics", "--base-url", hubspot.url, "--journal", "j", "--json", "--no-attendees"]
        first = await run(*push, "--from", "2026-11-03", "--until", "2026-11-11", cwd=tmp_path)
        again = await run(*push, cwd=tmp_path)
    assert (first.account["created"], again.account["settled_before"], again.account["pulled"]) == (2, 2, 0), again.err


async def test_attendees_can_be_left_alone(tmp_path: Path) -> None:
    (tmp_path / "team.ics").write_text(TEAM)
    async with account() as (hubspot, ada):
        hubspot.portal.add_property("ical_uid", unique=True)
        done = await run(
            "push", "team.ics", "--base-url", hubspot.url, "--no-attendees", *WINDOW, "--json", cwd=tmp_path
        )
        assert (done.code, done.account["attendees"]) == (0, None)
        assert linked_to(hubspot, ada) == 0
        assert "contacts.search" not in hubspot.stats().by_operation


async def test_dry_run_shows_the_meetings_and_names_broken_events(tmp_path: Path) -> None:
    words = ["push", "-", "--format", "ics", "--dry-run", "--id-property", "booking_ref", *WINDOW]
    done = await run(*words, cwd=tmp_path, token=None, given=TEAM.replace("20261102T", "tomorrow").encode())
    assert done.code == 1
    assert "line 3: line 5: DTSTART is no date or time" in done.err
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == [
        "weekly/20261103T080000Z",
        "weekly/20261110T080000Z",
        "weekly/20261117T080000Z",
    ]


async def test_without_the_property_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "team.ics").write_text(TEAM)
    async with account() as (hubspot, _):
        done = await run("push", "team.ics", "--base-url", hubspot.url, *WINDOW, cwd=tmp_path)
        assert done.code == 2
        assert "add --create-property" in done.err
        assert hubspot.stats().records.created == 0
    assert os.listdir(tmp_path) == ["team.ics"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["team.ics", "--create"], "a calendar is pushed by --upsert"),
        (["team.ics", "--from", "soon"], "--from takes a date such as 2026-01-31"),
        (["team.ics", "--from", "2026-02-01", "--until", "2026-01-01"], "the window of events is empty"),
        (["team.ics", "--map", "A=b"], "columns, their time zone and date formats are for CSV"),
        (["team.ics", "--owner", "ada"], "--owner is written like --owner ada@example.com=41629779"),
        (["team.ics", "--timezone", "Mars"], "no time zone 'Mars'"),
        (["m.jsonl", "--from", "2026-01-01"], "are for calendar files"),
        (["m.jsonl", "--create-property"], "--create-property goes with"),
    ],
)
def test_wrong_usage_is_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    """Told before anything is read or sent: at this address nobody listens."""
    (tmp_path / "team.ics").write_text(TEAM)
    (tmp_path / "m.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "any-word")
    done = CliRunner().invoke(app, ["push", *words, "--base-url", "http://127.0.0.1:9"])
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


async def test_a_file_that_is_no_calendar_breaks_the_push_off(tmp_path: Path) -> None:
    (tmp_path / "page.ics").write_text("<html>")
    async with account() as (hubspot, _):
        hubspot.portal.add_property("ical_uid", unique=True)
        done = await run("push", "page.ics", "--base-url", hubspot.url, "--no-journal", cwd=tmp_path)
    assert done.code == 2
    assert "page.ics, line 1: BEGIN:VCALENDAR is expected here" in done.err

"""A journal that meets another job than its own, and sources that name a meeting twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import (
    Created,
    JournalMismatchError,
    MeetingsClient,
    NoLimit,
    Rejected,
    RetryPolicy,
    Run,
)
from hubspot_meetings_async.emulator import Emulator, Fault

KEY = "booking_ref"
CREATE = "meetings.batch_create"
COUNT = 700

Records = list[dict[str, str]]


def bookings(count: int = COUNT) -> Records:
    return [{KEY: f"ref-{number}", "hs_meeting_title": f"Review {number}"} for number in range(count)]


def client_of(emulator: Emulator) -> MeetingsClient:
    retry = RetryPolicy(base_s=0.001, cap_s=0.01)
    return MeetingsClient("token", base_url=emulator.url, limiter=NoLimit(), retry=retry)


@pytest.fixture
async def hubspot(emulator: Emulator) -> AsyncIterator[MeetingsClient]:
    async with client_of(emulator) as hubspot:
        yield hubspot


@pytest.fixture
async def journal(emulator: Emulator, hubspot: MeetingsClient, tmp_path: Path) -> Path:
    """The journal of a keyed job that was left in the middle, with a batch in doubt."""
    path = tmp_path / "job.journal"
    emulator.faults.strike_next(Fault(kind="hang"), operation=CREATE, skip=3)
    run = hubspot.bulk.create(bookings(), key_property=KEY, journal=path, workers=2)
    async with run:
        async for outcome in run:
            if outcome.ordinal >= 300:
                break
    assert run.report.ambiguous >= 100
    return path


def writes(emulator: Emulator) -> int:
    counts = emulator.stats().by_operation
    return sum(counts.get(f"meetings.batch_{name}", 0) for name in ("create", "update", "upsert", "archive"))


Other = Callable[[MeetingsClient, Path], Run[Any]]

OTHER_JOBS: dict[str, tuple[Other, str]] = {
    "operation": (lambda hubspot, path: hubspot.bulk.upsert(bookings(), id_property=KEY, journal=path), "operation"),
    "mode": (lambda hubspot, path: hubspot.bulk.create(bookings(), journal=path), "mode"),
    "key": (lambda hubspot, path: hubspot.bulk.create(bookings(), key_property="other_ref", journal=path), "key"),
}

OTHER_SOURCES: dict[str, Records] = {
    "shuffled": bookings()[::-1],
    "one record more at the start": [{KEY: "ref-new"}, *bookings()],
    "one record less in the middle": bookings()[:50] + bookings()[51:],
    "two exchanged": [*bookings()[:3], bookings()[4], bookings()[3], *bookings()[5:]],
    "another record where the doubt is": [
        {KEY: "ref-new"} if record[KEY] == "ref-399" else record for record in bookings()
    ],
    "shorter": bookings(200),
    "empty": [],
}


@pytest.mark.row("U5")
@pytest.mark.parametrize("difference", OTHER_JOBS)
async def test_a_journal_of_another_job_is_refused(
    emulator: Emulator, hubspot: MeetingsClient, journal: Path, difference: str
) -> None:
    """Before anything is sent, with what differs."""
    emulator.portal.add_property("other_ref", unique=True)
    sent = writes(emulator)
    start, word = OTHER_JOBS[difference]
    with pytest.raises(JournalMismatchError, match=f"whose {word}.*nothing was sent"):
        await start(hubspot, journal)
    assert writes(emulator) == sent


@pytest.mark.row("U5")
async def test_a_journal_of_another_account_is_refused(journal: Path) -> None:
    """The meetings it speaks of are not there."""
    async with Emulator(limit=None, portal_id=7) as elsewhere:
        elsewhere.portal.add_property(KEY, unique=True)
        async with client_of(elsewhere) as hubspot:
            with pytest.raises(JournalMismatchError, match="whose portal is '1234567', and this run's is '7'"):
                await hubspot.bulk.create(bookings(), key_property=KEY, journal=journal)
        assert writes(elsewhere) == 0


@pytest.mark.row("U5")
@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("difference", OTHER_SOURCES)
async def test_another_source_is_refused(
    emulator: Emulator, hubspot: MeetingsClient, journal: Path, difference: str, in_thread: bool
) -> None:
    """Nothing leaves before all records that the journal knows were compared; its own source can go on afterwards."""
    sent = writes(emulator)
    other = OTHER_SOURCES[difference]
    run = hubspot.bulk.create(other, key_property=KEY, journal=journal, read_in_thread=in_thread)
    with pytest.raises(JournalMismatchError, match="Nothing was sent"):
        await run
    assert run.report.adds_up
    assert run.report.done == 0
    assert writes(emulator) == sent
    report = await hubspot.bulk.create(bookings(), key_property=KEY, journal=journal)
    assert report.settled_before + report.created == COUNT
    assert emulator.portal.duplicates_by(KEY) == {}
    assert len(emulator.portal.meetings.store) == COUNT


async def test_a_shuffled_source_is_welcome_by_key(emulator: Emulator, hubspot: MeetingsClient, tmp_path: Path) -> None:
    """With `resume="key"` the order is of no matter, and new records are welcome too."""
    path = tmp_path / "job.journal"
    run = hubspot.bulk.create(bookings(), key_property=KEY, journal=path, resume="key", workers=2)
    async with run:
        async for outcome in run:
            if outcome.ordinal >= 300:
                break
    records = [*bookings()[::-1], {KEY: "ref-new"}]
    report = await hubspot.bulk.create(records, key_property=KEY, journal=path, resume="key")
    assert report.settled_before + report.created == COUNT + 1
    assert emulator.portal.duplicates_by(KEY) == {}
    assert len(emulator.portal.meetings.store) == COUNT + 1


@pytest.mark.row("S18")
@pytest.mark.parametrize("same_values", [True, False])
async def test_a_key_that_comes_again_long_after_makes_no_second_meeting(
    emulator: Emulator, hubspot: MeetingsClient, monkeypatch: pytest.MonkeyPatch, same_values: bool
) -> None:
    """Beyond what the run remembers, HubSpot refuses it; the other records of its batch are created."""
    monkeypatch.setattr("hubspot_meetings_async.bulk.intake._KEYS_REMEMBERED", 100)
    again = {KEY: "ref-3", "hs_meeting_title": "Review 3" if same_values else "Another"}
    outcomes = await _to_the_end(hubspot.bulk.create([*bookings(), again, {KEY: "ref-last"}], key_property=KEY))
    first, second = outcomes[3], outcomes[COUNT]
    assert isinstance(first, Created)
    if same_values:
        assert isinstance(second, Created)
        assert (second.new, second.meeting.id) == (None, first.meeting.id)
    else:
        assert isinstance(second, Rejected)
    assert emulator.portal.duplicates_by(KEY) == {}
    assert len(emulator.portal.meetings.store) == COUNT + 1
    titles = {values[KEY]: values.get("hs_meeting_title") for values in emulator.portal.objects()}
    assert titles["ref-3"] == "Review 3"


@pytest.mark.soak
@pytest.mark.row("S18")
async def test_a_key_that_comes_again_a_hundred_thousand_records_later(
    emulator: Emulator, hubspot: MeetingsClient
) -> None:
    """As above, with the memory that runs have."""
    records = [*bookings(100_000), {KEY: "ref-3", "hs_meeting_title": "Another"}]
    report = await hubspot.bulk.create(records, key_property=KEY)
    assert (report.created, report.rejected) == (100_000, 1)
    assert emulator.portal.duplicates_by(KEY) == {}


@pytest.mark.row("S18")
@pytest.mark.parametrize("apart", [1, 150, 650])
async def test_updates_of_one_meeting_land_in_their_order(
    emulator: Emulator, hubspot: MeetingsClient, apart: int
) -> None:
    """However near or far, and also when the answer to the first one is lost."""
    ids = [emulator.portal.add_object("meetings") for _ in range(COUNT)]
    records = [{"id": id_, "hs_meeting_title": "first"} for id_ in ids]
    records.insert(20 + apart, {"id": ids[20], "hs_meeting_title": "second"})
    emulator.faults.fail_next(502, operation="meetings.batch_update", applied=True)
    report = await hubspot.bulk.update(records)
    assert report.updated == COUNT + 1
    titles = {values["hs_object_id"]: values["hs_meeting_title"] for values in emulator.portal.objects()}
    assert titles == {**dict.fromkeys(ids, "first"), ids[20]: "second"}


async def _to_the_end(run: Run[Any]) -> dict[int, Any]:
    """All outcomes by ordinal."""
    async with run:
        return {outcome.ordinal: outcome async for outcome in run}

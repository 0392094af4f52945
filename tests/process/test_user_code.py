"""What the user's own code does to a run: sources that fail or block, callbacks that raise, early ends."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import (
    Created,
    JournalError,
    MeetingsClient,
    NoLimit,
    Report,
    RetryPolicy,
    Timeouts,
)
from hubspot_meetings_async.bulk.journal.database import Database, Row
from hubspot_meetings_async.bulk.journal.rows import ACK
from hubspot_meetings_async.emulator import Emulator, Fault

from .jobs import account

KEY = "booking_ref"
CREATE = "meetings.batch_create"


def client_of(emulator: Emulator, **options: Any) -> MeetingsClient:
    retry = RetryPolicy(base_s=0.001, cap_s=0.01)
    return MeetingsClient("token", base_url=emulator.url, limiter=NoLimit(), retry=retry, **options)


def bookings(count: int) -> list[dict[str, str]]:
    return [{KEY: f"ref-{number}", "hs_meeting_title": f"Review {number}"} for number in range(count)]


def stored(emulator: Emulator) -> list[str]:
    """The keys of all meetings, sorted; a key of two meetings would be there twice."""
    return sorted(entry.value or "" for entry in emulator.portal.ledger(KEY))


def sent(emulator: Emulator) -> int:
    return emulator.stats().by_operation.get(CREATE, 0)


async def finished(emulator: Emulator, records: list[dict[str, str]], journal: Path) -> Report:
    """Go on with a job, to its end; every record is there exactly once then."""
    async with client_of(emulator) as hubspot:
        report = await hubspot.bulk.create(records, key_property=KEY, journal=journal)
    assert report.settled_before + report.done == len(records)
    assert stored(emulator) == sorted(record[KEY] for record in records)
    return report


class BrokenSourceError(Exception):
    pass


@pytest.mark.row("P6")
async def test_a_source_that_fails_ends_the_run_after_what_it_gave(emulator: Emulator, tmp_path: Path) -> None:
    """5,050 records are finished and accounted for; then its exception, with the ordinal; the job can go on."""
    records = bookings(5_100)

    def source() -> Iterator[dict[str, str]]:
        yield from records[:5_050]
        raise BrokenSourceError("the cursor is gone")

    journal = tmp_path / "job.journal"
    outcomes = []
    async with client_of(emulator) as hubspot:
        run = hubspot.bulk.create(source(), key_property=KEY, journal=journal)
        with pytest.raises(BrokenSourceError) as caught:
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
    assert any("after 5,050 records" in note for note in caught.value.__notes__)
    assert run.report.pulled == run.report.created == len(outcomes) == 5_050
    report = await finished(emulator, records, journal)
    assert (report.settled_before, report.created) == (5_050, 50)


@pytest.mark.row("P7")
async def test_a_source_that_blocks_does_not_block_the_loop(emulator: Emulator) -> None:
    """Each `next()` takes 0.3 s; the loop turns meanwhile, thousands of times."""
    turns = 0
    turned_meanwhile = []

    def source() -> Iterator[dict[str, str]]:
        for record in bookings(3):
            before = turns
            time.sleep(0.3)
            turned_meanwhile.append(turns - before)
            yield record

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.ensure_future(count_turns())
    async with client_of(emulator) as hubspot:
        report = await hubspot.bulk.create(source(), key_property=KEY)
    counting.cancel()
    assert report.created == 3
    # A loop that stood still would have turned once; 50 ms of lag would make it six.
    assert min(turned_meanwhile) > 6


@pytest.mark.row("P8")
async def test_a_callback_that_raises_loses_no_outcome(emulator: Emulator, tmp_path: Path) -> None:
    """The run ends with its exception, after every record that was pulled has its outcome, in the journal too."""
    records = bookings(1_000)
    journal = tmp_path / "job.journal"

    def on_progress(report: Report) -> None:
        if report.created >= 300:
            raise BrokenSourceError("no such column")

    outcomes = []
    async with client_of(emulator) as hubspot:
        run = hubspot.bulk.create(records, key_property=KEY, journal=journal, on_progress=on_progress)
        with pytest.raises(BrokenSourceError):
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
    assert sorted(outcome.ordinal for outcome in outcomes) == list(range(run.report.pulled))
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    assert all(outcome.journaled for outcome in created)
    assert len(created) == len(stored(emulator))
    report = await finished(emulator, records, journal)
    assert report.settled_before == len(created)


@pytest.mark.row("P9")
@pytest.mark.parametrize("way", ["break", "raise", "cancel"])
async def test_a_consumer_that_stops_leaves_an_exact_account(emulator: Emulator, tmp_path: Path, way: str) -> None:
    """What is out is ambiguous and journaled, what is not out is surely not; no task stays; the job can go on."""
    records = bookings(1_000)
    journal = tmp_path / "job.journal"
    seen: list[Any] = []
    async with client_of(emulator) as hubspot:
        run = hubspot.bulk.create(records, key_property=KEY, journal=journal)

        async def consume() -> None:
            async with run:
                async for outcome in run:
                    seen.append(outcome)
                    if len(seen) == 250:
                        if way == "raise":
                            raise BrokenSourceError("enough")
                        if way == "break":
                            break
                        asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one

        consuming = asyncio.ensure_future(consume())
        ends = pytest.raises((BrokenSourceError, asyncio.CancelledError)) if way != "break" else nullcontext()
        with ends:
            await consuming
    assert not [task for task in asyncio.all_tasks() if "Run." in repr(task.get_coro())]
    everything = [*seen, *run.unread]
    assert sorted(outcome.ordinal for outcome in everything) == list(range(run.report.pulled))
    assert run.report.adds_up
    report = await finished(emulator, records, journal)
    assert report.settled_before == sum(isinstance(outcome, Created) for outcome in everything)


@pytest.mark.row("P15")
async def test_code_that_blocks_the_loop_is_not_taken_for_a_fault_of_hubspot() -> None:
    """Answers lie in the socket when the loop comes back: they are read before anything is thought lost."""
    timeout = Timeouts(attempt_s=0.4, connect_s=0.4, read_s=0.4)
    with account() as elsewhere:
        client = MeetingsClient("token", base_url=elsewhere.url, limiter=NoLimit(), timeout=timeout)
        run = client.bulk.create(bookings(1_500), workers=4)
        async with client, run:
            number = 0
            async for _ in run:
                number += 1
                if number in (301, 801):
                    time.sleep(1.0)  # noqa: ASYNC251 - the fault of this test
    assert (run.report.created, run.report.ambiguous) == (1_500, 0)


@pytest.mark.row("P17", "D2")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
@pytest.mark.parametrize(
    "failure", [SystemExit("a thread was told to end"), JournalError("the disk is full")], ids=repr
)
async def test_a_journal_that_takes_an_ack_no_more_ends_the_run_before_the_next_send(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, mode: str
) -> None:
    """Its writer dies, or its disk is full: what was out is told, marked as not journaled; a resumed job finishes."""
    records = bookings(1_000)
    journal = tmp_path / "job.journal"
    key: Any = {"key_property": KEY} if mode == "keyed" else {}
    sent_by_then: list[int] = []
    write = Database.write

    def failing(self: Database, rows: list[Row]) -> None:
        if emulator.portal.meetings.store.created >= 300 and any(kind == ACK for kind, *_ in rows):
            sent_by_then.append(sent(emulator))
            raise failure
        write(self, rows)

    outcomes = []
    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", failing)
        async with client_of(emulator) as hubspot:
            run = hubspot.bulk.create(records, journal=journal, workers=3, **key)
            with pytest.raises(JournalError, match=r"has no writer any more|the disk is full"):
                async with run:
                    async for outcome in run:
                        outcomes.append(outcome)
    assert sent(emulator) <= sent_by_then[0] + 3
    assert sorted(outcome.ordinal for outcome in outcomes) == list(range(run.report.pulled))
    unjournaled = [outcome for outcome in outcomes if isinstance(outcome, Created) and not outcome.journaled]
    assert unjournaled
    assert len(stored(emulator)) == sum(isinstance(outcome, Created) for outcome in outcomes)
    if mode == "keyed":
        await finished(emulator, records, journal)
        return
    async with client_of(emulator) as hubspot:
        report = await hubspot.bulk.create(records, journal=journal)
    # What the journal does not know of is held, by name, and not made again.
    assert report.ambiguous == len(unjournaled)
    assert stored(emulator) == sorted(record[KEY] for record in records)


@pytest.mark.row("D9")
async def test_a_journal_that_is_removed_meanwhile_ends_the_run(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed at the next look; with keys, the whole source can be sent again, and nothing is made twice."""
    monkeypatch.setattr("hubspot_meetings_async.bulk.journal.database.LOOK_S", 0.0)
    records = bookings(1_500)
    journal = tmp_path / "job.journal"
    async with client_of(emulator) as hubspot:
        run = hubspot.bulk.create(records, key_property=KEY, journal=journal, workers=2)
        with pytest.raises(JournalError, match="was removed or replaced"):
            async with run:
                number = 0
                async for _ in run:
                    number += 1
                    if number == 200:
                        for name in (journal, Path(f"{journal}-wal")):
                            name.unlink()
    assert len(stored(emulator)) < 1_500
    await finished(emulator, records, tmp_path / "another.journal")


@pytest.mark.row("P1")
async def test_a_doubt_that_a_run_leaves_is_in_its_journal(emulator: Emulator, tmp_path: Path) -> None:
    """A journal is read here by itself: an intent for every record, and an ack for those whose answer came."""
    emulator.faults.strike_next(Fault(kind="hang"), operation=CREATE)
    journal = tmp_path / "job.journal"
    async with client_of(emulator) as hubspot:
        run = hubspot.bulk.create(bookings(100), journal=journal)
        async with run:
            await emulator.until_requests(2)
    assert [outcome.why for outcome in run.unread if hasattr(outcome, "why")] == ["cancelled"] * 100
    with closing(sqlite3.connect(journal)) as file:
        assert [kind for (kind,) in file.execute("SELECT kind FROM log ORDER BY seq")][:3] == [4, 0, 1]

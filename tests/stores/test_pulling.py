"""From an account into a copy, and in step with it: against the emulator."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubspot_meetings_async import (
    ConfigurationError,
    HubSpotUnavailable,
    Limits,
    MeetingsClient,
    NoLimit,
    NotFound,
    RetryPolicy,
    StoreError,
)
from hubspot_meetings_async.emulator import Emulator, ManualClock
from hubspot_meetings_async.stores import JSONLStore, Pulled, SQLiteStore, pull, watch

from .samples import links_of, rows_of, sql

SWIFT = RetryPolicy(attempts=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def account(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(limit=None, search_limit=None, clock=clock) as running:
        running.portal.add_property("booking_ref", unique=True)
        yield running


@pytest.fixture
async def hubspot(account: Emulator) -> AsyncIterator[MeetingsClient]:
    limits = Limits(per_ten_seconds=10_000, search_per_second=1000)
    async with MeetingsClient("token", base_url=account.url, limits=limits, retry=SWIFT) as client:
        yield client


@pytest.fixture
def copy(tmp_path: Path) -> SQLiteStore:
    return SQLiteStore(tmp_path / "m.db")


def add(account: Emulator, *numbers: int) -> list[str]:
    made = [
        account.portal.add_object(
            "meetings",
            properties={"booking_ref": f"b-{number}", "hs_timestamp": "2026-05-14T12:30:00Z", "hs_meeting_title": "t"},
        )
        for number in numbers
    ]
    settle(account)
    return made


def settle(account: Emulator) -> None:
    """An hour goes by: what was written is found, and no longer within the overlap of two looks."""
    clock = account.portal.clock
    assert isinstance(clock, ManualClock)
    clock.advance(3600)


def refs(store: SQLiteStore) -> dict[str, str | None]:
    """References of meetings by id, as the copy has them."""
    return {str(row["id"]): row["booking_ref"] for row in sql(Path(str(store)), "SELECT * FROM meetings")}


async def pulled(hubspot: MeetingsClient, store: SQLiteStore, **words: Any) -> Pulled:
    async with store:
        return await pull(hubspot, store, **words)


class TestInStep:
    async def test_everything_first_and_then_what_changed(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        kept, gone = add(account, 1, 2)
        await hubspot.meetings.archive(gone)
        first = await pulled(hubspot, copy)
        assert (first.whole, first.seen, first.meetings, first.archived) == (True, 2, 2, 1)
        assert refs(copy) == {kept: "b-1", gone: "b-2"}

        await hubspot.meetings.update(kept, {"booking_ref": "b-9"})
        (new,) = add(account, 3)
        second = await pulled(hubspot, copy)
        assert (second.whole, second.meetings, second.archived) == (False, 2, 0)
        assert refs(copy) == {kept: "b-9", gone: "b-2", new: "b-3"}

        await hubspot.meetings.archive(new)
        third = await pulled(hubspot, copy)
        assert (third.meetings, third.archived) == (1, 1)
        archived = sql(Path(str(copy)), "SELECT id, archived_at FROM meetings WHERE archived ORDER BY id")
        assert {str(row["id"]) for row in archived} == {gone, new}
        assert all(row["archived_at"].startswith("20") for row in archived)

        fourth = await pulled(hubspot, copy)
        assert (fourth.seen, fourth.meetings) == (0, 0)

    async def test_links_come_with_their_meetings(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        (meeting,) = add(account, 1)
        contact = account.portal.add_object("contacts", properties={"email": "ada@example.com"})
        await hubspot.associations.set_default("meetings", meeting, "contacts", contact)
        await pulled(hubspot, copy)
        assert sql(Path(str(copy)), "SELECT * FROM meeting_associations") == []
        again = await pulled(hubspot, copy, associations=["contact"])
        assert again.whole
        assert await links_of(copy, int(meeting)) == [int(contact)]

    async def test_a_property_that_comes_to_the_account_comes_into_the_copy(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        """With its values, also those that were written before the copy knew of it."""
        (meeting,) = add(account, 1)
        async with copy:
            await pull(hubspot, copy)
            account.portal.add_property("colour")
            await hubspot.meetings.update(meeting, {"colour": "red"})
            settle(account)
            report = await pull(hubspot, copy)
            assert report.whole
            assert (await rows_of(copy))[int(meeting)]["colour"] == "red"
            assert not (await pull(hubspot, copy)).whole

    async def test_named_properties_are_all_there_is(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        add(account, 1)
        await pulled(hubspot, copy, properties=["booking_ref"])
        await pulled(hubspot, copy)
        (row,) = sql(Path(str(copy)), "SELECT * FROM meetings")
        assert list(row) == ["id", "created_at", "updated_at", "archived", "archived_at", "unfit", "booking_ref"]
        await pulled(hubspot, copy, properties="all")
        (row,) = sql(Path(str(copy)), "SELECT * FROM meetings")
        assert set(await hubspot.properties.all()) < set(row)


class TestBrokenOff:
    async def test_the_next_pull_goes_on_where_one_broke_off(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        ids = add(account, *range(1000))
        seen: list[int] = []

        def stop(report: Pulled) -> None:
            seen.append(report.seen)
            if report.seen:
                raise KeyError("died here")

        with pytest.raises(KeyError, match="died here"):
            await pulled(hubspot, copy, on_lot=stop)
        assert len(refs(copy)) == seen[-1]
        assert 0 < seen[-1] < 1000
        rest = await pulled(hubspot, copy)
        assert rest.whole
        assert rest.seen == 1000 - seen[-1]
        assert refs(copy) == {meeting: f"b-{number}" for number, meeting in enumerate(ids)}

    async def test_what_hubspot_refuses_does_not_become_part_of_the_copy(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        add(account, 1)
        with pytest.raises(NotFound, match="unknowns"):
            await pulled(hubspot, copy, associations=["unknowns"])
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            refs(copy)
        assert (await pulled(hubspot, copy)).meetings == 1

    async def test_a_store_that_fails_is_told_as_it_is(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(account, 1)

        async def fail(changes: Sequence[object], cursor: str) -> None:
            raise StoreError("full")

        monkeypatch.setattr(copy, "write", fail)
        with pytest.raises(StoreError, match="full"):
            await pulled(hubspot, copy)

    async def test_a_copy_of_another_account_is_left_alone(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        add(account, 1)
        await pulled(hubspot, copy)
        async with (
            Emulator(limit=None, portal_id=7) as other,
            MeetingsClient("token", base_url=other.url, limiter=NoLimit()) as stranger,
        ):
            with pytest.raises(ConfigurationError, match="of the account 1234567, and the token is for 7"):
                await pulled(stranger, copy)
        assert len(refs(copy)) == 1


class TestWatch:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Lengths of pauses, which take no time here."""
        asked: list[float] = []

        async def pause(seconds: float) -> None:
            asked.append(seconds)

        monkeypatch.setattr(anyio, "sleep", pause)
        return asked

    async def test_changes_come_in_round_after_round(
        self, account: Emulator, hubspot: MeetingsClient, tmp_path: Path, pauses: list[float]
    ) -> None:
        add(account, 1)
        store = JSONLStore(tmp_path / "m.jsonl")
        async with store, aclosing(watch(hubspot, store, every_s=30)) as rounds:
            assert (await anext(rounds)).meetings == 1
            assert len(await rows_of(store)) == 1
            add(account, 2, 3)
            assert (await anext(rounds)).meetings == 2
            assert len(await rows_of(store)) == 3
            assert (await anext(rounds)).seen == 0
        assert pauses == [30, 30]

    async def test_failures_that_pass_are_told_and_slow_it_down(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore, pauses: list[float]
    ) -> None:
        add(account, 1)
        async with copy, aclosing(watch(hubspot, copy, every_s=10)) as rounds:
            await anext(rounds)
            account.faults.fail_next(503, times=5)
            told = [await anext(rounds) for _ in range(5)]
            assert {type(report.failure) for report in told} == {HubSpotUnavailable}
            add(account, 2)
            report = await anext(rounds)
            assert (report.failure, report.meetings) == (None, 1)
            await anext(rounds)
        assert pauses == [10, 20, 40, 80, 80, 80, 10]

    async def test_the_first_failure_is_an_error(
        self, account: Emulator, hubspot: MeetingsClient, copy: SQLiteStore
    ) -> None:
        """Nobody watches an address that was mistyped."""
        account.faults.fail_next(503)
        async with copy, aclosing(watch(hubspot, copy)) as rounds:
            with pytest.raises(HubSpotUnavailable):
                await anext(rounds)

    @pytest.mark.parametrize("every_s", [9.9, float("nan"), -1])
    async def test_it_does_not_ask_more_often_than_is_of_use(
        self, hubspot: MeetingsClient, copy: SQLiteStore, every_s: float
    ) -> None:
        with pytest.raises(ConfigurationError, match="at least 10"):
            await anext(watch(hubspot, copy, every_s=every_s))

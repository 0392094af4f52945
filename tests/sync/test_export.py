"""`hubspot.sync.export`: all meetings, each once, by every method; and `changes` goes on from there."""

import asyncio
import hashlib
import random
from collections.abc import Iterable
from typing import Any

import pytest

from hubspot_meetings_async import ConfigurationError, Export, Meeting, MeetingProperties, SyncCursor
from hubspot_meetings_async.emulator import ManualClock
from hubspot_meetings_async.emulator.times import iso
from hubspot_meetings_async.sync.windows import Sizes
from tests.sync.house import Account, Copy

METHODS = ("search", "ranges", "list")
TITLE = "hs_meeting_title"
SMALL = Sizes(found=7, listed=5)

pytestmark = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def account(clock: ManualClock) -> Account:
    return Account(clock=clock)


async def all_of(export: Export[Any]) -> list[Meeting[Any]]:
    async with export:
        return [change.meeting async for change in export]


def checksum(meetings: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Of ids, changes and titles, in whatever order they came."""
    return hashlib.sha256(repr(sorted(meetings)).encode()).hexdigest()


def checksum_of(account: Account) -> str:
    return checksum(
        (str(record.id), iso(record.updated_ms), record.value(TITLE))
        for record in account.portal.meetings.store
        if record.archived_ms is None
    )


async def test_everything_once(account: Account, clock: ManualClock, method: Any) -> None:
    """Count and checksum are the account's; ids have gaps, as everywhere, and archived ones are none of it."""
    rng = random.Random(7)
    for _ in range(30):
        account.create(rng.randrange(150), hs_meeting_title=f"{rng.random()}")
        account.portal.meetings.store.next_id += rng.choice((0, 1, 10**4, 10**7))
        clock.advance(rng.random())
    for id_ in rng.sample(account.live(), 200):
        account.archive(id_)
    clock.advance(60)
    meetings = await all_of(account.sync().export(method=method, properties=[TITLE]))
    assert len(meetings) == len(account.live())
    told = ((m.id, m.properties["hs_lastmodifieddate"], m.properties[TITLE]) for m in meetings)
    assert checksum(told) == checksum_of(account)


async def test_requests_are_not_wasted(account: Account, clock: ManualClock, method: Any) -> None:
    """Ranges walked at once cost hardly a request more than the pages there are."""
    account.create(8_000)
    clock.advance(60)
    export = account.sync().export(method=method)
    assert len(await all_of(export)) == export.total == 8_000
    if method == "search":
        assert account.sent["meetings.search"] <= 40 * 1.2 + 2
    else:
        assert account.sent["meetings.list"] <= 80 * (1.3 if method == "ranges" else 1.0)


@pytest.mark.parametrize("seed", range(3))
async def test_broken_off_anywhere(account: Account, clock: ManualClock, method: Any, seed: int) -> None:
    """After any lot or item, in the middle of anything: what is left comes, and nothing that was stored again."""
    rng = random.Random(seed)
    account.create(120)
    clock.advance(60)

    async def rest() -> None:
        for _ in range(rng.choice((0, 1, 2, 9))):
            await asyncio.sleep(0)

    account.travel = rest
    stored: list[str] = []
    cursor: SyncCursor | None = None
    while cursor is None or cursor.exporting:
        export = account.sync(sizes=SMALL).export(cursor, method=method, concurrency=rng.choice((None, 1, 3)))
        waiting: list[str] = []
        async with export:
            if rng.random() < 0.5:
                async for change in export:
                    waiting.append(change.meeting.id)
                    await rest()
                    if rng.random() < 0.3:
                        stored, waiting, cursor = stored + waiting, [], export.cursor
                    if rng.random() < 0.05:
                        break
                else:
                    stored, cursor = stored + waiting, export.cursor
            else:
                async for lot in export.lots():
                    await rest()
                    if rng.random() < 0.2:
                        break
                    stored, cursor = stored + [change.meeting.id for change in lot.changes], lot.cursor
        cursor = None if cursor is None else SyncCursor.from_json(cursor.to_json())
    assert sorted(stored) == account.live()


@pytest.mark.parametrize("seed", range(3))
async def test_changes_go_on_from_there(clock: ManualClock, method: Any, seed: int) -> None:
    """The account changes in every way while it is exported: with `changes()` behind it, the copy is the account."""
    rng = random.Random(seed)
    account = Account(clock=clock)
    for id_ in account.create(100, hs_meeting_title="first")[::9]:
        account.archive(id_)
    clock.advance(60)

    def unrest() -> None:
        if rng.random() < 0.5:
            clock.advance(0.5)
            account.update(rng.choice(account.live()), hs_meeting_title=f"{rng.random()}")
            account.archive(rng.choice(account.live()))
            account.restore(rng.choice(account.archived()))
            account.merge(*rng.sample(account.live(), 2))
            account.create(2)

    account.before = unrest
    sync, copy = account.sync(sizes=SMALL), Copy()
    async with sync.export(method=method, properties=[TITLE]) as export:
        async for change in export:
            copy.take(change)
    account.before = lambda: None
    clock.advance(5)
    async with sync.changes(SyncCursor.from_json(export.cursor.to_json()), properties=[TITLE]) as changes:
        async for change in changes:
            copy.take(change)
    assert copy.rows == account.truth()


async def test_with_associations_and_histories(account: Account, clock: ManualClock, method: Any) -> None:
    """All of them, also beyond the hundred that a list gives at once."""
    made = account.create(70, hs_meeting_title="first")
    kind = account.portal.associations.type("HUBSPOT_DEFINED", 200)
    assert kind is not None
    for contact in range(1, 251):
        account.portal.associations.tie(int(made[3]), kind, contact)
    account.portal.associations.tie(int(made[4]), kind, 1)
    clock.advance(60)
    export = account.sync().export(method=method, associations=["contacts"], properties_with_history=[TITLE])
    found = {meeting.id: meeting for meeting in await all_of(export)}
    links = {id_: meeting.associations or {} for id_, meeting in found.items()}
    assert [link.id for link in links[made[3]]["contacts"].results] == [str(n) for n in range(1, 251)]
    assert [(link.id, link.type) for link in links[made[4]]["contacts"].results] == [("1", "meeting_event_to_contact")]
    assert found[made[5]].associations == {}
    assert {(meeting.properties_with_history or {})[TITLE][0].value for meeting in found.values()} == {"first"}


async def test_typed(account: Account, clock: ManualClock, method: Any) -> None:
    account.create(1, hs_meeting_title="first")
    clock.advance(60)
    (meeting,) = await all_of(account.sync().export(method=method, into=MeetingProperties))
    assert meeting.properties.hs_meeting_title == "first"


async def test_an_account_without_meetings(account: Account, method: Any) -> None:
    export = account.sync().export(method=method)
    assert await all_of(export) == []
    assert not export.cursor.exporting


async def test_cursors_of_an_export_under_way(account: Account, clock: ManualClock, method: Any) -> None:
    """They go into `export`, with the method they came from, and nowhere else."""
    account.create(20)
    clock.advance(60)
    sync = account.sync(sizes=SMALL)
    async with sync.export(method=method) as export:
        await anext(export)
    with pytest.raises(ConfigurationError, match=r"give it to export\(after=…\)"):
        sync.changes(export.cursor)
    with pytest.raises(ConfigurationError, match="another method"):
        sync.export(export.cursor, method="search" if method == "list" else "list")


async def test_lists_that_take_no_ids_for_cursors(account: Account, clock: ManualClock, method: Any) -> None:
    """Where a cursor is what it pleases HubSpot, "ranges" says so before the first meeting; the others do not care."""
    account.create(40)
    clock.advance(60)
    listed = account.portal.meetings.store.page

    def by_offset(*, start: int, limit: int, archived: bool = False) -> Any:
        records, _ = listed(start=0, limit=10**6, archived=archived)
        return records[start : start + limit], start + limit if start + limit < len(records) else None

    account.portal.meetings.store.page = by_offset  # type: ignore[method-assign]
    export = account.sync(sizes=SMALL).export(method=method)
    if method == "ranges":
        with pytest.raises(ConfigurationError, match="method='search'"):
            await all_of(export)
    else:
        assert sorted(meeting.id for meeting in await all_of(export)) == account.live()

"""`hubspot.sync.changes`: what it tells, in which order, with what, and how it is begun, broken off and refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from hubspot_meetings_async import (
    Change,
    Changes,
    ConfigurationError,
    Forbidden,
    MeetingProperties,
    MeetingsClient,
    SyncCursor,
    UnexpectedResponse,
)
from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from hubspot_meetings_async.sync.windows import Sizes
from tests.sync.house import Account, version_of

TITLE = "hs_meeting_title"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def account(clock: ManualClock) -> Account:
    """Search sees writes after five seconds."""
    return Account(clock=clock)


async def all_of(changes: Changes[Any]) -> list[Change[Any]]:
    async with changes:
        return [change async for change in changes]


def ids(changes: list[Change[Any]], kind: str = "changed") -> list[str]:
    return [change.meeting.id for change in changes if change.kind == kind]


async def pass_of(account: Account, cursor: SyncCursor | None = None, **options: Any) -> tuple[list[Any], SyncCursor]:
    changes = account.sync().changes(cursor, **options)
    return await all_of(changes), changes.cursor


async def _next_of(changes: Changes[Any]) -> Change[Any] | None:
    return await anext(changes, None)


class TestWhatIsTold:
    async def test_everything_first_then_what_changed(self, account: Account, clock: ManualClock) -> None:
        made = account.create(3, hs_meeting_title="first")
        clock.advance(5)
        told, cursor = await pass_of(account, properties=[TITLE])
        assert [(each.kind, each.meeting.id, each.meeting.properties[TITLE]) for each in told] == [
            ("changed", id_, "first") for id_ in made
        ]
        account.update(made[1], hs_meeting_title="second")
        (new,) = account.create()
        clock.advance(5)
        told, cursor = await pass_of(account, cursor, properties=[TITLE])
        assert ids(told) == [made[1], new]
        assert told[0].meeting.properties[TITLE] == "second"
        assert (await pass_of(account, cursor))[0] == []

    async def test_the_oldest_change_first(self, account: Account, clock: ManualClock) -> None:
        made = account.create(4)
        for id_ in reversed(made):
            clock.advance(1)
            account.update(id_, hs_meeting_title="new")
        clock.advance(60)
        assert ids((await pass_of(account))[0]) == made[::-1]

    async def test_what_search_shows_late_is_told_next_time(self, account: Account, clock: ManualClock) -> None:
        account.create()
        clock.advance(3)
        (second,) = account.create()
        clock.advance(3)
        told, cursor = await pass_of(account)
        assert len(told) == 1
        clock.advance(3)
        assert ids((await pass_of(account, cursor))[0]) == [second]

    async def test_nothing_but_what_is_asked_for_is_in_the_properties(
        self, account: Account, clock: ManualClock
    ) -> None:
        account.create(hs_meeting_title="first")
        clock.advance(5)
        ((change,), _) = await pass_of(account)
        assert set(change.meeting.properties) == {"hs_createdate", "hs_lastmodifieddate", "hs_object_id"}
        ((change,), _) = await pass_of(account, properties=["hs_merged_object_ids"])
        assert "hs_merged_object_ids" in change.meeting.properties

    async def test_typed(self, account: Account, clock: ManualClock) -> None:
        class Mine(MeetingProperties, kw_only=True):
            pass

        first, second = account.create(2, hs_meeting_title="first")
        account.archive(second)
        clock.advance(5)
        told, _ = await pass_of(account, into=Mine)
        assert [each.meeting.properties.hs_meeting_title for each in told] == ["first", "first"]
        assert {type(each.meeting.properties) for each in told} == {Mine}
        assert (ids(told), ids(told, "archived")) == ([first], [second])

    async def test_from_a_moment_to_a_moment(self, account: Account, clock: ManualClock) -> None:
        """Both included; for archived ones it is the moment of archiving."""
        made = account.create(6)
        moments = []
        for number, id_ in enumerate(made):
            clock.advance(10)
            moments.append(datetime.fromtimestamp(clock.wall_ms() / 1000, UTC))
            if number % 2:
                account.archive(id_)
            else:
                account.update(id_, hs_meeting_title="new")
        clock.advance(60)
        told, cursor = await pass_of(account, until=moments[3])
        assert (ids(told), ids(told, "archived")) == ([made[0], made[2]], [made[1], made[3]])
        told, _ = await pass_of(account, cursor)
        assert (ids(told), ids(told, "archived")) == ([made[4]], [made[5]])
        changes = account.sync().changes(moments[1], until=moments[4])
        told = await all_of(changes)
        assert (ids(told), ids(told, "archived")) == ([made[2], made[4]], [made[1], made[3]])

    async def test_total(self, account: Account, clock: ManualClock) -> None:
        account.create(450)
        clock.advance(5)
        changes = account.sync().changes()
        assert changes.total is None
        await all_of(changes)
        assert changes.total == 450


class TestArchived:
    async def test_each_time_once(self, account: Account, clock: ManualClock) -> None:
        made = account.create(250)
        clock.advance(5)
        for id_ in made[:210]:
            account.archive(id_)
        told, cursor = await pass_of(account)
        assert (ids(told, "archived"), ids(told)) == (made[:210], made[210:])
        assert told[-1].meeting.archived_at is not None
        account.archive(made[240])
        told, cursor = await pass_of(account, cursor)
        assert ids(told, "archived") == [made[240]]
        clock.advance(100)
        told, cursor = await pass_of(account, cursor)
        assert told == []
        account.restore(made[3])
        clock.advance(5)
        told, cursor = await pass_of(account, cursor)
        assert [(each.kind, each.meeting.id) for each in told] == [("changed", made[3])]
        account.archive(made[3])
        assert ids((await pass_of(account, cursor))[0], "archived") == [made[3]]

    async def test_the_bin_can_be_left_for_later(self, account: Account, clock: ManualClock) -> None:
        first, second = account.create(2)
        clock.advance(5)
        account.archive(first)
        told, cursor = await pass_of(account, archived=False)
        assert [each.meeting.id for each in told] == [second]
        assert "meetings.list" not in account.sent
        assert ids((await pass_of(account, cursor))[0], "archived") == [first]

    async def test_is_told_behind_its_last_live_version(self, account: Account, clock: ManualClock) -> None:
        """Also when it is archived while the live ones are read: a copy ends with it archived."""
        (made,) = account.create(1, hs_meeting_title="first")
        clock.advance(5)
        changes = account.sync().changes()
        told = []
        async for change in changes:
            told.append((change.kind, change.meeting.id))
            if len(told) == 1:
                account.archive(made)
        assert told == [("changed", made), ("archived", made)]

    async def test_a_listing_that_broke_off_does_not_hide_what_was_archived_since(
        self, account: Account, clock: ManualClock
    ) -> None:
        """It goes on where it was; what was archived meanwhile in the part that was read is told behind it."""
        made = account.create(10)
        clock.advance(60)
        for id_ in made[1:]:
            account.archive(id_)
        sync = account.sync(sizes=Sizes(listed=3))
        told = []
        changes = sync.changes()
        async for change in changes:
            told.append((change.kind, change.meeting.id))
            if len(told) == 6:
                break
        clock.advance(100)
        account.archive(made[0])
        async for change in (again := sync.changes(changes.cursor)):
            told.append((change.kind, change.meeting.id))
        assert told == [("changed", made[0]), *(("archived", id_) for id_ in made[1:]), ("archived", made[0])]
        assert [change async for change in sync.changes(again.cursor)] == []

    @pytest.mark.parametrize("merged", [True, False])
    async def test_search_that_still_shows_it_does_not_bring_it_back(
        self, account: Account, clock: ManualClock, merged: bool
    ) -> None:
        """HubSpot does not say how soon its search forgets what was archived, or merged away."""
        stays, gone = account.create(2)
        stale = account.portal.meetings.find(gone)
        assert stale is not None
        stale = stale.copy()
        clock.advance(1)
        if merged:
            account.merge(stays, gone)
        else:
            account.archive(gone)
        clock.advance(5)
        told, cursor = await pass_of(account)
        assert ids(told) == [stays]
        finder = account.portal.finder(account.portal.meetings)
        find = finder.find

        def as_it_was(wanted: Any, now_ms: int) -> Any:
            total, found = find(wanted, now_ms)
            return total + 1, [stale, *found]

        finder.find = as_it_was  # type: ignore[method-assign]
        assert (await pass_of(account, cursor))[0] == []


class TestMerged:
    async def test_the_one_that_stays_names_those_that_went(self, account: Account, clock: ManualClock) -> None:
        stays, first, second = account.create(3)
        clock.advance(5)
        _, cursor = await pass_of(account)
        account.merge(stays, first)
        account.merge(stays, second)
        clock.advance(5)
        ((change,), _) = await pass_of(account, cursor)
        assert change.meeting.id == stays
        assert sorted(change.merged_ids) == [first, second]

    async def test_also_when_it_was_archived_since(self, account: Account, clock: ManualClock) -> None:
        stays, gone = account.create(2)
        clock.advance(5)
        _, cursor = await pass_of(account)
        account.merge(stays, gone)
        account.archive(stays)
        ((change,), _) = await pass_of(account, cursor)
        assert (change.kind, change.meeting.id, change.merged_ids) == ("archived", stays, (gone,))


class TestMore:
    async def test_all_associations(self, account: Account, clock: ManualClock) -> None:
        """Of every type asked for, also where HubSpot gives them in pages of 500."""
        with_many, without = account.create(2)
        kind = account.portal.associations.type("HUBSPOT_DEFINED", 200)
        deal = account.portal.associations.type("HUBSPOT_DEFINED", 212)
        assert kind is not None
        assert deal is not None
        for contact in range(1, 1_202):
            account.portal.associations.tie(int(with_many), kind, contact)
        account.portal.associations.tie(int(with_many), deal, 7)
        clock.advance(5)
        told, _ = await pass_of(account, associations=["contacts", "deals"])
        found = {each.meeting.id: each.meeting.associations for each in told}
        assert found[without] == {}
        assert found[with_many] is not None
        assert [link.id for link in found[with_many]["contacts"].results] == [str(n) for n in range(1, 1_202)]
        assert [(link.id, link.type) for link in found[with_many]["deals"].results] == [("7", "meeting_event_to_deal")]

    async def test_histories(self, account: Account, clock: ManualClock) -> None:
        made = account.create(120, hs_meeting_title="first")
        clock.advance(10)
        account.update(made[5], hs_meeting_title="second")
        clock.advance(10)
        told, _ = await pass_of(account, properties_with_history=[TITLE])
        assert ids(told) == [*made[:5], *made[6:], made[5]]
        versions = told[-1].meeting.properties_with_history
        assert versions is not None
        assert [each.value for each in versions[TITLE]] == ["second", "first"]
        assert account.sent["meetings.batch_read"] == 3

    async def test_what_changes_between_search_and_batch_read_is_told_once(
        self, account: Account, clock: ManualClock
    ) -> None:
        """With its later version, which search shows later on."""
        made = account.create(3, hs_meeting_title="first")
        clock.advance(5)

        def change() -> None:
            if account.sent.get("meetings.search") and not account.sent.get("meetings.batch_read"):
                clock.advance(1)
                account.update(made[0], hs_meeting_title="second")

        account.before = change
        told, cursor = await pass_of(account, properties_with_history=[TITLE], concurrency=1)
        assert ids(told) == [made[1], made[2], made[0]]
        clock.advance(5)
        assert (await pass_of(account, SyncCursor.from_json(cursor.to_json())))[0] == []

    async def test_what_goes_between_search_and_batch_read_is_left_out(
        self, account: Account, clock: ManualClock
    ) -> None:
        made = account.create(3)
        clock.advance(5)

        def archive() -> None:
            if account.sent.get("meetings.search") and not account.sent.get("meetings.batch_read"):
                for id_ in set(made[:2]) & set(account.live()):
                    account.archive(id_)

        account.before = archive
        told, _ = await pass_of(account, properties_with_history=[TITLE])
        assert (ids(told), ids(told, "archived")) == ([made[2]], made[:2])

    async def test_a_batch_read_that_passes_some_over_in_silence(self, account: Account, clock: ManualClock) -> None:
        """Not read does not mean gone: it is read alone."""
        made = account.create(3)
        clock.advance(60)
        answer = account._answer

        def silent(request: Any) -> Any:
            status, headers, body = answer(request)
            if request.path.endswith("/batch/read"):
                shown = msgspec.json.decode(body)
                del shown["results"][1]
                body = msgspec.json.encode(shown)
            return status, headers, body

        account._answer = silent  # type: ignore[method-assign]
        told, _ = await pass_of(account, properties_with_history=[TITLE], archived=False)
        assert ids(told) == made

    async def test_any_number_of_properties(self, account: Account, clock: ManualClock) -> None:
        """A search has 3,000 characters; more properties than fit are read in batches."""
        names = [f"a_property_with_a_long_name_{n}" for n in range(150)]
        for name in names:
            account.portal.add_property(name)
        made = account.create(250, a_property_with_a_long_name_149="here")
        clock.advance(5)
        account.archive(made[0])
        told, _ = await pass_of(account, properties=names)
        assert {each.meeting.properties["a_property_with_a_long_name_149"] for each in told} == {"here"}
        assert len(told) == 250
        assert account.sent["meetings.batch_read"] == 3


class TestManyAtOnce:
    async def test_more_in_one_millisecond_than_search_pages_through(
        self, account: Account, clock: ManualClock
    ) -> None:
        made = account.create(10_300)
        clock.advance(100)
        told, cursor = await pass_of(account, archived=False)
        assert ids(told) == made
        assert len(cursor.to_json()) < 200

    @pytest.mark.parametrize("concurrency", [1, 8])
    async def test_searches_are_used_to_the_full(self, account: Account, clock: ManualClock, concurrency: int) -> None:
        for _ in range(4_000):
            account.create()
            clock.advance(0.002)
        clock.advance(60)
        told, _ = await pass_of(account, archived=False, concurrency=concurrency)
        assert ids(told) == account.live()
        assert account.sent["meetings.search"] <= 4_000 / 199 + 2


class TestCursor:
    async def test_is_small_after_any_item(self, account: Account, clock: ManualClock) -> None:
        """What lies behind `overlap_s` is one moment and one id, also amidst a page or a moment."""
        for _ in range(10):
            account.create(30)
            clock.advance(1)
        clock.advance(100)
        changes = account.sync().changes(archived=False)
        async for _ in changes:
            assert len(changes.cursor.to_json()) < 120


class TestGoingOn:
    @pytest.mark.parametrize("first", [1, 2, 5])
    @pytest.mark.parametrize("with_tasks", [False, True])
    @pytest.mark.parametrize(
        "begin",
        [
            lambda sync: sync.changes(),
            lambda sync: sync.changes(properties_with_history=[TITLE]),
            lambda sync: sync.export(method="search"),
            lambda sync: sync.export(method="search", associations=["contacts"]),
            lambda sync: sync.export(method="ranges"),
            lambda sync: sync.export(method="list"),
        ],
    )
    async def test_a_wait_that_was_cancelled_lost_nothing(
        self, clock: ManualClock, first: int, with_tasks: bool, begin: Callable[[Any], Changes[Any]]
    ) -> None:
        """At one request after the other, with `async with` or without it: the iteration goes on."""
        turn = cancelled = 0
        waiting: asyncio.Task[Any] | None = None

        async def travel() -> None:
            nonlocal turn, cancelled
            turn += 1
            await asyncio.sleep(0)
            if turn % 7 == first and waiting is not None:  # four requests in a row get through
                cancelled += 1
                waiting.cancel()
                await asyncio.sleep(0)

        account = Account(clock=clock)
        made = account.create(60)
        clock.advance(60)
        changes = begin(account.sync(sizes=Sizes(found=7, listed=7)))
        account.travel = travel

        async def read() -> list[str]:
            nonlocal waiting
            found: list[str] = []
            while True:
                waiting = asyncio.ensure_future(_next_of(changes))
                try:
                    change = await waiting
                except asyncio.CancelledError:
                    continue
                if change is None:
                    return found
                found.append(change.meeting.id)

        if with_tasks:
            async with changes:
                assert sorted(await read()) == made
        else:
            assert sorted(await read()) == made
        assert cancelled >= 2

    async def test_leaving_ends_what_is_under_way(self, account: Account, clock: ManualClock) -> None:
        account.create(100)
        clock.advance(60)
        async with account.sync(sizes=Sizes(found=7)).changes() as changes:
            async for _ in changes:
                break
            before = len(asyncio.all_tasks())
        assert len(asyncio.all_tasks()) < before
        with pytest.raises(ConfigurationError, match="was left"):
            [change async for change in changes]
        with pytest.raises(ConfigurationError, match="walked once"):
            await changes.__aenter__()

    async def test_an_error_ends_it_and_the_cursor_stands_before(self, account: Account, clock: ManualClock) -> None:
        """What came before the error is told; what comes after it is told by the next one, nothing twice."""
        made = account.create(30)
        clock.advance(60)
        sent = account.send
        left = iter(range(4))

        async def send(*args: Any, **more: Any) -> Any:
            if next(left, None) is None:
                raise Forbidden("no more")
            return await sent(*args, **more)

        account.send = send  # type: ignore[method-assign]
        changes = account.sync(sizes=Sizes(found=7)).changes(concurrency=1)
        told = []
        with pytest.raises(Forbidden):
            async with changes:
                async for change in changes:
                    told.append(change.meeting.id)
        account.send = sent  # type: ignore[method-assign]
        assert 0 < len(told) < 30
        again, _ = await pass_of(account, changes.cursor)
        assert told + ids(again) == made

    async def test_one_that_can_not_be_read_as_its_struct_is_not_passed_over(
        self, account: Account, clock: ManualClock
    ) -> None:
        class Numbered(Struct):
            hs_meeting_title: int = 0

        account.create(hs_meeting_title="1")
        account.create(hs_meeting_title="one")
        clock.advance(60)
        changes = account.sync().changes(into=Numbered)
        for _ in range(2):
            with pytest.raises(UnexpectedResponse, match="hs_meeting_title"):
                await anext(changes)
        assert changes.cursor.live.ms == 0

    async def test_lots_and_items_can_be_mixed(self, account: Account, clock: ManualClock) -> None:
        made = account.create(30)
        clock.advance(60)
        changes = account.sync(sizes=Sizes(found=7)).changes(archived=False)
        told = [(await anext(changes)).meeting.id for _ in range(3)]
        async for lot in changes.lots():
            told += [change.meeting.id for change in lot.changes]
            assert lot.cursor == changes.cursor
        assert told == made

    async def test_an_order_out_of_step_is_asked_for_again(self, account: Account, clock: ManualClock) -> None:
        """A meeting that changes while HubSpot sorts stands out of order once; for ever is an error."""
        account.create()
        clock.advance(1)
        account.create()
        clock.advance(60)
        finder = account.portal.finder(account.portal.meetings)
        find = finder.find
        wrong = iter(range(2))

        def out_of_step(wanted: Any, now_ms: int) -> Any:
            total, found = find(wanted, now_ms)
            return total, (found[::-1] if next(wrong, None) is not None else found)

        finder.find = out_of_step  # type: ignore[method-assign]
        assert ids((await pass_of(account))[0]) == account.live()
        wrong = iter(range(1_000))
        with pytest.raises(UnexpectedResponse, match="does not keep the order"):
            await pass_of(account)


class TestRefusals:
    async def test_the_cursor_of_another_account(self, account: Account, clock: ManualClock) -> None:
        account.create()
        clock.advance(5)
        _, cursor = await pass_of(account)

        async def other() -> str | None:
            return "99"

        with pytest.raises(ConfigurationError, match="belongs to account 1234567, and the token to account 99"):
            await all_of(account.sync(portal=other).changes(cursor))

    async def test_an_account_that_does_not_tell_its_number(self, account: Account, clock: ManualClock) -> None:
        """Its cursors still go on, and keep the number they had."""

        async def nobody() -> str | None:
            return None

        account.create()
        clock.advance(5)
        _, cursor = await pass_of(account)
        changes = account.sync(portal=nobody).changes(cursor)
        await all_of(changes)
        assert changes.cursor.account == "1234567"

    @pytest.mark.parametrize(
        ("ask", "words"),
        [
            (lambda sync: sync.changes(datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
            (lambda sync: sync.changes("2026-01-01"), "since is a cursor"),
            (lambda sync: sync.changes(until=5), "until must be a datetime"),
            (lambda sync: sync.changes(properties="hs_meeting_title"), "a list of names, not a str"),
            (lambda sync: sync.changes(properties=["a"], into=MeetingProperties), "not both"),
            (lambda sync: sync.changes(associations=[""]), "among its names"),
            (lambda sync: sync.changes(overlap_s=-1), "overlap_s is a number of seconds"),
            (lambda sync: sync.changes(overlap_s=float("inf")), "overlap_s is a number of seconds"),
            (lambda sync: sync.changes(concurrency=0), "concurrency is a number of requests"),
            (lambda sync: sync.export(method="fast"), "method is one of"),
            (lambda sync: sync.export(SyncCursor()), "give it to changes"),
        ],
    )
    def test_arguments_that_make_no_sense(self, account: Account, ask: Callable[[Any], Any], words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            ask(account.sync())


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(clock=clock, behaviour=Behaviour(search_delay_s=5)) as running:
        yield running


async def test_over_sockets(emulator: Emulator, clock: ManualClock) -> None:
    """The client's own `sync`, within its limits, with a deadline around it."""
    async with MeetingsClient("token", base_url=emulator.url) as hubspot:
        first = await hubspot.meetings.create({TITLE: "first"})
        second = await hubspot.meetings.create({TITLE: "second"})
        await hubspot.meetings.archive(second.id)
        clock.advance(5)
        async with asyncio.timeout(60), hubspot.sync.changes(properties=[TITLE]) as changes:
            told = [(each.kind, each.meeting.id, version_of(each.meeting)) async for each in changes]
        assert [each[:2] for each in told] == [("changed", first.id), ("archived", second.id)]
        clock.advance(timedelta(minutes=2).total_seconds())
        assert [each async for each in hubspot.sync.changes(changes.cursor)] == []
        assert emulator.stats().rate_limited.genuine == 0

"""The walk: every result once, in order, past any ceiling, whatever repeats, is missing or moves."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubspot_meetings_async import Limits, MeetingProperties, MeetingsClient, RetryPolicy, to_contact
from hubspot_meetings_async.emulator import Behaviour, Emulator
from hubspot_meetings_async.errors import ConfigurationError, UnexpectedResponse
from hubspot_meetings_async.meetings.resource import objects_path
from hubspot_meetings_async.models import Meeting, Paging, SearchPage
from hubspot_meetings_async.search import Filters, Search, Sort, ascending, associated_with, descending, plan, where
from hubspot_meetings_async.wire import Request, Trail

from .search_fake import FakeHubSpot, satisfies

VERSIONS = ["v3", "2026-03", "2026-09"]
V3 = "/crm/v3/objects/meetings"
T = 1_795_000_000_000
"""A moment, in Unix milliseconds."""

Record = dict[str, str | None]


def searching(hubspot: FakeHubSpot, what: object = None, **options: Any) -> Search[Any]:
    return Search(hubspot, V3, plan(what, **options), ceiling=hubspot.ceiling)  # type: ignore[arg-type]


async def ids(search: Search[Any]) -> list[str]:
    return [meeting.id async for meeting in search]


def record(number: int, **properties: str | None) -> Record:
    return {"hs_object_id": str(number), "hs_createdate": str(T + number), "hs_lastmodifieddate": str(T), **properties}


def records(count: int, **properties: Callable[[int], str | None]) -> list[Record]:
    return [record(n, **{name: make(n) for name, make in properties.items()}) for n in range(1, count + 1)]


# ---- any data -----------------------------------------------------------------------------------------------------

VALUES = st.none() | st.just("") | st.integers(0, 6).map(str)
DATA = st.lists(st.tuples(st.integers(1, 10**12), VALUES, st.integers(0, 2)), max_size=40, unique_by=lambda r: r[0])
FILTERS: list[Filters | None] = [
    None,
    where("kind").eq(1),
    where("kind").ne(1) | where("n").exists(),
    (where("kind").ge(1) | where("n").lt(3)) & (where("kind").le(1) | where("n").gt(1)),
]
ORDERS: list[Sort | None] = [
    None,
    descending("hs_object_id"),
    *(make("n", type=kind) for make in (ascending, descending) for kind in ("number", "datetime")),
]


def expected(data: Sequence[Record], filters: Filters | None, order: Sort | None) -> list[str]:
    """By value, then id; without a value last."""
    found = [r for r in data if satisfies(r, filters.groups if filters is not None else ())]
    found.sort(key=lambda r: int(r["hs_object_id"] or 0))
    if order is None:
        return [str(r["hs_object_id"]) for r in found]
    name = order.property_name
    valued = [r for r in found if r.get(name)]
    sign = -1 if order.descending else 1
    valued.sort(key=lambda r: sign * int(r[name] or 0))
    return [str(r["hs_object_id"]) for r in [*valued, *(r for r in found if not r.get(name))]]


@settings(max_examples=300, deadline=None)
@given(
    DATA,
    st.sampled_from(FILTERS),
    st.sampled_from(ORDERS),
    st.integers(1, 9),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 3),
)
@example([(n, "1", 0) for n in range(1, 41)], None, ORDERS[2], 3, 5, False, 0)
def test_everything_comes_once_and_in_order(
    data: list[tuple[int, str | None, int]],
    filters: Filters | None,
    order: Sort | None,
    limit: int,
    ceiling: int,
    missing_first: bool,
    seed: int,
) -> None:
    """Whatever repeats or is missing, however small pages and ceiling, in whatever order HubSpot puts equal values."""
    rows = [record(number, n=value, kind=str(kind)) for number, value, kind in data]
    hubspot = FakeHubSpot(rows, ceiling=ceiling, missing_first=missing_first, seed=seed)
    search = searching(hubspot, filters, sorts=order, limit=limit)
    wanted = expected(rows, filters, order)

    async def check() -> None:
        assert await search.total() == len(wanted)
        assert await ids(search) == wanted
        pages = [page async for page in search.pages()]
        assert [m.id for page in pages for m in page.results] == wanted
        assert all(1 <= len(page.results) <= limit and page.total == len(wanted) for page in pages)

    asyncio.run(check())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=5, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 9)), max_size=20),
    st.sampled_from(ORDERS),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_what_does_not_change_comes_once_while_the_rest_moves(
    values: list[int], changes: list[tuple[int, int]], order: Sort | None, limit: int, seed: int
) -> None:
    """Before every answer one record gets another value; the others come exactly once, and in order."""
    rows = [record(n + 1, n=str(value), kind="1") for n, value in enumerate(values)]
    todo = list(changes)
    changed: set[str] = set()

    def before(hubspot: FakeHubSpot) -> None:
        if todo and len(hubspot.bodies) > 1:
            place, value = todo.pop()
            id_ = str(place % len(values) + 1)
            changed.add(id_)
            hubspot.records[id_]["n"] = str(value)

    hubspot = FakeHubSpot(rows, ceiling=7, seed=seed, before=before)
    found = asyncio.run(ids(searching(hubspot, sorts=order, limit=limit)))
    still = [id_ for id_ in found if id_ not in changed]
    assert still == [id_ for id_ in expected(rows, None, order) if id_ not in changed]
    if order is None or order.property_name == "hs_object_id":
        assert sorted(found, key=int) == [str(n + 1) for n in range(len(values))]


# ---- the first request --------------------------------------------------------------------------------------------


async def test_the_total_costs_one_request_that_is_used_again() -> None:
    """`total()` and the first page are one request; a second iteration begins anew."""
    hubspot = FakeHubSpot(records(25))
    search = searching(hubspot, limit=10)
    assert await search.total() == await search.total() == 25
    assert len(hubspot.bodies) == 1
    assert len(await ids(search)) == 25
    assert len(hubspot.bodies) == 3
    assert len(await ids(search)) == 25
    assert len(hubspot.bodies) == 6
    assert await search.total() == 25
    assert len(hubspot.bodies) == 6


async def test_one_page_is_one_request() -> None:
    """In any order, a search that fits into one page asks once."""
    for sorts in (None, "hs_createdate", "-hs_lastmodifieddate", "hs_meeting_title"):
        hubspot = FakeHubSpot(records(3, hs_meeting_title=lambda n: f"title {n}"))
        assert len(await ids(searching(hubspot, sorts=sorts))) == 3
        assert len(hubspot.bodies) == 1


async def test_pages_by_hand_are_hubspots() -> None:
    """`page()` gives HubSpot's own pages and cursors, up to the ceiling and not beyond."""
    hubspot = FakeHubSpot(records(12), ceiling=10)
    search = searching(hubspot, limit=4)
    first = await search.page()
    assert ([m.id for m in first.results], first.after, first.total) == (["1", "2", "3", "4"], "4", 12)
    assert [m.id for m in (await search.page("4")).results] == ["5", "6", "7", "8"]
    assert [m.id for m in (await search.page(8)).results] == ["9", "10"]
    assert len(hubspot.bodies) == 3
    for after, words in (("10", "pages through 10 results"), ("x", "a number"), ("-1", "a number")):
        with pytest.raises(ConfigurationError, match=words):
            await search.page(after)
    assert len(hubspot.bodies) == 3


async def test_nothing_found_is_nothing() -> None:
    """No results are no page."""
    search = searching(FakeHubSpot([]), sorts="hs_timestamp")
    assert (await search.total(), await ids(search)) == (0, [])
    assert [page async for page in search.pages()] == []


# ---- how far it goes ----------------------------------------------------------------------------------------------


async def test_no_page_depends_on_an_offset() -> None:
    """A record that moves ahead pulls no other over the edge of a page: the walk uses no `after`."""
    hubspot = FakeHubSpot(records(50, n=lambda n: str(n // 7)))
    for sorts in (None, ascending("n", type="number")):
        await ids(searching(hubspot, sorts=sorts, limit=5))
    assert all(body.after is None for body in hubspot.bodies)


async def test_the_price_of_an_order_is_small() -> None:
    """Of pages with few repetitions little is asked twice: 1,000 in pages of 200 cost two requests more."""
    hubspot = FakeHubSpot(records(1000, n=lambda n: str(n // 3)))
    assert len(await ids(searching(hubspot, sorts=ascending("n", type="number")))) == 1000
    assert len(hubspot.bodies) <= 7


async def test_a_text_is_sorted_by_hubspot_alone() -> None:
    """Up to the ceiling in HubSpot's own order; beyond it, a refusal before the first meeting."""
    hubspot = FakeHubSpot(records(10, title=lambda n: f"title {n}"), ceiling=10)
    assert len(await ids(searching(hubspot, sorts="-title", limit=4))) == 10
    assert [body.limit for body in hubspot.bodies] == [4, 4, 2]
    hubspot = FakeHubSpot(records(11, title=lambda n: f"title {n}"), ceiling=10)
    search = searching(hubspot, sorts="-title", limit=4)
    assert await search.total() == 11
    with pytest.raises(ConfigurationError, match=r"finds 11 meetings; past 10 .* how the values of 'title' grow"):
        await anext(search.pages())
    assert len(hubspot.bodies) == 1


def _many(groups: int, each: int) -> Filters:
    made = where("kind").ge(0)
    for n in range(1, each):
        made &= where("kind").ne(-n)
    for group in range(1, groups):
        other = where("kind").le(group)
        for n in range(1, each):
            other &= where("kind").ne(-n)
        made |= other
    return made


@pytest.mark.parametrize(
    ("filters", "sorts", "words"),
    [
        (_many(3, 6), None, r"1 more filter\(s\) in each of its 3 group"),
        (_many(1, 6), None, r"1 more filter\(s\)"),
        (_many(5, 3), None, r"1 more filter\(s\)"),
        (_many(5, 2), "hs_timestamp", r"2 more filter\(s\).*leave the order out"),
        (_many(1, 5), "-hs_lastmodifieddate", r"2 more filter\(s\)"),
    ],
)
async def test_filters_that_leave_no_room_are_told_before_the_first_meeting(
    filters: Filters, sorts: str | None, words: str
) -> None:
    """Up to the ceiling HubSpot's pages do; beyond, what is in the way and what to do."""
    few = FakeHubSpot(records(10, kind=lambda n: "1"), ceiling=10, steady=True)
    assert sorted(await ids(searching(few, filters, sorts=sorts, limit=4)), key=int) == [str(n) for n in range(1, 11)]
    many = FakeHubSpot(records(11, kind=lambda n: "1"), ceiling=10)
    with pytest.raises(ConfigurationError, match=words):
        await anext(searching(many, filters, sorts=sorts, limit=4).pages())
    assert len(many.bodies) == 1


async def test_results_that_move_between_hubspots_pages_are_noticed() -> None:
    """Where nothing better than HubSpot's offsets is left, no meeting comes twice, and a lost one is an error."""
    hubspot = FakeHubSpot(records(40, title=lambda n: "the same"), ceiling=50)
    found: list[str] = []
    with pytest.raises(UnexpectedResponse, match=r"of 40 meetings came, some twice"):
        async for meeting in searching(hubspot, sorts="title", limit=4):
            found.append(meeting.id)
    assert len(found) == len(set(found)) < 40


async def test_a_query_leaves_room_in_characters_too() -> None:
    """A body that is nearly full has no room for the key."""
    search = searching(FakeHubSpot(records(11), ceiling=10), query="x" * 2_850, limit=4)
    with pytest.raises(ConfigurationError, match="3,000 characters"):
        await anext(search.pages())


async def test_decimals_and_moments_are_numbers() -> None:
    """Values that are written differently and mean the same are one value; moments come as ISO or milliseconds."""
    numbers = ["10", "9.5", "9.50", "-1", "1e1", "0"]
    hubspot = FakeHubSpot([record(n, n=text) for n, text in enumerate(numbers, 1)])
    assert await ids(searching(hubspot, sorts=ascending("n", type="number"), limit=2)) == ["4", "6", "2", "3", "1", "5"]


# ---- answers that can not be followed -----------------------------------------------------------------------------


class Odd:
    """A call that answers the same pages whatever it is asked."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        return msgspec.convert(self.pages.pop(0), SearchPage[Meeting])


def odd(*rows: tuple[object, object], after: str | None = "2", total: int = 9) -> dict[str, Any]:
    results = [{"id": str(id_), "properties": {"n": value}} for id_, value in rows]
    return {"total": total, "results": results, "paging": {"next": {"after": after}} if after else None}


BY_N = ascending("n", type="number")


@pytest.mark.parametrize(
    ("sorts", "pages", "words"),
    [
        (None, [odd((1, "1"), (2, "1")), odd((2, "1"), (3, "1"))], "id 2 follows 2"),
        (None, [odd((2, "1"), (1, "1"))], "id 1 follows 2"),
        (descending("hs_object_id"), [odd((1, "1"), (2, "1"))], "id 2 follows 1"),
        (None, [odd((1, "1"), (2, "1")), odd()], "empty page"),
        (None, [odd(("a", "1"), (2, "1"))], "'a', which is no number"),
        (BY_N, [odd((1, "2"), (2, "1"))], "does not keep the order: meeting 2"),
        (BY_N, [odd((1, "1"), (2, "2")), odd((1, "1"), (2, "2"))], "does not keep the order: meeting 1"),
        (BY_N, [odd((1, None), (2, "2")), odd((1, None), (2, "2"))], "does not keep the order: meeting 1"),
        (BY_N, [odd((1, "x"), (2, "2"))], "'x' as n, which is no number"),
        (BY_N, [odd((1, "NaN"), (2, "2"))], "'NaN' as n, which is no number"),
        (BY_N, [odd()], "empty page"),
        (ascending("n", type="datetime"), [odd((1, "soon"))], "which is no moment"),
        ("n", [odd((1, "x")), odd((2, "x"))], "does not go on: '2' follows '2'"),
        ("n", [odd((1, "x"), after="x")], "does not go on"),
    ],
)
async def test_to_go_on_from_a_wrong_answer_would_lose_meetings(
    sorts: Sort | str | None, pages: list[dict[str, Any]], words: str
) -> None:
    """An order that is not kept ends the walk loudly."""
    search: Search[Any] = Search(Odd(*pages), V3, plan(sorts=sorts, limit=2))
    with pytest.raises(UnexpectedResponse, match=words):
        await ids(search)


class Mortal(str):
    """A text whose end can be seen."""


@pytest.mark.parametrize("sorts", [None, "hs_createdate", "-hs_createdate"])
async def test_pages_that_were_read_are_not_kept(sorts: str | None) -> None:
    """While the next page comes, nothing holds the ones before: a walk takes the memory of one page."""
    seen: list[weakref.ref[Mortal]] = []
    held: list[int] = []

    async def call(request: Request[Any], trail: Trail | None = None) -> Any:
        held.append(sum(ref() is not None for ref in seen))
        numbers = [len(held) * 10 + place for place in range(3)]
        made = [
            Meeting(
                id=str(number),
                url=Mortal(),
                properties={"hs_createdate": str(100 - number if sorts == "-hs_createdate" else number)},
            )
            for number in numbers
        ]
        seen.extend(weakref.ref(cast("Mortal", meeting.url)) for meeting in made)
        after = {"next": {"after": "3"}} if len(held) < 4 else None
        return SearchPage(total=12, results=tuple(made), paging=msgspec.convert(after, Paging | None))

    search: Search[Any] = Search(call, V3, plan(sorts=sorts, limit=3))
    async for meeting in search:
        del meeting
    assert held[:4] == [0, 1, 1, 1]  # what was read last


@pytest.mark.parametrize("sorts", ["n", "-n"])
async def test_numbers_of_any_length_are_told_apart(sorts: str) -> None:
    """Values that differ in their fortieth digit are different values: each comes once, and none is lost."""
    values = [str(10**40 + number // 2) for number in range(20)]
    hubspot = FakeHubSpot(records(20, n=lambda number: values[(number * 7) % 20]), seed=3)
    order = Sort("n", sorts == "-n", "number")
    found = [meeting async for meeting in searching(hubspot, sorts=order, limit=3)]
    assert sorted(int(m.id) for m in found) == list(range(1, 21))
    assert [m.properties["n"] for m in found] == sorted(values, reverse=order.descending)


# ---- over sockets -------------------------------------------------------------------------------------------------

PLENTY = Limits(per_ten_seconds=100_000, search_per_second=100_000)


def emulator(**behaviour: Any) -> Emulator:
    return Emulator(limit=None, search_limit=None, behaviour=Behaviour(search_delay_s=0, **behaviour))


def client(hubspot: Emulator, version: str = "v3") -> MeetingsClient:
    return MeetingsClient(
        "t", base_url=hubspot.url, api_version=version, limits=PLENTY, retry=RetryPolicy(base_s=0.001)
    )


def over(hubspot: MeetingsClient, version: str, what: Any = None, into: Any = None, **options: Any) -> Search[Any]:
    return Search(hubspot.meetings._call, objects_path(version), plan(what, **options), into)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_filter_is_understood(version: str) -> None:
    """Each operator, a query, an association and the three API versions."""
    async with emulator() as hubspot, client(hubspot, version) as meetings:
        contact = hubspot.portal.add_object("contacts")
        made: list[str] = []
        for n in range(6):
            properties: dict[str, Any] = {
                "hs_meeting_title": f"Review {n}",
                "hs_timestamp": str(T + n),
                "hs_meeting_outcome": "SCHEDULED" if n % 2 else "NO_SHOW",
                "hs_meeting_location": "Room 1" if n < 2 else "",
            }
            links = [to_contact(contact)] if n == 3 else []
            made.append((await meetings.meetings.create(properties, associations=links)).id)

        async def found(what: Any = None, **options: Any) -> list[int]:
            return [made.index(m.id) async for m in over(meetings, version, what, **options)]

        at, outcome = where("hs_timestamp"), where("hs_meeting_outcome")
        assert await found() == [0, 1, 2, 3, 4, 5]
        assert await found(at.between(T + 1, T + 3) & outcome.eq("SCHEDULED")) == [1, 3]
        assert await found(at.lt(T + 1) | at.ge(T + 5)) == [0, 5]
        assert await found(at.le(T + 1) & at.gt(T)) == [1]
        assert await found(outcome.ne("SCHEDULED")) == [0, 2, 4]
        assert await found(outcome.is_in(["NO_SHOW", "CANCELED"]), sorts="-hs_timestamp") == [4, 2, 0]
        assert await found(outcome.not_in(["NO_SHOW"])) == [1, 3, 5]
        assert await found(where("hs_meeting_location").exists()) == [0, 1]
        assert await found(where("hs_meeting_location").missing()) == [2, 3, 4, 5]
        assert await found(where("hs_meeting_title").is_in(["Review 1", "REVIEW 4"])) == [1, 4]
        assert await found(where("hs_meeting_title").contains("rev*") & at.eq(T + 2)) == [2]
        assert await found(where("hs_meeting_title").not_contains("3")) == [0, 1, 2, 4, 5]
        assert await found(associated_with("contact", contact)) == [3]
        assert await found(query="review") == [0, 1, 2, 3, 4, 5]
        raw = {"filters": [{"propertyName": "hs_timestamp", "operator": "EQ", "value": T}], "sorts": ["-hs_createdate"]}
        assert await found(raw) == [0]


async def test_meetings_come_as_the_callers_own_struct() -> None:
    """`into` makes typed properties of the results, on pages too."""
    async with emulator() as hubspot, client(hubspot) as meetings:
        hubspot.portal.add_object("meetings", properties={"hs_meeting_title": "Review", "hs_timestamp": str(T)})
        search = over(meetings, "v3", into=MeetingProperties, properties=["hs_meeting_title"])
        for found in ([m async for m in search], list((await search.page()).results)):
            assert [type(m.properties) for m in found] == [MeetingProperties]
            assert found[0].properties.hs_meeting_title == "Review"


def fill(hubspot: Emulator, count: int, same: range) -> None:
    """Meetings changed at moments that partly repeat, in no order of their ids; those of `same` in one millisecond."""
    store = hubspot.portal.meetings.store
    for n in range(count):
        changed = T + 500_000 if n in same else T + (n * 7919) % 1_000_000 // 3
        number = hubspot.portal.add_object("meetings", properties={"hs_meeting_title": f"Review {n}"})
        made = store.get(int(number))
        assert made is not None
        made.created_ms, made.updated_ms = T + n // 100, changed


@pytest.fixture(scope="module")
def crowd() -> Emulator:
    """25,000 meetings, 6,000 of them changed in the same millisecond."""
    hubspot = emulator()
    fill(hubspot, 25_000, range(9_000, 15_000))
    return hubspot


def truth(hubspot: Emulator, sorts: str | None) -> list[str]:
    found = [
        (r.updated_ms if sorts and "modified" in sorts else r.created_ms, r.id) for r in hubspot.portal.meetings.store
    ]
    if sorts is None:
        return [str(number) for _, number in sorted(found, key=lambda item: item[1])]
    sign = -1 if sorts.startswith("-") else 1
    return [str(number) for _, number in sorted(found, key=lambda item: (sign * item[0], item[1]))]


@pytest.mark.parametrize("sorts", [None, "hs_lastmodifieddate", "-hs_lastmodifieddate", "hs_createdate"])
async def test_25_000_meetings_are_found_once_and_in_order(crowd: Emulator, sorts: str | None) -> None:
    """All of them, 6,000 of one millisecond among them, with the total known before the first."""
    async with crowd as hubspot, client(hubspot) as meetings:
        search = over(meetings, "v3", sorts=sorts)
        assert await search.total() == 25_000
        assert await ids(search) == truth(hubspot, sorts)
        assert hubspot.stats().requests <= 2 * 25_000 / 200
        hubspot.reset(records=False, properties=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sorts", [None, "-hs_lastmodifieddate", "hs_timestamp"])
async def test_filters_and_a_query_hold_on_every_page(version: str, sorts: str | None) -> None:
    """Groups, a query and the walk together, past the ceiling, on every API version."""
    async with emulator() as hubspot, client(hubspot, version) as meetings:
        fill(hubspot, 120, range(40, 90))
        what = where("hs_lastmodifieddate").le(T + 500_000) | where("hs_createdate").eq(T)
        search = Search[Any](
            meetings.meetings._call,
            objects_path(version),
            plan(what, query="review", sorts=sorts, limit=10),
            ceiling=20,
        )
        store = hubspot.portal.meetings.store
        wanted = {str(r.id) for r in store if r.updated_ms <= T + 500_000 or r.created_ms == T}
        assert await search.total() == len(wanted) > 20
        found = await ids(search)
        assert (len(found), set(found)) == (len(wanted), wanted)

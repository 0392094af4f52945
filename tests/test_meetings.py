"""The meetings object, from the client's methods over real sockets to the emulator's rules, in each API version."""

import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec
import pytest

from hubspot_meetings_async import (
    AmbiguousWriteError,
    ConfigurationError,
    Conflict,
    HubSpotUnavailable,
    InvalidRecord,
    Meeting,
    MeetingProperties,
    Meetings,
    MeetingsClient,
    NoLimit,
    NotFound,
    RateLimited,
    Record,
    RequestRejected,
    RetryPolicy,
    Unauthorized,
    UnexpectedResponse,
    UpsertedMeeting,
    to_company,
    to_contact,
)
from hubspot_meetings_async.emulator import Behaviour, Emulator
from hubspot_meetings_async.meetings.resource import API_VERSIONS, objects_path
from hubspot_meetings_async.models import Page
from hubspot_meetings_async.wire import Request, Trail, parse

from . import sampling

PAGE = msgspec.json.Decoder(Page[Meeting])
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
PREFIXES = {
    "v3": "/crm/v3/objects/meetings",
    "2026-03": "/crm/objects/2026-03/meetings",
    "2026-09": "/crm/objects/2026-09/meetings",
}


def lines(emulator: Emulator) -> list[str]:
    """Method and raw path of everything that was asked."""
    return [f"{entry.method} {entry.path}" for entry in emulator.recent_requests]


async def made(client: MeetingsClient, count: int, **properties: Any) -> list[str]:
    """Ids of so many new meetings, in the order they were made."""
    return [(await client.meetings.create({"hs_meeting_title": f"m {n}"} | properties)).id for n in range(count)]


class TestOne:
    async def test_create_with_associations(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """A typed meeting is created with its links, and comes back typed."""
        meeting = await client.meetings.create(
            MeetingProperties(hs_meeting_title="Kick-off", hs_timestamp=START, hs_meeting_outcome="SCHEDULED"),
            associations=[to_contact(101), to_company("202")],
        )
        assert meeting.id.isdigit()
        assert meeting.properties["hs_meeting_title"] == "Kick-off"
        assert meeting.created_at is not None
        assert not meeting.archived
        again = await client.meetings.get(meeting.id, associations=["contacts", "companies"])
        assert again.associations is not None
        linked = {name: [link.id for link in links.results] for name, links in again.associations.items()}
        assert linked == {"contacts": ["101"], "companies": ["202"]}
        assert lines(emulator) == [f"POST {PREFIXES[api_version]}", f"GET {PREFIXES[api_version]}/{meeting.id}"]

    async def test_get_what_was_asked_for(self, client: MeetingsClient) -> None:
        """Properties come when asked for; unset ones are None; nothing is asked for twice."""
        (one,) = await made(client, 1, hs_meeting_location="Room 1")
        bare = await client.meetings.get(one)
        assert set(bare.properties) == {"hs_createdate", "hs_lastmodifieddate", "hs_object_id"}
        full = await client.meetings.get(int(one), properties=["hs_meeting_location", "hs_meeting_body", "not_there"])
        assert full.properties["hs_meeting_location"] == "Room 1"
        assert full.properties["hs_meeting_body"] is None
        assert "not_there" not in full.properties
        assert full.properties_with_history is None

    async def test_history(self, client: MeetingsClient) -> None:
        """Former values come newest first."""
        (one,) = await made(client, 1)
        await client.meetings.update(one, {"hs_meeting_title": "new"})
        meeting = await client.meetings.get(one, properties_with_history=["hs_meeting_title"])
        assert meeting.properties_with_history is not None
        versions = meeting.properties_with_history["hs_meeting_title"]
        assert [version.value for version in versions] == ["new", "m 0"]
        assert versions[0].timestamp is not None

    @pytest.mark.parametrize("value", ["b-1", "b 1/2?x=y#z&%2e", "ünï", "..a", "a+b,c;d"])
    async def test_by_unique_property(self, client: MeetingsClient, value: str) -> None:
        """With id_property a meeting is found by any value, also one full of signs with a meaning in URLs."""
        (one,) = await made(client, 1, booking_ref=value)
        assert (await client.meetings.get(value, id_property="booking_ref")).id == one
        changed = await client.meetings.update(value, {"hs_meeting_title": "x"}, id_property="booking_ref")
        assert (changed.id, changed.properties["hs_meeting_title"]) == (one, "x")

    async def test_update(self, client: MeetingsClient) -> None:
        """What is written is there afterwards; the empty string and None clear; the rest stays."""
        (one,) = await made(client, 1, hs_meeting_location="Room 1", hs_meeting_body="text")
        await client.meetings.update(one, {"hs_meeting_title": "", "hs_meeting_body": None})
        meeting = await client.meetings.get(
            one, properties=["hs_meeting_title", "hs_meeting_location", "hs_meeting_body"]
        )
        assert not meeting.properties["hs_meeting_title"]
        assert not meeting.properties["hs_meeting_body"]
        assert meeting.properties["hs_meeting_location"] == "Room 1"

    async def test_archive(self, client: MeetingsClient) -> None:
        """An archived meeting is gone from reads, and is read with archived=True; archiving again is no error."""
        (one,) = await made(client, 1)
        for _ in range(2):
            await client.meetings.archive(one)
        with pytest.raises(NotFound):
            await client.meetings.get(one)
        meeting = await client.meetings.get(one, archived=True)
        assert meeting.archived
        assert meeting.archived_at is not None

    async def test_unknown(self, client: MeetingsClient, api_version: str) -> None:
        """A meeting that is not there is NotFound, and says which request it was."""
        with pytest.raises(NotFound) as caught:
            await client.meetings.get(404)
        assert (caught.value.method, caught.value.path) == ("GET", f"{PREFIXES[api_version]}/404")
        assert (caught.value.status, caught.value.attempt) == (404, 1)
        assert caught.value.correlation_id


class TestList:
    @pytest.mark.parametrize(("count", "limit", "pages"), [(0, 2, [0]), (1, 2, [1]), (4, 2, [2, 2]), (5, 2, [2, 2, 1])])
    async def test_pages(
        self, client: MeetingsClient, emulator: Emulator, count: int, limit: int, pages: list[int]
    ) -> None:
        """Iterating gives every meeting once, in order of id; pages() gives the pages; each page is one request."""
        ids = await made(client, count)
        assert [meeting.id async for meeting in client.meetings.list(limit=limit)] == ids
        before = emulator.stats().requests
        listing = client.meetings.list(limit=limit, properties=["hs_meeting_title"])
        assert [len(page.results) async for page in listing.pages()] == pages
        assert emulator.stats().requests - before == len(pages)

    async def test_more_than_one_full_page(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Without a limit pages are as large as HubSpot gives them."""
        records = [{"hs_meeting_title": f"m {n}"} for n in range(205)]
        assert (await client.bulk.create(records)).created == 205
        seen = [meeting.id async for meeting in client.meetings.list()]
        assert len(seen) == len(set(seen)) == 205
        assert emulator.stats().by_operation["meetings.list"] == 3

    async def test_again_and_from_a_cursor(self, client: MeetingsClient) -> None:
        """A listing can be run through again; a page's cursor goes on from there."""
        ids = await made(client, 5)
        listing = client.meetings.list(limit=2)
        assert [m.id async for m in listing] == [m.id async for m in listing] == ids
        page = await anext(listing.pages())
        assert [m.id async for m in client.meetings.list(limit=2, after=page.after)] == ids[2:]

    async def test_archived(self, client: MeetingsClient) -> None:
        """archived=True lists the recycling bin and nothing else."""
        ids = await made(client, 4)
        for one in ids[::2]:
            await client.meetings.archive(one)
        assert [m.id async for m in client.meetings.list()] == ids[1::2]
        assert [m.id async for m in client.meetings.list(archived=True, limit=1)] == ids[::2]

    async def test_associations_and_histories(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A list brings links and histories along; with histories, pages hold 50."""
        for n in range(51):
            await client.meetings.create({"hs_meeting_title": "x"}, associations=[to_contact(n + 1)])
        listing = client.meetings.list(associations=["contacts"], properties_with_history=["hs_meeting_title"])
        meetings = [meeting async for meeting in listing]
        assert [m.associations["contacts"].results[0].id for m in meetings if m.associations] == [
            str(n + 1) for n in range(51)
        ]
        assert all(m.properties_with_history for m in meetings)
        assert emulator.stats().by_operation["meetings.list"] == 2

    async def test_leaving_early(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Leaving the loop asks for no further page."""
        await made(client, 4)
        async for _ in client.meetings.list(limit=2):
            break
        assert emulator.stats().by_operation["meetings.list"] == 1

    @pytest.mark.parametrize("wrong", [0, -1, 101, "5", 5.0, True])
    def test_wrong_page_sizes(self, wrong: Any) -> None:
        """A page size HubSpot does not take fails before anything is sent, and says what it takes."""
        with pytest.raises(ConfigurationError, match="1-100"):
            Meetings(never, api_version="v3").list(limit=wrong)
        with pytest.raises(ConfigurationError, match="1-50"):
            Meetings(never, api_version="v3").list(limit=51, properties_with_history=["x"])

    async def test_a_cursor_that_does_not_move(self) -> None:
        """A page that names itself as the next is an error: neither an endless loop nor a silent end."""
        page = Page[Meeting](results=(), paging=parse_paging("7"))

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            return page

        with pytest.raises(UnexpectedResponse, match="does not go on"):
            async for _ in Meetings(call, api_version="v3").list():
                pass

    async def test_a_page_that_was_read_is_not_kept(self) -> None:
        """While the next page comes, nothing holds the one before: an export takes the memory of one page."""
        seen: list[weakref.ref[Mortal]] = []
        held: list[int] = []

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            held.append(sum(ref() is not None for ref in seen))
            numbers = [Mortal("1"), Mortal("2"), Mortal("3")]
            seen.extend(map(weakref.ref, numbers))
            return Page(
                results=tuple(Meeting(id=number) for number in numbers),
                paging=parse_paging(str(len(held))) if len(held) < 3 else None,
            )

        async for meeting in Meetings(call, api_version="v3").list():
            del meeting
        assert held == [0, 1, 1]  # what was read last

    async def test_links_are_never_followed(self) -> None:
        """The next request is built from the cursor, whatever link stands beside it."""
        asked: list[Request[Any]] = []
        answers = ["list/page_with_associations", "list/last_page"]

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            asked.append(request)
            return parse(request, sampling.response(answers[len(asked) - 1]))

        assert [m.id async for m in Meetings(call, api_version="v3").list(limit=1)] == ["501"]
        assert [(r.path, r.query) for r in asked] == [
            (PREFIXES["v3"], "limit=1"),
            (PREFIXES["v3"], "limit=1&after=502"),
        ]


class Mortal(str):
    """The id of a meeting, whose end can be seen."""


def parse_paging(after: str) -> Any:
    page: Page[Meeting] = parse(
        Request(method="GET", path="/", decoder=PAGE),
        sampling.answer(200, {"results": [], "paging": {"next": {"after": after}}}),
    )
    return page.paging


async def never(request: Request[Any], trail: Trail | None = None) -> Any:
    raise AssertionError("something was sent")


class TestBatches:
    async def test_create(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """Good inputs are created although one is bad; the error names the bad one's trace id and property."""
        answer = await client.meetings.batch_create(
            [
                {"hs_meeting_title": "a"},
                {"nope": "b"},
                {"properties": {"hs_meeting_title": "c"}, "associations": [to_contact(5)]},
                Record(properties={"hs_meeting_title": "d"}, object_write_trace_id="mine"),
                MeetingProperties(hs_meeting_title="e"),
            ]
        )
        assert answer.status == "COMPLETE"
        assert sorted(m.properties["hs_meeting_title"] or "" for m in answer.results) == ["a", "c", "d", "e"]
        assert answer.num_errors == len(answer.errors) == 1
        assert answer.errors[0].context["objectWriteTraceId"] == ["1"]
        assert lines(emulator) == [f"POST {PREFIXES[api_version]}/batch/create"]

    async def test_read(self, client: MeetingsClient) -> None:
        """Meetings are read by id in any form, or by a unique value; missing ones are in the errors."""
        one, two = await made(client, 2)
        answer = await client.meetings.batch_read([one, int(two), {"id": "9"}], properties=["hs_meeting_title"])
        assert {m.id: m.properties["hs_meeting_title"] for m in answer.results} == {one: "m 0", two: "m 1"}
        assert answer.errors[0].context["ids"] == ["9"]
        await client.meetings.update(one, {"booking_ref": "b-1"})
        found = await client.meetings.batch_read(["b-1"], id_property="booking_ref")
        assert [m.id for m in found.results] == [one]
        await client.meetings.archive(two)
        assert [m.id for m in (await client.meetings.batch_read([two], archived=True)).results] == [two]

    async def test_update(self, client: MeetingsClient) -> None:
        """Properties are written by id, or by a unique value."""
        one, two = await made(client, 2)
        answer = await client.meetings.batch_update(
            [{"id": one, "hs_meeting_title": "x"}, Record(id=two, properties={"booking_ref": "b-2"})]
        )
        assert {m.id for m in answer.results} == {one, two}
        await client.meetings.batch_update([{"booking_ref": "b-2", "hs_meeting_title": "y"}], id_property="booking_ref")
        meeting = await client.meetings.get(two, properties=["hs_meeting_title"])
        assert meeting.properties["hs_meeting_title"] == "y"

    async def test_upsert(self, client: MeetingsClient) -> None:
        """`new` tells what was created from what was updated."""
        (one,) = await made(client, 1, booking_ref="b-1")
        answer = await client.meetings.batch_upsert(
            [{"booking_ref": "b-1", "hs_meeting_title": "x"}, {"booking_ref": "b-2", "hs_meeting_title": "y"}],
            id_property="booking_ref",
        )
        assert all(isinstance(m, UpsertedMeeting) for m in answer.results)
        assert {m.id == one: m.new for m in answer.results} == {True: False, False: True}

    async def test_archive(self, client: MeetingsClient) -> None:
        """Meetings are archived together, unknown ones too."""
        ids = await made(client, 2)
        await client.meetings.batch_archive([*ids, 12345])
        assert [m async for m in client.meetings.list()] == []

    @pytest.mark.parametrize(
        "wrong", ["501", b"501", {"id": "501"}, Record(id="501"), None, 501, MeetingProperties(hs_meeting_title="x")],
        ids=["string", "bytes", "mapping", "record", "None", "number", "struct"],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["batch_create", "batch_read", "batch_update", "batch_archive"])
    async def test_one_thing_is_no_list(self, name: str, wrong: Any) -> None:
        """A string is not a list of ids, nor a mapping a list of records: archiving "501" must not archive 5, 0, 1."""
        with pytest.raises(ConfigurationError, match="a list of inputs"):
            await getattr(Meetings(never, api_version="v3"), name)(wrong)

    @pytest.mark.parametrize("name", ["batch_create", "batch_read", "batch_update", "batch_archive"])
    async def test_too_many(self, name: str) -> None:
        """More than a hundred inputs fail before anything is sent, and say what takes them; a stream is not read on."""
        taken = 0

        def stream() -> Any:
            nonlocal taken
            for n in range(1, 1_000_000):
                taken += 1
                yield {"id": n, "hs_meeting_title": "x"} if name != "batch_create" else {"hs_meeting_title": "x"}

        with pytest.raises(ConfigurationError, match=r"up to 100 inputs; hubspot\.bulk"):
            await getattr(Meetings(never, api_version="v3"), name)(stream())
        assert taken == 101

    async def test_fifty_with_histories(self) -> None:
        """Reads with histories take fifty."""
        with pytest.raises(ConfigurationError, match="up to 50"):
            await Meetings(never, api_version="v3").batch_read(range(1, 52), properties_with_history=["x"])


class TestRefusals:
    @pytest.mark.parametrize(
        ("properties", "code", "named"),
        [
            ({"nope": "x"}, "PROPERTY_DOESNT_EXIST", "nope"),
            ({"hs_meeting_outcome": "MAYBE"}, "INVALID_OPTION", "hs_meeting_outcome"),
            ({"hs_createdate": "2026-01-01T00:00:00Z"}, "READ_ONLY_VALUE", "hs_createdate"),
        ],
    )
    async def test_bad_values(self, client: MeetingsClient, properties: dict[str, Any], code: str, named: str) -> None:
        """A bad value is RequestRejected with property, code and correlation id, on create and update."""
        (one,) = await made(client, 1)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.meetings.create(properties),
            lambda: client.meetings.update(one, properties),
        ]
        for call in calls:
            with pytest.raises(RequestRejected) as caught:
                await call()
            error = caught.value
            assert type(error) is RequestRejected
            assert (error.status, error.category, error.property_names) == (400, "VALIDATION_ERROR", (named,))
            assert error.details[0].code == code
            assert error.correlation_id
            assert named in str(error)

    async def test_a_taken_value(self, client: MeetingsClient) -> None:
        """A unique value that is taken is a Conflict whose message names the holder."""
        (one,) = await made(client, 1, booking_ref="b-1")
        with pytest.raises(Conflict, match=one) as caught:
            await client.meetings.create({"booking_ref": "b-1"})
        assert (caught.value.status, caught.value.category) == (409, "CONFLICT")

    async def test_no_unique_property(self, client: MeetingsClient) -> None:
        """Looking up by a property that is not unique is refused by HubSpot, in its words."""
        with pytest.raises(RequestRejected):
            await client.meetings.get("x", id_property="hs_meeting_title")
        with pytest.raises(RequestRejected, match="non-unique"):
            await client.meetings.batch_upsert([{"hs_meeting_title": "x"}], id_property="hs_meeting_title")

    async def test_bad_associations(self, api_version: str) -> None:
        """A link to nobody is refused, and names whom."""
        async with (
            Emulator(limit=None, behaviour=Behaviour(check_association_targets=True)) as emulator,
            MeetingsClient("t", base_url=emulator.url, api_version=api_version) as client,
        ):
            with pytest.raises(RequestRejected, match="associations") as caught:
                await client.meetings.create({"hs_meeting_title": "x"}, associations=[to_contact(424242)])
            assert caught.value.context["objectId"] == ("424242",)

    async def test_a_wrong_token(self, api_version: str) -> None:
        """A token HubSpot does not know is Unauthorized, at once, without the token in it."""
        async with (
            Emulator(limit=None, tokens=["right"]) as emulator,
            MeetingsClient("pat-wr0ng", base_url=emulator.url, api_version=api_version) as client,
        ):
            with pytest.raises(Unauthorized) as caught:
                await client.meetings.get(1)
            assert caught.value.category == "INVALID_AUTHENTICATION"
            assert "pat-wr0ng" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
            assert emulator.stats().requests == 1

    @pytest.mark.parametrize("status", [423, 500, 502, 503, 504, 524])
    async def test_trouble(self, client: MeetingsClient, emulator: Emulator, status: int) -> None:
        """Reads, updates and archives are tried again through trouble; a create that met it is ambiguous, sent once."""
        (one,) = await made(client, 1)
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.meetings.get(one),
            lambda: client.meetings.update(one, {"hs_meeting_title": "x"}),
            lambda: client.meetings.archive(one),
            lambda: client.meetings.batch_read([one]),
        ]
        for call in calls:
            emulator.faults.fail_next(status, times=2)
            before = emulator.stats().requests
            await call()
            assert emulator.stats().requests - before == 3
        for create in (client.meetings.create, lambda p: client.meetings.batch_create([p])):
            emulator.faults.fail_next(status, times=2)
            before = emulator.stats().requests
            with pytest.raises(AmbiguousWriteError) as caught:
                await create({"hs_meeting_title": "x"})
            assert isinstance(caught.value.__cause__, HubSpotUnavailable)
            assert emulator.stats().requests - before == 1
            emulator.faults.clear()

    @pytest.mark.parametrize("applied", [True, False])
    async def test_a_lost_answer(self, client: MeetingsClient, emulator: Emulator, applied: bool) -> None:
        """Whether HubSpot did it or not, a create whose connection was reset is never sent twice."""
        emulator.faults.reset_next(applied=applied)
        with pytest.raises(AmbiguousWriteError, match="look the record up") as caught:
            await client.meetings.create({"hs_meeting_title": "x"})
        assert caught.value.why == "reset"
        assert emulator.stats().requests == 1
        assert emulator.stats().records.created == int(applied)

    async def test_429(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A create is tried again after a 429, which proves that nothing was done."""
        emulator.faults.fail_next(429, times=3)
        await client.meetings.create({"hs_meeting_title": "x"})
        assert (emulator.stats().requests, emulator.stats().records.created) == (4, 1)

    async def test_429_for_ever(self, emulator: Emulator) -> None:
        """When the refusals do not end, the call does, with the policy's name."""
        emulator.faults.fail_next(429, times=None)
        policy = RetryPolicy(refusals=2, base_s=0.001, cap_s=0.001)
        async with MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=policy) as client:
            with pytest.raises(RateLimited) as caught:
                await client.meetings.create({"hs_meeting_title": "x"})
        assert caught.value.policy == "TEN_SECONDLY_ROLLING"
        assert emulator.stats().requests == 3

    @pytest.mark.parametrize("body", ["<html>Please log in</html>", "", "[]", "null", '{"status":"COMPLETE"}', "{"])
    async def test_an_answer_that_is_none(self, client: MeetingsClient, emulator: Emulator, body: str) -> None:
        """A 200 that is not HubSpot's is never taken for one: creates are ambiguous, reads fail in the end."""
        emulator.faults.fail_next(200, times=None, body=body)
        with pytest.raises(AmbiguousWriteError) as caught:
            await client.meetings.create({"hs_meeting_title": "x"})
        assert caught.value.why == "unreadable"
        with pytest.raises(AmbiguousWriteError):
            await client.meetings.batch_create([{"hs_meeting_title": "x"}])
        with pytest.raises(UnexpectedResponse):
            await client.meetings.get(1)
        with pytest.raises(UnexpectedResponse):
            [page async for page in client.meetings.list().pages()]

    async def test_a_login_page_archives_nothing(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A page with status 200 is no proof that something was archived."""
        emulator.faults.fail_next(200, times=None, body="<html>Please log in</html>")
        with pytest.raises(UnexpectedResponse, match="log in"):
            await client.meetings.archive(1)
        with pytest.raises(UnexpectedResponse):
            await client.meetings.batch_archive([1])

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_redirects(self, client: MeetingsClient, emulator: Emulator, status: int) -> None:
        """A redirect is an error that names its target, which sees nothing of the request."""
        async with Emulator(limit=None) as target:
            emulator.faults.fail_next(status, headers={"Location": f"{target.url}/crm/v3/objects/meetings"})
            with pytest.raises(UnexpectedResponse, match=target.url):
                await client.meetings.create({"hs_meeting_title": "x"})
            assert target.stats().requests == 0
        assert emulator.stats().requests == 1


HOSTILE = [
    "../../contacts/1", "..", ".", "1?archived=true", "1#f", "%2e%2e", "", " ", "1\n2", "1\r\nX: y", "\x00", "1/2",
    "1%00", "１", "1;2", "-1", "1.0", "0x1", "\ud800", "9" * 21, "batch/archive", "1 ", " 1",
]  # fmt: skip


class TestHostileIds:
    @pytest.mark.parametrize("hostile", [*HOSTILE, None, True, 1.5, b"1", ["1"], -1], ids=repr)
    @pytest.mark.parametrize("method", ["get", "update", "archive"])
    async def test_refused_as_ids(self, hostile: Any, method: str) -> None:
        """What is no record id is refused before anything is sent, in words."""
        meetings = Meetings(never, api_version="v3")
        arguments: list[Any] = [hostile, {"hs_meeting_title": "x"}] if method == "update" else [hostile]
        with pytest.raises(InvalidRecord, match="the id of a meeting must be"):
            await getattr(meetings, method)(*arguments)

    @pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
    async def test_never_leave_their_segment(self, emulator: Emulator, hostile: str) -> None:
        """As a unique value, each is refused or stays one segment behind `meetings/`, and is looked up as it is."""
        prefix = PREFIXES["v3"] + "/"
        async with MeetingsClient("t", base_url=emulator.url) as client:
            with pytest.raises((NotFound, InvalidRecord)):
                await client.meetings.get(hostile, id_property="booking_ref")
            with pytest.raises((NotFound, InvalidRecord)):
                await client.meetings.update(hostile, {"hs_meeting_title": "x"}, id_property="booking_ref")
        for entry in emulator.recent_requests:
            assert entry.path.startswith(prefix)
            assert "/" not in entry.path.removeprefix(prefix)
            assert entry.operation in ("meetings.get", "meetings.update")
        assert emulator.stats().records.updated == 0

    async def test_names_in_queries(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Names with signs of URLs ask for odd properties, and change nothing else."""
        (one,) = await made(client, 1)
        await client.meetings.archive(one)
        with pytest.raises(NotFound):
            await client.meetings.get(one, properties=["a&archived=true", "b#", "c=d&idProperty=x"])


class TestBadArguments:
    @pytest.mark.parametrize("wrong", ["hs_meeting_title", b"x", 5])
    @pytest.mark.parametrize("name", ["properties", "properties_with_history", "associations"])
    async def test_names(self, wrong: Any, name: str) -> None:
        """Names come in a list: one string would be read letter by letter."""
        meetings = Meetings(never, api_version="v3")
        with pytest.raises(ConfigurationError, match="a list of names"):
            await meetings.get(1, **{name: wrong})
        with pytest.raises(ConfigurationError, match="a list of names"):
            meetings.list(**{name: wrong})

    @pytest.mark.parametrize("wrong", [None, "title", [("hs_meeting_title", "x")], 5, MeetingProperties])
    async def test_properties(self, wrong: Any) -> None:
        """Properties are a mapping or a Struct."""
        meetings = Meetings(never, api_version="v3")
        with pytest.raises(InvalidRecord, match="a mapping or a Struct"):
            await meetings.create(wrong)
        with pytest.raises(InvalidRecord, match="a mapping or a Struct"):
            await meetings.update(1, wrong)

    @pytest.mark.parametrize("wrong", ["", " "])
    async def test_id_property(self, wrong: str) -> None:
        """An empty name of a property is an error, not a lookup without one."""
        with pytest.raises(ConfigurationError, match="id_property"):
            await Meetings(never, api_version="v3").get("x", id_property=wrong)

    @pytest.mark.parametrize("wrong", ["", "v2", "v4", "2025-09", "V3", None, 3, "../v3"])
    def test_versions(self, wrong: Any) -> None:
        """A version this library does not speak is refused, naming those it does."""
        with pytest.raises(ConfigurationError, match="v3, 2026-03, 2026-09"):
            objects_path(wrong)
        assert [objects_path(version) for version in API_VERSIONS] == [PREFIXES[version] for version in API_VERSIONS]

    async def test_associations_that_are_none(self) -> None:
        """What can not be written as JSON among the associations is refused before anything is sent."""
        wrong: Any = [object()]
        with pytest.raises(InvalidRecord):
            await Meetings(never, api_version="v3").create({"a": "b"}, associations=wrong)


async def test_a_client_takes_a_thousand_tasks(client: MeetingsClient) -> None:
    """Many tasks share one client, and each gets its own answer."""
    ids = await made(client, 20)
    got: dict[int, str] = {}

    async def read(n: int) -> None:
        got[n] = (await client.meetings.get(ids[n % 20])).id

    async with anyio.create_task_group() as group:
        for n in range(1000):
            group.start_soon(read, n)
    assert got == {n: ids[n % 20] for n in range(1000)}

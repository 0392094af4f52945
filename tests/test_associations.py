"""Links between records, from the client's methods over real sockets to the emulator's rules, in each API version."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import MeetingsClient, NoLimit
from hubspot_meetings_async.associations.inputs import Link, Pair, failures, pair_of, types_of
from hubspot_meetings_async.associations.resource import Associations
from hubspot_meetings_async.associations.runs import REFUSED_IN_A_ROW, carried_out, cut
from hubspot_meetings_async.calling.retry import RetryPolicy
from hubspot_meetings_async.emulator import Behaviour, Emulator
from hubspot_meetings_async.errors import (
    ConfigurationError,
    InvalidRecord,
    NotFound,
    RequestRejected,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.models import (
    MEETING_TO,
    TO_MEETING,
    AssociationType,
    AssociationTypeId,
    BatchError,
    LinkAnswer,
    association,
    to_appointment,
    to_contact,
    to_course,
    to_lead,
    to_listing,
    to_order,
    to_service,
)
from hubspot_meetings_async.wire import Replay, Request, Response, Trail, parse

PLAIN = AssociationTypeId.MEETING_TO_CONTACT


def of(client: MeetingsClient, api_version: str) -> Associations:
    """The associations over a client's connection."""
    return Associations(client.meetings._call, api_version=api_version)


async def meetings(client: MeetingsClient, count: int) -> list[str]:
    """Ids of new meetings, in the order they were made."""
    return [(await client.meetings.create({"hs_meeting_title": f"m {n}"})).id for n in range(count)]


async def of_numbers(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number


class Answers:
    """A `Call` that gives prepared bodies, one a request, and remembers what was asked."""

    def __init__(self, *bodies: tuple[int, bytes]) -> None:
        self.asked: list[Request[Any]] = []
        self._bodies = list(bodies)

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        self.asked.append(request)
        status, body = self._bodies.pop(0)
        return parse(request, Response(status, {}, body))


class TestOnePair:
    async def test_a_plain_link(self, client: MeetingsClient, api_version: str) -> None:
        """It is made once, seen from both ends, its ids are strings, and it goes from both ends at once."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        made = await links.set_default("meetings", int(meeting), "contacts", "101")
        assert [(link.from_.id, link.to.id) for link in made] == [(meeting, "101"), ("101", meeting)]
        assert [link.association_spec for link in made] == [
            AssociationTypeId.MEETING_TO_CONTACT.type,
            AssociationTypeId.CONTACT_TO_MEETING.type,
        ]
        [back] = [link async for link in links.list("0-1", 101, "0-47")]
        assert back.to_object_id == meeting
        assert [kind.type for kind in back.association_types] == [AssociationTypeId.CONTACT_TO_MEETING.type]
        await links.remove("contact", 101, "meetings", meeting)
        assert [link async for link in links.list("meetings", meeting, "contacts")] == []
        await links.remove("contact", 101, "meetings", meeting)

    async def test_set_replaces_labels(self, client: MeetingsClient, api_version: str) -> None:
        """After `set` the pair has the labels of this call and no others; `set_default` takes none away."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        first = (await links.create_label("meetings", "contacts", label="Guest", name="guest"))[0]
        second = (await links.create_label("meetings", "contacts", label="Host", name="host", inverse_label="Hosts"))[0]
        assert (await links.set("meetings", meeting, "contacts", 101, first)).labels == ("Guest",)
        between = await links.set("meetings", meeting, "contacts", 101, [second, PLAIN])
        assert (between.from_object_id, between.to_object_id) == (meeting, "101")
        assert between.labels == ("Host",)
        await links.set_default("meetings", meeting, "contacts", 101)
        [link] = [link async for link in links.list("meetings", meeting, "contacts")]
        assert link.labels == ("Host",)
        labels = {label.label for label in await links.labels("contacts", "meetings")}
        assert labels == {None, "Guest", "Hosts"}

    async def test_list_follows_pages(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """All links come once, in as many pages as their size asks for; a cursor goes on where a page ended."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        await links.associate_default("meetings", "contacts", [(meeting, n) for n in range(1, 8)])
        before = len(emulator.recent_requests)
        listing = links.list("meetings", meeting, "contacts", limit=3)
        assert [link.to_object_id async for link in listing] == [str(n) for n in range(1, 8)]
        assert len(emulator.recent_requests) - before == 3
        pages = [page async for page in listing.pages()]
        assert [len(page.results) for page in pages] == [3, 3, 1]
        rest = links.list("meetings", meeting, "contacts", after=pages[0].after)
        assert [link.to_object_id async for link in rest] == ["4", "5", "6", "7"]

    @pytest.mark.parametrize("limit", [0, 501, True, "5"])
    def test_list_limit(self, limit: Any) -> None:
        with pytest.raises(ConfigurationError, match="1-500"):
            Associations(Answers(), api_version="v3").list("meetings", 1, "contacts", limit=limit)

    async def test_a_list_that_does_not_go_on(self) -> None:
        """A page that names itself as the next is an error, not an endless list."""
        body = b'{"results":[],"paging":{"next":{"after":"5"}}}'
        with pytest.raises(UnexpectedResponse):
            [_ async for _ in Associations(Answers((200, body), (200, body)), api_version="v3").list("a", 1, "b")]

    async def test_an_unknown_record(self, client: MeetingsClient, api_version: str) -> None:
        with pytest.raises(NotFound):
            await of(client, api_version).set_default("meetings", 999, "contacts", 1)

    async def test_a_type_of_other_objects(self, client: MeetingsClient, api_version: str) -> None:
        [meeting] = await meetings(client, 1)
        with pytest.raises(RequestRejected, match="invalid from object type"):
            await of(client, api_version).set("meetings", meeting, "contacts", 1, AssociationTypeId.CONTACT_TO_MEETING)

    async def test_arguments_stay_in_their_segment(self) -> None:
        """Ids and object types can not leave their place in the path, and an empty set of types is no request."""
        links = Associations(Answers(), api_version="2026-03")
        for wrong in ("1/2", "", "abc", True, None, 1.5):
            with pytest.raises(InvalidRecord):
                await links.remove("meetings", wrong, "contacts", 1)  # type: ignore[arg-type]
        for wrong in ("..", "", 5):
            with pytest.raises(InvalidRecord):
                await links.labels("meetings", wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="needs a type"):
            await links.set("meetings", 1, "contacts", 1, [])
        with pytest.raises(InvalidRecord, match=r"AssociationType\(category, id\)"):
            await links.set("meetings", 1, "contacts", 1, [200])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="api_version"):
            Associations(Answers(), api_version="v4")

    @pytest.mark.parametrize(
        ("api_version", "paths"),
        [
            ("v3", ["/crm/v4/associations/a%2Fb/c/labels", "/crm/associations/v4/a%2Fb/c/labels"]),
            ("2026-09", ["/crm/associations/2026-09/a%2Fb/c/labels"]),
        ],
    )
    async def test_both_addresses_of_labels(self, api_version: str, paths: list[str]) -> None:
        """Where the guide's address is not found, the schema's is asked; dated versions have one."""
        call = Answers(*((404, b"{}") for _ in paths[1:]), (200, b'{"results":[{"category":"X","typeId":7}]}'))
        [label] = await Associations(call, api_version=api_version).labels("a/b", "c")
        assert label.type == AssociationType("X", 7)
        assert [request.path for request in call.asked] == paths

    async def test_what_may_be_repeated(self) -> None:
        """Links may be made and removed twice; a new label and a report by e-mail may not."""
        body = b'{"status":"COMPLETE","results":[]}'
        call = Answers((200, body), (200, body), (200, b"{}"), (201, body), (204, b""))
        links = Associations(call, api_version="v3")
        await links.set_default("meetings", 1, "contacts", 2)
        await links.create_label("meetings", "contacts", label="L", name="l")
        await links.high_usage_report(5)
        await links.batch_create("meetings", "contacts", [(1, 2, PLAIN)])
        await links.batch_archive("meetings", "contacts", [(1, 2)])
        assert [request.replay for request in call.asked] == [
            Replay.ALWAYS,
            Replay.IF_NOT_DONE,
            Replay.IF_NOT_DONE,
            Replay.ALWAYS,
            Replay.ALWAYS,
        ]

    async def test_high_usage_report(self, client: MeetingsClient, api_version: str) -> None:
        report = await of(client, api_version).high_usage_report(5)
        assert report["userId"] == 5


class TestBatches:
    async def test_read(self, client: MeetingsClient, api_version: str) -> None:
        """Records without links, and records that are not there, have an empty list; both are no errors."""
        links = of(client, api_version)
        first, second = await meetings(client, 2)
        await links.set_default("meetings", second, "contacts", 101)
        answer = await links.batch_read("meetings", "contacts", [first, int(second), "999"])
        assert answer.errors == ()
        assert answer.num_errors is None
        assert {record.from_.id: [link.to_object_id for link in record.to] for record in answer.results} == {
            first: [],
            second: ["101"],
            "999": [],
        }

    async def test_create_ties_failures_to_pairs(self, client: MeetingsClient, api_version: str) -> None:
        """The pair with a meeting that is not there fails by itself; the others are linked, by their own types."""
        links = of(client, api_version)
        first, second = await meetings(client, 2)
        label = (await links.create_label("meetings", "contacts", label="Guest", name="guest"))[0]
        answer = await links.batch_create(
            "meetings", "contacts", [(first, 1, PLAIN), Link(999, 1, PLAIN), (second, 1, [label, PLAIN])]
        )
        assert {between.from_object_id: between.labels for between in answer.results} == {
            first: (),
            second: ("Guest",),
        }
        [failure] = answer.failures
        assert (failure.from_id, failure.to_id) == ("999", "1")
        assert isinstance(failure.error, RequestRejected)
        assert failure.error.context["objectId"] == ("999",)

    async def test_associate_default(self, client: MeetingsClient, api_version: str) -> None:
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        answer = await links.batch_associate_default("meetings", "contacts", [(meeting, 1), (999, 2)])
        assert {(link.from_.id, link.to.id) for link in answer.results} == {(meeting, "1"), ("1", meeting)}
        assert [(failure.from_id, failure.to_id) for failure in answer.failures] == [("999", "2")]

    async def test_archive(self, client: MeetingsClient, api_version: str) -> None:
        """204 without a body and 200 with one mean the same; what is not there is no failure."""
        links = of(client, api_version)
        first, second = await meetings(client, 2)
        await links.associate_default("meetings", "contacts", [(first, 1), (first, 2), (second, 1)])
        answer = await links.batch_archive("meetings", "contacts", [(first, 1), (first, 2), (second, 7)])
        assert answer == LinkAnswer((), ())
        left = {
            id_: [link.to_object_id for link in ends]
            async for id_, ends in links.read("meetings", "contacts", [first, second])
        }
        assert left == {first: [], second: ["1"]}

    async def test_archive_labels(self, client: MeetingsClient, api_version: str) -> None:
        """One label goes and the plain link stays; with the plain type everything goes."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        label = (await links.create_label("meetings", "contacts", label="Guest", name="guest"))[0]
        await links.set("meetings", meeting, "contacts", 1, [PLAIN, label])
        assert (await links.batch_archive_labels("meetings", "contacts", [(meeting, 1, label)])).failures == ()
        [link] = [link async for link in links.list("meetings", meeting, "contacts")]
        assert [kind.type for kind in link.association_types] == [PLAIN.type]
        await links.batch_archive_labels("meetings", "contacts", [(meeting, 1, PLAIN)])
        assert [link async for link in links.list("meetings", meeting, "contacts")] == []

    async def test_ceilings(self) -> None:
        """One more than HubSpot takes is refused here, before anything is sent; as many as it takes are not."""
        body = (200, b'{"status":"COMPLETE","results":[]}')
        call = Answers(body, body, body, (204, b""), (204, b""))
        links = Associations(call, api_version="v3")
        typed = [(1, n, PLAIN) for n in range(2001)]
        pairs = [(1, n) for n in range(2001)]
        fan = [(n, 1) for n in range(101)]
        for method, too_many in (
            (links.batch_create, typed),
            (links.batch_associate_default, pairs),
            (links.batch_archive, fan),
            (links.batch_archive_labels, typed[:101]),
        ):
            with pytest.raises(ConfigurationError, match="any number"):
                await method("meetings", "contacts", too_many)
        with pytest.raises(ConfigurationError, match="1000"):
            await links.batch_read("meetings", "contacts", range(1001))
        assert call.asked == []
        await links.batch_create("meetings", "contacts", typed[:2000])
        await links.batch_associate_default("meetings", "contacts", pairs[:2000])
        await links.batch_read("meetings", "contacts", range(1000))
        await links.batch_archive("meetings", "contacts", fan[:100])
        await links.batch_archive_labels("meetings", "contacts", typed[:100])
        assert len(call.asked) == 5

    async def test_a_removal_must_be_believed(self) -> None:
        """A page of some network on the way is no proof of a removal; errors in a 207 are tied to their pairs."""
        error = b'{"errors":[{"category":"VALIDATION_ERROR","message":"no","context":{"toObjectId":["2"]}}]}'
        links = Associations(Answers((200, b"<html>"), (207, error)), api_version="2026-03")
        with pytest.raises(UnexpectedResponse):
            await links.batch_archive("meetings", "contacts", [(1, 2)])
        answer = await links.batch_archive("meetings", "contacts", [(1, 2), (1, 3)])
        assert [(failure.from_id, failure.to_id) for failure in answer.failures] == [("1", "2")]

    @pytest.mark.parametrize(
        "link", [5, "12", (1,), (1, 2, PLAIN, 4), ("x", 2, PLAIN), (1, 2), (1, 2, ()), (1, 2, 200)]
    )
    def test_links_that_can_not_be(self, link: object) -> None:
        with pytest.raises(InvalidRecord):
            pair_of(link, with_types=True)

    def test_a_type_where_none_is_taken(self) -> None:
        """`associate_default` with a type would leave the type out in silence."""
        with pytest.raises(InvalidRecord, match="takes none"):
            pair_of((1, 2, PLAIN), with_types=False)

    def test_ids_are_canonical(self) -> None:
        """Numbers and strings with zeros before them are one id, so that answers are found again."""
        assert pair_of(("007", 7), with_types=False) == Pair("7", "7")
        assert pair_of(("0", 0), with_types=False) == Pair("0", "0")


class TestAnyNumber:
    async def test_read_cuts_and_pages(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """2,300 ids in three requests and one for a second page; each comes once, in order, with all it has."""
        links = of(client, api_version)
        first, second = await meetings(client, 2)
        report = await links.associate_default("meetings", "contacts", [(first, n) for n in range(1, 701)])
        assert report.done == 700
        await links.set_default("meetings", second, "contacts", 9)
        wanted = [str(n) for n in range(1, 2299)] + [first, second]
        before = len(emulator.recent_requests)
        found = [(id_, len(ends)) async for id_, ends in links.read("meetings", "contacts", wanted)]
        assert len(emulator.recent_requests) - before == 4
        assert found == [(id_, 0) for id_ in wanted[:-2]] + [(first, 700), (second, 1)]

    async def test_read_answers_every_id_it_is_given(self, client: MeetingsClient, api_version: str) -> None:
        """Twice the same id, in two spellings, is answered twice; the source may be asynchronous."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        await links.set_default("meetings", meeting, "contacts", 5)
        ids = of_numbers(int(meeting), 7, int(meeting))
        found = [(id_, len(ends)) async for id_, ends in links.read("meetings", "contacts", ids)]
        assert found == [(meeting, 1), ("7", 0), (meeting, 1)]

    async def test_a_record_that_is_not_mentioned_is_asked_for(self) -> None:
        """Neither links nor "has none": the record is listed by itself rather than taken for empty."""
        call = Answers(
            (200, b'{"status":"COMPLETE","results":[{"from":{"id":1},"to":[]}]}'),
            (200, b'{"results":[{"toObjectId":5}]}'),
        )
        links = Associations(call, api_version="v3")
        found = [(id_, [end.to_object_id for end in ends]) async for id_, ends in links.read("a", "b", [1, 2])]
        assert found == [("1", []), ("2", ["5"])]
        assert call.asked[1].path == "/crm/v4/objects/a/2/associations/b"

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (b'{"status":"C","results":[],"errors":[{"category":"X","message":"no"}]}', RequestRejected),
            (b'{"status":"C","results":[{"from":{"id":"9"},"to":[]}]}', UnexpectedResponse),
        ],
    )
    async def test_read_does_not_hide_errors(self, body: bytes, error: type[Exception]) -> None:
        with pytest.raises(error):
            [_ async for _ in Associations(Answers((207, body)), api_version="v3").read("a", "b", [1])]

    async def test_create_and_archive(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """4,500 links in three requests; their removal 100 records at a time."""
        links = of(client, api_version)
        ids = await meetings(client, 3)
        wanted = [(id_, n, PLAIN) for id_ in ids for n in range(1, 1501)]
        before = len(emulator.recent_requests)
        assert (await links.create("meetings", "contacts", iter(wanted))).done == 4500
        assert len(emulator.recent_requests) - before == 3
        report = await links.archive("contacts", "meetings", ((n, id_) for n in range(1, 1501) for id_ in ids))
        assert report.done == 4500
        assert len(emulator.recent_requests) - before == 3 + 15
        assert [len(ends) async for _, ends in links.read("meetings", "contacts", ids)] == [0, 0, 0]

    async def test_archive_labels(self, client: MeetingsClient, api_version: str) -> None:
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        await links.create("meetings", "contacts", [(meeting, n, PLAIN) for n in range(1, 151)])
        report = await links.archive_labels("meetings", "contacts", [(meeting, n, PLAIN) for n in range(1, 151)])
        assert (report.done, report.failures) == (150, ())
        assert [link async for link in links.list("meetings", meeting, "contacts")] == []

    async def test_refused_batches_are_halved(self, client: MeetingsClient, api_version: str) -> None:
        """HubSpot refuses a batch for one type of the wrong direction: that pair alone is the failure."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        wrong = AssociationTypeId.CONTACT_TO_MEETING
        wanted = [(meeting, n, wrong if n in (3, 700) else PLAIN) for n in range(1, 1001)]
        report = await links.create("meetings", "contacts", wanted)
        assert report.done == 998
        assert [failure.to_id for failure in report.failures] == ["3", "700"]

    async def test_a_wrong_token_stops_it(self) -> None:
        async with Emulator(limit=None, tokens=["right"]) as emulator:
            async with MeetingsClient("wrong", base_url=emulator.url, limiter=NoLimit()) as client:
                with pytest.raises(Unauthorized):
                    await of(client, "v3").create("meetings", "contacts", [(1, n, PLAIN) for n in range(5)])
            assert emulator.stats().requests == 1

    async def test_no_endless_halving(self) -> None:
        """When everything is refused, the refusal is raised after a bounded number of requests."""
        sent: list[int] = []

        async def refuse(pairs: Sequence[Pair]) -> LinkAnswer[Any]:
            sent.append(len(pairs))
            raise RequestRejected("all wrong")

        with pytest.raises(RequestRejected, match="all wrong"):
            await carried_out([(1, n) for n in range(5000)], with_types=False, send=refuse)
        assert len(sent) == REFUSED_IN_A_ROW

    @given(bad=st.sets(st.integers(0, 299), max_size=12), count=st.integers(0, 300))
    def test_every_link_is_counted_once(self, bad: set[int], count: int) -> None:
        """Whichever pairs are refused: the good ones are sent exactly once with success, the bad ones are named."""
        linked: list[str] = []

        async def send(pairs: Sequence[Pair]) -> LinkAnswer[Any]:
            if any(int(pair.to_id) in bad for pair in pairs):
                raise RequestRejected("bad one")
            linked.extend(pair.to_id for pair in pairs)
            return LinkAnswer(())

        report = asyncio.run(carried_out([(1, n) for n in range(count)], with_types=False, send=send, most=50))
        assert linked == [str(n) for n in range(count) if n not in bad]
        assert [failure.to_id for failure in report.failures] == [str(n) for n in range(count) if n in bad]
        assert report.done == len(linked)

    @given(items=st.lists(st.integers(0, 6), max_size=60), most=st.integers(1, 5))
    def test_cut_by_value(self, items: list[int], most: int) -> None:
        """Nothing is lost or moved, no chunk has more values than HubSpot takes, and no chunk could go on."""

        async def chunks() -> list[list[int]]:
            return [chunk async for chunk in cut("ids", items, most, lambda item: item)]

        found = asyncio.run(chunks())
        assert [item for chunk in found for item in chunk] == items
        assert all(0 < len(set(chunk)) <= most for chunk in found)
        assert all(len({*one, other[0]}) > most for one, other in pairwise(found))

    @pytest.mark.parametrize("source", ["501", b"501", {"a": 1}, 501])
    async def test_one_is_no_list(self, source: Any) -> None:
        """A string would be read as a list of its digits."""
        links = Associations(Answers(), api_version="v3")
        with pytest.raises(ConfigurationError, match="list of"):
            [_ async for _ in links.read("a", "b", source)]
        with pytest.raises(ConfigurationError, match="list of"):
            await links.create("a", "b", source)
        with pytest.raises(ConfigurationError, match="list of"):
            await links.batch_read("a", "b", source)


class TestFailures:
    PAIRS = (Pair("1", "10"), Pair("2", "10"), Pair("2", "20"))

    @pytest.mark.parametrize(
        ("context", "failed"),
        [
            ({"fromObjectId": ["2"]}, [1, 2]),
            ({"toObjectId": ["10"]}, [1]),
            ({"fromObjectId": ["2"], "toObjectId": ["20"]}, [2]),
            ({"objectId": ["20"]}, [2]),
            ({"ids": ["2"]}, [1, 2]),
            ({}, [1, 2]),
            (None, [1, 2]),
        ],
    )
    def test_errors_name_pairs(self, context: Any, failed: list[int]) -> None:
        """In whichever way an error names its ids; one without ids is about all that the results do not confirm."""
        entry = BatchError(category="X", message="no", context=context)
        found = failures(self.PAIRS, [entry], {("1", "10")})
        named = [
            n
            for n, pair in enumerate(self.PAIRS)
            if any(
                (failure.from_id, failure.to_id) == pair[:2] and isinstance(failure.error, RequestRejected)
                for failure in found
            )
        ]
        assert named == failed

    def test_what_nobody_mentions_is_no_success(self) -> None:
        """An empty answer to a batch that links proves nothing; to one that removes it is all there is to say."""
        found = failures(self.PAIRS, [], set())
        assert [type(failure.error) for failure in found] == [UnexpectedResponse] * 3
        assert failures(self.PAIRS, [], None) == ()


class TestV3:
    async def test_by_name_and_by_number(self, client: MeetingsClient, api_version: str) -> None:
        """A type by its name or number, in every version; HubSpot answers the record with what was set."""
        links = of(client, api_version)
        [meeting] = await meetings(client, 1)
        record = await links.v3.create("meetings", meeting, "contacts", 101, "meeting_event_to_contact")
        assert record.id == meeting
        assert record.associations is not None
        assert record.associations["contacts"].results[0].id == "101"
        await links.v3.create("meetings", meeting, "companies", "7", AssociationTypeId.MEETING_TO_COMPANY)
        assert [link.to_object_id async for link in links.list("meetings", meeting, "companies")] == ["7"]
        await links.v3.delete("meetings", meeting, "companies", 7, 188)
        await links.v3.delete("meetings", meeting, "contacts", 101, "meeting_event_to_contact")
        assert [link async for link in links.list("meetings", meeting, "contacts")] == []
        assert [link async for link in links.list("meetings", meeting, "companies")] == []

    @pytest.mark.parametrize("api_version", ["v3"])
    async def test_lists_and_batches(self, client: MeetingsClient, api_version: str) -> None:
        """Links with the names of their types, page after page, and many at once."""
        links = of(client, api_version).v3
        first, second = await meetings(client, 2)
        made = await links.batch_create(
            "meetings", "contacts", [(first, n, "meeting_event_to_contact") for n in range(1, 6)] + [(999, 1, 200)]
        )
        assert [link.to.id for link in made.results] == ["1", "2", "3", "4", "5"]
        assert [failure.from_id for failure in made.failures] == ["999"]
        found = [(link.id, link.type) async for link in links.list("meetings", first, "contacts", limit=2)]
        assert found == [(str(n), "meeting_event_to_contact") for n in range(1, 6)]
        answer = await links.batch_read("meetings", "contacts", [first, second])
        assert [(record.from_.id, len(record.to)) for record in answer.results] == [(first, 5)]
        assert len(answer.errors) == 1
        await links.batch_archive("meetings", "contacts", [(first, n, 200) for n in range(1, 6)])
        assert [link async for link in links.list("meetings", first, "contacts")] == []

    async def test_where_there_is_none(self) -> None:
        """Dated versions have no lists and batches of this style: the error says what to use."""
        links = Associations(Answers(), api_version="2026-09").v3
        with pytest.raises(ConfigurationError, match=r"use associations\.list\(\)"):
            links.list("meetings", 1, "contacts")
        with pytest.raises(ConfigurationError, match=r"use associations\.batch_create\(\)"):
            await links.batch_create("meetings", "contacts", [(1, 2, 200)])
        with pytest.raises(ConfigurationError, match=r"use associations\.batch_archive\(\)"):
            await links.batch_archive("meetings", "contacts", [(1, 2, 200)])

    @pytest.mark.parametrize("kind", [None, True, 1.5, "", ".."])
    async def test_types_that_can_not_be(self, kind: Any) -> None:
        with pytest.raises(InvalidRecord):
            await Associations(Answers(), api_version="v3").v3.create("meetings", 1, "contacts", 2, kind)

    async def test_ceilings(self) -> None:
        links = Associations(Answers(), api_version="v3").v3
        with pytest.raises(ConfigurationError, match="2000"):
            await links.batch_create("a", "b", [(1, n, 200) for n in range(2001)])
        with pytest.raises(ConfigurationError, match="1000"):
            await links.batch_read("a", "b", range(1001))
        with pytest.raises(InvalidRecord):
            await links.batch_create("a", "b", [(1, 2)])  # type: ignore[list-item]


class TestAnswersOfOtherForms:
    @pytest.mark.parametrize("form", ["number", "string"])
    async def test_ids_are_strings(self, form: Any) -> None:
        """Whatever HubSpot sends ids as, one and the same string comes out."""
        async with (
            Emulator(limit=None, behaviour=Behaviour(association_ids=form)) as emulator,
            MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=RetryPolicy(attempts=1)) as client,
        ):
            links = of(client, "v3")
            [meeting] = await meetings(client, 1)
            between = await links.set("meetings", meeting, "contacts", 101, PLAIN)
            assert (between.from_object_id, between.to_object_id) == (meeting, "101")
            [(_, [link])] = [item async for item in links.read("meetings", "contacts", [meeting])]
            assert link.to_object_id == "101"


class TestTypes:
    def test_both_directions(self) -> None:
        """Where both directions are known, they are neighbours, as HubSpot numbers them; no number is there twice."""
        assert all(MEETING_TO[name] == TO_MEETING[name] + 1 for name in MEETING_TO)
        assert set(TO_MEETING) - set(MEETING_TO) == {"project"}
        assert len({*MEETING_TO.values(), *TO_MEETING.values()}) == len(AssociationTypeId) == 21

    @pytest.mark.parametrize(
        ("maker", "type_id"),
        [
            (to_lead, 601),
            (to_order, 769),
            (to_appointment, 919),
            (to_course, 873),
            (to_listing, 897),
            (to_service, 839),
        ],
    )
    def test_makers(self, maker: Any, type_id: int) -> None:
        made = maker("7")
        assert made.to.id == "7"
        assert made.types == (AssociationType("HUBSPOT_DEFINED", type_id),)
        assert maker.__name__ in repr(maker)

    def test_any_type(self) -> None:
        assert association("contact", 101) == to_contact(101)
        assert association("p_cars", "5", type_id=37, category="USER_DEFINED").types == (
            AssociationType("USER_DEFINED", 37),
        )
        with pytest.raises(ConfigurationError, match="give type_id="):
            association("p_cars", 5)
        for wrong in (0, -1, 2**31, True):
            with pytest.raises(ConfigurationError, match="type_id"):
                association("contact", 5, type_id=wrong)
        with pytest.raises(InvalidRecord):
            association("contact", "x")

    @pytest.mark.parametrize("given", [200, "200", None, [200], ["x"]])
    def test_bare_numbers_are_no_types(self, given: object) -> None:
        """They could be of any category: a wrong one would link by another type."""
        with pytest.raises(InvalidRecord):
            types_of(given)

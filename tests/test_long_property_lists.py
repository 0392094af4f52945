"""More properties than a URL holds: `list` and `get` take them by batch read, and nobody notices."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hubspot_meetings_async import MeetingProperties, MeetingsClient, NoLimit, NotFound, RetryPolicy, to_contact
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.errors import UnexpectedResponse
from hubspot_meetings_async.meetings.resource import Meetings
from hubspot_meetings_async.models import BatchResponse, Meeting, Page
from hubspot_meetings_async.wire import Request, Trail

VERSIONS = ["v3", "2026-03", "2026-09"]
MANY = ["hs_meeting_title", *(f"a_property_with_a_long_name_number_{n}" for n in range(400))]
LAST = MANY[-1]


def client(emulator: Emulator, version: str = "v3") -> MeetingsClient:
    return MeetingsClient(
        "token", base_url=emulator.url, api_version=version, limiter=NoLimit(), retry=RetryPolicy(base_s=0.001)
    )


async def filled(hubspot: MeetingsClient, emulator: Emulator, count: int) -> list[str]:
    emulator.portal.add_property(LAST)
    inputs = [
        {"properties": {"hs_meeting_title": f"Review {n}", LAST: f"value {n}"}, "associations": [to_contact(100 + n)]}
        for n in range(count)
    ]
    ids: list[str] = []
    for start in range(0, count, 100):
        created = await hubspot.meetings.batch_create(inputs[start : start + 100])
        ids += sorted((meeting.id for meeting in created.results), key=int)
    return ids


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_list_asks_for_any_number_of_properties(version: str) -> None:
    """Every meeting comes once, in order, with its properties and its associations; two requests a page."""
    async with Emulator(limit=None) as emulator, client(emulator, version) as hubspot:
        ids = await filled(hubspot, emulator, 130)
        before = emulator.stats().requests
        assert sum(map(len, MANY)) > emulator.behaviour.max_url_length
        found = [m async for m in hubspot.meetings.list(properties=MANY, associations=["contacts"])]
        assert [m.id for m in found] == ids
        assert all(m.associations is not None and m.associations["contacts"].results for m in found)
        assert {m.properties[LAST] for m in found} == {f"value {n}" for n in range(130)}
        assert emulator.stats().requests - before == 4


async def test_a_short_list_is_one_request_a_page() -> None:
    """Whatever fits into a URL stays there."""
    async with Emulator(limit=None) as emulator, client(emulator) as hubspot:
        await filled(hubspot, emulator, 5)
        before = emulator.stats().requests
        assert len([m async for m in hubspot.meetings.list(properties=MANY[:150])]) == 5
        assert emulator.stats().requests - before == 1


async def test_histories_come_the_same_way() -> None:
    """With histories a page holds 50, as a batch read with histories does."""
    async with Emulator(limit=None) as emulator, client(emulator) as hubspot:
        ids = await filled(hubspot, emulator, 70)
        await hubspot.meetings.update(ids[0], {LAST: "changed"})
        pages = [p async for p in hubspot.meetings.list(properties_with_history=MANY).pages()]
        assert [len(p.results) for p in pages] == [50, 20]
        versions = (pages[0].results[0].properties_with_history or {})[LAST]
        assert [v.value for v in versions] == ["changed", "value 0"]


async def test_archived_ones_are_read_from_the_bin() -> None:
    """`archived=True` holds for both requests."""
    async with Emulator(limit=None) as emulator, client(emulator) as hubspot:
        ids = await filled(hubspot, emulator, 3)
        await hubspot.meetings.archive(ids[1])
        found = [m async for m in hubspot.meetings.list(properties=MANY, archived=True)]
        assert [(m.id, m.properties[LAST]) for m in found] == [(ids[1], "value 1")]
        assert (await hubspot.meetings.get(ids[1], properties=MANY, archived=True)).properties[LAST] == "value 1"


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_meeting_is_read_whole(version: str) -> None:
    """`get` too, by id and by a unique property, with its associations."""
    async with Emulator(limit=None) as emulator, client(emulator, version) as hubspot:
        emulator.portal.add_property("booking_ref", unique=True)
        ids = await filled(hubspot, emulator, 2)
        await hubspot.meetings.update(ids[1], {"booking_ref": "r1"})
        by_id = await hubspot.meetings.get(ids[0], properties=MANY, associations=["contacts"])
        assert (by_id.properties[LAST], by_id.properties["hs_meeting_title"]) == ("value 0", "Review 0")
        assert by_id.associations is not None
        by_ref = await hubspot.meetings.get("r1", properties=MANY, id_property="booking_ref")
        assert (by_ref.id, by_ref.properties[LAST]) == (ids[1], "value 1")
        with pytest.raises(NotFound):
            await hubspot.meetings.get("404", properties=MANY)


async def test_a_struct_with_hundreds_of_fields_is_filled() -> None:
    """The properties of `into=` move to the batch read as well."""
    fields: list[Any] = [(name, str | None, None) for name in MANY[1:]]
    wide: Any = msgspec.defstruct("Wide", fields, bases=(MeetingProperties,), kw_only=True)
    async with Emulator(limit=None) as emulator, client(emulator) as hubspot:
        ids = await filled(hubspot, emulator, 2)
        found = [m async for m in hubspot.meetings.list(into=wide)]
        assert [getattr(m.properties, LAST) for m in found] == ["value 0", "value 1"]
        assert getattr((await hubspot.meetings.get(ids[0], into=wide)).properties, LAST) == "value 0"


class Scripted:
    """A call that answers a list with three meetings, and a batch read as it is told."""

    def __init__(self, batch: BatchResponse[Meeting] | Exception) -> None:
        self.batch = batch

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        assert len(request.path) + len(request.query) < 8_000
        if not request.path.endswith("/batch/read"):
            return Page(results=tuple(Meeting(id=id_) for id_ in ("1", "2", "3")))
        if isinstance(self.batch, Exception):
            raise self.batch
        return self.batch


def answer(*ids: str, gone: tuple[str, ...] = ()) -> BatchResponse[Meeting]:
    errors = [{"category": "OBJECT_NOT_FOUND", "context": {"ids": list(gone)}}] if gone else []
    body = {"status": "COMPLETE", "results": [{"id": id_} for id_ in ids], "errors": errors}
    return msgspec.convert(body, BatchResponse[Meeting])


@pytest.mark.parametrize(
    ("batch", "left"),
    [
        (answer("3", "1", "2"), ["1", "2", "3"]),
        (answer("3", "1", gone=("2",)), ["1", "3"]),
        (answer(gone=("1", "2", "3")), []),
        (NotFound("none of them"), []),
    ],
)
async def test_meetings_that_go_away_meanwhile_are_left_out(
    batch: BatchResponse[Meeting] | Exception, left: list[str]
) -> None:
    """What HubSpot says is gone is left out; the rest keeps the list's order."""
    meetings = Meetings(Scripted(batch), api_version="v3")
    assert [m.id async for m in meetings.list(properties=MANY)] == left


async def test_silence_is_not_taken_for_gone() -> None:
    """A batch read that answers fewer than it was asked, without a word why, is an error."""
    meetings = Meetings(Scripted(answer("1", "3")), api_version="v3")
    with pytest.raises(UnexpectedResponse, match="says nothing of 1 of its meetings, such as 2"):
        [m async for m in meetings.list(properties=MANY)]

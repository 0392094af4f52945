"""The body rows of the fault matrix: answers that say 2xx and can not be read, or say something odd."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubspot_meetings_async import (
    Ambiguous,
    AmbiguousWriteError,
    Created,
    HubSpotError,
    HubSpotUnavailable,
    MeetingsClient,
    RequestRejected,
    UnexpectedResponse,
)
from hubspot_meetings_async.emulator import Emulator, Fault, FaultRule

from ..raw_server import Connection
from .conftest import MakeClient
from .front import before_the_emulator, carried_out

BODY = {"hs_meeting_title": "new"}
BOM = "\ufeff"

UNREADABLE: dict[str, tuple[str, str]] = {
    "broken JSON": ("B1", '{"id":"1","properties":{'),
    "two documents": ("B1", '{"id":"1","properties":{}}{}'),
    "text": ("B1", "OK"),
    "a list": ("B3", "[]"),
    "a string": ("B3", '"x"'),
    "null": ("B3", "null"),
    "a number": ("B3", "123"),
    "true": ("B3", "true"),
    "nested lists": ("B10", "[" * 100_000 + "]" * 100_000),
    "nested objects": ("B10", '{"properties":' * 100_000 + "1" + "}" * 100_000),
    "10,000 digits": ("B10", '{"id":' + "9" * 10_000 + "}"),
    "NaN": ("B10", '{"id":NaN}'),
    "BOM": ("B10", BOM + '{"id":"1","properties":{}}'),
}
CASES = [pytest.param(name, marks=pytest.mark.row(row), id=name) for name, (row, _) in UNREADABLE.items()]


def stored(emulator: Emulator) -> int:
    return emulator.stats().records.stored


def answering(emulator: Emulator, body: str, operation: str, *, status: int = 200, done: bool = True) -> None:
    """Have the next request carried out, and answer with this."""
    emulator.faults.fail_next(
        status, applied=done, body=body, content_type="application/json", operation=f"meetings.{operation}"
    )


async def outcomes_of(run: Any) -> list[Any]:
    async with run:
        return [outcome async for outcome in run]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("call", ["create", "update", "get"])
async def test_unreadable(emulator: Emulator, hubspot: MeetingsClient, name: str, call: str) -> None:
    """Never a success: a create is in doubt and there once, an update and a read are sent again."""
    body = UNREADABLE[name][1]
    old = emulator.portal.add_object("meetings", properties={"hs_meeting_title": "old"})
    answering(emulator, body, call, status=201 if call == "create" else 200)
    if call == "create":
        with pytest.raises(AmbiguousWriteError) as caught:
            await hubspot.meetings.create(BODY)
        assert (caught.value.why, caught.value.status) == ("unreadable", 201)
        assert isinstance(caught.value.__cause__, UnexpectedResponse)
        assert len(str(caught.value.__cause__)) < 600
        assert (stored(emulator), emulator.stats().requests) == (2, 1)
    elif call == "update":
        assert (await hubspot.meetings.update(old, BODY)).properties["hs_meeting_title"] == "new"
        assert (stored(emulator), emulator.stats().requests) == (1, 2)
    else:
        assert (await hubspot.meetings.get(old)).id == old
        assert emulator.stats().requests == 2


@pytest.mark.parametrize("name", CASES)
async def test_unreadable_batches(emulator: Emulator, hubspot: MeetingsClient, name: str) -> None:
    """Of a batch whose answer can not be read nobody counts as done; upserts are sent again and are there once."""
    body = UNREADABLE[name][1]
    answering(emulator, body, "batch_create", status=201)
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(5)]))
    assert [type(outcome) for outcome in outcomes] == [Ambiguous] * 5
    answering(emulator, body, "batch_upsert")
    report = await hubspot.bulk.upsert([{"booking_ref": str(n)} for n in range(5)], id_property="booking_ref")
    assert (report.created + report.updated, stored(emulator)) == (5, 10)


@pytest.mark.row("B2")
@pytest.mark.parametrize("call", ["create", "update", "get", "archive"])
async def test_a_page(emulator: Emulator, hubspot: MeetingsClient, call: str) -> None:
    """A page of the network on the way, with 200: no success, and the error says that it is HTML."""
    old = emulator.portal.add_object("meetings")
    emulator.faults.strike_next("html", times=None)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "create": lambda: hubspot.meetings.create(BODY),
        "update": lambda: hubspot.meetings.update(old, BODY),
        "get": lambda: hubspot.meetings.get(old),
        "archive": lambda: hubspot.meetings.archive(old),
    }
    with pytest.raises(HubSpotError, match="html") as caught:
        await calls[call]()
    assert type(caught.value) is (AmbiguousWriteError if call == "create" else UnexpectedResponse)
    assert stored(emulator) == 1
    assert not emulator.portal.meetings.store.is_archived(int(old))


@pytest.mark.row("B4")
@pytest.mark.parametrize(
    "body",
    ['{"status":"COMPLETE"}', '{"status":"COMPLETE","results":null}', '{"status":"COMPLETE","results":{}}',
     '{"status":"COMPLETE","results":[1]}', '{"status":"COMPLETE","results":[{}]}'],
)  # fmt: skip
async def test_batches_without_results(emulator: Emulator, hubspot: MeetingsClient, body: str) -> None:
    """An envelope without a list of results names nobody."""
    answering(emulator, body, "batch_create", status=201)
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(5)]))
    assert [type(outcome) for outcome in outcomes] == [Ambiguous] * 5
    assert (stored(emulator), emulator.stats().requests) == (5, 1)


@pytest.mark.row("B5")
async def test_complete_and_empty(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """`COMPLETE` with no results for 100 inputs is no success: in doubt, or sent again where that is safe."""
    empty = '{"status":"COMPLETE","results":[]}'
    answering(emulator, empty, "batch_create", status=201, done=False)
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(100)]))
    assert [type(outcome) for outcome in outcomes] == [Ambiguous] * 100
    answering(emulator, empty, "batch_upsert", done=False)
    report = await hubspot.bulk.upsert([{"booking_ref": str(n)} for n in range(100)], id_property="booking_ref")
    assert (report.created, stored(emulator)) == (100, 100)


@pytest.mark.row("B6")
@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "CANCELED", "SOMETHING_NEW", None, 7])
async def test_odd_statuses(emulator: Emulator, connect: MakeClient, status: Any) -> None:
    """Whatever the envelope's status says: who is named with an id is done, who is not is in doubt."""

    async def spoil(connection: Connection, port: int) -> None:
        head, _, body = (await carried_out(connection, port)).partition(b"\r\n\r\n")
        answer = json.loads(body)
        answer["status"] = status
        answer["results"] = answer["results"][:3]
        raw = json.dumps(answer).encode()
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        await connection.send(b"\r\n".join([*kept, f"Content-Length: {len(raw)}".encode(), b"", raw]))

    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url)
        outcomes = await outcomes_of(hubspot.bulk.create([{"hs_meeting_title": str(n)} for n in range(5)]))
        await hubspot.aclose()
    made = {str(record.id) for record in emulator.portal.meetings.store}
    named = [outcome.meeting.id for outcome in outcomes if isinstance(outcome, Created)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Ambiguous)]
    # A status that is no word makes the whole envelope unreadable.
    assert (len(named), len(lost)) == ((3, 2) if isinstance(status, str) else (0, 5))
    assert set(named) <= made
    assert stored(emulator) == 5


@pytest.mark.row("B7")
@pytest.mark.parametrize(
    "more",
    [
        {"brandNew": {"a": [1]}},
        {"archivedAt": None, "associations": None},
        {"propertiesWithHistory": None},
        {"properties": {"hs_meeting_title": None, "a": "b"}},
        {"properties": {"hs_meeting_outcome": "A_NEW_ONE"}},
        {"warnings": [{"code": 7}]},
    ],
    ids=str,
)
async def test_more_than_documented(emulator: Emulator, hubspot: MeetingsClient, more: dict[str, Any]) -> None:
    """Unknown fields, new options, nulls where strings were: read all the same."""
    usual = {"id": "7", "properties": {"hs_meeting_title": "x"}, "createdAt": "2026-01-01T00:00:00Z",
             "updatedAt": "2026-01-01T00:00:00Z", "archived": False}  # fmt: skip
    answering(emulator, json.dumps(usual | more), "get")
    meeting = await hubspot.meetings.get(7)
    assert meeting.id == "7"
    if "properties" in more:
        assert meeting.properties == more["properties"]
    assert emulator.stats().requests == 1


@pytest.mark.row("B8")
@pytest.mark.row("B9")
@pytest.mark.parametrize("kind", ["gzip_bomb", "oversized"])
async def test_larger_than_the_cap(emulator: Emulator, connect: MakeClient, kind: Any) -> None:
    """An answer beyond the cap is cut off there: a create is in doubt, and is there once."""
    hubspot = connect(emulator.url, max_response_bytes=65_536)
    emulator.faults.strike_next(Fault(kind=kind, size_bytes=4 * 1024 * 1024), operation="meetings.create")
    with pytest.raises(AmbiguousWriteError, match="larger than 65,536 bytes") as caught:
        await hubspot.meetings.create(BODY)
    assert (caught.value.why, stored(emulator), emulator.stats().requests) == ("unreadable", 1, 1)


@pytest.mark.row("B10")
async def test_invalid_utf8_and_duplicates(emulator: Emulator, connect: MakeClient) -> None:
    """Broken UTF-8 is no answer; of duplicate keys the last counts."""
    bodies = [b'{"id":"\xff\xfe","properties":{}}', b'{"id":"1","id":"2","properties":{"a":"1","a":"2"}}']

    async def spoil(connection: Connection, port: int) -> None:
        for body in bodies:
            await connection.request()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            await connection.send(head.encode() + body)

    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url)
        meeting = await hubspot.meetings.get(1)
        await hubspot.aclose()
    assert (meeting.id, meeting.properties) == ("2", {"a": "2"})
    assert len(server.requests) == 2


HEADS: dict[str, bytes] = {
    "20 KiB of a header": b"HTTP/1.1 201 Created\r\nX: " + b"x" * 20_480 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a header": b"HTTP/1.1 201 Created\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "CL and TE": b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "bad status line": b"HTTP/1.1 abc\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00",
    "negative length": b"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.row("B11")
@pytest.mark.parametrize("name", HEADS)
async def test_heads_that_are_none(emulator: Emulator, connect: MakeClient, name: str) -> None:
    """What is no HTTP leaves a create in doubt; a read is tried again on a new connection."""

    async def spoil(connection: Connection, port: int) -> None:
        await carried_out(connection, port)
        await connection.send(HEADS[name])

    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url)
        with pytest.raises(AmbiguousWriteError):
            await hubspot.meetings.create(BODY)
        assert (stored(emulator), server.connections) == (1, 1)
        await hubspot.aclose()
    old = next(iter(emulator.portal.meetings.store)).id
    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url)
        assert (await hubspot.meetings.get(old)).id == str(old)
        assert server.connections == 2
        await hubspot.aclose()


@pytest.mark.row("B12")
@pytest.mark.parametrize("kind", ["bad_gzip", "cut_gzip", "br", "gzip and more"])
@pytest.mark.parametrize("call", ["create", "update"])
async def test_codings(emulator: Emulator, connect: MakeClient, kind: str, call: str) -> None:
    """gzip that is none, that is cut, that goes on; a coding nobody asked for: as an unreadable body."""
    old = emulator.portal.add_object("meetings")

    async def spoil(connection: Connection, port: int) -> None:
        body = (await carried_out(connection, port)).partition(b"\r\n\r\n")[2]
        packed = gzip.compress(body)
        raw = {"bad_gzip": body, "cut_gzip": packed[:-9], "br": body, "gzip and more": packed + packed}[kind]
        coding = "br" if kind == "br" else "gzip"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
        await connection.send(head.encode() + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw)

    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url)
        if call == "create":
            with pytest.raises(AmbiguousWriteError) as caught:
                await hubspot.meetings.create(BODY)
            assert (caught.value.why, stored(emulator)) == ("unreadable", 2)
        else:
            assert (await hubspot.meetings.update(old, BODY)).properties["hs_meeting_title"] == "new"
            assert emulator.stats().requests == 2
        await hubspot.aclose()


ERROR_BODIES = {
    "a gateway's page": ("<html><h1>502 Bad Gateway</h1><hr>nginx</html>", "text/html"),
    "nothing": ("", "application/json"),
    "no category": ('{"message":"no"}', "application/json"),
    "only a word": ('"no"', "application/json"),
    "a list": ("[]", "application/json"),
    "null": ("null", "application/json"),
    "nested": ("[" * 10_000, "application/json"),
    "members of any type": (
        '{"message":[1],"category":{},"errors":{"a":1},"context":[1],"correlationId":{},"policyName":1}',
        "application/json",
    ),
    "errors of any type": ('{"message":"x","errors":[null,1,"a",[],{"context":1,"message":2}]}', "application/json"),
}


@pytest.mark.row("B13")
@pytest.mark.parametrize("name", ERROR_BODIES)
@pytest.mark.parametrize(
    ("status", "kind"), [(400, RequestRejected), (502, HubSpotUnavailable), (429, RequestRejected)]
)
async def test_error_bodies(
    emulator: Emulator, hubspot: MeetingsClient, name: str, status: int, kind: type[HubSpotError]
) -> None:
    """Whatever an error's body is, the status tells the kind, and the words are one short line."""
    body, content_type = ERROR_BODIES[name]
    fault = Fault(status=status, body=body, content_type=content_type)
    emulator.faults.add(FaultRule(fault=fault, times=None))
    with pytest.raises(kind) as caught:
        await hubspot.meetings.get(1)
    assert caught.value.status == status
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700

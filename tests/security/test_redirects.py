"""K1 and K3: nobody but the host that was configured gets a request, whatever an answer says."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import pytest

from hubspot_meetings_async import AmbiguousWriteError, MeetingsClient, NoLimit, UnexpectedResponse, where
from hubspot_meetings_async.emulator import Emulator

from ..conftest import SWIFT
from ..raw_server import Connection, RawServer, Script, listening

TOKEN = "pat-na1-c4n4ry"
PERSONAL = "Anna Example has a cold"

CALLS: dict[str, Callable[[MeetingsClient], Awaitable[Any]]] = {
    "GET": lambda h: h.meetings.get(1),
    "POST": lambda h: h.meetings.create({"hs_meeting_title": PERSONAL}),
    "PATCH": lambda h: h.meetings.update(1, {"hs_meeting_title": PERSONAL}),
    "PUT": lambda h: h.associations.set_default("meetings", 1, "contacts", 2),
    "DELETE": lambda h: h.meetings.archive(1),
}


def client(url: str) -> MeetingsClient:
    return MeetingsClient(TOKEN, base_url=url, limiter=NoLimit(), retry=SWIFT)


def answering(*replies: bytes) -> Script:
    """These answers in turn, the last one for ever."""
    left = list(replies)

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def json_answer(body: str, *, head: str = "200 OK") -> bytes:
    raw = body.encode()
    return f"HTTP/1.1 {head}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def seen(server: RawServer) -> list[bytes]:
    return [request.split(b"\r\n", 1)[0] for request in server.requests]


class TestRedirects:
    @pytest.mark.row("H19")
    @pytest.mark.parametrize("where_to", ["same host", "other path", "foreign host", "downgrade", "scheme-relative"])
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("method", CALLS)
    async def test_none_is_followed(self, method: str, status: int, where_to: str) -> None:
        """The target of a redirect sees no request, no header, no body; the error names it and the call did nothing."""
        async with listening(answering(json_answer("{}"))) as foreign:
            target = {
                "same host": "/crm/v3/objects/meetings/1?again=1",
                "other path": "/oauth/v1/token",
                "foreign host": f"{foreign.url}/crm/v3/objects/meetings",
                "downgrade": f"http://localhost:{foreign.port}/x",
                "scheme-relative": f"//127.0.0.1:{foreign.port}/x",
            }[where_to]
            moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
            async with listening(answering(moved)) as server, client(server.url) as hubspot:
                with pytest.raises(UnexpectedResponse) as caught:
                    await CALLS[method](hubspot)
            assert target in str(caught.value)
            assert not isinstance(caught.value, AmbiguousWriteError)
            assert caught.value.status == status
            assert [line.split()[0] for line in seen(server)] == [method.encode()]
            assert (foreign.connections, foreign.requests) == (0, [])

    async def test_bulk(self) -> None:
        """A redirected batch is refused, record by record, and its target sees nothing."""
        async with listening(answering(json_answer("{}"))) as foreign:
            moved = f"HTTP/1.1 308 Moved\r\nLocation: {foreign.url}/x\r\nContent-Length: 0\r\n\r\n".encode()
            async with listening(answering(moved)) as server, client(server.url) as hubspot:
                with pytest.raises(UnexpectedResponse):
                    await hubspot.bulk.upsert([{"ref": "1"}, {"ref": "2"}], id_property="ref")
            assert foreign.connections == 0
            assert len(server.requests) == 1


class TestLinksInAnswers:
    @pytest.mark.parametrize("name", ["list", "search", "links", "associations"])
    async def test_are_never_fetched(self, name: str) -> None:
        """`paging.next.link` and other addresses in answers are data: the next page is asked of the same host."""
        async with listening(answering(json_answer("{}"))) as foreign:
            evil = f"{foreign.url}/page?after=7"
            row = f'{{"id":"1","properties":{{}},"createdAt":"2026-01-01T00:00:00Z","url":"{evil}","links":["{evil}"]}}'
            if name == "links":
                row = f'{{"id":"1","link":"{evil}","name":"x","slug":"x"}}'
            if name == "associations":
                row = '{"toObjectId":2,"associationTypes":[]}'
            first = f'{{"total":2,"results":[{row}],"paging":{{"next":{{"after":"7","link":"{evil}"}}}}}}'
            last = f'{{"total":2,"results":[{row}]}}'.replace('"id":"1"', '"id":"2"')
            script = answering(json_answer(first), json_answer(last))
            async with listening(script) as server, client(server.url) as hubspot:
                pages: dict[str, Callable[[], AsyncIterable[Any]]] = {
                    "list": lambda: hubspot.meetings.list(),
                    "search": lambda: hubspot.meetings.search(where("a").eq("b")),
                    "links": lambda: hubspot.scheduler.links(),
                    "associations": lambda: hubspot.associations.list("meetings", 1, "contacts"),
                }
                got = [item async for item in pages[name]()]
            assert len(got) >= 1
            assert len(server.requests) == 2
            assert b"7" in server.requests[1]
            assert foreign.connections == 0

    async def test_an_error_with_links(self) -> None:
        """Nor are the `links` of an error body."""
        async with listening(answering(json_answer("{}"))) as foreign:
            body = f'{{"status":"error","message":"no","category":"X","links":{{"help":"{foreign.url}/help"}}}}'
            async with listening(answering(json_answer(body, head="400 Bad"))) as server, client(server.url) as hubspot:
                with pytest.raises(Exception, match="no"):
                    await hubspot.meetings.get(1)
            assert (foreign.connections, len(server.requests)) == (0, 1)


async def test_the_host_is_the_one_that_was_configured(emulator: Emulator) -> None:
    """A client keeps its host for life: there is no call that takes another address."""
    async with client(emulator.url) as hubspot:
        for value in ("http://evil.example", "//evil.example", "https://evil.example/crm/v3/objects/meetings/1"):
            with pytest.raises(ValueError, match="digits"):
                await hubspot.meetings.get(value)
    assert emulator.stats().requests == 0

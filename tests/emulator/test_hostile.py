"""Whatever comes over the wire gets HubSpot's error shape or a clean close: no 500, no traceback, others are served."""

import asyncio
import contextlib
import gzip
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubspot_meetings_async.emulator import Emulator
from tests.emulator.account import MEETINGS

resource = pytest.importorskip("resource", reason="open files are counted differently on this system")

TOKEN = "Authorization: Bearer t\r\n"
HEAD = f"Host: hubspot\r\n{TOKEN}"
JSON = "Content-Type: application/json\r\n"


@pytest.fixture
async def hubspot(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Emulator]:
    """An account without limits; at the end nothing stands in any log, and it still answers."""
    caplog.set_level(logging.WARNING)
    async with Emulator(limit=None, search_limit=None) as emulator:
        emulator.portal.add_property("booking_ref", unique=True)
        yield emulator
        status, _ = await talk(emulator, request("GET", MEETINGS))
        assert status == 200
    assert [record.getMessage() for record in caplog.records] == []


def request(method: str, path: str, body: bytes = b"", *, headers: str = "") -> bytes:
    """One request after which the connection is to be closed."""
    length = f"{JSON}Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
    return f"{method} {path} HTTP/1.1\r\n{HEAD}{length}{headers}Connection: close\r\n\r\n".encode("latin-1") + body


async def talk(emulator: Emulator, *pieces: bytes) -> tuple[int, bytes]:
    """Send pieces one after the other, each read before the next leaves; then the status and body of the answer.

    0 and nothing stand for a connection that was closed without one.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if head else 0, body


def check(status: int, body: bytes) -> None:
    """HubSpot's error shape, unless it is a success."""
    assert 200 <= status < 500
    if status >= 400:
        error = json.loads(body)
        assert error["message"]
        assert error["status"] == "error"
        assert error["correlationId"]


NO_HTTP = {
    "noise": b"\x00\x01\x02 noise\r\n\r\n",
    "TLS": bytes.fromhex("16030100ca010000c60303") + b"a" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "an unknown method": request("FETCH", MEETINGS),
    "no host": f"GET {MEETINGS} HTTP/1.1\r\n{TOKEN}\r\n".encode(),
    "bare line feeds": f"GET {MEETINGS} HTTP/1.1\nHost: x\n{TOKEN}\n".encode(),
    "no path": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of bytes": request("GET", "/\xff\xfe"),
    "a huge header": request("GET", MEETINGS, headers="X-A: " + "a" * 66_000 + "\r\n"),
    "a thousand headers": request("GET", MEETINGS, headers="".join(f"X-{n}: 1\r\n" for n in range(1000))),
    "a zero byte": request("GET", MEETINGS, headers="X: a\x00b\r\n"),
    "a folded header": request("GET", MEETINGS, headers="X: a\r\n b\r\n"),
    "a header without a colon": request("GET", MEETINGS, headers="Xabc\r\n"),
    "a negative length": f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}Content-Length: -5\r\n\r\n".encode(),
    "an endless length": f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}Content-Length: {'9' * 40}\r\n\r\n".encode(),
    "two lengths": f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n".encode(),
    "length and chunks": request("POST", MEETINGS, b"{}", headers="Transfer-Encoding: chunked\r\n"),
    "an unknown encoding": f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}Transfer-Encoding: x\r\n\r\n".encode(),
}


@pytest.mark.parametrize("what", NO_HTTP)
async def test_what_is_no_http_is_a_400(hubspot: Emulator, what: str) -> None:
    status, body = await talk(hubspot, NO_HTTP[what])
    assert status == 400
    check(status, body)
    assert b"Bearer" not in body


CHUNKED = f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()


@pytest.mark.parametrize("chunk", [b"ZZ\r\nabc\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"f" * 20 + b"\r\nabc"])
async def test_broken_chunks_are_a_400(hubspot: Emulator, chunk: bytes) -> None:
    """Both when they come with the head and when they come later."""
    for pieces in ([CHUNKED + chunk], [CHUNKED, b"2\r\n{}\r\n", chunk]):
        status, body = await talk(hubspot, *pieces)
        assert status == 400
        check(status, body)
    assert hubspot.stats().records.created == 0


async def test_broken_and_bombing_compression(hubspot: Emulator) -> None:
    squeezed = "Content-Encoding: gzip\r\n"
    bomb = gzip.compress(b" " * 50_000_000)
    for content, expected in ((b"no gzip", 400), (gzip.compress(b"{}" * 50)[:-9], 400), (bomb, 413)):
        status, body = await talk(hubspot, request("POST", MEETINGS, content, headers=squeezed))
        assert status == expected
        check(status, body)


async def test_a_body_that_ends_early_is_nobodys_fault(hubspot: Emulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
    writer.write(f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}{JSON}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("//", 404),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/%00", 404),
        ("/%", 404),
        ("/crm/v3/objects//meetings", 404),
        ("/crm/v3/objects/meetings%0A/1", 404),
        (f"{MEETINGS}/..%2f..%2f", 404),
        (f"{MEETINGS}/a%0Ab", 404),
        (f"{MEETINGS}/%ED%A0%80", 404),
        (f"{MEETINGS}/{'9' * 5000}", 404),
        (f"{MEETINGS}?limit={'9' * 5000}", 400),
        (f"{MEETINGS}?limit=%EF%BC%91", 400),
        (f"{MEETINGS}?after={'9' * 5000}", 400),
        (f"{MEETINGS}?archived=perhaps", 400),
        (f"{MEETINGS}?properties={'a,' * 10_000}", 414),
        (f"{MEETINGS}?properties={'a' * 200_000}", 414),
        ("http://elsewhere.example/crm/v3/nothing", 404),
        ("*", 404),
    ],
)
async def test_tricks_with_paths(hubspot: Emulator, path: str, expected: int) -> None:
    status, body = await talk(hubspot, request("OPTIONS" if path == "*" else "GET", path))
    assert status == expected
    check(status, body)


async def test_wrong_methods(hubspot: Emulator) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        status, body = await talk(hubspot, request(method, MEETINGS, b"{}"))
        assert status == 405
        check(status, body)
    assert (await talk(hubspot, request("CONNECT", "example.com:443")))[0] == 404


BATCH = f"{MEETINGS}/batch"
TIES = "/crm/v4/associations/meetings/contacts/batch"
ENDPOINTS = (
    MEETINGS,
    *(f"{BATCH}/{name}" for name in ("create", "read", "update", "upsert", "archive")),
    f"{MEETINGS}/search",
    *(f"{TIES}/{name}" for name in ("create", "read", "archive", "labels/archive", "associate/default")),
    *(f"/crm/v3/associations/meetings/contacts/batch/{name}" for name in ("create", "read", "archive")),
    "/crm/v4/associations/meetings/contacts/labels",
    "/crm/v3/properties/meetings",
    "/crm/objects/2026-09/meetings/merge",
    "/crm/objects/2026-09/meetings/gdpr-delete",
    "/scheduler/v3/meetings/meeting-links/book",
    "/scheduler/v3/meetings/calendar?organizerUserId=51204417",
    "/oauth/v2/private-apps/get/access-token-info",
)
INPUT = {
    "id": 1.5,
    "properties": {"a": {}},
    "associations": "x",
    "objectWriteTraceId": {},
    "from": 1,
    "to": [],
    "types": 7,
}
FILTER = {"propertyName": "hs_timestamp", "operator": "BETWEEN", "value": "9" * 5000, "highValue": "x"}
BODIES: dict[str, Any] = {
    "nothing": b"",
    "XML": b"<xml/>",
    "null": None,
    "a number": 1,
    "a list": [],
    "trailing text": b'{"properties": {}} x',
    "NaN": b'{"properties": {"hs_timestamp": NaN}, "inputs": [NaN]}',
    "too large a float": b'{"properties": {"hs_timestamp": 1e999}}',
    "a long integer": b'{"properties": {"hs_timestamp": %b}, "inputs": %b}' % (b"9" * 400, b"9" * 100_000),
    "a far moment": {"properties": {"hs_timestamp": "9" * 18}},
    "half a character": b'{"properties": {"hs_meeting_title": "\\ud800", "\\ud800": "x"}}',
    "no UTF-8": b'{"properties": {"hs_meeting_title": "\xff"}}',
    "UTF-16": '{"properties": {}}'.encode("utf-16"),
    "a zero character": {"properties": {"hs_meeting_title": "\0"}, "inputs": [{"id": "\0", "properties": {}}]},
    "depth": b"[" * 100_000,
    "depth inside": b'{"properties": {"a": %b}}' % (b"[" * 50_000 + b"]" * 50_000),
    "depth aside": b'{"x": ' * 50_000,
    "101 inputs": {"inputs": [{"id": str(n), "properties": {}} for n in range(101)]},
    "5,000 inputs": {"inputs": [{"id": str(n), "from": {"id": "1"}, "to": {"id": "2"}} for n in range(5000)]},
    "wrong types": {"inputs": {"a": 1}, "properties": [1], "filterGroups": "x", "sorts": {"a": 1}, "after": {}},
    "wrong types inside": {"inputs": [None, 1, "x", []], "properties": None, "filterGroups": [{"filters": [1]}]},
    "wrong types everywhere": {"inputs": [INPUT], "properties": {"a": []}, "filterGroups": [{"filters": [FILTER]}]},
    "1 MiB of text": {"properties": {"hs_meeting_title": "a" * 2**20}, "query": "a" * 2**20, "inputs": "a" * 2**20},
    "1 MiB of a name": {"properties": {"a" * 2**20: "x"}, "name": "a" * 2**20, "slug": "a" * 2**20},
    "1 MiB of an id": {"inputs": [{"id": "9" * 2**20, "properties": {}}], "primaryObjectId": "9" * 2**20},
    "6 MiB": b" " * (6 * 2**20),
}


TAKEN_SOMEWHERE = {"a zero character", "too large a float", "101 inputs", "5,000 inputs", "a list", "1 MiB of an id"}
"""Not everything strange is wrong for every endpoint."""


@pytest.mark.parametrize("what", BODIES)
async def test_hostile_bodies(hubspot: Emulator, what: str) -> None:
    content = BODIES[what]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    statuses = set()
    for method, path in [*(("POST", path) for path in ENDPOINTS), ("PATCH", f"{MEETINGS}/1")]:
        status, answer = await talk(hubspot, request(method, path, body))
        check(status, answer)
        statuses.add(status)
    if what not in TAKEN_SOMEWHERE:
        assert min(statuses) >= 400
        assert hubspot.stats().records.created == 0


@pytest.mark.parametrize("what", ["nothing", "depth", "wrong types", "1 MiB of a name", "6 MiB", "no UTF-8"])
async def test_its_own_paths_withstand_them_too(hubspot: Emulator, what: str) -> None:
    content = BODIES[what]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    for name in ("faults", "objects", "properties", "users", "meeting-links", "busy", "clock", "oauth/apps", "tokens"):
        status, answer = await talk(hubspot, request("POST", f"/__emulator/{name}", body))
        assert 400 <= status < 500
        assert json.loads(answer)["message"]


async def test_a_pipeline_is_answered_in_its_order(hubspot: Emulator) -> None:
    numbers = range(300)
    bodies = [json.dumps({"properties": {"hs_meeting_title": str(n)}}).encode() for n in numbers]
    line = f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}{JSON}".encode()
    requests = b"".join(line + b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies)
    reader, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
    writer.write(requests + request("GET", MEETINGS))
    async with asyncio.timeout(20):
        answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
    writer.close()
    titles = [json.loads(answer.partition(b"\r\n\r\n")[2])["properties"]["hs_meeting_title"] for answer in answers[:-1]]
    assert titles == [str(n) for n in numbers]


class TestSlow:
    async def test_who_says_nothing_or_too_little_is_sent_away(self) -> None:
        async with Emulator(limit=None, idle_s=0.2) as hubspot:
            assert await talk(hubspot) == (0, b"")
            assert await talk(hubspot, b"GET /crm/v3/obj") == (0, b"")
            half = f"POST {MEETINGS} HTTP/1.1\r\n{HEAD}{JSON}Content-Length: 100\r\n\r\n{{".encode()
            status, body = await talk_while_open(hubspot, half)
            assert status == 408
            assert json.loads(body)["message"] == "The request body did not arrive in time"

    async def test_drips_do_not_help(self) -> None:
        async with Emulator(limit=None, idle_s=0.2) as hubspot:
            reader, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(10):
                    while not await drop(reader, writer):
                        pass
            writer.close()

    async def test_who_waits_for_an_answer_is_left_alone(self) -> None:
        async with Emulator(limit=None, idle_s=0.1, service_latency_s=0.5) as hubspot:
            assert (await talk(hubspot, request("GET", MEETINGS)))[0] == 200


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send one more byte; whether the other side has closed."""
    writer.write(b"a")
    try:
        async with asyncio.timeout(0.02):
            return await reader.read(1) == b""
    except TimeoutError:
        return False


async def talk_while_open(emulator: Emulator, piece: bytes) -> tuple[int, bytes]:
    """The answer to a request that is never finished."""
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    writer.write(piece)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    return int(head.split(b" ", 2)[1]), body


class TestCrowd:
    """Ten thousand that say nothing, or as many as this machine lets one process open; the emulator is another one."""

    async def test_others_are_served_and_memory_is_bounded(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        many = 10_000 if hard == resource.RLIM_INFINITY else min(10_000, hard - 500)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, many + 500) if hard > 0 else many + 500, hard))
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--limit", "off"]
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        crowd: list[asyncio.StreamWriter] = []
        try:
            assert process.stdout is not None
            port = int((await process.stdout.readline()).rpartition(b":")[2])
            while len(crowd) < many:
                wave = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(250)))
                crowd += [writer for _, writer in wave]
                if len(crowd) % 1000 == 0:
                    await served(port)
            await served(port)
            assert resident_mib(process.pid) < 250
        finally:
            for writer in crowd:
                writer.transport.abort()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            process.send_signal(signal.SIGTERM)
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


async def served(port: int) -> None:
    """Somebody with a request is answered in the midst of the crowd."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", MEETINGS))
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


def resident_mib(pid: int) -> float:
    """What a process holds in memory, where the system tells; else 0."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0

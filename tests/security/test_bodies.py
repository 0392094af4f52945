"""K9, K10, K16, K21 and K22: an answer may be of any size, any depth and any words, and harms nobody."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict

import hubspot_meetings_async
from hubspot_meetings_async import HubSpotError, HubSpotUnavailable, MeetingsClient, NoLimit, RequestRejected
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.wire import Request, Response, parse

from ..conftest import SWIFT

ROOT = Path(hubspot_meetings_async.__file__).parent
JSON = CIMultiDict({"Content-Type": "application/json"})

CHILD = """
import asyncio, gzip, resource, sys, zlib
from hubspot_meetings_async import HubSpotError, MeetingsClient, NoLimit, RetryPolicy

MIB = 2**20
CASE = sys.argv[1]


def pieces():
    if CASE == "bomb":
        pack = zlib.compressobj(wbits=31)
        begin = pack.compress(b" " * MIB) + pack.flush(zlib.Z_FULL_FLUSH)
        # Behind a full flush the same block may follow any number of times.
        body = begin + 511 * (pack.compress(b" " * MIB) + pack.flush(zlib.Z_FULL_FLUSH))
        assert len(body) < MIB
        yield b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Encoding: gzip\\r\\n"
        yield f"Content-Length: {len(body)}\\r\\n\\r\\n".encode() + body
    elif CASE == "chunked":
        yield b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
        chunk = b"100000\\r\\n" + b" " * MIB + b"\\r\\n"
        for _ in range(1024):
            yield chunk
    elif CASE == "length":
        yield b"HTTP/1.1 500 Oops\\r\\nContent-Length: 1073741824\\r\\n\\r\\n"
        for _ in range(1024):
            yield b" " * MIB
    else:
        yield b"HTTP/1.1 200 OK\\r\\n" + b"X-Header: " + b"x" * MIB


async def serve(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        for piece in pieces():
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if not port:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
    url = f"http://127.0.0.1:{port}"
    swift = RetryPolicy(attempts=2, base_s=0.001, cap_s=0.002)
    async with MeetingsClient("token", base_url=url, limiter=NoLimit(), retry=swift) as hubspot:
        try:
            import aiohttp  # its import is no part of the answer
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await hubspot.meetings.get(1)
        except HubSpotError as error:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print(type(error).__name__, grown // (MIB if sys.platform == "darwin" else 1024), flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param("bomb", marks=pytest.mark.row("B8")),
        pytest.param("chunked", marks=pytest.mark.row("B9")),
        "length",
        "headers",
    ],
)
def test_memory_is_bounded(case: str) -> None:
    """512 MiB packed into half a MiB, and a GiB in chunks, cost a process of its own 64 MiB at most."""
    command = [sys.executable, "-c", CHILD, case]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            done = subprocess.run([*command, port], capture_output=True, text=True, timeout=60, check=False)
        finally:
            server.kill()
    assert done.returncode == 0, done.stderr[-2000:]
    kind, grown_mib = done.stdout.split()
    assert kind == ("TransportFailed" if case == "headers" else "UnexpectedResponse")
    assert int(grown_mib) <= 64


# ---- every decoder, fed with anything


def decoders() -> dict[str, Request[Any]]:
    """Every decoder that a module of the library reads answers with, under the name it has there."""
    import importlib
    import pkgutil

    found: dict[str, Request[Any]] = {}
    for info in pkgutil.walk_packages([str(ROOT)], "hubspot_meetings_async."):
        # Of the wire: what other rooms decode (files, journals) is not HubSpot's.
        if any(part in info.name for part in (".emulator", ".cli", "__main__", ".bulk")):
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            ours = type(value).__module__.startswith("hubspot_meetings_async") and hasattr(value, "decode")
            if ours or isinstance(value, msgspec.json.Decoder):
                found[f"{info.name.removeprefix('hubspot_meetings_async.')}.{name}"] = Request(
                    method="GET", path="/x", decoder=value
                )
    found["none"] = Request(method="DELETE", path="/x")
    found["token endpoint"] = Request(
        method="POST", path="/x", decoder=found["auth.endpoints._tokens"].decoder, bearer=False
    )
    return found


DECODERS = decoders()

NASTY = {
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"results":' * 100_000 + b"1" + b"}" * 100_000,
    "nested in a field": b'{"id":"1","properties":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "10,000 digits": b'{"id":' + b"9" * 10_000 + b',"total":' + b"9" * 10_000 + b"}",
    "a huge exponent": b'{"total":1e999999,"expires_in":1e400}',
    "NaN": b'{"id":"1","total":NaN,"expires_in":NaN}',
    "Infinity": b'{"total":-Infinity}',
    "BOM": b'\xef\xbb\xbf{"id":"1"}',
    "UTF-16": '{"id":"1"}'.encode("utf-16"),
    "invalid UTF-8": b'{"id":"\xff\xfe"}',
    "a lone surrogate": b'{"id":"\\ud800"}',
    "NUL": b'{"id":"\x00"}',
    "duplicate keys": b'{"id":"1","id":"2","properties":{"a":"1","a":"2"}}',
    "empty": b"",
    "spaces": b" \r\n\t",
    "null": b"null",
    "a number": b"123",
    "a string": b'"x"',
    "a list": b"[]",
    "html": b"<!doctype html><html></html>",
    "half": b'{"id":"1","properties":{"a":',
    "twice": b'{"id":"1"}{"id":"2"}',
    "a comma too many": b'{"id":"1",}',
    "comments": b'{"id":"1" /* x */}',
    "single quotes": b"{'id':'1'}",
    "a million keys": b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}",
}


READABLE = ("duplicate keys", "a huge exponent")
"""Those that a meeting can be read from, where the status is a success."""


def read(request: Request[Any], status: int, body: bytes) -> HubSpotError | None:
    """Parse an answer; anything but a value or one of our errors comes out as it is, and fails the test."""
    seen: list[HubSpotError | None] = []
    for validate in (True, False):
        try:
            parse(request, Response(status, JSON, body), validate=validate)
            seen.append(None)
        except HubSpotError as error:
            seen.append(error)
    assert [error for error in seen if not str(error).isprintable() or len(str(error)) > 600] == []
    return seen[0]


def test_every_decoder_of_the_library_is_tried() -> None:
    """The list is made from the modules themselves."""
    assert len(DECODERS) > 20
    assert {
        "meetings.resource._meeting",
        "scheduler.resource._links",
        "auth.endpoints._tokens",
        "properties.resource._all",
    } <= set(DECODERS)


@pytest.mark.row("B10")
@pytest.mark.parametrize("name", NASTY)
def test_nasty_bodies(name: str) -> None:
    """Depth, digits, NaN, byte order marks, broken UTF-8: a value or one of our errors, for every decoder."""
    body = NASTY[name]
    for decoder, request in DECODERS.items():
        for status in (200, 207, 400, 429, 503):
            error = read(request, status, body)
            assert status < 300 or error is not None
            if decoder == "meetings.resource._meeting" and name not in READABLE:
                assert error is not None


@pytest.mark.row("B10")
def test_the_last_of_duplicate_keys_counts() -> None:
    """As at HubSpot, and as everywhere."""
    body = b'{"id":"1","id":"2","properties":{"a":"1","a":"2"}}'
    meeting = parse(DECODERS["meetings.resource._meeting"], Response(200, JSON, body))
    assert (meeting.id, meeting.properties) == ("2", {"a": "2"})


WORDS = ("id", "results", "errors", "message", "context", "status", "category", "paging", "next", "after", "total",
         "properties", "correlationId", "policyName", "subCategory", "createdAt", "updatedAt", "archived", "new",
         "numErrors", "associations", "access_token", "refresh_token", "expires_in", "toObjectId", "associationTypes",
         "from", "to", "labels", "link", "slug", "customParams", "linkAvailability", "availabilities", "name", "type",
         "label", "fieldType", "options", "hidden", "startTime", "endTime", "isOffline", "calendarEventId")  # fmt: skip
TEXTS = ("", "1", "é", "\u202e", "\x1b[2J", "2026-01-01T00:00:00Z", "1e9", "x" * 300, "COMPLETE", "PENDING",
         "Property values were not valid: [{\"message\":1}]", "Property values were not valid: [[",
         "\r\nX: 1")  # fmt: skip


def value(rng: random.Random, depth: int = 0) -> Any:
    """Something JSON can say, with HubSpot's words in it."""
    kind = rng.randrange(9 if depth < 5 else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind <= 2:
        return rng.choice((0, -1, 1, 2**31, 2**63, 2**64, 1e300, -0.5, rng.randrange(10**9)))
    if kind <= 5:
        return rng.choice(TEXTS)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(7))}


def bodies(seed: int, number: int) -> Iterator[bytes]:
    """Random JSON, and random damage to it."""
    rng = random.Random(seed)
    for _ in range(number):
        body = bytearray(json.dumps(value(rng), ensure_ascii=rng.random() < 0.5, default=str).encode())
        for _ in range(rng.choice((0, 0, 1, 3))):
            at = rng.randrange(len(body) + 1)
            match rng.randrange(4):
                case 0:
                    body[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
                case 1:
                    del body[at:]
                case 2:
                    body[at:at] = body[: rng.randrange(20)]
                case _:
                    body[at:at] = rng.choice((b"NaN", b"\\ud800", b"\xff", b"9" * 400, b"[" * 3_000, b'{"results":'))
        yield bytes(body)


def fuzz(seed: int, number: int) -> None:
    rng = random.Random(seed)
    requests = list(DECODERS.values())
    for body in bodies(seed, number):
        status = rng.choice((200, 200, 201, 207, 204, 302, 400, 401, 403, 404, 409, 429, 477, 500, 503, 999))
        read(rng.choice(requests), status, body)


def test_fuzzed_bodies() -> None:
    """5,000 random and damaged bodies: a value, or one of our errors on one short line."""
    fuzz(1, 5_000)


@pytest.mark.soak
def test_100_000_fuzzed_bodies() -> None:
    """The same, a hundred thousand times; the seed is SOAK_SEED."""
    fuzz(int(os.environ.get("SOAK_SEED", "1")), 100_000)


# ---- words that forge lines


FORGED = "ok\r\n2026-01-01 INFO all is well\x1b[2J\x1b]0;x\x07\u202etxt.exe\u2028\x00\x85"


@pytest.mark.parametrize("place", ["message", "category", "subCategory", "correlationId", "policyName", "details"])
@pytest.mark.parametrize("status", [400, 429, 503])
def test_forged_lines(place: str, status: int) -> None:
    """Line ends, escapes and direction signs of a server come out of no message and no attribute that gets logged."""
    said: dict[str, Any] = {"message": "no", "correlationId": "a1-b2"}
    if place == "details":
        said["errors"] = [{"message": FORGED, "code": FORGED, "in": FORGED, "context": {"propertyName": [FORGED]}}]
    else:
        said[place] = FORGED
    error = read(Request(method="GET", path="/x"), status, json.dumps(said).encode())
    assert error is not None
    shown = [str(error), *error.args]
    for name in ("category", "sub_category", "correlation_id", "policy", "message"):
        shown.append(getattr(error, name, None) or "")
    if isinstance(error, RequestRejected):
        shown += [word or "" for d in error.details for word in (d.message, d.code, d.property_name)]
    assert [text for text in shown if not text.isprintable()] == []


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\u202e" * 1_000_000])
def test_a_megabyte_of_words(text: str) -> None:
    """Messages, codes and ids of a server are cut at 500 characters."""
    said = {"message": text, "category": text, "correlationId": text, "errors": [{"message": text, "code": text}]}
    error = read(Request(method="GET", path="/x"), 400, json.dumps(said).encode())
    assert isinstance(error, RequestRejected)
    assert len(error.message) <= 500
    assert len(error.category or "") <= 500
    assert error.correlation_id is None
    assert max(len(error.details[0].message), len(error.details[0].code or "")) <= 500


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("d5ee3a2d-0f0e-4f5e-9c1b-0123456789ab", True),
        ("Root=1-67891233-abcdef012345678912345678", False),
        ("0199-a:b.c_d", True),
        ("a b", False),
        ("a\nb", False),
        ("é", False),
        ("", False),
        ("x" * 101, False),
        (7, False),
        (["a"], False),
    ],
)
def test_a_correlation_id_looks_like_one(given: Any, kept: bool) -> None:
    """What goes to HubSpot's support from a log is letters, digits and -._: , a hundred at most; else the header's."""
    for status in (400, 500):
        body = json.dumps({"message": "no", "correlationId": given}).encode()
        error = read(Request(method="GET", path="/x"), status, body)
        assert isinstance(error, (RequestRejected, HubSpotUnavailable))
        assert error.correlation_id == (given if kept else None)


async def test_over_sockets() -> None:
    """The same through a whole call: the redirect's target and the message are harmless on one line."""
    async with Emulator(limit=None) as emulator:
        body = json.dumps({"message": FORGED, "correlationId": FORGED})
        emulator.faults.fail_next(400, times=None, body=body, content_type="application/json")
        async with MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=SWIFT) as hubspot:
            with pytest.raises(HubSpotError) as caught:
                await hubspot.meetings.get(1)
    assert str(caught.value).isprintable()
    assert repr(caught.value).isprintable()

"""What the emulator costs: CPU of its own process per batch, list page and search, and memory per stored meeting.

    python -m benchmarks.emulator [--meetings 200000] [--data FILE]

A process of its own serves; this one sends ready-made bytes over eight connections and only counts the bytes of the
answers. The CPU time is the serving process's (user and system, from /proc), so the client does not count. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

__all__ = ["main"]

CONNECTIONS = 8
MEETINGS = "/crm/v3/objects/meetings"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_IDS = re.compile(rb'"id":"(\d+)"')
_AFTER = re.compile(rb'"after":"(\d+)"')


class Server:
    """The emulator's process and eight connections to it."""

    def __init__(self, options: list[str]) -> None:
        words = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--limit", "off", "--search-limit", "off"]
        self._process = subprocess.Popen([*words, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        host, port = line.rsplit("/", 1)[1].strip().split(":")
        self._sockets = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS)]

    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Memory the process holds."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def exchange(self, requests: list[bytes]) -> list[bytes]:
        """Send up to eight requests at once, read their answers."""
        for connection, request in zip(self._sockets, requests, strict=False):
            connection.sendall(request)
        return [_answer(connection) for connection, _ in zip(self._sockets, requests, strict=False)]

    def stop(self) -> None:
        """End the process."""
        for connection in self._sockets:
            connection.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def _serving(options: list[str]) -> Iterator[Server]:
    server = Server(options)
    try:
        yield server
    finally:
        server.stop()


def _answer(connection: socket.socket) -> bytes:
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += connection.recv(262_144)
    found = _LENGTH.search(data, 0, end)
    whole = end + 4 + (int(found[1]) if found else 0)
    while len(data) < whole:
        data += connection.recv(262_144)
    assert data[9:10] == b"2", bytes(data[:500])
    return bytes(data)


def _request(method: str, path: str, payload: object = None) -> bytes:
    body = b"" if payload is None else json.dumps(payload, separators=(",", ":")).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: emulator\r\nAuthorization: Bearer token\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


_SETTLE = _request("POST", "/__emulator/settle-search")
"""Search sees at once what it would see some seconds later."""


def _meeting(number: int) -> dict[str, str]:
    """Ten properties, most of them different in every meeting."""
    day, hour = number // 8 % 28 + 1, 9 + number % 8
    return {
        "booking_ref": f"B-{number:07}",
        "hs_timestamp": f"2026-11-{day:02}T{hour:02}:00:00.000Z",
        "hs_meeting_title": f"Quarterly review no. {number} with Northwind",
        "hs_meeting_body": f"<p>Agenda: numbers, plans, questions of account {number % 977}.</p>",
        "hs_meeting_start_time": f"2026-11-{day:02}T{hour:02}:00:00.000Z",
        "hs_meeting_end_time": f"2026-11-{day:02}T{hour + 1:02}:00:00.000Z",
        "hs_meeting_outcome": ("SCHEDULED", "COMPLETED", "NO_SHOW", "CANCELED")[number % 4],
        "hs_meeting_location": f"Room {number % 40}",
        "hs_internal_meeting_notes": f"Ask about renewal {number % 5000}",
        "hubspot_owner_id": str(41_629_779 + number % 12),
    }


def _creates(count: int) -> Iterator[bytes]:
    for first in range(0, count, 100):
        inputs = [{"properties": _meeting(number)} for number in range(first, first + 100)]
        yield _request("POST", f"{MEETINGS}/batch/create", {"inputs": inputs})


def _timed(server: Server, what: str, requests: Iterator[bytes]) -> None:
    """Send all requests, print what one cost."""
    number, cpu_s = 0, server.cpu_s()
    ready: list[bytes] = []
    for request in requests:
        ready.append(request)
        if len(ready) == CONNECTIONS:
            server.exchange(ready)
            number += len(ready)
            ready.clear()
    if ready:
        server.exchange(ready)
        number += len(ready)
    _print(what, (server.cpu_s() - cpu_s) / number)


def _walk(server: Server, what: str, page: Callable[[str], bytes]) -> None:
    """Follow `after` to the last page, print what one page cost."""
    number, cpu_s, after = 0, server.cpu_s(), "0"
    while True:
        answer = server.exchange([page(after)])[0]
        number += 1
        following = _AFTER.search(answer)
        if following is None or (after := following[1].decode()) == "10000":
            break
    _print(f"{what}, {number} pages", (server.cpu_s() - cpu_s) / number)


def _print(what: str, seconds: float) -> None:
    print(f"  {what:58} {seconds * 1000:9.2f} ms CPU", flush=True)


def _search(after: str = "0", *, name: str | None = None, value: str | None = None, query: str | None = None) -> bytes:
    wanted: dict[str, object] = {"limit": 200, "after": after, "properties": ["hs_meeting_title"]}
    if name is not None:
        wanted["filterGroups"] = [{"filters": [{"propertyName": name, "operator": "EQ", "value": value}]}]
    if query is not None:
        wanted["query"] = query
    return _request("POST", f"{MEETINGS}/search", wanted)


def _after_id(number: int, query: str = "") -> bytes:
    """The walk past 10,000 results: everything above an id, in order of ids."""
    wanted = {
        "query": query,
        "limit": 200,
        "filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": str(number)}]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
    }
    return _request("POST", f"{MEETINGS}/search", wanted)


def _reading(server: Server, count: int) -> None:
    batch = {"inputs": [{"id": str(65_059_680_001 + n)} for n in range(100)], "properties": ["hs_meeting_title"]}
    _timed(server, "batch read of 100", iter([_request("POST", f"{MEETINGS}/batch/read", batch)] * 200))
    _walk(server, "list, 100 a page", lambda after: _request("GET", f"{MEETINGS}?limit=100&after={after}"))
    ids = range(65_059_680_001, 65_059_680_001 + count, count // 100)
    _timed(server, "search by id, first", iter([_after_id(ids[0])]))
    _timed(server, "search by id, 200 a page, 100 times", (_after_id(id_) for id_ in ids))
    day = "1795424400000"
    _timed(server, "search by date, first", iter([_search(name="hs_meeting_start_time", value=day)]))
    _timed(server, "search by date, 100 times", (_search(name="hs_meeting_start_time", value=day) for n in range(100)))
    _timed(server, "search by text, first", iter([_search(name="booking_ref", value="B-0000007")]))
    _timed(server, "search by text, 100 times", (_search(name="booking_ref", value=f"B-{n:07}") for n in range(100)))
    _timed(server, "search by outcome, first", iter([_search(name="hs_meeting_outcome", value="NO_SHOW")]))
    _walk(server, "search by outcome", lambda after: _search(after, name="hs_meeting_outcome", value="NO_SHOW"))
    _timed(server, "query for one record, first", iter([_search(query="b 77")]))
    _walk(server, "query for all", lambda after: _search(after, query="quarterly northw"))


def _long_walk(server: Server) -> None:
    """All results of a query that holds for every meeting, past the ceiling of 10,000 by a growing id."""
    pages, cpu_s, last = 0, server.cpu_s(), 0
    while True:
        answer = server.exchange([_after_id(last, query="quarterly northw")])[0]
        ids = _IDS.findall(answer)
        pages += 1
        if len(ids) < 200:
            break
        last = int(ids[-1])
    _print(f"query for all by growing ids, {pages} pages, together", server.cpu_s() - cpu_s)


def _mixed(server: Server) -> None:
    """A walk through a query's results while meetings are written: no result of the last page can be kept."""
    write = _request("POST", MEETINGS, {"properties": _meeting(0)})
    for text in ("quarterly northw", "account 77"):
        spent_s = 0.0
        for number in range(20):
            server.exchange([write])
            server.exchange([_SETTLE])
            before_s = server.cpu_s()
            server.exchange([_search(str(number * 200), query=text)])
            spent_s += server.cpu_s() - before_s
        _print(f"query {text!r} with a write before each page", spent_s / 20)


def main(count: int, options: list[str]) -> None:
    """Measure, print."""
    print(f"Python {platform.python_version()}, aiohttp {version('aiohttp')}, {count:,} meetings of ten properties")
    with _serving(["--unique-property", "external_key", *options]) as server:
        admin = _request("POST", "/__emulator/properties", {"name": "booking_ref"})
        server.exchange([admin])
        server.exchange(list(_creates(100)))
        rss_bytes = server.rss_bytes()
        _timed(server, "batch create of 100", _creates(count))
        print(f"  memory per meeting {(server.rss_bytes() - rss_bytes) / count / 1024:.2f} KiB")
        server.exchange([_SETTLE])
        _reading(server, count)
        _long_walk(server)
        _mixed(server)
        print(f"  memory per meeting with all these indexes {(server.rss_bytes() - rss_bytes) / count / 1024:.2f} KiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meetings", type=int, default=200_000)
    parser.add_argument("options", nargs="*", help="options of the emulator, after --")
    arguments = parser.parse_args()
    main(arguments.meetings, arguments.options)

"""The transport rows of the fault matrix, as single calls and as bulk runs, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async import (
    Ambiguous,
    AmbiguousWriteError,
    MeetingsClient,
    QuotaGate,
    RetryPolicy,
    Timeouts,
    TransportFailed,
)
from hubspot_meetings_async.emulator import Emulator, Fault

from ..proxy_server import proxying
from ..raw_server import Connection, listening, refused_port
from .conftest import SWIFT, MakeClient
from .front import Spoil, before_the_emulator, carried_out

BODY = {"hs_meeting_title": "new"}


def stored(emulator: Emulator) -> int:
    return emulator.stats().records.stored


def title(emulator: Emulator, id_: str) -> str | None:
    record = emulator.portal.meetings.store.any(int(id_))
    return None if record is None else record.value("hs_meeting_title")


# ---- nothing left: every operation is sent again


class TestNotSent:
    @pytest.mark.row("T1")
    async def test_no_such_name(self, connect: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """DNS fails: tried to the last attempt, then `sent` is False and the host is named; for every kind of call."""
        asked: list[str] = []

        async def resolve(self: object, host: str, *_: Any, **__: Any) -> Any:
            asked.append(host)
            raise OSError(-2, "Name or service not known")

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        hubspot = connect("https://nowhere.invalid")
        for call in (hubspot.meetings.create(BODY), hubspot.meetings.update(1, BODY), hubspot.meetings.get(1)):
            asked.clear()
            with pytest.raises(TransportFailed, match=r"nowhere\.invalid") as caught:
                await call
            assert (type(caught.value), caught.value.sent, caught.value.attempt) == (TransportFailed, False, 4)
            assert len(asked) == 4

    @pytest.mark.row("T2")
    async def test_dns_hangs(self, connect: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """A resolver that hangs runs into the connect timeout, and holds nobody else up."""

        async def resolve(*_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        hubspot = connect("https://nowhere.invalid", timeout=Timeouts(connect_s=0.1), retry=RetryPolicy(attempts=1))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.ensure_future(others())
        with pytest.raises(TransportFailed) as caught:
            await hubspot.meetings.create(BODY)
        beside.cancel()
        assert (caught.value.sent, caught.value.timeout) == (False, True)
        assert turns > 100

    @pytest.mark.row("T3")
    async def test_the_first_of_two_addresses_is_dead(
        self, emulator: Emulator, connect: MakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second address is used, within the same attempt."""

        async def resolve(self: object, host: str, port: int, *_: Any, **__: Any) -> Any:
            return [
                {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
                for address in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
        hubspot = connect(f"http://two.example:{emulator.port}", allow_insecure=True, retry=RetryPolicy(attempts=1))
        assert (await hubspot.meetings.create(BODY)).id
        assert stored(emulator) == 1

    @pytest.mark.row("T4")
    async def test_refused_then_up(self, connect: MakeClient) -> None:
        """A host that comes up while the call is tried again: done, once."""
        port = refused_port()
        tries = 0
        async with AsyncExitStack() as stack:
            later = Emulator(port=port, limit=None)

            async def token() -> str:
                nonlocal tries
                tries += 1
                if tries == 3:
                    await stack.enter_async_context(later)
                return "t"

            hubspot = connect(f"http://127.0.0.1:{port}", auth=token)
            assert (await hubspot.meetings.create(BODY)).id
            assert (stored(later), later.stats().requests, tries) == (1, 1, 3)
            await hubspot.aclose()

    @pytest.mark.row("T5")
    async def test_a_black_hole(self, connect: MakeClient) -> None:
        """A host whose queue of connections is full: the connect timeout, and nothing was sent."""
        with Sockets() as made:
            hole = made.socket()
            hole.bind(("127.0.0.1", 0))
            hole.listen(0)
            for _ in range(4):
                knock = made.socket()
                knock.setblocking(False)
                with suppress(BlockingIOError):
                    knock.connect(hole.getsockname())
            hubspot = connect(f"http://127.0.0.1:{hole.getsockname()[1]}", retry=RetryPolicy(attempts=2, base_s=0.001))
            with pytest.raises(TransportFailed) as caught:
                await hubspot.meetings.create(BODY)
        assert (caught.value.sent, caught.value.timeout, caught.value.attempt) == (False, True, 2)

    @pytest.mark.row("T8")
    async def test_all_connections_in_a_tarpit(self, emulator: Emulator, connect: MakeClient) -> None:
        """The call that holds the only connection is in doubt; the one that waited for it was not sent."""
        emulator.faults.hang_next(times=None)
        once = RetryPolicy(attempts=1)
        hubspot = connect(emulator.url, max_connections=1, retry=once, timeout=Timeouts(connect_s=0.3, attempt_s=1.0))
        first = asyncio.ensure_future(hubspot.meetings.create(BODY))
        await emulator.until_requests(1)
        with pytest.raises(TransportFailed) as waited:
            await hubspot.meetings.create(BODY)
        with pytest.raises(AmbiguousWriteError) as held:
            await first
        assert (waited.value.sent, held.value.why, emulator.stats().requests) == (False, "timeout", 1)


class Sockets:
    """Plain sockets, closed at the end of a block."""

    def __init__(self) -> None:
        self._made: list[socket.socket] = []

    def __enter__(self) -> Sockets:
        return self

    def socket(self) -> socket.socket:
        """One more."""
        self._made.append(socket.socket())
        return self._made[-1]

    def __exit__(self, *_: object) -> None:
        for made in self._made:
            made.close()


# ---- it left, and no whole answer came


async def accept_and_close(connection: Connection, port: int) -> None:
    pass


async def accept_and_reset(connection: Connection, port: int) -> None:
    connection.reset()


async def reset_in_the_body(connection: Connection, port: int) -> None:
    await connection.reader.readuntil(b"\r\n\r\n")
    await connection.reader.read(5)
    connection.reset()


def begun(cut: Callable[[bytes], bytes]) -> Spoil:
    """Carry it out, and answer with a part."""

    async def spoil(connection: Connection, port: int) -> None:
        await connection.send(cut(await carried_out(connection, port)))

    return spoil


def without_length(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length", b"connection"))]
    return b"\r\n".join([*kept, b"Connection: close", b"", body[:-9]])


async def drip(connection: Connection, port: int) -> None:
    await carried_out(connection, port)
    await connection.send(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n{")
    while not connection.writer.is_closing():
        await connection.send(b" ")
        with suppress(TimeoutError):
            await asyncio.wait_for(connection.gone(), 0.02)


LOST: dict[str, tuple[str, Spoil | Fault, bool]] = {
    "accepted and closed": ("T9", accept_and_close, False),
    "accepted and reset": ("T9", accept_and_reset, False),
    "reset in the request's body": ("T11", reset_in_the_body, False),
    "reset, not applied": ("T12", Fault(kind="reset"), False),
    "reset, applied": ("T13", Fault(kind="reset", applied=True), True),
    "cut in the status line": ("T14", begun(lambda answer: answer[:11]), True),
    "cut in the headers": ("T14", begun(lambda answer: answer.split(b"\r\n\r\n")[0][:-5]), True),
    "cut body": ("T15", Fault(kind="cut"), True),
    "cut chunked body": ("T16", Fault(kind="cut_chunked"), True),
    "no length, JSON cut": ("T17", begun(without_length), True),
    "tarpit": ("T18", Fault(kind="hang"), False),
    "tarpit, applied": ("T18", Fault(kind="hang", applied=True), True),
    "drip": ("T19", drip, True),
}
LOST_CASES = [pytest.param(name, marks=pytest.mark.row(row), id=name) for name, (row, _, _) in LOST.items()]


async def in_front(emulator: Emulator, stack: AsyncExitStack, how: Spoil | Fault, operation: str = "*") -> str:
    """Where to connect to, so that the first request meets this."""
    if isinstance(how, Fault):
        emulator.faults.strike_next(how, operation=operation)
        return emulator.url
    return (await stack.enter_async_context(before_the_emulator(emulator, how))).url


@pytest.mark.row("T9", "T11", "T12", "T13", "T14", "T15", "T16", "T17", "T18", "T19")
@pytest.mark.parametrize("name", LOST_CASES)
@pytest.mark.parametrize("call", ["create", "update", "get", "archive"])
async def test_no_whole_answer(emulator: Emulator, connect: MakeClient, name: str, call: str) -> None:
    """A create is in doubt and is not repeated, whatever it did; update, archive and read are, with the same end."""
    _, how, applied = LOST[name]
    async with AsyncExitStack() as stack:
        old = await connect(emulator.url).meetings.create({"hs_meeting_title": "old"})
        before = emulator.stats().requests
        hubspot = connect(await in_front(emulator, stack, how))
        if call == "create":
            with pytest.raises(AmbiguousWriteError) as caught:
                await hubspot.meetings.create(BODY)
            late = "tarpit" in name or name == "drip"
            assert caught.value.why == ("timeout" if late else "unreadable" if "JSON" in name else "reset")
            assert caught.value.__cause__ is not None
            assert "look the record up" in str(caught.value)
            assert stored(emulator) == 1 + applied
            assert emulator.stats().requests - before <= 1
        elif call == "update":
            assert (await hubspot.meetings.update(old.id, BODY)).properties["hs_meeting_title"] == "new"
            assert title(emulator, old.id) == "new"
            assert stored(emulator) == 1
        elif call == "archive":
            await hubspot.meetings.archive(old.id)
            assert emulator.portal.meetings.store.is_archived(int(old.id))
        else:
            assert (await hubspot.meetings.get(old.id)).id == old.id
        # The same client goes on.
        assert (await hubspot.meetings.create(BODY)).id
        await hubspot.aclose()


async def test_archive_and_cut_bodies() -> None:
    """An archive is answered without a body: there is nothing to cut, and that case above is a plain success."""
    async with Emulator(limit=None) as emulator, MeetingsClient("t", base_url=emulator.url) as hubspot:
        emulator.faults.strike_next("cut")
        await hubspot.meetings.archive(1)
        assert emulator.stats().requests == 1


@pytest.mark.parametrize("name", LOST_CASES)
@pytest.mark.parametrize("mode", ["create", "upsert"])
async def test_bulk(emulator: Emulator, connect: MakeClient, name: str, mode: str) -> None:
    """300 records, one batch struck. Unkeyed creates: those 100 are ambiguous, the rest is created, none twice.
    Upserts: all are there once."""
    _, how, applied = LOST[name]
    records = [{"booking_ref": str(number)} for number in range(300)]
    async with AsyncExitStack() as stack:
        hubspot = connect(await in_front(emulator, stack, how, "meetings.batch_*"))
        if mode == "create":
            run = hubspot.bulk.create(records)
            async with run:
                outcomes = [outcome async for outcome in run]
            lost = [outcome for outcome in outcomes if isinstance(outcome, Ambiguous)]
            assert (len(outcomes), len(lost)) == (300, 100)
            assert stored(emulator) == 200 + 100 * applied
        else:
            report = await hubspot.bulk.upsert(records, id_property="booking_ref")
            assert report.created + report.updated == 300
            assert stored(emulator) == 300
        await hubspot.aclose()


class TestOthers:
    @pytest.mark.row("T10")
    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    async def test_a_kept_connection_that_dies(self, emulator: Emulator, connect: MakeClient, reset: bool) -> None:
        """The server drops a kept connection when the next request is on it: a create is in doubt, a read goes on."""

        async def script(connection: Connection) -> None:
            await connection.send((await carried_out(connection, emulator.port)).replace(b"Connection: close\r\n", b""))
            await connection.request()
            if reset:
                connection.reset()

        async with listening(script) as server:
            hubspot = connect(server.url)
            made = await hubspot.meetings.create(BODY)
            with pytest.raises(AmbiguousWriteError) as caught:
                await hubspot.meetings.create(BODY)
            assert (caught.value.why, stored(emulator)) == ("reset", 1)
            assert (await hubspot.meetings.get(made.id)).id == made.id  # a connection of its own
            assert (await hubspot.meetings.get(made.id)).id == made.id  # the first try dies with that one
            assert server.connections == 3
            await hubspot.aclose()

    @pytest.mark.row("T20")
    async def test_a_server_that_reads_nothing(self, connect: MakeClient) -> None:
        """A large body into a closed window ends at the attempt's time limit, in doubt."""

        async def script(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

        async with listening(script) as server:
            hubspot = connect(server.url, timeout=Timeouts(attempt_s=0.4, read_s=10.0))
            with pytest.raises(AmbiguousWriteError) as caught:
                await hubspot.meetings.create({"hs_meeting_body": "x" * 20_000_000})
            assert (caught.value.why, server.connections) == ("timeout", 1)
            await hubspot.aclose()

    @pytest.mark.row("T21")
    @pytest.mark.parametrize("late", ["504", "timeout"])
    async def test_late_writes(self, emulator: Emulator, hubspot: MeetingsClient, late: str) -> None:
        """Carried out long after the answer: a create is in doubt and stays one object, an upsert too."""
        fault = Fault(kind="hang", applied_after_s=60.0)
        if late == "504":
            fault = Fault(status=504, applied_after_s=60.0)
        emulator.faults.strike_next(fault, operation="meetings.create")
        with pytest.raises(AmbiguousWriteError):
            await hubspot.meetings.create(BODY)
        assert stored(emulator) == 0
        emulator.apply_late_writes()
        assert stored(emulator) == 1
        emulator.faults.strike_next(fault, operation="meetings.batch_upsert")
        records = [{"booking_ref": str(number)} for number in range(100)]
        report = await hubspot.bulk.upsert(records, id_property="booking_ref")
        emulator.apply_late_writes()
        assert (report.created, stored(emulator)) == (100, 101)

    @pytest.mark.row("T22")
    async def test_answers_out_of_order(self, connect: MakeClient) -> None:
        """Random latencies: updates of one record land in the order of the source."""
        async with Emulator(limit=None, forward_latency_s=(0.0, 0.02), service_latency_s=(0.0, 0.02), seed=7) as slow:
            hubspot = connect(slow.url, timeout=Timeouts())
            made = await hubspot.bulk.create([{"hs_meeting_title": "0"} for _ in range(20)])
            assert made.created == 20
            ids = [str(record.id) for record in slow.portal.meetings.store]
            changes = [{"id": id_, "hs_meeting_title": str(turn)} for turn in range(1, 16) for id_ in ids]
            report = await hubspot.bulk.update(changes)
            assert report.updated == 300
            assert {title(slow, id_) for id_ in ids} == {"15"}
            await hubspot.aclose()

    @pytest.mark.row("T23")
    async def test_a_thin_line(self, emulator: Emulator, connect: MakeClient) -> None:
        """A slow line is slow and no failure, until the time limit of the attempt."""
        async with proxying(bytes_per_s=40_000) as proxy:
            hubspot = connect(emulator.url, proxy=proxy.url, timeout=Timeouts())
            made = await hubspot.meetings.create({"hs_meeting_body": "x" * 5_000})
            assert len(str((await hubspot.meetings.get(made.id, properties=["hs_meeting_body"])).properties)) > 5_000
            await hubspot.aclose()
            hurried = connect(emulator.url, proxy=proxy.url, timeout=Timeouts(attempt_s=0.3))
            with pytest.raises(AmbiguousWriteError) as caught:
                await hurried.meetings.create({"hs_meeting_body": "x" * 60_000})
            assert (caught.value.why, stored(emulator)) == ("timeout", 1)
            await hurried.aclose()

    @pytest.mark.row("T24")
    async def test_the_network_is_down_for_a_while(self, emulator: Emulator, connect: MakeClient) -> None:
        """HubSpot goes away in the middle of a run and comes back: every record is there once."""
        hubspot = connect(emulator.url, retry=RetryPolicy(attempts=50, base_s=0.01, cap_s=0.05))

        async def outage() -> None:
            await emulator.until_requests(3)
            port = emulator.port
            await emulator.close()
            await asyncio.sleep(0.2)
            assert emulator._port == port
            await emulator.start()

        break_down = asyncio.ensure_future(outage())
        records = [{"booking_ref": str(number)} for number in range(1_500)]
        report = await hubspot.bulk.upsert(records, id_property="booking_ref", workers=2)
        await break_down
        assert report.created + report.updated == 1_500
        assert stored(emulator) == 1_500

    @pytest.mark.row("T25")
    async def test_a_middlebox_sends_it_twice(self, emulator: Emulator, hubspot: MeetingsClient) -> None:
        """A create that somebody on the way repeats makes two objects, which no client can see; an upsert does not."""
        emulator.faults.strike_next("twice")
        assert (await hubspot.meetings.create(BODY)).id
        assert stored(emulator) == 2
        emulator.faults.strike_next("twice")
        report = await hubspot.bulk.upsert([{"booking_ref": "a"}], id_property="booking_ref")
        assert (report.created + report.updated, stored(emulator)) == (1, 3)

    @pytest.mark.row("T26")
    @pytest.mark.parametrize("method", ["get", "set_default", "archive"])
    async def test_nothing_is_sent_behind_our_back(self, emulator: Emulator, connect: MakeClient, method: str) -> None:
        """GET, PUT and DELETE on a dead kept connection are sent again by the caller, counted, and by nobody else."""

        async def script(connection: Connection) -> None:
            await connection.send((await carried_out(connection, emulator.port)).replace(b"Connection: close\r\n", b""))
            await connection.request()

        async with listening(script) as server:
            gate = QuotaGate(limit=100)
            hubspot = connect(server.url, limiter=gate)
            made = await hubspot.meetings.create(BODY)
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "get": lambda: hubspot.meetings.get(made.id),
                "set_default": lambda: hubspot.associations.set_default("meetings", made.id, "contacts", 1),
                "archive": lambda: hubspot.meetings.archive(made.id),
            }
            emulator.portal.add_object("contacts", id=1)
            await calls[method]()
            assert len(server.requests) == 3
            assert gate.stats().granted_interactive == 3
            await hubspot.aclose()

    @pytest.mark.row("T27")
    async def test_garbage_behind_an_answer(self, emulator: Emulator, connect: MakeClient) -> None:
        """The answer counts; the next request has a connection of its own."""

        async def script(connection: Connection) -> None:
            answer = (await carried_out(connection, emulator.port)).replace(b"Connection: close\r\n", b"")
            await connection.send(answer + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
            await connection.gone()

        async with listening(script) as server:
            hubspot = connect(server.url)
            made = await hubspot.meetings.create(BODY)
            assert (await hubspot.meetings.get(made.id)).id == made.id
            assert (stored(emulator), server.connections) == (1, 2)
            await hubspot.aclose()


@pytest.mark.row("H21")
@pytest.mark.parametrize(
    "interim",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"],
    ids=["100 three times", "103"],
)
async def test_interim_answers(emulator: Emulator, connect: MakeClient, interim: bytes) -> None:
    """Answers before the answer are passed over."""

    async def spoil(connection: Connection, port: int) -> None:
        await connection.send(interim + await carried_out(connection, port))

    async with before_the_emulator(emulator, spoil) as server:
        hubspot = connect(server.url, retry=SWIFT)
        assert (await hubspot.meetings.create(BODY)).id
        assert stored(emulator) == 1
        await hubspot.aclose()

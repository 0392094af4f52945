"""Answers spoiled on real sockets, writes that come late or twice, and the words a command line has for them."""

import asyncio
import gzip
import json
import random
import zlib
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, Fault, FaultRule, LogNormal, ManualClock
from hubspot_meetings_async.emulator.fault_words import fault_rule, latency
from hubspot_meetings_async.emulator.latency import drawn_s
from tests.emulator.account import MEETINGS

MIB = 1024 * 1024


async def create(http: aiohttp.ClientSession, hubspot: Emulator) -> tuple[int, Any]:
    async with http.post(hubspot.url + MEETINGS, json={"properties": {"hs_meeting_title": "x"}}) as response:
        return response.status, await response.json()


async def raw_create(hubspot: Emulator) -> tuple[bytes, bytes]:
    """Head and body as they came over the socket, until it closed."""
    body = b'{"properties": {"hs_meeting_title": "x"}}'
    reader, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
    writer.write(
        f"POST {MEETINGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nContent-Type: application/json\r\n"
        f"Accept-Encoding: gzip\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head.lower(), rest


class TestSpoiledAnswers:
    @pytest.mark.parametrize("kind", ["cut", "cut_chunked"])
    async def test_a_cut_body_is_no_whole_body(self, hubspot: Emulator, http: aiohttp.ClientSession, kind: Any) -> None:
        hubspot.faults.strike_next(kind)
        with pytest.raises(aiohttp.ClientPayloadError):
            await create(http, hubspot)
        assert (hubspot.stats().records.created, hubspot.stats().faults) == (1, {kind: 1})
        assert (await create(http, hubspot))[0] == 201

    async def test_cut_bodies_on_the_wire(self, hubspot: Emulator) -> None:
        hubspot.faults.strike_next("cut")
        head, body = await raw_create(hubspot)
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert 0 < len(body) == length // 2
        hubspot.faults.strike_next("cut_chunked")
        head, body = await raw_create(hubspot)
        assert b"transfer-encoding: chunked" in head
        assert not body.endswith(b"0\r\n\r\n")

    async def test_a_drip_arrives_whole_in_the_end(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.faults.strike_next(Fault(kind="drip", pause_s=0, piece_bytes=7))
        status, body = await create(http, hubspot)
        assert (status, body["properties"]["hs_meeting_title"]) == (201, "x")

    async def test_a_drip_does_not_outlive_the_emulator(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            hubspot.faults.strike_next(Fault(kind="drip", pause_s=3600))
            async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
                assert await response.content.readexactly(1) == b"{"
                await hubspot.close()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()

    async def test_the_wrong_type_hides_the_right_body(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.faults.strike_next("wrong_type")
        async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
            assert (response.status, response.content_type) == (201, "text/html")
            assert json.loads(await response.text())["id"]

    @pytest.mark.parametrize("applied", [True, False])
    async def test_a_page_comes_instead(self, hubspot: Emulator, http: aiohttp.ClientSession, applied: bool) -> None:
        hubspot.faults.strike_next(Fault(kind="html", applied=applied))
        async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
            assert (response.status, response.content_type) == (200, "text/html")
            assert "<html>" in await response.text()
        assert hubspot.stats().records.created == applied

    @pytest.mark.parametrize("kind", ["bad_gzip", "cut_gzip"])
    async def test_broken_gzip_can_not_be_read(self, hubspot: Emulator, http: aiohttp.ClientSession, kind: Any) -> None:
        hubspot.faults.strike_next(kind, times=2)
        head, body = await raw_create(hubspot)
        assert b"content-encoding: gzip" in head
        with pytest.raises((gzip.BadGzipFile, EOFError)):
            gzip.decompress(body)
        async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
            with pytest.raises((aiohttp.ClientPayloadError, json.JSONDecodeError)):
                json.loads(await response.read())
        assert hubspot.stats().records.created == 2

    async def test_oversized_answers_are_as_large_as_asked(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        for kind in ("oversized", "gzip_bomb"):
            hubspot.faults.strike_next(Fault(kind=kind, size_bytes=3 * MIB))
            async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
                body = await response.read()
            assert (len(body), json.loads(body)["archived"]) == (3 * MIB, False)

    async def test_a_bomb_is_small_on_the_wire(self, hubspot: Emulator) -> None:
        hubspot.faults.strike_next(Fault(kind="gzip_bomb", size_bytes=8 * MIB))
        head, body = await raw_create(hubspot)
        assert b"content-encoding: gzip" in head
        assert len(body) < 64 * 1024

    async def test_a_client_that_leaves_leaves_no_trace(
        self, hubspot: Emulator, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        hubspot.faults.strike_next(Fault(kind="oversized", size_bytes=256 * MIB))
        async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
            await response.content.readexactly(10)
        assert (await create(http, hubspot))[0] == 201
        assert caplog.records == []

    async def test_an_answer_without_a_body_stays_as_it_is(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        _, record = await create(http, hubspot)
        hubspot.faults.strike_next("cut")
        async with http.delete(f"{hubspot.url}{MEETINGS}/{record['id']}") as response:
            assert response.status == 204


class TestWritesOfTheirOwn:
    @pytest.mark.parametrize(
        "fault",
        [Fault(status=504, applied_after_s=3), Fault(kind="reset", applied_after_s=3)],
        ids=["504", "reset"],
    )
    async def test_come_late_by_the_emulators_clock(self, http: aiohttp.ClientSession, fault: Fault) -> None:
        clock = ManualClock()
        async with Emulator(clock=clock) as hubspot:
            hubspot.faults.strike_next(fault)
            if fault.kind == "reset":
                with pytest.raises(aiohttp.ClientConnectionError):
                    await create(http, hubspot)
            else:
                assert (await create(http, hubspot))[0] == 504
            for seconds, stored in ((0, 0), (2.9, 0), (0.2, 1)):
                clock.advance(seconds)
                async with http.get(hubspot.url + MEETINGS) as response:
                    assert (seconds, len((await response.json())["results"])) == (seconds, stored)
            [record] = hubspot.portal.ledger()
            assert record.created_by == 1
            assert f"{fault.status or fault.kind} late" in hubspot.stats().faults

    async def test_come_late_without_another_request(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            hubspot.faults.strike_next(Fault(status=504, applied_after_s=0))
            assert (await create(http, hubspot))[0] == 504
            assert hubspot.stats().records.created == 1

    async def test_can_be_hurried_and_forgotten(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            for _ in range(2):
                hubspot.faults.strike_next(Fault(status=504, applied_after_s=3600))
                assert (await create(http, hubspot))[0] == 504
            assert (hubspot.apply_late_writes(), hubspot.apply_late_writes()) == (2, 0)
            hubspot.faults.strike_next(Fault(status=504, applied_after_s=3600))
            await create(http, hubspot)
            async with http.post(f"{hubspot.url}/__emulator/late-writes") as response:
                assert await response.json() == {"applied": 1}
            hubspot.faults.strike_next(Fault(status=504, applied_after_s=3600))
            await create(http, hubspot)
            hubspot.reset()
            assert hubspot.apply_late_writes() == 0
        assert hubspot.stats().records.created == 0

    async def test_come_late_and_are_refused_by_a_unique_value(self, http: aiohttp.ClientSession) -> None:
        async with Emulator() as hubspot:
            hubspot.portal.add_property("booking_ref", unique=True)
            hubspot.faults.strike_next(Fault(status=504, applied_after_s=3600))
            for status in (504, 201):
                body = {"properties": {"booking_ref": "a"}}
                async with http.post(hubspot.url + MEETINGS, json=body) as response:
                    assert response.status == status
            assert hubspot.apply_late_writes() == 1
            assert hubspot.stats().records.created == 1

    async def test_come_twice(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_property("booking_ref", unique=True)
        for properties, status, created in (({}, 201, 2), ({"booking_ref": "a"}, 409, 3)):
            hubspot.faults.strike_next("twice")
            async with http.post(hubspot.url + MEETINGS, json={"properties": properties}) as response:
                assert response.status == status
            assert hubspot.stats().records.created == created


class TestAccountMove:
    async def test_answers_477_until_it_is_over(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.faults.move_account(86_400)
        for _ in range(2):
            async with http.get(hubspot.url + MEETINGS) as response:
                assert (response.status, response.headers["Retry-After"]) == (477, "86400")
        hubspot.faults.clear()
        hubspot.faults.fail_next(477)
        async with http.get(hubspot.url + MEETINGS) as response:
            assert (response.status, response.headers["Retry-After"]) == (477, "60")
        assert (await create(http, hubspot))[0] == 201


class TestGzip:
    async def test_answers_are_packed_only_where_it_is_switched_on(self, http: aiohttp.ClientSession) -> None:
        for on in (True, False):
            async with Emulator(behaviour=Behaviour(gzip_answers=on)) as hubspot:
                async with http.get(hubspot.url + MEETINGS) as response:
                    assert response.headers.get("Content-Encoding") == ("gzip" if on else None)
                    assert await response.json() == {"results": []}
                async with http.get(hubspot.url + MEETINGS, headers={"Accept-Encoding": "identity"}) as response:
                    assert "Content-Encoding" not in response.headers
                async with http.get(hubspot.url + MEETINGS + "/1") as response:
                    assert (response.status, (await response.json())["message"]) == (404, "resource not found")

    async def test_requests_may_be_packed(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        body = zlib.compress(b'{"properties": {"hs_meeting_title": "packed"}}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
        async with http.post(hubspot.url + MEETINGS, data=body, headers=headers) as response:
            assert response.status == 201


class TestLatency:
    def test_half_of_a_lognormal_lies_below_its_median(self) -> None:
        rng = random.Random(1)
        draws = [drawn_s(LogNormal(0.1, 1.0, most_s=2.0), rng) for _ in range(4000)]
        assert 0.47 < sum(draw < 0.1 for draw in draws) / len(draws) < 0.53
        assert sum(draw > 0.5 for draw in draws) > 100
        assert max(draws) == 2.0

    def test_without_latency_nothing_is_drawn(self) -> None:
        rng = random.Random(1)
        before = rng.getstate()
        assert (drawn_s((0.0, 0.0), rng), Fault(status=500).wait_s(rng)) == (0.0, 0.0)
        assert rng.getstate() == before

    def test_a_fault_can_have_a_tail(self) -> None:
        fault = Fault(kind="latency", latency_s=0.1, latency_sigma=0.5)
        rng = random.Random(1)
        assert len({fault.wait_s(rng) for _ in range(10)}) == 10

    async def test_the_emulator_takes_a_distribution(self, http: aiohttp.ClientSession) -> None:
        async with Emulator(service_latency_s=LogNormal(0.0001, 0.5, most_s=0.001)) as hubspot:
            assert (await create(http, hubspot))[0] == 201

    @pytest.mark.parametrize("wrong", [LogNormal(0, 1), LogNormal(1, -1), LogNormal(1, 1, most_s=0.5)])
    def test_distributions_that_make_no_sense_are_refused(self, wrong: LogNormal) -> None:
        with pytest.raises(ValueError, match="median"):
            Emulator(service_latency_s=wrong)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("0.01:503", FaultRule(fault=Fault(status=503), rate=0.01)),
            ("1:503=2", FaultRule(fault=Fault(status=503, retry_after="2"), rate=1)),
            ("#3:reset-applied", FaultRule(fault=Fault(kind="reset", applied=True), skip=2)),
            ("#1:504-late=2.5", FaultRule(fault=Fault(status=504, applied_after_s=2.5))),
            (
                "0.5:cut-chunked@meetings.batch_*",
                FaultRule(fault=Fault(kind="cut_chunked"), rate=0.5, operation="meetings.batch_*"),
            ),
            ("1:latency=0.5", FaultRule(fault=Fault(kind="latency", latency_s=0.5), rate=1)),
            ("1:latency=0.5~0.8", FaultRule(fault=Fault(kind="latency", latency_s=0.5, latency_sigma=0.8), rate=1)),
            ("1:drip=0.2", FaultRule(fault=Fault(kind="drip", pause_s=0.2), rate=1)),
            ("1:gzip-bomb=1000", FaultRule(fault=Fault(kind="gzip_bomb", size_bytes=1000), rate=1)),
            ("1:expire-token", FaultRule(fault=Fault(kind="expire_token"), rate=1)),
        ],
    )
    def test_are_read(self, text: str, rule: FaultRule) -> None:
        assert fault_rule(text) == rule

    @pytest.mark.parametrize(
        "text",
        ["503", "x:503", "2:503", "#0:503", "#x:503", "1:flood", "1:status", "1:latency", "1:hang=3", "1:cut-late=2"],
    )
    def test_that_make_no_sense_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=f"--fault {text}"):
            fault_rule(text)

    def test_latencies_are_read(self) -> None:
        assert [latency(text) for text in ("0.5", "0.1:0.2", "0.1~0.8")] == [
            (0.5, 0.5),
            (0.1, 0.2),
            LogNormal(0.1, 0.8),
        ]
        with pytest.raises(ValueError, match="a latency is"):
            latency("slow")


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "cut", "applied_after_s": 1},
        {"status": 504, "applied": True, "applied_after_s": 1},
        {"status": 504, "applied_after_s": -1},
        {"kind": "latency", "latency_sigma": 1.0},
        {"status": 504, "latency_s": 1, "latency_sigma": -1.0},
        {"kind": "drip", "piece_bytes": 0},
        {"kind": "drip", "pause_s": -1},
        {"kind": "oversized", "size_bytes": 0},
    ],
)
def test_faults_that_make_no_sense_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        Fault(**words)

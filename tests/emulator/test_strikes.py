"""Faults at the socket: what the client sees, and what was written all the same."""

import asyncio

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator, Fault, FaultRule
from tests.emulator.account import MEETINGS

BATCH = f"{MEETINGS}/batch/create"
INPUTS = {"inputs": [{"properties": {"hs_meeting_title": str(n)}} for n in range(10)]}


@pytest.mark.parametrize("status", [423, 477, 500, 502, 503, 504])
@pytest.mark.parametrize("applied", [False, True])
async def test_an_error_before_or_after_the_write(
    hubspot: Emulator, http: aiohttp.ClientSession, status: int, applied: bool
) -> None:
    hubspot.faults.fail_next(status, applied=applied, retry_after=3)
    async with http.post(hubspot.url + BATCH, json=INPUTS) as response:
        body = await response.json()
        assert (response.status, body["status"], response.headers["Retry-After"]) == (status, "error", "3")
    stats = hubspot.stats()
    assert stats.records.created == (10 if applied else 0)
    assert stats.faults == {f"{status} applied" if applied else str(status): 1}
    async with http.post(hubspot.url + BATCH, json=INPUTS) as response:
        assert response.status == 201


@pytest.mark.parametrize("applied", [False, True])
async def test_a_reset_before_or_after_the_write(hubspot: Emulator, http: aiohttp.ClientSession, applied: bool) -> None:
    hubspot.faults.reset_next(applied=applied)
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post(hubspot.url + BATCH, json=INPUTS)
    stats = hubspot.stats()
    assert stats.records.created == (10 if applied else 0)
    assert stats.by_status == {"no answer": 1}
    assert hubspot.recent_requests[0].fault == ("reset applied" if applied else "reset")


async def test_a_batch_can_break_off_half_way(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.faults.fail_next(500, applied=True, applied_inputs=4)
    async with http.post(hubspot.url + BATCH, json=INPUTS) as response:
        assert response.status == 500
    assert hubspot.stats().records.created == 4


async def test_no_answer_ever_and_a_quick_end(http: aiohttp.ClientSession) -> None:
    async with Emulator() as hubspot:
        hubspot.faults.hang_next(applied=True)
        asked = asyncio.ensure_future(http.post(hubspot.url + BATCH, json=INPUTS))
        await hubspot.until_requests(1)
        assert hubspot.stats().records.created == 10
        assert not asked.done()
        before = asyncio.get_running_loop().time()
        await hubspot.close()
        assert asyncio.get_running_loop().time() - before < 1
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked


async def test_a_client_may_give_up_on_a_hanging_request(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.faults.hang_next()
    with pytest.raises(TimeoutError):
        await http.get(hubspot.url + MEETINGS, timeout=aiohttp.ClientTimeout(total=0.05))
    async with http.get(hubspot.url + MEETINGS) as response:
        assert response.status == 200


async def test_added_latency_only_delays(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.faults.delay_next(0.05)
    before = asyncio.get_running_loop().time()
    async with http.get(hubspot.url + MEETINGS) as response:
        assert response.status == 200
    assert asyncio.get_running_loop().time() - before >= 0.05
    assert hubspot.stats().faults == {"latency": 1}


@pytest.mark.parametrize("policy", ["TEN_SECONDLY_ROLLING", "DAILY"])
async def test_injected_429s_are_told_from_genuine_ones(http: aiohttp.ClientSession, policy: str) -> None:
    async with Emulator(limit=1) as hubspot:
        hubspot.faults.fail_next(429, policy=policy)  # type: ignore[arg-type]
        for expected in (429, 200, 429):
            async with http.get(hubspot.url + MEETINGS) as response:
                assert response.status == expected
                if not hubspot.stats().rate_limited.genuine and expected == 429:
                    assert (await response.json())["policyName"] == policy
        limits = hubspot.stats().rate_limited
        assert (limits.genuine, limits.injected) == (1, 1)
        # The injected one took no place in the window.
        assert hubspot.stats().apps["app-1"].accepted == 1


async def test_a_gateways_page_instead_of_json(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.faults.fail_next(502, body="<html>Bad gateway</html>", headers={"Server": "cloud"})
    async with http.get(hubspot.url + MEETINGS) as response:
        assert (response.status, response.content_type, response.headers["Server"]) == (502, "text/html", "cloud")
        assert await response.text() == "<html>Bad gateway</html>"


async def test_a_success_that_is_none(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    fault = Fault(status=201, applied=True, body="{", content_type="application/json")
    hubspot.faults.add(FaultRule(fault=fault))
    async with http.post(hubspot.url + BATCH, json=INPUTS) as response:
        assert (response.status, await response.read()) == (201, b"{")
    assert hubspot.stats().records.created == 10


async def test_an_expired_token_in_mid_run(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    hubspot.faults.fail_next(401)
    async with http.get(hubspot.url + MEETINGS) as response:
        assert (response.status, (await response.json())["category"]) == (401, "EXPIRED_AUTHENTICATION")


async def test_the_same_port_again_after_an_outage(http: aiohttp.ClientSession) -> None:
    hubspot = Emulator()
    await hubspot.start()
    url = hubspot.url
    async with http.post(url + BATCH, json=INPUTS) as response:
        assert response.status == 201
    await hubspot.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.get(url + MEETINGS)
    await hubspot.start()
    assert hubspot.url == url
    async with http.get(url + MEETINGS) as response:
        assert len((await response.json())["results"]) == 10
    await hubspot.close()

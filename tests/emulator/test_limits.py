"""The quota over the wire, on a clock that the test moves."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from tests.emulator.account import MEETINGS


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock(wall_ms=1_795_262_400_000)  # 2026-11-21T12:00:00Z


@pytest.fixture
async def limited(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(limit=3, daily_limit=5, clock=clock) as emulator:
        yield emulator


async def statuses(http: aiohttp.ClientSession, emulator: Emulator, number: int) -> list[int]:
    found: list[int] = []
    for _ in range(number):
        async with http.get(emulator.url + MEETINGS) as response:
            found.append(response.status)
    return found


async def test_the_window_rolls(limited: Emulator, http: aiohttp.ClientSession, clock: ManualClock) -> None:
    assert await statuses(http, limited, 2) == [200, 200]
    clock.advance(4)
    assert await statuses(http, limited, 2) == [200, 429]
    clock.advance(6)
    assert await statuses(http, limited, 3) == [200, 200, 429]
    use = limited.stats().apps["app-1"]
    assert (use.accepted, use.refused, use.most_in_window) == (5, 2, 3)
    assert (use.first_s, use.last_s, use.per_second) == (0, 10, [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2])
    assert limited.accepted_stamps_s() == [0, 0, 4, 10, 10]


async def test_the_day_ends_at_midnight(limited: Emulator, http: aiohttp.ClientSession, clock: ManualClock) -> None:
    for _ in range(5):
        assert await statuses(http, limited, 1) == [200]
        clock.advance(10)
    async with http.get(limited.url + MEETINGS) as response:
        body = await response.json()
        assert (response.status, body["policyName"]) == (429, "DAILY")
        assert response.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    clock.advance(12 * 3600)
    assert await statuses(http, limited, 1) == [200]
    limits = limited.stats().rate_limited
    assert (limits.genuine, limits.ten_secondly, limits.daily, limits.injected) == (1, 0, 1, 0)


async def test_headers_stand_on_errors_too(limited: Emulator, http: aiohttp.ClientSession) -> None:
    remaining: list[str] = []
    for path in (MEETINGS, MEETINGS + "/1", "/nowhere", MEETINGS):
        async with http.get(limited.url + path) as response:
            remaining.append(response.headers["X-HubSpot-RateLimit-Remaining"])
            assert response.headers["X-HubSpot-RateLimit-Max"] == "3"
            assert response.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert remaining == ["2", "1", "0", "0"]


async def test_the_429_has_the_documented_body_and_no_retry_after(
    limited: Emulator, http: aiohttp.ClientSession
) -> None:
    await statuses(http, limited, 3)
    async with http.get(limited.url + MEETINGS) as response:
        body = await response.json()
        assert response.status == 429
        assert sorted(body) == ["correlationId", "errorType", "message", "policyName", "requestId", "status"]
        assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
        assert body["message"] == "You have reached your ten_secondly_rolling limit."
        assert "Retry-After" not in response.headers


async def test_retry_after_can_be_switched_on(http: aiohttp.ClientSession, clock: ManualClock) -> None:
    async with Emulator(limit=1, clock=clock, behaviour=Behaviour(retry_after_on_429=True)) as emulator:
        await statuses(http, emulator, 1)
        clock.advance(2.5)
        async with http.get(emulator.url + MEETINGS) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "8")


async def test_without_limits_there_are_no_headers(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    async with http.get(hubspot.url + MEETINGS) as response:
        assert not [name for name in response.headers if "RateLimit" in name]


async def test_refused_writes_write_nothing(limited: Emulator, http: aiohttp.ClientSession) -> None:
    await statuses(http, limited, 3)
    async with http.post(limited.url + MEETINGS, json={"properties": {}}) as response:
        assert response.status == 429
    assert limited.stats().records.created == 0


async def test_the_stamp_is_taken_after_the_way_there(http: aiohttp.ClientSession) -> None:
    async with Emulator(forward_latency_s=(0.02, 0.02), service_latency_s=0.02) as emulator:
        await statuses(http, emulator, 1)
        (entry,) = emulator.recent_requests
        assert entry.at_s >= 0.02
        assert emulator.stats().uptime_s - entry.at_s >= 0.02

"""Who moves the clock moves the account: windows, the day, search, tokens and slots follow."""

from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator, ManualClock, SystemClock
from tests.emulator.account import MEETINGS


async def admin(hubspot: Emulator, method: str, body: Any = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{hubspot.url}/__emulator/clock", json=body) as response,
    ):
        return response.status, await response.json()


async def _status(http: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> int:
    async with http.request(method, url, json=body) as response:
        await response.read()
        return response.status


def test_a_moved_clock_runs_on() -> None:
    clock, other = SystemClock(), SystemClock()
    clock.advance(86_400.5)
    assert 86_400_500 <= clock.wall_ms() - other.wall_ms() + 50 < 86_460_500
    assert clock.steady_s() - other.steady_s() == pytest.approx(86_400.5, abs=60)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e12])
def test_no_clock_goes_back_or_out_of_time(seconds: float) -> None:
    for clock in (SystemClock(), ManualClock()):
        before = clock.wall_ms()
        with pytest.raises(ValueError, match="only moves forward"):
            clock.advance(seconds)
        assert abs(clock.wall_ms() - before) < 60_000


async def test_windows_days_and_search_follow(http: aiohttp.ClientSession) -> None:
    """Ten seconds later the window is free, search sees the write; a day later the daily limit is."""
    async with Emulator(limit=1, daily_limit=3, search_limit=1) as hubspot:
        meetings = hubspot.url + MEETINGS
        assert await _status(http, "POST", meetings, {"properties": {"hs_meeting_title": "Kick-off"}}) == 201
        assert await _status(http, "GET", meetings) == 429
        hubspot.advance(10)
        async with http.post(meetings + "/search", json={}) as response:
            assert (await response.json())["total"] == 1
        assert await _status(http, "POST", meetings + "/search", {}) == 429
        hubspot.advance(1)
        assert await _status(http, "GET", meetings) == 200
        hubspot.advance(10)
        assert await _status(http, "GET", meetings) == 429  # the third of this day was the last
        hubspot.advance(86_400)
        assert await _status(http, "GET", meetings) == 200


async def test_tokens_and_slots_follow(http: aiohttp.ClientSession) -> None:
    async with Emulator(limit=None) as hubspot:
        hubspot.portal.add_app("app", "secret")
        token = hubspot.portal.issue_tokens("app").access.value
        headers = {"Authorization": f"Bearer {token}"}
        page = hubspot.url + "/scheduler/v3/meetings/meeting-links/book/availability-page/maya.lindqvist/intro"
        page = page.replace("lindqvist/", "lindqvist%2F") + "?timezone=UTC&monthOffset="

        async def first_start() -> int:
            for month in range(3):
                async with http.get(f"{page}{month}") as response:
                    payload = await response.json()
                lengths = payload["linkAvailability"]["linkAvailabilityByDuration"]
                for offered in lengths.values():
                    for slot in offered["availabilities"]:
                        return int(slot["startMillisUtc"])
            raise AssertionError("no slot")

        async with http.get(hubspot.url + MEETINGS, headers=headers) as response:
            assert response.status == 200
        before = await first_start()
        hubspot.advance(21 * 86_400)
        async with http.get(hubspot.url + MEETINGS, headers=headers) as response:
            assert response.status == 401
        assert await first_start() - before >= 14 * 86_400_000


async def test_the_admin_api_tells_and_moves_the_time() -> None:
    async with Emulator(clock=ManualClock(wall_ms=1_795_249_800_123)) as hubspot:
        assert await admin(hubspot, "GET") == (
            200,
            {"now": "2026-11-21T08:30:00.123Z", "now_ms": 1_795_249_800_123},
        )
        assert (await admin(hubspot, "POST", {"advance_s": 60}))[1]["now"] == "2026-11-21T08:31:00.123Z"
        assert (await admin(hubspot, "POST", {"to": "2027-01-04T09:00:00Z"}))[1]["now"] == "2027-01-04T09:00:00.000Z"
        for wrong in ({}, {"advance_s": 1, "to": 5}, {"advance_s": -1}, {"to": "2026-01-01T00:00:00Z"}, {"to": "soon"}):
            status, answer = await admin(hubspot, "POST", wrong)
            assert status == 400
            assert answer["message"]
        assert hubspot.portal.clock.wall_ms() == 1_799_053_200_000


def test_a_clock_without_advance_can_not_be_moved() -> None:
    class Fixed:
        def wall_ms(self) -> int:
            return 1_795_249_800_123

        def steady_s(self) -> float:
            return 0.0

    with pytest.raises(ValueError, match="Fixed can not be moved; give the emulator a clock with advance"):
        Emulator(clock=Fixed()).advance(1)

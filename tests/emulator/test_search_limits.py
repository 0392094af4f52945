"""The limit of searches over the wire: by the second, for the whole account, apart from everything else."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from hubspot_meetings_async.emulator.__main__ import _behaviour
from tests.emulator.account import MEETINGS

SEARCH = f"{MEETINGS}/search"


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def limited(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(limit=2, clock=clock) as emulator:
        yield emulator


async def statuses(http: aiohttp.ClientSession, emulator: Emulator, number: int, app: str = "a") -> list[int]:
    found: list[int] = []
    for _ in range(number):
        headers = {"Authorization": f"Bearer token-{app}"}
        async with http.post(emulator.url + SEARCH, json={}, headers=headers) as response:
            found.append(response.status)
    return found


async def test_five_a_second_for_all_apps(limited: Emulator, http: aiohttp.ClientSession, clock: ManualClock) -> None:
    assert await statuses(http, limited, 3) == [200] * 3
    clock.advance(0.5)
    assert await statuses(http, limited, 3, "b") == [200, 200, 429]
    clock.advance(0.5)
    assert await statuses(http, limited, 4) == [200, 200, 200, 429]
    stats = limited.stats()
    assert (stats.rate_limited.genuine, stats.rate_limited.secondly, stats.rate_limited.ten_secondly) == (2, 2, 0)
    assert (stats.searches.accepted, stats.searches.refused, stats.searches.most_in_window) == (8, 2, 5)


async def test_the_refusal_has_its_own_body_and_no_headers(limited: Emulator, http: aiohttp.ClientSession) -> None:
    for _ in range(6):
        async with http.post(limited.url + SEARCH, json={}) as response:
            body = await response.json()
            assert not [name for name in response.headers if "RateLimit" in name or name == "Retry-After"]
    assert response.status == 429
    assert body == {
        "status": "error",
        "message": "You have reached your secondly limit.",
        "correlationId": response.headers["X-HubSpot-Correlation-Id"],
        "category": "RATE_LIMITS",
    }


async def test_searches_and_other_calls_do_not_meet(limited: Emulator, http: aiohttp.ClientSession) -> None:
    assert await statuses(http, limited, 5) == [200] * 5
    remaining: list[str] = []
    for expected in (200, 200, 429):
        async with http.get(limited.url + MEETINGS) as response:
            assert response.status == expected
            remaining.append(response.headers["X-HubSpot-RateLimit-Remaining"])
    assert remaining == ["1", "0", "0"]


async def test_searches_count_for_the_day(http: aiohttp.ClientSession) -> None:
    async with Emulator(daily_limit=3) as emulator:
        assert await statuses(http, emulator, 4) == [200, 200, 200, 429]
        assert emulator.stats().rate_limited.daily == 1


async def test_the_limit_can_be_another_one_or_none(http: aiohttp.ClientSession, clock: ManualClock) -> None:
    async with Emulator(search_limit=1, clock=clock, behaviour=Behaviour(retry_after_on_429=True)) as emulator:
        assert await statuses(http, emulator, 2) == [200, 429]
        async with http.post(emulator.url + SEARCH, json={}) as response:
            assert response.headers["Retry-After"] == "1"
        emulator.quota.search_limit = None
        assert await statuses(http, emulator, 10) == [200] * 10
    with pytest.raises(ValueError, match="search_limit"):
        Emulator(search_limit=0)


async def test_a_fixed_second_can_take_twice_as_many_at_its_edge(
    http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    async with Emulator(clock=clock, behaviour=Behaviour(rate_window="fixed")) as emulator:
        clock.advance(0.9)
        assert await statuses(http, emulator, 6) == [200] * 5 + [429]
        clock.advance(0.1)
        assert await statuses(http, emulator, 5) == [200] * 5


async def test_association_batches_can_be_exempt_too(http: aiohttp.ClientSession, clock: ManualClock) -> None:
    path = "/crm/v4/associations/meetings/contacts/batch/read"
    for exempt, expected in ((False, 429), (True, 200)):
        async with Emulator(limit=1, clock=clock, behaviour=Behaviour(association_batches_exempt=exempt)) as emulator:
            for _ in range(2):
                async with http.post(emulator.url + path, json={"inputs": []}) as response:
                    status = response.status
            assert status == expected
            assert ("X-HubSpot-RateLimit-Max" in response.headers) is not exempt


async def test_the_delay_runs_on_the_emulators_clock(http: aiohttp.ClientSession, clock: ManualClock) -> None:
    async with Emulator(clock=clock) as emulator:
        await http.post(emulator.url + MEETINGS, json={"properties": {}})
        totals: list[int] = []
        for _ in range(2):
            async with http.post(emulator.url + SEARCH, json={}) as response:
                totals.append((await response.json())["total"])
            clock.advance(5)
        assert totals == [0, 1]


async def test_other_languages_can_settle_it(http: aiohttp.ClientSession, clock: ManualClock) -> None:
    async with Emulator(clock=clock) as emulator:
        await http.post(emulator.url + MEETINGS, json={"properties": {}})
        async with http.post(emulator.url + "/__emulator/settle-search") as response:
            assert response.status == 200
        async with http.post(emulator.url + SEARCH, json={}) as response:
            assert (await response.json())["total"] == 1


def test_the_delay_can_be_set_on_the_command_line() -> None:
    assert _behaviour(["search_delay_s=0.5"]).search_delay_s == 0.5
    assert _behaviour(["search_delay_s=0"]).search_delay_s == 0
    with pytest.raises(ValueError, match="search_delay_s"):
        _behaviour(["search_delay_s=soon"])

"""How much of the day's calls is used, and when the day of the account ends."""

from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator, ManualClock
from tests.emulator.account import MEETINGS

USAGE = "/account-info/v3/api-usage/daily/private-apps"
EVENING = 1_795_302_000_000  # 2026-11-21T23:00:00Z: in Berlin it is midnight already


async def usage(http: aiohttp.ClientSession, hubspot: Emulator, path: str = USAGE) -> Any:
    async with http.get(hubspot.url + path) as response:
        assert response.status == 200
        [shown] = (await response.json())["results"]
        return shown


@pytest.mark.parametrize("version", ["v3", "2025-09", "2026-03", "2026-09"])
async def test_counts_every_private_app_and_itself(http: aiohttp.ClientSession, version: str) -> None:
    async with Emulator(daily_limit=1000, clock=ManualClock(wall_ms=EVENING)) as hubspot:
        for token in ("a", "b"):
            async with http.get(hubspot.url + MEETINGS, headers={"Authorization": f"Bearer {token}"}) as response:
                assert response.status == 200
        shown = await usage(http, hubspot, USAGE.replace("v3", version))
        assert (shown["usageLimit"], shown["currentUsage"], shown["fetchStatus"]) == (1000, 3, "SUCCESS")
        assert (shown["collectedAt"], shown["resetsAt"]) == ("2026-11-21T23:00:00Z", "2026-11-22T00:00:00Z")
        assert shown["name"]


async def test_the_day_ends_at_midnight_of_the_account(http: aiohttp.ClientSession) -> None:
    clock = ManualClock(wall_ms=EVENING - 1000)
    async with Emulator(limit=None, daily_limit=2, clock=clock, timezone="Europe/Berlin") as hubspot:
        statuses: list[int] = []
        for seconds in (0, 0, 0, 1):
            clock.advance(seconds)
            async with http.get(hubspot.url + MEETINGS) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 429, 200]
        shown = await usage(http, hubspot)
        assert (shown["currentUsage"], shown["resetsAt"]) == (2, "2026-11-22T23:00:00Z")


async def test_the_day_is_as_long_as_the_clock_change_makes_it(http: aiohttp.ClientSession) -> None:
    # Berlin, 2026-10-25: 25 hours. Midnight was at 22:00Z the day before, the next is at 23:00Z.
    async with Emulator(clock=ManualClock(wall_ms=1_792_886_400_000), timezone="Europe/Berlin") as hubspot:
        assert (await usage(http, hubspot))["resetsAt"] == "2026-10-25T23:00:00Z"


async def test_oauth_apps_use_nothing_of_it_and_see_nothing_of_it(http: aiohttp.ClientSession) -> None:
    async with Emulator(daily_limit=1) as hubspot:
        hubspot.portal.add_app("app", "secret")
        tokens = hubspot.portal.issue_tokens("app")
        bearer = {"Authorization": f"Bearer {tokens.access.value}"}
        for _ in range(3):
            async with http.get(hubspot.url + MEETINGS, headers=bearer) as response:
                assert response.status == 200
                assert "X-HubSpot-RateLimit-Daily" not in response.headers
                assert response.headers["X-HubSpot-RateLimit-Max"] == "110"
        assert (await usage(http, hubspot))["currentUsage"] == 1


async def test_without_a_limit_the_largest_number_stands(http: aiohttp.ClientSession) -> None:
    async with Emulator() as hubspot:
        assert (await usage(http, hubspot))["usageLimit"] == 2**31 - 1

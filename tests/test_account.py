"""`hubspot.account` and `hubspot.quota`: what is left of the window and of the day, and when both start anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from hubspot_meetings_async import MeetingsClient, NoLimit
from hubspot_meetings_async.emulator import Emulator, ManualClock
from hubspot_meetings_async.limiter import QuotaStats

EVENING_MS = 1_795_302_000_000  # 2026-11-21T23:00:00Z


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    async with Emulator(tokens=["one"], daily_limit=1_000, clock=ManualClock(wall_ms=EVENING_MS)) as running:
        yield running


async def test_the_days_use_is_told_and_the_quota_knows_the_reset(hubspot: Emulator, api_version: str) -> None:
    async with MeetingsClient("one", base_url=hubspot.url, api_version=api_version) as client:
        before = client.quota
        await client.account.details()
        usage = await client.account.daily_usage()
        assert usage is not None
        assert (usage.usage_limit, usage.current_usage) == (1_000, 2)
        assert usage.resets_at == datetime(2026, 11, 22, tzinfo=UTC)
        assert before.daily_resets_at is None
        quota = client.quota
        assert (quota.daily_limit, quota.daily_remaining) == (1_000, 998)
        assert quota.daily_resets_at == usage.resets_at


async def test_a_limiter_that_does_not_care_is_left_alone(hubspot: Emulator) -> None:
    async with MeetingsClient("one", base_url=hubspot.url, limiter=NoLimit()) as client:
        assert (await client.account.daily_usage()) is not None
        assert (client.quota.used, client.quota.left) == (0, 0)


async def test_what_others_use_of_the_window_is_used(hubspot: Emulator) -> None:
    async with MeetingsClient("one", base_url=hubspot.url) as other, MeetingsClient("one", base_url=hubspot.url) as us:
        for _ in range(3):
            await other.account.daily_usage()
        await us.account.daily_usage()
        assert (us.quota.used, us.quota.left, us.quota.limit) == (4, 186, 190)


def test_left_is_never_negative() -> None:
    assert QuotaStats(name="x", limit=100, in_use=80, hold=40).left == 0

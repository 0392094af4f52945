"""The window is exact: a request stamped a is refused if and only if L accepted stamps lie in (a - W, a]."""

import random

import pytest

from hubspot_meetings_async.emulator import ManualClock, Quota
from hubspot_meetings_async.emulator.clock import AccountDay
from hubspot_meetings_async.emulator.quota import Policy, rate_limited


def send(quota: Quota, at: float, *, app: str = "a", day: int = 1) -> Policy | None:
    policy = quota.judge(app, at, day)
    if policy is None:
        quota.accept(app, at)
    else:
        quota.refuse(app, at, policy)
    return policy


def test_the_window_is_half_open() -> None:
    quota = Quota(limit=3)
    assert [send(quota, at) for at in (0.0, 0.0, 4.0)] == [None, None, None]
    assert send(quota, 9.999) == "TEN_SECONDLY_ROLLING"
    assert [send(quota, 10.0), send(quota, 10.0)] == [None, None]
    assert send(quota, 10.0) == "TEN_SECONDLY_ROLLING"
    assert send(quota, 14.0) is None


@pytest.mark.parametrize("seed", range(20))
def test_verdicts_follow_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    limit, window_s = rng.randint(1, 8), 10.0
    quota = Quota(limit=limit)
    accepted: list[float] = []
    at = 0.0
    for _ in range(500):
        at += rng.choice([0.0, 0.25, 0.5, 1.0, 5.0])
        expected = sum(at - window_s < stamp <= at for stamp in accepted) >= limit
        assert (send(quota, at) is not None) is expected
        if not expected:
            accepted.append(at)
    assert list(quota.app("a").accepted) == accepted
    most = max(sum(end - window_s < stamp <= end for stamp in accepted) for end in accepted)
    assert quota.app("a").most_in_window == most


@pytest.mark.parametrize(("step_ms", "limit"), [(50, 190), (10, 50), (7, 190)])
def test_edges_are_edges_at_moments_no_float_holds(step_ms: int, limit: int) -> None:
    quota, clock = Quota(limit=limit), ManualClock()
    accepted: list[int] = []
    for at_ms in range(0, 2000 * step_ms, step_ms):
        expected = sum(at_ms - 10_000 < stamp <= at_ms for stamp in accepted[-limit:]) >= limit
        assert (send(quota, clock.steady_s()) is not None) is expected, at_ms
        if not expected:
            accepted.append(at_ms)
        clock.advance(step_ms / 1000)
    assert quota.app("a").most_in_window == limit


def test_a_steady_client_of_twenty_a_second_is_refused_five_percent() -> None:
    quota = Quota(limit=190)
    refused = sum(send(quota, n * 0.05) is not None for n in range(200 * 10))
    assert refused == 100


def test_apps_have_windows_of_their_own() -> None:
    quota = Quota(limit=1)
    assert [send(quota, 0, app=app) for app in "abba"] == [None, None, "TEN_SECONDLY_ROLLING", "TEN_SECONDLY_ROLLING"]


def test_refused_requests_count_only_when_the_account_says_so() -> None:
    for count, verdict in ((False, None), (True, "TEN_SECONDLY_ROLLING")):
        quota = Quota(limit=1, count_refused=count)
        assert [send(quota, 0), send(quota, 9)] == [None, "TEN_SECONDLY_ROLLING"]
        assert send(quota, 10) == verdict


def test_fixed_intervals_start_anew() -> None:
    quota = Quota(limit=2, fixed=True)
    assert [send(quota, at) for at in (9, 9, 9.9)] == [None, None, "TEN_SECONDLY_ROLLING"]
    assert [send(quota, at) for at in (10, 10)] == [None, None]
    assert quota.app("a").most_in_window == 4
    assert quota.retry_after_s("a", 13.5, "TEN_SECONDLY_ROLLING", 0) == 7


def test_the_daily_limit_is_shared_by_all_apps_and_ends_with_the_day() -> None:
    quota = Quota(limit=None, daily_limit=2)
    assert [send(quota, 0, app=app) for app in "abc"] == [None, None, "DAILY"]
    assert send(quota, 100, app="c", day=2) is None


def test_headers_tell_what_is_left_after_this_request() -> None:
    quota = Quota(limit=190, daily_limit=1000)
    for at in (0, 5, 5.5):
        send(quota, at)
    assert quota.headers("a", 5.5) == {
        "X-HubSpot-RateLimit-Daily": "1000",
        "X-HubSpot-RateLimit-Daily-Remaining": "997",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Max": "190",
        "X-HubSpot-RateLimit-Remaining": "187",
        "X-HubSpot-RateLimit-Secondly": "19",
        "X-HubSpot-RateLimit-Secondly-Remaining": "17",
    }
    assert "X-HubSpot-RateLimit-Daily" not in quota.headers("a", 5.5, daily=False)
    assert Quota(limit=None).headers("a", 0) == {}


def test_retry_after_is_the_time_until_the_oldest_leaves() -> None:
    quota = Quota(limit=1)
    send(quota, 0)
    assert quota.retry_after_s("a", 2.5, "TEN_SECONDLY_ROLLING", 0) == 8
    assert quota.retry_after_s("a", 2.5, "DAILY", 3599.2) == 3600


def test_bodies_of_429() -> None:
    assert rate_limited("TEN_SECONDLY_ROLLING", "c", "r") == (
        429,
        {
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "correlationId": "c",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "requestId": "r",
        },
    )
    assert rate_limited("DAILY", "c", "r")[1]["message"] == "You have reached your daily limit."
    assert rate_limited("SECONDLY", "c", "r")[1] == {
        "status": "error",
        "message": "You have reached your secondly limit.",
        "correlationId": "c",
        "category": "RATE_LIMITS",
    }


def test_an_account_has_its_own_midnight() -> None:
    noon_utc = 1_795_262_400_000  # 2026-11-21T12:00:00Z
    assert AccountDay().ends_in_s(noon_utc) == 12 * 3600
    assert AccountDay().number(noon_utc + 12 * 3_600_000) == AccountDay().number(noon_utc) + 1
    with pytest.raises(ValueError, match="Nowhere/Land"):
        AccountDay("Nowhere/Land")


def test_a_clock_only_moves_forward() -> None:
    clock = ManualClock()
    before = clock.wall_ms(), clock.steady_s()
    clock.advance(1.5)
    assert (clock.wall_ms(), clock.steady_s()) == (before[0] + 1500, before[1] + 1.5)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_many_small_moves_are_one_large_one() -> None:
    clock = ManualClock()
    before_ms = clock.wall_ms()
    for _ in range(10_000):
        clock.advance(0.0001)
    assert (clock.wall_ms() - before_ms, clock.steady_s()) == (1000, 1.0)

"""`hubspot-meetings quota`: what is used, and what is left, of HubSpot's limits."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from ..client import MeetingsClient
from ..errors import DailyLimitExceeded, Forbidden, NotFound
from ..limiter import QuotaStats
from ..moments import Zone
from .asking import ApiVersion, BaseUrl, Connection, Json, TimeZone, TrustEnv, ask
from .clocks import person_zone
from .exits import DONE
from .push import Version
from .showing import facts, for_programs, write

__all__ = ["Use", "quota", "today"]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """The limits, and how they stand. Members of the day are None where HubSpot tells of no daily limit."""

    limit: int
    window_s: float
    used: int
    left: int
    daily_limit: int | None
    used_today: int | None
    left_today: int | None
    resets_at: datetime | None

    @classmethod
    def of(cls, quota: QuotaStats) -> Use:
        """What a client knows."""
        known = quota.daily_limit is not None and quota.daily_remaining is not None
        return cls(
            limit=quota.limit,
            window_s=quota.window_s,
            used=quota.used,
            left=quota.left,
            daily_limit=quota.daily_limit,
            used_today=(quota.daily_limit or 0) - (quota.daily_remaining or 0) if known else None,
            left_today=quota.daily_remaining,
            resets_at=quota.daily_resets_at,
        )


def quota(
    timezone: TimeZone = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Show how much of HubSpot's limits is used and left.

    Costs one call, which is counted; where this token has no daily limit, two. Into a pipe, or with --json, it is one
    object: limit, window_s, used, left, daily_limit, used_today, left_today, resets_at. The token is read from
    HUBSPOT_ACCESS_TOKEN.
    """

    async def question(hubspot: MeetingsClient) -> int:
        person = person_zone(timezone)
        try:
            await _look(hubspot)
        except DailyLimitExceeded as error:  # that is an answer, too
            use = _spent(Use.of(hubspot.quota), error)
        else:
            use = Use.of(hubspot.quota)
        if for_programs(json):
            write(use)
        else:
            facts(_facts(use, person))
        return DONE

    ask("quota", Connection(base_url=base_url, api_version=api_version, trust_env=trust_env), question)


async def _look(hubspot: MeetingsClient) -> None:
    try:
        await hubspot.account.daily_usage()
    except (Forbidden, NotFound):  # as it may be for an OAuth app's token; the headers of any call tell most of it
        await hubspot.account.details()


def _spent(use: Use, error: DailyLimitExceeded) -> Use:
    """The same on a day whose calls are spent."""
    resets_at = error.resets_at or use.resets_at
    return msgspec.structs.replace(use, used_today=use.daily_limit, left_today=0, resets_at=resets_at)


def _facts(use: Use, person: Zone) -> list[tuple[str, str]]:
    window = f"any {use.window_s:g} seconds"
    return [
        (window, f"{use.used:,} used, {use.left:,} left of {use.limit:,}"),
        ("today", today(use)),
        ("starts anew", _reset(use.resets_at, person)),
        ("searches", "5 a second for the whole account, counted apart; HubSpot does not tell how many are left"),
    ]


def today(use: Use) -> str:
    """The day's calls in words."""
    if use.left_today is None or (use.daily_limit is None and use.left_today):
        return "HubSpot tells of no daily limit for this token"
    if use.daily_limit is None:
        return "all calls are spent"
    return f"{use.used_today or 0:,} used, {use.left_today:,} left of {use.daily_limit:,}"


def _reset(at: datetime | None, person: Zone) -> str:
    if at is None:
        return "HubSpot does not tell when"
    left_s = max(0, round((at - datetime.now(UTC)).total_seconds()))
    hours, minutes = divmod(left_s // 60, 60)
    return f"{at.astimezone(person.tz):%Y-%m-%d %H:%M} {person.name}, in {hours} h {minutes} min"

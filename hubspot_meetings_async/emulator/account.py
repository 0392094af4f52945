"""`/account-info/v3`: which account this is (`details`), and how much of its daily limit is used (`api-usage`).

Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from .calls import Answer, Call
from .portal import Portal
from .times import iso

__all__ = ["daily_usage", "details"]

NO_LIMIT = 2**31 - 1
"""Shown when the emulator has no daily limit: HubSpot's answer always has a number."""


def details(portal: Portal, call: Call) -> Answer:
    """`GET /details`."""
    shown: dict[str, object] = {
        "portalId": portal.portal_id,
        "accountType": "STANDARD",
        "timeZone": "US/Eastern",
        "companyCurrency": "USD",
        "additionalCurrencies": [],
        "utcOffset": "-05:00",
        "utcOffsetMilliseconds": -18_000_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }
    return Answer(200, shown)


def daily_usage(portal: Portal, call: Call) -> Answer:
    """`GET /api-usage/daily/private-apps`: this call is in it."""
    use = portal.daily_use()
    three_digits = portal.behaviour.always_milliseconds
    shown = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": NO_LIMIT if use.limit is None else use.limit,
        "currentUsage": use.used,
        "collectedAt": iso(call.now_ms, three_digits),
        "fetchStatus": "SUCCESS",
        "resetsAt": iso(use.resets_at_ms, three_digits),
    }
    return Answer(200, {"results": [shown]})

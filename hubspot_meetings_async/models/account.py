"""What HubSpot tells about the account behind a token.

This module knows the fields. It must not know URLs or how anything travels.

HubSpot: https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide
"""

from __future__ import annotations

from .forms import Received
from .tolerant import Moment

__all__ = ["AccountDetails", "DailyUsage"]


class AccountDetails(Received, frozen=True, kw_only=True):
    """An account: its number, its kind (`STANDARD`, `DEVELOPER_TEST`, `SANDBOX`, …), its zone and its data centre.

    `time_zone` is a name such as `US/Eastern`; the daily limit starts anew at its midnight.
    """

    portal_id: int | None = None
    account_type: str | None = None
    time_zone: str | None = None
    utc_offset: str | None = None
    company_currency: str | None = None
    data_hosting_location: str | None = None
    ui_domain: str | None = None


class DailyUsage(Received, frozen=True, kw_only=True):
    """How the account's calls of the day stand, all its private apps together; `resets_at` is the next midnight there.

    The count is that of `collected_at`. `fetch_status` is `SUCCESS` where HubSpot could count.
    """

    name: str | None = None
    usage_limit: int | None = None
    current_usage: int | None = None
    collected_at: Moment | None = None
    fetch_status: str | None = None
    resets_at: Moment | None = None

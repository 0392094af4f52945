"""What HubSpot tells about the account behind a token.

This module knows the fields. It must not know URLs or how anything travels.

HubSpot: https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide
"""

from __future__ import annotations

from .forms import Received

__all__ = ["AccountDetails"]


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

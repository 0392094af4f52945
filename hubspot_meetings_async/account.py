"""`/account-info/…`: which account a token belongs to, and how many of its calls of the day are spent.

This module knows the path and the fields. It must not know the transport, the limiter, or sleeping; it is given a
`Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

import msgspec

from .errors import RequestRejected
from .models import AccountDetails, DailyUsage, Page
from .models.tolerant import tolerant_decoder
from .versions import known_version
from .wire import Call, Request

__all__ = ["Account"]

_details: Final = msgspec.json.Decoder(AccountDetails)
_usage: Final = tolerant_decoder(Page[DailyUsage])


class LearnDaily(Protocol):
    """Hears how the day's calls stand."""

    def __call__(self, *, limit: int, remaining: int, resets_at: datetime | None) -> None: ...


class Account:
    """The account behind the token (`hubspot.account`)."""

    def __init__(self, call: Call, *, api_version: str, learn_daily: LearnDaily | None = None) -> None:
        self._call = call
        self._path = f"/account-info/{known_version(api_version)}"
        self._learn_daily = learn_daily
        self._known: AccountDetails | None = None

    async def details(self) -> AccountDetails:
        """Number, kind and time zone of the account (`GET /account-info/…/details`); asked for once and kept."""
        if self._known is not None:
            return self._known
        details = await self._call(Request(method="GET", path=f"{self._path}/details", decoder=_details))
        self._known = details
        return details

    async def portal(self) -> str | None:
        """The account's number, None where HubSpot does not tell it to this token."""
        try:
            details = await self.details()
        except RequestRejected as error:
            if error.status in (401, 429):
                raise
            return None
        return None if details.portal_id is None else str(details.portal_id)

    async def daily_usage(self) -> DailyUsage | None:
        """The calls of the day (`GET /account-info/…/api-usage/daily/private-apps`), and when they start anew.

        None where HubSpot tells of none. `hubspot.quota` knows the moment from then on. Tokens of OAuth apps have no
        daily limit; HubSpot may refuse them here.
        """
        path = f"{self._path}/api-usage/daily/private-apps"
        page = await self._call(Request(method="GET", path=path, decoder=_usage))
        if not page.results:
            return None
        usage = page.results[0]
        if self._learn_daily is not None and usage.usage_limit is not None and usage.current_usage is not None:
            remaining = max(0, usage.usage_limit - usage.current_usage)
            self._learn_daily(limit=usage.usage_limit, remaining=remaining, resets_at=usage.resets_at)
        return usage

"""`/account-info/…`: which account a token belongs to.

This module knows the path and the fields. It must not know the transport, the limiter, or sleeping; it is given a
`Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide
"""

from __future__ import annotations

from typing import Final

import msgspec

from .errors import RequestRejected
from .models import AccountDetails
from .versions import known_version
from .wire import Call, Request

__all__ = ["Account"]

_details: Final = msgspec.json.Decoder(AccountDetails)


class Account:
    """The account behind the token (`hubspot.account`)."""

    def __init__(self, call: Call, *, api_version: str) -> None:
        self._call = call
        self._path = f"/account-info/{known_version(api_version)}/details"
        self._known: AccountDetails | None = None

    async def details(self) -> AccountDetails:
        """Number, kind and time zone of the account (`GET /account-info/…/details`); asked for once and kept."""
        if self._known is None:
            self._known = await self._call(Request(method="GET", path=self._path, decoder=_details))
        return self._known

    async def portal(self) -> str | None:
        """The account's number, None where HubSpot does not tell it to this token."""
        try:
            details = await self.details()
        except RequestRejected as error:
            if error.status in (401, 429):
                raise
            return None
        return None if details.portal_id is None else str(details.portal_id)

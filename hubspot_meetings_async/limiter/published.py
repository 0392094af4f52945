"""The limits HubSpot publishes, and the names under which it reports them.

This module knows numbers and names, and changes when HubSpot's page "API usage guidelines and limits" does
(developers.hubspot.com, docs/developer-tooling/platform/usage-guidelines). It must not know how limits are kept.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import ConfigurationError

__all__ = [
    "DAILY",
    "DAILY_HEADER",
    "DAILY_REMAINING_HEADER",
    "ENTERPRISE",
    "FREE",
    "INTERVAL_HEADER",
    "MAX_HEADER",
    "OAUTH",
    "PROFESSIONAL",
    "REMAINING_HEADER",
    "SECONDLY",
    "STARTER",
    "TEN_SECONDLY",
    "Limits",
]

# `policyName` of a 429's body, in lower case. SECONDLY is search's; its answers mostly leave the name out.
TEN_SECONDLY: Final = "ten_secondly_rolling"
SECONDLY: Final = "secondly"
DAILY: Final = "daily"

# On every answer but search's. The two daily ones are absent under OAuth. Two more, `-Secondly` and
# `-Secondly-Remaining`, are still sent and no longer enforced: nothing here reads them.
MAX_HEADER: Final = "X-HubSpot-RateLimit-Max"
REMAINING_HEADER: Final = "X-HubSpot-RateLimit-Remaining"
INTERVAL_HEADER: Final = "X-HubSpot-RateLimit-Interval-Milliseconds"
DAILY_HEADER: Final = "X-HubSpot-RateLimit-Daily"
DAILY_REMAINING_HEADER: Final = "X-HubSpot-RateLimit-Daily-Remaining"

_MOST_INCREASES = 2
_INCREASED_PER_TEN_SECONDS = 250
_INCREASE_PER_DAY = 1_000_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an app may call, by HubSpot's page "API usage guidelines and limits".

    Attributes:
        per_ten_seconds: Calls per rolling ten seconds, for this app in this account.
        per_day: Calls from midnight to midnight of the account, shared by its private apps; None where there is no
            daily limit (OAuth apps).
        search_per_second: Search calls per second and account, counted apart from the ten seconds.
    """

    per_ten_seconds: int = 100
    per_day: int | None = None
    search_per_second: int = 5

    def with_increase(self, increases: int = 1) -> Limits:
        """These limits with HubSpot's API limit increase bought once or twice; OAuth apps get nothing from it."""
        if self.per_day is None or increases not in range(1, _MOST_INCREASES + 1):
            raise ConfigurationError("an API limit increase is bought once or twice, and never counts for an OAuth app")
        return Limits(
            per_ten_seconds=_INCREASED_PER_TEN_SECONDS,
            per_day=self.per_day + increases * _INCREASE_PER_DAY,
            search_per_second=self.search_per_second,
        )


FREE: Final = Limits(per_ten_seconds=100, per_day=250_000)
STARTER: Final = Limits(per_ten_seconds=100, per_day=250_000)
PROFESSIONAL: Final = Limits(per_ten_seconds=190, per_day=625_000)
ENTERPRISE: Final = Limits(per_ten_seconds=190, per_day=1_000_000)
# Apps installed from the marketplace, per account that installs them.
OAUTH: Final = Limits(per_ten_seconds=110, per_day=None)

"""HubSpot's rate limits, exactly: ten seconds per app, a second of searches and a day of all calls per account.

Pure bookkeeping: moments in, verdicts and headers out. Must not know HTTP, tokens or clocks.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import Any, Literal, NamedTuple

from .refusals import Refusal

__all__ = ["AppWindow", "DailyUse", "Policy", "Quota", "rate_limited"]

Policy = Literal["TEN_SECONDLY_ROLLING", "SECONDLY", "DAILY"]
Lane = Literal["window", "search", "exempt"]
"""Which limit beside the daily one a request meets: the window of its app, the account's searches, or none."""
SEARCH_WINDOW_S = 1.0


def rate_limited(policy: Policy, correlation_id: str, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a 429. The one of search (SECONDLY) has another shape."""
    message = f"You have reached your {policy.lower()} limit."
    if policy == "SECONDLY":
        refusal = Refusal(429, message, category="RATE_LIMITS")
    else:
        extra = {"errorType": "RATE_LIMIT", "policyName": policy, "requestId": request_id}
        refusal = Refusal(429, message, extra=extra)
    return 429, refusal.body(correlation_id)


class DailyUse(NamedTuple):
    """How much of the day's calls is used, and when (Unix ms) the count starts anew."""

    limit: int | None
    used: int
    resets_at_ms: int


class AppWindow:
    """What one app has sent: every accepted moment, and those that still count."""

    __slots__ = ("_counted", "_tail", "accepted", "most_in_window", "refused")

    def __init__(self) -> None:
        self._counted: deque[float] = deque()
        self.accepted = array("d")
        """Moments of all accepted requests since the start."""
        self.refused = 0
        self.most_in_window = 0
        """The most accepted requests in any rolling window, whatever the account counts by."""
        self._tail = 0

    def used(self, at: float, window_s: float, *, fixed: bool) -> int:
        """Requests counting at this moment: in `(at - window_s, at]`, or since the interval's start when fixed."""
        counted = self._counted
        if fixed:
            start = math.floor(at / window_s) * window_s
            while counted and counted[0] < start:
                counted.popleft()
        else:
            opened = _before(at, window_s)
            while counted and counted[0] <= opened:
                counted.popleft()
        return len(counted)

    def used_since(self, moment: float) -> int:
        """Requests counting after this moment, which lies in the window."""
        number = 0
        for stamp in reversed(self._counted):
            if stamp <= moment:
                break
            number += 1
        return number

    def oldest(self) -> float | None:
        """The first moment that still counts."""
        return self._counted[0] if self._counted else None

    def accept(self, at: float, window_s: float) -> None:
        """Count an accepted request."""
        self._counted.append(at)
        self.accepted.append(at)
        opened = _before(at, window_s)
        while self.accepted[self._tail] <= opened:
            self._tail += 1
        self.most_in_window = max(self.most_in_window, len(self.accepted) - self._tail)

    def refuse(self, at: float, *, count: bool) -> None:
        """Count a refused one, in the window too when `count`."""
        self.refused += 1
        if count:
            self._counted.append(at)


def _before(at: float, window_s: float) -> float:
    """The moment a window opened, to the nanosecond: the plain difference of two floats misses it by less."""
    return round(at - window_s, 9)


class Quota:
    """The limits of one account.

    Args:
        limit: requests per window and app; None is no limit.
        daily_limit: requests per day of all apps together; None is no limit.
        window_s: length of the window in seconds.
        search_limit: searches per second of all apps together; None is no limit.
        fixed: intervals that start anew instead of a rolling window.
        count_refused: whether refused requests use up the window.
    """

    def __init__(
        self,
        *,
        limit: int | None = 190,
        daily_limit: int | None = None,
        window_s: float = 10.0,
        search_limit: int | None = 5,
        fixed: bool = False,
        count_refused: bool = False,
    ) -> None:
        self.search_limit = search_limit
        self.searches = AppWindow()
        """The searches of the account."""
        self.limit = limit
        self.daily_limit = daily_limit
        self.window_s = window_s
        self.daily_used = 0
        self._day: int | None = None
        self._fixed = fixed
        self._count_refused = count_refused
        self.apps: dict[str, AppWindow] = {}
        self.oauth_apps: dict[str, int | None] = {}
        """Apps that users installed by OAuth, and the limit their distribution sets: their calls count against no daily
        limit, and see none in the headers."""
        self.refused: dict[Policy, int] = {"TEN_SECONDLY_ROLLING": 0, "SECONDLY": 0, "DAILY": 0}

    def reset(self) -> None:
        """Forget everything sent so far."""
        self.apps.clear()
        self.daily_used = 0
        self.searches = AppWindow()
        self.refused = {"TEN_SECONDLY_ROLLING": 0, "SECONDLY": 0, "DAILY": 0}

    @property
    def day_count(self) -> tuple[int | None, int]:
        """The number of the day last asked about, and the requests counted on it."""
        return self._day, self.daily_used

    def put_back_day(self, day: int | None, used: int) -> None:
        """Go on counting where a day was left."""
        self._day, self.daily_used = day, used

    def app(self, name: str) -> AppWindow:
        """The window of an app, new if need be."""
        window = self.apps.get(name)
        if window is None:
            window = self.apps[name] = AppWindow()
        return window

    def limit_of(self, name: str) -> int | None:
        """Requests an app has per window; without a limit of the account there is none for apps either."""
        cap = self.oauth_apps.get(name)
        return self.limit if cap is None or self.limit is None else min(cap, self.limit)

    def used(self, name: str, at: float) -> int:
        """Requests of an app that count at this moment, which may not lie before the last one asked about."""
        return self.app(name).used(at, self.window_s, fixed=self._fixed)

    def searches_used(self, at: float) -> int:
        """Searches that count at this moment."""
        return self.searches.used(at, SEARCH_WINDOW_S, fixed=self._fixed)

    def judge(self, name: str, at: float, day: int, lane: Lane = "window") -> Policy | None:
        """The policy that refuses a request at this moment, or None; counts nothing yet.

        Args:
            at: steady seconds; may not go back between calls.
            day: the number of the account's day; another number starts the daily count anew.
        """
        if day != self._day:
            self._day, self.daily_used = day, 0
        if self.daily_limit is not None and self.daily_used >= self.daily_limit and name not in self.oauth_apps:
            return "DAILY"
        if lane == "search":
            used = self.searches.used(at, SEARCH_WINDOW_S, fixed=self._fixed)
            return "SECONDLY" if self.search_limit is not None and used >= self.search_limit else None
        if lane == "exempt":
            return None
        used = self.app(name).used(at, self.window_s, fixed=self._fixed)
        limit = self.limit_of(name)
        return "TEN_SECONDLY_ROLLING" if limit is not None and used >= limit else None

    def accept(self, name: str, at: float, lane: Lane = "window") -> None:
        """Count a request that `judge()` let pass."""
        if name not in self.oauth_apps:
            self.daily_used += 1
        if lane == "search":
            self.searches.accept(at, SEARCH_WINDOW_S)
        elif lane == "window":
            self.app(name).accept(at, self.window_s)

    def refuse(self, name: str, at: float, policy: Policy, lane: Lane = "window") -> None:
        """Count a request that `judge()` refused."""
        self.refused[policy] += 1
        window = self.searches if lane == "search" else self.app(name)
        window.refuse(at, count=self._count_refused and lane != "exempt")

    def retry_after_s(self, name: str, at: float, policy: Policy, day_ends_in_s: float) -> int:
        """Whole seconds until the next request may pass, rounded up."""
        if policy == "DAILY":
            return math.ceil(day_ends_in_s)
        if policy == "SECONDLY":
            return 1
        if self._fixed:
            return math.ceil((math.floor(at / self.window_s) + 1) * self.window_s - at)
        oldest = self.app(name).oldest()
        return 1 if oldest is None else max(1, math.ceil(oldest + self.window_s - at))

    def headers(self, name: str, at: float, *, daily: bool = True) -> dict[str, str]:
        """The rate headers of an answer to a request stamped `at`; without limits there are none."""
        shown: dict[str, str] = {}
        if daily and self.daily_limit is not None and name not in self.oauth_apps:
            shown["X-HubSpot-RateLimit-Daily"] = str(self.daily_limit)
            shown["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self.daily_limit - self.daily_used))
        limit = self.limit_of(name)
        if limit is not None:
            window = self.app(name)
            used = window.used(at, self.window_s, fixed=self._fixed)
            # Deprecated and no longer enforced, but still sent.
            secondly = max(1, int(limit / self.window_s))
            shown["X-HubSpot-RateLimit-Interval-Milliseconds"] = str(round(self.window_s * 1000))
            shown["X-HubSpot-RateLimit-Max"] = str(limit)
            shown["X-HubSpot-RateLimit-Remaining"] = str(max(0, limit - used))
            shown["X-HubSpot-RateLimit-Secondly"] = str(secondly)
            shown["X-HubSpot-RateLimit-Secondly-Remaining"] = str(
                max(0, secondly - window.used_since(_before(at, 1.0)))
            )
        return shown

"""The rooms of one running emulator in one place, for whoever has to see more than one of them.

Knows which rooms there are. Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import NamedTuple, cast

from .behaviour import Behaviour
from .clock import AccountDay, Clock, MovableClock, SystemClock
from .counts import Counts, Stats, stats
from .faults import Faults
from .fixtures import AROUND_MS, populate
from .keeper import Keeper
from .keeping import DataFile
from .late import LateWrites
from .oauth import Token
from .portal import Portal
from .quota import DailyUse, Quota
from .refusals import Refusal
from .times import iso

__all__ = ["Bearer", "House"]

MARKETPLACE_LIMIT = 110
"""Requests per window of an app from the marketplace, whatever the account's subscription (HubSpot's usage guide)."""


class Bearer(NamedTuple):
    """Whoever sent a request: the app, its token, and what is known of the token."""

    app: str
    value: str
    known: Token | None


class House:
    """An account with its limits, its faults and its tally. The arguments are those of `Emulator`."""

    def __init__(
        self,
        *,
        limit: int | None = 190,
        daily_limit: int | None = None,
        window_s: float = 10.0,
        search_limit: int | None = 5,
        tokens: Iterable[str] | Mapping[str, str] | None = None,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        clock: Clock | None = None,
        portal_id: int = 1_234_567,
        timezone: str = "UTC",
        keep_requests: int = 1000,
        keep_bodies: bool = False,
        data: str | PathLike[str] | None = None,
        meetings: int = 0,
        contacts: int | None = None,
        around_ms: int = AROUND_MS,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock: Clock = clock or SystemClock()
        self.day = AccountDay(timezone)
        self.portal = Portal(behaviour=self.behaviour, clock=self.clock, seed=seed, portal_id=portal_id)
        self.quota = Quota(
            limit=limit,
            daily_limit=daily_limit,
            window_s=window_s,
            search_limit=search_limit,
            fixed=self.behaviour.rate_window == "fixed",
            count_refused=self.behaviour.count_refused,
        )
        self.portal.daily_use = self._daily_use
        self.faults = Faults(seed=seed)
        self.late = LateWrites()
        self.counts = Counts(keep=keep_requests, keep_bodies=keep_bodies, started_s=self.clock.steady_s())
        self._any_token = tokens is None
        self._apps: dict[str, str] = {}
        if isinstance(tokens, Mapping):
            self._apps.update(cast("Mapping[str, str]", tokens))
        else:
            for token in tokens or ():
                self._name_app(token)
        self._keeper: Keeper | None = None
        if data is not None:
            self._keeper = Keeper(DataFile(data), self.portal, self.quota, self.clock)
            self._keeper.load()
            self.counts.reset(started_s=self.clock.steady_s())
        # What a data file brought back is not made up once more.
        if (meetings or contacts) and not any(len(crm.store) for crm in self.portal.crms):
            populate(self.portal, seed=seed, meetings=meetings, contacts=contacts, around_ms=around_ms)
            self.keep()

    def keep(self, operation: str = "") -> None:
        """Write what changed to the data file, if there is one.

        Args:
            operation: what was done, if it was one operation; many can have changed nothing but records.

        Raises: DataFileError; what was not written is tried again by the next call.
        """
        if self._keeper is not None:
            self._keeper.keep(operation)

    def close_data(self) -> None:
        """Write what is left to the data file, and let go of it. Raises: DataFileError."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def bearer(self, authorization: str | None) -> Bearer:
        """Whom an `Authorization` header belongs to. Raises: Refusal (401).

        Apps are numbered or go by their client id, never named after their token: tokens stay out of statistics and
        logs. Tokens of OAuth apps hold as long as they hold, also where any other token is accepted.
        """
        scheme, _, value = (authorization or "").partition(" ")
        value = value.strip()
        if scheme.lower() != "bearer" or not value:
            raise _no_credentials()
        known = self.portal.keyring.token(value)
        if known is not None and known.kind == "access_token":
            now_ms = self.clock.wall_ms()
            if known.expires_ms is not None and known.expires_ms <= now_ms:
                raise expired(known.expires_ms, now_ms)
            if known.app is not None:
                self.quota.oauth_apps[known.app_name] = None if known.app.private else MARKETPLACE_LIMIT
            return Bearer(known.app_name, value, known)
        app = self._apps.get(value)
        if app is None:
            if not self._any_token:
                raise expired(0, self.clock.wall_ms()) if self._calls_expired() else _no_credentials()
            app = self._name_app(value)
        return Bearer(app, value, None)

    def expire(self, bearer: Bearer) -> Refusal:
        """Let a token expire now; the 401 for it."""
        if self._keeper is not None:
            self._keeper.expect_more()
        now_ms = self.clock.wall_ms()
        return expired(self.portal.keyring.expire(bearer.value, bearer.app).expires_ms or now_ms, now_ms)

    def _calls_expired(self) -> bool:
        return self.behaviour.unknown_token == "expired"  # noqa: S105  # a reading, no password

    def _daily_use(self) -> DailyUse:
        now_ms = self.clock.wall_ms()
        resets_at_ms = now_ms + round(self.day.ends_in_s(now_ms) * 1000)
        return DailyUse(self.quota.daily_limit, self.quota.daily_used, resets_at_ms)

    def _name_app(self, token: str) -> str:
        return self._apps.setdefault(token, f"app-{len(self._apps) + 1}")

    def advance(self, seconds: float) -> None:
        """Move the clock forward, and carry out the late writes whose time came.

        Raises: ValueError for a way back, and for a clock of one's own that has no `advance()`.
        """
        if not isinstance(self.clock, MovableClock):
            raise ValueError(f"{type(self.clock).__name__} can not be moved; give the emulator a clock with advance()")
        self.clock.advance(seconds)
        self.late.catch_up(self.clock.steady_s())

    def stats(self) -> Stats:
        """Everything counted since the start or the last reset."""
        return stats(self.counts, self.quota, self.faults, self.portal, self.clock.steady_s())

    def reset(self, *, records: bool = True, properties: bool = True, faults: bool = True, counts: bool = True) -> None:
        """Start anew, whole or in parts; `counts` includes the windows of the quota."""
        if records:
            self.late.clear()
            self.portal.reset(properties=properties)
        if faults:
            self.faults.reset()
            self.portal.keyring.revive()
        if counts:
            self.quota.reset()
            self.portal.keyring.grants.clear()
            self.counts.reset(started_s=self.clock.steady_s())


def _no_credentials() -> Refusal:
    return Refusal(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details"
        " at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        category="INVALID_AUTHENTICATION",
    )


def expired(since_ms: int, now_ms: int) -> Refusal:
    """The 401 for a token whose time is up."""
    seconds = (now_ms - since_ms) // 1000
    ago = f"{seconds // 86_400} day(s)" if seconds >= 86_400 else f"{seconds} second(s)"
    return Refusal(
        401,
        f"The OAuth token used to make this call expired {ago} ago.",
        category="EXPIRED_AUTHENTICATION",
        context={"expire time": [iso(since_ms)]},
    )

"""The rooms of one running emulator in one place, for whoever has to see more than one of them.

Knows which rooms there are. Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from .behaviour import Behaviour
from .clock import AccountDay, Clock, SystemClock
from .counts import Counts, Stats, stats
from .faults import Faults
from .portal import Portal
from .quota import Quota
from .refusals import Refusal

__all__ = ["House"]


class House:
    """An account with its limits, its faults and its tally. The arguments are those of `Emulator`."""

    def __init__(
        self,
        *,
        limit: int | None = 190,
        daily_limit: int | None = None,
        window_s: float = 10.0,
        tokens: Iterable[str] | Mapping[str, str] | None = None,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        clock: Clock | None = None,
        portal_id: int = 1_234_567,
        timezone: str = "UTC",
        keep_requests: int = 1000,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock: Clock = clock or SystemClock()
        self.day = AccountDay(timezone)
        self.portal = Portal(behaviour=self.behaviour, clock=self.clock, seed=seed, portal_id=portal_id)
        self.quota = Quota(
            limit=limit,
            daily_limit=daily_limit,
            window_s=window_s,
            fixed=self.behaviour.rate_window == "fixed",
            count_refused=self.behaviour.count_refused,
        )
        self.faults = Faults(seed=seed)
        self.counts = Counts(keep=keep_requests, started_s=self.clock.steady_s())
        self._any_token = tokens is None
        self._apps: dict[str, str] = {}
        if isinstance(tokens, Mapping):
            self._apps.update(cast("Mapping[str, str]", tokens))
        else:
            for token in tokens or ():
                self._name_app(token)

    def app_of(self, authorization: str | None) -> str:
        """The app an `Authorization` header belongs to. Raises: Refusal (401).

        Apps are numbered, never named after their token: tokens stay out of statistics and logs.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _no_credentials()
        app = self._apps.get(token)
        if app is None:
            if not self._any_token:
                raise _expired() if self.behaviour.unknown_token == "expired" else _no_credentials()  # noqa: S105
            app = self._name_app(token)
        return app

    def _name_app(self, token: str) -> str:
        return self._apps.setdefault(token, f"app-{len(self._apps) + 1}")

    def stats(self) -> Stats:
        """Everything counted since the start or the last reset."""
        return stats(self.counts, self.quota, self.faults, self.portal, self.clock.steady_s())

    def reset(self, *, records: bool = True, properties: bool = True, faults: bool = True, counts: bool = True) -> None:
        """Start anew, whole or in parts; `counts` includes the windows of the quota."""
        if records:
            self.portal.reset(properties=properties)
        if faults:
            self.faults.reset()
        if counts:
            self.quota.reset()
            self.counts.reset(started_s=self.clock.steady_s())


def _no_credentials() -> Refusal:
    return Refusal(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details"
        " at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        category="INVALID_AUTHENTICATION",
    )


def _expired() -> Refusal:
    return Refusal(
        401,
        "The OAuth token used to make this call expired 20543 day(s) ago.",
        category="EXPIRED_AUTHENTICATION",
        context={"expire time": ["1970-01-01T00:00:00Z"]},
    )

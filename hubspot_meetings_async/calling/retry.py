"""Whether to try again, and when.

This module knows what each failure proves about the request, and the backoff rules. It is plain functions over plain
values: it must not know how to sleep, an HTTP library, or the global random generator.
"""

from __future__ import annotations

import random
from enum import Enum

from msgspec import Struct

from ..errors import (
    AmbiguousWriteError,
    ConfigurationError,
    DailyLimitExceeded,
    HubSpotError,
    HubSpotUnavailable,
    RateLimited,
    TransportFailed,
    UnexpectedResponse,
)
from ..wire import Replay

__all__ = ["Effect", "RetryBudget", "RetryPolicy", "after", "backoff_s", "effect_of", "why"]


_LONGEST_REFUSED_S = 1.0
_COST = 5
_COST_OF_TIMEOUT = 10


class Effect(Enum):
    """What a failure proves about what HubSpot did."""

    NOT_SENT = "not_sent"
    """No byte left."""
    NOT_DONE = "not_done"
    """HubSpot turned it away for now (429, 425, 477) and did nothing."""
    REFUSED = "refused"
    """HubSpot refused it for what it is; sending it again would be refused again."""
    UNKNOWN = "unknown"
    """It left, and nothing proves what became of it."""


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how long to try again.

    `attempts` bounds all tries of one call after failures (1 = never again); refusals by a limit are bounded apart by
    `refusals`, since they cost HubSpot nothing and the quota gate already spaces them. Waits are full jitter:
    uniform in [0, min(`cap_s`, `base_s` · 2ⁿ)]; a longer `Retry-After` wins, up to `longest_wait_s`, above which the
    call gives up. A locked record (423) is left alone for `locked_s` at least.

    `tokens` are what all calls of a client may spend on repeats: one costs 5, after a timeout 10, and every call that
    succeeds at once gives 1 back. With none left, as in an outage, a bulk run repeats only every `cap_s` or so, and a
    call with no more than 5 s to live fails instead. None: no such bound.
    """

    attempts: int = 6
    refusals: int = 20
    base_s: float = 0.2
    cap_s: float = 20.0
    longest_wait_s: float = 60.0
    locked_s: float = 2.0
    tokens: int | None = 500

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None and name == "tokens":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value < float("inf"):
                raise ConfigurationError(f"RetryPolicy: {name} must be a number, not {value!r}")
        if self.attempts < 1 or self.refusals < 0 or (self.tokens is not None and self.tokens < 0):
            raise ConfigurationError("RetryPolicy: attempts must be at least 1, refusals and tokens at least 0")
        if not 0 < self.base_s <= self.cap_s or self.longest_wait_s < 0 or self.locked_s < 0:
            raise ConfigurationError("RetryPolicy: need 0 < base_s <= cap_s, and no negative waits")


class RetryBudget:
    """What all calls of one client together may spend on repeats: it bounds what an outage adds to itself."""

    def __init__(self, tokens: int | None) -> None:
        self._most = tokens
        self.tokens = tokens or 0

    def take(self, error: HubSpotError) -> bool:
        """Pay for a repeat after `error`; False when there is not enough left."""
        if self._most is None:
            return True
        timed_out = getattr(error, "timeout", False) or getattr(error, "why", None) == "timeout"
        cost = _COST_OF_TIMEOUT if timed_out else _COST
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def give(self) -> None:
        """A call succeeded at its first try."""
        if self._most is not None and self.tokens < self._most:
            self.tokens += 1


def effect_of(error: HubSpotError) -> Effect:
    """What `error` proves about the effect of its request."""
    match error:
        case AmbiguousWriteError():
            return Effect.UNKNOWN
        case TransportFailed(sent=sent):
            return Effect.UNKNOWN if sent else Effect.NOT_SENT
        case RateLimited():
            return Effect.NOT_DONE
        case HubSpotUnavailable(status=status):
            return Effect.NOT_DONE if status in (425, 477) else Effect.UNKNOWN
        case UnexpectedResponse(status=status):
            return Effect.REFUSED if status is not None and 300 <= status < 400 else Effect.UNKNOWN
        case _:
            return Effect.REFUSED


def why(error: HubSpotError) -> str:
    """One word for what left a write in doubt: `timeout`, `reset`, `locked`, `5xx` or `unreadable`."""
    match error:
        case AmbiguousWriteError(why=known):
            return known
        case TransportFailed(timeout=timeout):
            return "timeout" if timeout else "reset"
        case HubSpotUnavailable(status=423):
            return "locked"
        case HubSpotUnavailable():
            return "5xx"
        case _:
            return "unreadable"


def after(
    error: HubSpotError, *, replay: Replay, failures: int, refusals: int, policy: RetryPolicy, rng: random.Random
) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    `failures` and `refusals` count what this call has met so far, this error included.
    """
    if not _may_repeat(error, replay) or getattr(error, "fatal", False) or isinstance(error, DailyLimitExceeded):
        return None
    asked_s = getattr(error, "retry_after_s", None) or 0.0
    if asked_s > policy.longest_wait_s:
        return None
    if isinstance(error, RateLimited):
        # The gate that refused it is shut for all, and lets this call in first. The short wait of our own is for
        # limiters that know no shutting: without it a call would spend all its refusals within the same second.
        jitter_s = rng.uniform(0.0, min(_LONGEST_REFUSED_S, policy.cap_s, policy.base_s * 2.0 ** min(refusals, 64)))
        return None if refusals > policy.refusals else max(asked_s, jitter_s)
    if failures >= policy.attempts or (isinstance(error, HubSpotUnavailable) and error.status in (525, 526, 530)):
        return None
    return backoff_s(error, failures=failures, policy=policy, rng=rng)


def backoff_s(error: HubSpotError | None, *, failures: int, policy: RetryPolicy, rng: random.Random) -> float:
    """Seconds to wait after the n-th failure in a row, whether or not it is of use to try again."""
    wait_s = rng.uniform(0.0, min(policy.cap_s, policy.base_s * 2.0 ** min(max(failures - 1, 0), 64)))
    if isinstance(error, AmbiguousWriteError) and isinstance(error.__cause__, HubSpotError):
        error = error.__cause__
    if isinstance(error, HubSpotUnavailable) and error.status == 423:
        wait_s += policy.locked_s
    return max(getattr(error, "retry_after_s", None) or 0.0, wait_s)


def _may_repeat(error: HubSpotError, replay: Replay) -> bool:
    match effect_of(error):
        case Effect.NOT_SENT:
            return True
        case Effect.NOT_DONE:
            return replay is not Replay.IF_NOT_SENT
        case Effect.UNKNOWN:
            return replay is Replay.ALWAYS
        case Effect.REFUSED:
            return False

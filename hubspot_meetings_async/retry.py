"""Whether to try again, and when.

This module knows what each failure proves about the request, and the backoff rules. It is plain functions over plain
values: it must not know how to sleep, an HTTP library, or the global random generator.
"""

from __future__ import annotations

import random
from enum import Enum

from msgspec import Struct

from .errors import (
    AmbiguousWriteError,
    ConfigurationError,
    DailyLimitExceeded,
    HubSpotError,
    HubSpotUnavailable,
    RateLimited,
    TransportFailed,
    UnexpectedResponse,
)
from .wire import Replay

__all__ = ["Effect", "RetryPolicy", "after", "effect_of", "why"]


_LONGEST_REFUSED_S = 1.0


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
    """

    attempts: int = 6
    refusals: int = 20
    base_s: float = 0.2
    cap_s: float = 20.0
    longest_wait_s: float = 60.0
    locked_s: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value < float("inf"):
                raise ConfigurationError(f"RetryPolicy: {name} must be a number, not {value!r}")
        if self.attempts < 1 or self.refusals < 0:
            raise ConfigurationError("RetryPolicy: attempts must be at least 1 and refusals at least 0")
        if not 0 < self.base_s <= self.cap_s or self.longest_wait_s < 0 or self.locked_s < 0:
            raise ConfigurationError("RetryPolicy: need 0 < base_s <= cap_s, and no negative waits")


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
    backoff_s = rng.uniform(0.0, min(policy.cap_s, policy.base_s * 2.0 ** min(failures - 1, 64)))
    if isinstance(error, HubSpotUnavailable) and error.status == 423:
        backoff_s += policy.locked_s
    return max(asked_s, backoff_s)


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

"""What a caller needs of a limiter: the words, the shape, and the limiter that never waits.

This module knows lanes, slots and counts. It must not know how a limit is kept, HTTP, or clocks.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

__all__ = ["BULK", "INTERACTIVE", "Lane", "Limiter", "NoLimit", "QuotaStats", "Slot"]


class Lane(enum.Enum):
    """Who waits for quota: a person (INTERACTIVE, served first) or a bulk run (BULK, paced, with a share kept)."""

    INTERACTIVE = 0
    BULK = 1


# For code that runs at every call: `Lane.BULK` is looked up in ten times the time of a plain name.
INTERACTIVE: Final = Lane.INTERACTIVE
BULK: Final = Lane.BULK


class QuotaStats(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a limiter. Lengths of time in seconds, everything else in calls.

    Attributes:
        name: HubSpot's name of the policy, in lower case.
        limit: Calls per window that are in force now; 0 where nothing is limited.
        window_s: Length of the rolling window.
        in_use: Slots taken: calls in flight, and calls answered less than a window ago.
        in_flight: Calls that hold a slot and have not been answered.
        hold: Calls of the window that somebody else (or a wider window than published) uses up.
        waiting_interactive: Calls waiting in the interactive lane.
        waiting_bulk: Calls waiting in the bulk lane.
        granted_interactive: Slots ever given to the interactive lane.
        granted_bulk: Slots ever given to the bulk lane.
        paused_for_s: How long the gate stays shut after a 429; 0 when it is open or waits for its probe.
        pauses: How often a 429 shut the gate.
        refused: Calls answered 429.
        remaining: HubSpot's last count of calls left in the window; None before the first header.
        daily_limit: Calls a day; None where HubSpot does not tell.
        daily_remaining: Calls left today; None where HubSpot does not tell.
        daily_resets_at: When the daily count starts again; None where nobody told.
        stamp_bound_s: Learned bound on the jitter of HubSpot's time stamps; None while unknown, of no use, or off.
        processes: Processes that share the limit, as last heard; 1 where it is not shared. All else counts this one.
        store_away: The store of a shared limit does not answer; each process keeps to its part.
    """

    name: str
    limit: int = 0
    window_s: float = 0.0
    in_use: int = 0
    in_flight: int = 0
    hold: int = 0
    waiting_interactive: int = 0
    waiting_bulk: int = 0
    granted_interactive: int = 0
    granted_bulk: int = 0
    paused_for_s: float = 0.0
    pauses: int = 0
    refused: int = 0
    remaining: int | None = None
    daily_limit: int | None = None
    daily_remaining: int | None = None
    daily_resets_at: datetime | None = None
    stamp_bound_s: float | None = None
    processes: int = 1
    store_away: bool = False

    @property
    def used(self) -> int:
        """Calls of the window that are spent: ours, and what others are known to use."""
        return self.in_use + self.hold

    @property
    def left(self) -> int:
        """Calls that are left in the window; what is left today is `daily_remaining`, until `daily_resets_at`."""
        return max(0, self.limit - self.used)


class Slot(Protocol):
    """The right to send one request. Tell it what happens to the request, at the moment it happens.

    All three are plain functions that return at once, so no cancellation can come between the fact and the record.
    """

    def written(self) -> None:
        """The request's headers leave now. A second call says that the transport sends the request again."""
        ...

    def answered(self, headers: Mapping[str, str]) -> None:
        """Response headers arrived just now. `headers` must find names whatever their case."""
        ...

    def refused(self, *, policy: str | None, retry_after_s: float | None, resets_at: datetime | None = None) -> None:
        """The answer was a 429. `policy` is HubSpot's policy name, `resets_at` (aware) the end of a daily limit."""
        ...


class Limiter(Protocol):
    """What the call loop and the bulk engine ask of a limiter. `QuotaGate` is the one that comes with the library."""

    def slot(self, lane: Lane, *, at_head: bool = False) -> AbstractAsyncContextManager[Slot]:
        """Wait for the right to send one request; leave the context when the answer has been read.

        `at_head` puts a call that was refused before those that never had a turn.

        Raises: DailyLimitExceeded on entering, at once, when the calls of the day are spent.
        """
        ...

    def stats(self) -> QuotaStats:
        """One look at the limiter."""
        ...

    def saturated(self, lane: Lane) -> bool:
        """True when a call entering this lane now would have to wait."""
        ...

    def wait_estimate_s(self, lane: Lane) -> float:
        """The least time, in seconds, that a call entering this lane now would wait if nobody ahead gives up."""
        ...


class NoLimit:
    """A limiter that never waits and keeps no count (limits off)."""

    __slots__ = ()

    def slot(self, lane: Lane, *, at_head: bool = False) -> AbstractAsyncContextManager[Slot]:
        """The right to send, at once."""
        return _FREE_SLOT

    def stats(self) -> QuotaStats:
        """Zeros: nothing is limited, nothing counted."""
        return QuotaStats(name="unlimited")

    def saturated(self, lane: Lane) -> bool:
        """Never."""
        return False

    def wait_estimate_s(self, lane: Lane) -> float:
        """Always 0."""
        return 0.0

    def __repr__(self) -> str:
        return "NoLimit()"


class _FreeSlot:
    """The one slot of `NoLimit`; it remembers nothing, so all calls can share it."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def written(self) -> None:
        return None

    def answered(self, headers: Mapping[str, str]) -> None:
        return None

    def refused(self, *, policy: str | None, retry_after_s: float | None, resets_at: datetime | None = None) -> None:
        return None


_FREE_SLOT = _FreeSlot()

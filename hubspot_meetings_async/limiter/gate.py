"""`QuotaGate`: the limiter the client uses for one of HubSpot's windows.

This module knows arguments and the lifetime of a slot. It must not know URLs, HTTP, or models of meetings.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..errors import ConfigurationError
from .lanes import Turn
from .protocol import Lane, Limiter, QuotaStats, Slot
from .published import SECONDLY, TEN_SECONDLY, Limits
from .turnstile import Settings, Turnstile

if TYPE_CHECKING:  # only for who shares a quota
    from .store import SlotStore

__all__ = ["HeldSlot", "QuotaGate", "search_gate", "slot_at_once"]


class QuotaGate:
    """Keeps an app within one rolling window of HubSpot's, and uses that window to the last percent.

    One gate belongs to one event loop and to one app in one account. Its slots are provably never over the limit
    however the network behaves, as long as nobody else uses the window; others' use is learned from the headers.
    Calls in a lane are served in order, interactive before bulk. A wait can be cancelled at any point.

    Args:
        limit: Calls per window.
        window_s: Length of the rolling window in seconds.
        assumed: The limit is a guess, which the first `X-HubSpot-RateLimit-Max` replaces. When False it stays, unless
            that header tells a lower one.
        probe_first: Let one call find out how full the window is before the others go.
        bulk_rate: Pace of the bulk lane, as a multiple of limit / window_s; from the fourth window on, of what answer
            times leave of that.
        bulk_burst: Bulk calls that may go at once after a rest.
        bulk_share: Share of the slots that bulk keeps, when it wants them, under a flood of interactive calls.
        reserve: Slots that bulk leaves free for interactive calls (beyond its own share); each costs throughput.
        learn_stamp: Learn how late HubSpot stamps calls, so that slow answers cost no throughput: with answers of
            300 ms 99 % of the window is used instead of 96 %. It is a bet on what was seen in five minutes, made
            only where answers take more than a hundredth of the window and the bet wins half of that; a network with
            spikes may then cost a 429 in some ten thousand calls. When False, none is possible.
        daily_reserve: Share of the day's calls that bulk leaves to the interactive lane.
        name: HubSpot's name of the policy, in lower case. A 429 that names another window does not shut this gate.
        store: Where the slots are kept that several processes share; `integrations.redis` has one. Stamps are not
            learned then. While it is away each process keeps to its part of the limit.
        processes: How many share the quota, for a process that starts while its store is away.

    HubSpot: page "API usage guidelines and limits" (100 to 250 calls in ten seconds, see `Limits`)
    """

    __slots__ = ("_slot", "_turnstile")

    def __init__(
        self,
        *,
        limit: int = 100,
        window_s: float = 10.0,
        assumed: bool = True,
        probe_first: bool = True,
        bulk_rate: float = 1.02,
        bulk_burst: int = 5,
        bulk_share: float = 0.2,
        reserve: int = 0,
        learn_stamp: bool = True,
        daily_reserve: float = 0.10,
        name: str = TEN_SECONDLY,
        store: SlotStore | None = None,
        processes: int = 4,
    ) -> None:
        _require(limit >= 1, "limit must be at least 1")
        _require(0 < window_s < math.inf, "window_s must be a positive number of seconds")
        _require(0 < bulk_rate < math.inf, "bulk_rate must be a positive multiple of the limit's rate")
        _require(bulk_burst >= 1, "bulk_burst must be at least 1")
        _require(0 <= bulk_share < 1, "bulk_share must be in [0, 1)")
        _require(0 <= reserve < limit, "reserve must be in [0, limit)")
        _require(0 <= daily_reserve < 1, "daily_reserve must be in [0, 1)")
        _require(processes >= 1, "processes must be at least 1")
        settings = Settings(
            assumed=assumed,
            probe_first=probe_first,
            bulk_rate=bulk_rate,
            bulk_burst=bulk_burst,
            bulk_share=bulk_share,
            reserve=reserve,
            name=name.lower(),
        )
        if store is None:
            self._turnstile = Turnstile(
                settings, limit=limit, window_s=window_s, learn_stamp=learn_stamp, daily_reserve=daily_reserve
            )
        else:
            from .shared import SharedTurnstile

            self._turnstile = SharedTurnstile(
                settings, store, limit=limit, window_s=window_s, daily_reserve=daily_reserve, processes=processes
            )
        self._slot = _GateSlot if store is None else _SharedSlot

    def slot(self, lane: Lane, *, at_head: bool = False) -> AbstractAsyncContextManager[Slot]:
        """Wait for the right to send one request; leave the context when the answer has been read.

        A slot left without `written()` is free at once; one that was written and never answered is free a window and a
        second later. `at_head` puts a refused call before those that never had a turn.

        Raises: DailyLimitExceeded on entering, at once, when the day's calls are spent (for bulk: but for the
            reserve); one call in 15 minutes is let through to see.
        """
        turn = self._slot(lane, at_head)
        turn.turnstile = self._turnstile
        return turn

    def stats(self) -> QuotaStats:
        """One look at the gate."""
        t = self._turnstile
        now = t.clock.now()
        t.ledger.expire(now)
        bound_s, heard = t.stamp_bound_s(now), t.heard
        return QuotaStats(
            name=t.settings.name,
            limit=t.limit,
            window_s=t.ledger.window_s,
            in_use=t.ledger.in_use,
            in_flight=t.ledger.in_flight,
            hold=t.hold(now),
            waiting_interactive=t.interactive.waiting,
            waiting_bulk=t.bulk.waiting,
            granted_interactive=t.granted - t.granted_bulk,
            granted_bulk=t.granted_bulk,
            paused_for_s=max(0.0, t.shutter.opens_at - now),
            pauses=t.shutter.pauses,
            refused=t.shutter.refused,
            remaining=t.remaining,
            daily_limit=t.daily.limit,
            daily_remaining=t.daily.remaining,
            daily_resets_at=t.daily.resets_at,
            stamp_bound_s=bound_s if bound_s < math.inf else None,
            processes=1 if heard is None else heard.processes,
            store_away=t.away,
        )

    def saturated(self, lane: Lane) -> bool:
        """True when a call entering this lane now would have to wait. Costs the same however many wait."""
        return self._turnstile.saturated(lane)

    def wait_estimate_s(self, lane: Lane) -> float:
        """The least time, in seconds, that a call entering this lane now would wait if nobody ahead gives up."""
        return self._turnstile.wait_estimate_s(lane)

    def learn_daily(self, *, limit: int, remaining: int, resets_at: datetime | None = None) -> None:
        """Tell the gate how the day's calls stand, where the headers do not: HubSpot's daily usage endpoint does.

        `resets_at` is aware. Call it from the gate's event loop.
        """
        self._turnstile.learn_daily(limit, remaining, resets_at)

    def __repr__(self) -> str:
        stats = self.stats()
        state = f"in_use={stats.in_use} in_flight={stats.in_flight} hold={stats.hold}"
        waiting = f"waiting={stats.waiting_interactive}+{stats.waiting_bulk}"
        return f"<QuotaGate {stats.name} {stats.limit}/{stats.window_s:g}s {state} {waiting}>"


def search_gate(limits: Limits | None = None) -> QuotaGate:
    """The gate of HubSpot's search endpoints: 5 calls in a second, in no header, per account.

    HubSpot: page "Search the CRM", section on limits
    """
    return QuotaGate(limit=(limits or Limits()).search_per_second, window_s=1.0, assumed=False, name=SECONDLY)


def slot_at_once(limiter: Limiter, lane: Lane, loop: asyncio.AbstractEventLoop) -> HeldSlot | None:
    """A slot of a `QuotaGate` that keeps nobody waiting, in the running `loop`: what `slot()` gives without its steps.

    None where a call may have to wait, and for limiters of any other kind: those are asked for a `slot()`. Who gets one
    calls its `leave()`, whatever happens.
    """
    if type(limiter) is not QuotaGate:
        return None
    turnstile = limiter._turnstile  # noqa: SLF001
    turn = _GateSlot(lane, False)
    if not turnstile.take(turn, turnstile.clock.now_on(loop)):
        return None
    turn.turnstile = turnstile
    turn.state = "held"
    return turn


class HeldSlot(Slot, Protocol):
    """A slot that is no context manager's to leave."""

    def leave(self) -> None:
        """The answer has been read, or there will be none."""
        ...


class _GateSlot(Turn):
    """A turn as its call sees it. A plain class: `@asynccontextmanager` would cost more than the rest of the gate."""

    __slots__ = ("turnstile",)

    turnstile: Turnstile
    """Set by who makes it: an `__init__` on top of the other would take longer than that."""

    async def __aenter__(self) -> Self:
        if self.state != "new":
            raise RuntimeError("a slot is for one request: ask the gate for another")
        self.state = "waiting"
        await self.turnstile.enter(self)
        self.state = "held"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """The call is over, whatever became of it."""
        self.state = "done"
        self.turnstile.leave(self)

    def written(self) -> None:
        """The request's headers leave now; a second call says that the transport sends it again."""
        if self.state == "held":
            self.turnstile.sent(self)

    def answered(self, headers: Mapping[str, str]) -> None:
        """Response headers arrived just now."""
        if self.state == "held" and self.answered_at is None:
            self.turnstile.answered(self, headers)

    def refused(self, *, policy: str | None, retry_after_s: float | None, resets_at: datetime | None = None) -> None:
        """The answer was a 429."""
        if self.state == "held" and not self.was_refused:
            self.turnstile.refused(self, policy, retry_after_s, resets_at)

    def __repr__(self) -> str:
        return f"<Slot {self.lane.name.lower()} {self.state}>"


class _SharedSlot(_GateSlot):
    """A slot that others hear of."""

    __slots__ = ()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self.turnstile.tell()


def _require(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise ConfigurationError(otherwise)

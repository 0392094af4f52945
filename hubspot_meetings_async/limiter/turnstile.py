"""Two waiting lines in front of one ledger: who goes next, and when to look again.

Every decision is a plain function that runs between two awaits, so no lock is needed and no cancellation can split one.
Slots are handed over directly: the call at the head of a line gets the slot before anybody who comes later can see it.

This module knows the event loop's clock and futures. It must not know what travels, or HubSpot's numbers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from ..errors import DailyLimitExceeded
from .clock import LoopClock
from .governor import DailyBudget, ForeignUse, Shutter, StampJitter
from .headers import HeaderReader
from .lanes import Turn, WaitingLine
from .ledger import SlotLedger
from .pacing import Pacer
from .protocol import BULK, INTERACTIVE, Lane
from .published import DAILY, SECONDLY, TEN_SECONDLY

if TYPE_CHECKING:  # only for who shares a quota
    from .store import Granted

__all__ = ["Settings", "Turnstile"]

# A request that left and was never answered is stamped within this time after we gave it up, or never.
LATE_STAMP_S = 1.0
# Weight of one call in the running means of the time a slot is busy and of the time to an answer.
_MEAN_WEIGHT = 0.02
# What a bet on the learned jitter of stamps must gain, as part of the window. Less is not worth a 429 now and then.
_WORTH_A_BET = 0.005
# Answers are slow when a slot's wait for them, as part of the window, costs more than the goal of 99 % allows.
_SLOW = 2 * _WORTH_A_BET
# From the fourth window on bulk is spread evenly.
_EVEN_AFTER_WINDOWS = 3
# The pace makes up for interactive calls up to this part of the limit; a flood is kept off by the share instead.
MOST_OWED = 10
# Max counts calls per ten seconds where no interval header says otherwise.
_PUBLISHED_WINDOW_S = 10.0
_WINDOW_POLICIES = frozenset({TEN_SECONDLY, SECONDLY})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's arguments that do not change while it works; `QuotaGate` explains and checks them."""

    assumed: bool
    probe_first: bool
    bulk_rate: float
    bulk_burst: int
    bulk_share: float
    reserve: int
    name: str


class Turnstile:
    """Grants slots, hears what became of them, and wakes those that wait. See `QuotaGate` for what it promises."""

    def __init__(
        self, settings: Settings, *, limit: int, window_s: float, learn_stamp: bool, daily_reserve: float
    ) -> None:
        self.settings = settings
        self.limit = limit
        self.published: int | None = None
        self.remaining: int | None = None
        self.granted = 0
        self.granted_bulk = 0
        self.ledger = SlotLedger(window_s)
        self.foreign = ForeignUse(window_s)
        self.jitter = StampJitter(window_s) if learn_stamp else None
        self.shutter = Shutter(longest_s=window_s, probe_first=settings.probe_first)
        self.daily = DailyBudget(daily_reserve)
        self.pacer = Pacer(settings.bulk_rate * limit / window_s, settings.bulk_burst)
        self.interactive = WaitingLine()
        self.bulk = WaitingLine()
        # The one bulk call that holds a slot and waits for its token. No more than one: slots that wait for tokens
        # would be missing to the interactive lane, and a pause would let their tokens pile up into a burst.
        self._pacing: Turn | None = None
        self._busy_s = 0.0
        self._answer_s = 0.0
        self._slow = False
        self._headers = HeaderReader()
        self.clock = LoopClock(self.dispatch)

    # --- what a call does -------------------------------------------------------------------------------------------

    async def enter(self, turn: Turn) -> None:
        """Return when the turn has a slot and may send. Raises DailyLimitExceeded when waiting is no use."""
        now = self.clock.now_on(asyncio.get_running_loop())
        if self.take(turn, now):
            return
        self._ask_daily(turn, now)
        try:
            if not self._take_at_once(turn, now):
                await self._wait(turn)
            while not await self._cleared(turn):
                await self._wait(turn, rejoin=True)
        except BaseException:
            if turn.daily_probe:
                self.daily.probe_unused(self.clock.now())
            raise

    def take(self, turn: Turn, now: float) -> bool:
        """Give the turn a slot if nothing at all is in its way, as is usual. What is, is for `enter` to look at."""
        if self.interactive.waiting or self.bulk.waiting or self.shutter.shut or now >= self.daily.quiet_until:
            return False
        ledger = self.ledger
        ledger.expire(now)
        limit = self.limit_at(now)
        if limit <= ledger.in_use:
            return False
        if turn.lane is BULK:
            if not (self._admits_bulk(limit) and self._take_token()):
                return False
            self.granted_bulk += 1
        turn.began_at = now
        ledger.take(turn.lane)
        self.granted += 1
        return True

    def sent(self, turn: Turn) -> None:
        """The request leaves, perhaps not for the first time."""
        now = self.clock.now()
        if turn.sent_at is not None:
            # The transport repeats it by itself: two stamps, and one slot is not enough for them.
            self._charge(turn.lane, now + LATE_STAMP_S, now)
        turn.sent_at = now
        self.foreign.sent += 1
        if self.jitter is not None:
            self.jitter.sent(now)

    def answered(self, turn: Turn, headers: Mapping[str, str]) -> None:
        """Response headers arrived."""
        if turn.sent_at is None:
            self.sent(turn)
        now = turn.answered_at = self.clock.now()
        took_s = now - (now if turn.sent_at is None else turn.sent_at)
        self._answer_s += (took_s - self._answer_s) * (_MEAN_WEIGHT if self._answer_s else 1.0)
        self._slow = self._answer_s > _SLOW * self.ledger.window_s
        rests_from = self._settle(turn, now, now)
        self._learn(turn, headers, now)
        if self.granted_bulk:
            self._repace(rests_from - turn.began_at, now)
        if self.interactive.waiting or self.bulk.waiting:
            self.dispatch()

    def refused(self, turn: Turn, policy: str | None, retry_after_s: float | None, resets_at: datetime | None) -> None:
        """The answer was a 429."""
        turn.was_refused = True
        policy = policy.lower() if policy else self.settings.name
        now = self.clock.now()
        if policy == DAILY:
            self._end_day(now, resets_at)
            self.shutter.passed(turn.began_at)
        elif policy != self.settings.name and {policy, self.settings.name} <= _WINDOW_POLICIES:
            # Another window refused (a search counts in two gates); this one let it pass.
            self.shutter.passed(turn.began_at)
        else:
            self.shutter.refuse(now, turn.began_at, retry_after_s)
            self.foreign.forget(now if turn.answered_at is None else turn.answered_at)
            if self.jitter is not None:
                self.jitter.forget()
        self.dispatch()

    def leave(self, turn: Turn) -> None:
        """The call is over, whatever became of it."""
        if turn.answered_at is not None:
            if not turn.was_refused:
                if self.shutter.shut:
                    self.shutter.passed(turn.began_at)
                if self.daily.spent:
                    self.daily.passed(turn.began_at)
        else:
            now = self.clock.now()
            self.shutter.came_to_nothing(turn.began_at)
            if turn.sent_at is None:
                self._release(turn)
                if turn.daily_probe:
                    self.daily.probe_unused(now)
            else:
                self._settle(turn, now + LATE_STAMP_S, now)
        if self.interactive.waiting or self.bulk.waiting:
            self.dispatch()

    async def tell(self) -> None:
        """Nobody else keeps these slots, so nobody needs to be told."""

    @property
    def heard(self) -> Granted | None:
        """The last word of the store, where slots are shared."""
        return None

    @property
    def away(self) -> bool:
        """True while the store of shared slots does not answer."""
        return False

    # --- verdicts ---------------------------------------------------------------------------------------------------

    def own_limit(self) -> int:
        """Slots there are when nobody else calls."""
        return self.limit if self.published is None else min(self.limit, self.published)

    def hold(self, now: float) -> int:
        """Calls of the window that others use up."""
        return self.foreign.hold(now)

    def limit_at(self, now: float) -> int:
        """Slots that may be in use now. At least one: without a call of our own nothing more would be learned."""
        limit = self.limit
        if self.published is not None:
            limit = min(limit, self.published - self.foreign.hold(now))
        return limit if limit > 1 else 1

    def next_lane(self, now: float, *, interactive: bool, bulk: bool) -> Lane | None:
        """Whose turn it is, given in which lines somebody stands; None when nobody can go now."""
        if self.shutter.shut and not self.shutter.admits(now):
            return None
        ledger, limit = self.ledger, self.limit_at(now)
        if limit <= ledger.in_use:
            return None
        # (The share comes last: to reckon it takes longer than all the rest.)
        if interactive and not (bulk and ledger.in_use_interactive >= limit - self._share(limit)):
            return INTERACTIVE
        if bulk and self._admits_bulk(limit):
            return BULK
        return None

    def _admits_bulk(self, limit: int) -> bool:
        if self._pacing is not None:
            return False
        return limit - self.ledger.in_use > self.settings.reserve or self.ledger.in_use_bulk < self._share(limit)

    def _share(self, limit: int) -> int:
        return min(round(self.settings.bulk_share * limit), limit - 1)

    def saturated(self, lane: Lane) -> bool:
        """True when a call entering this lane now would have to wait."""
        bulk = lane is BULK
        if self.bulk.waiting if bulk else self.interactive.waiting:
            return True
        now = self.clock.now()
        self.ledger.expire(now)
        goes = self.next_lane(
            now, interactive=not bulk or self.interactive.waiting > 0, bulk=bulk or self.bulk.waiting > 0
        )
        return goes is not lane or (bulk and not self.pacer.ready())

    def wait_estimate_s(self, lane: Lane) -> float:
        """The least wait of a call entering this lane now."""
        now = self.clock.now()
        self.ledger.expire(now)
        ahead = self._line(lane).waiting
        free = self.limit - self.ledger.in_use
        wait_s = max(0.0, self.shutter.opens_at - now, self.ledger.free_in_s(ahead + 1 - free, self.limit, now))
        if lane is BULK:
            wait_s = max(wait_s, (ahead + 1 - self.pacer.burst) / self.pacer.rate_per_s)
        return wait_s

    # --- granting ---------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Give what is free to those whose turn it is, and set the timer for the rest."""
        if not (self.interactive.waiting or self.bulk.waiting):
            return
        now = self.clock.now()
        self.ledger.expire(now)
        while lane := self.next_lane(now, interactive=self.interactive.waiting > 0, bulk=self.bulk.waiting > 0):
            turn = self._line(lane).pop()
            if turn.granted is not None and not turn.granted.done():
                self._grant(turn, now)
                turn.granted.set_result(True)
        self._set_timer(now)

    def _take_at_once(self, turn: Turn, now: float) -> bool:
        if self.interactive.waiting or self.bulk.waiting:
            return False
        self.ledger.expire(now)
        bulk = turn.lane is BULK
        if self.next_lane(now, interactive=not bulk, bulk=bulk) is None:
            return False
        self._grant(turn, now)
        return True

    def _grant(self, turn: Turn, now: float) -> None:
        turn.began_at = now
        self.ledger.take(turn.lane)
        self.shutter.began(now)
        self.granted += 1
        if turn.lane is BULK:
            self.granted_bulk += 1
            self._pacing = turn
        elif self.bulk.waiting:
            # Both lanes together keep the pace, or the slots of a window run out before its end.
            self.pacer.owe(max(self.pacer.burst, self.limit // MOST_OWED))

    def _take_token(self) -> bool:
        owes = self.pacer.owed > 0
        return self.pacer.take(pay=owes and self.ledger.in_use_bulk >= self._share(self.limit))

    def _line(self, lane: Lane) -> WaitingLine:
        return self.bulk if lane is BULK else self.interactive

    async def _wait(self, turn: Turn, *, rejoin: bool = False) -> None:
        line = self._line(turn.lane)
        granted = turn.granted = asyncio.get_running_loop().create_future()
        line.rejoin(turn) if rejoin else line.join(turn)
        self.dispatch()
        try:
            useful = await granted
        except BaseException:
            line.leave(turn)
            if granted.done() and not granted.cancelled() and granted.result():
                self._withdraw(turn)
            raise
        if not useful:
            raise self._daily_error()

    async def _cleared(self, turn: Turn) -> bool:
        """Wait for a token, in the bulk lane. False when the gate shut meanwhile, and the slot is gone."""
        paced = turn is self._pacing
        if paced:
            try:
                await self.pacer.wait(pay=self.ledger.in_use_bulk > self._share(self.limit))
            except BaseException:
                self._withdraw(turn)
                raise
        if self.shutter.overtook(turn.began_at):
            self._withdraw(turn)
            return False
        if paced:
            turn.began_at = self.clock.now()
            self._pacing = None
            self.dispatch()
        return True

    def _withdraw(self, turn: Turn) -> None:
        """Take back a slot that its call could not use."""
        self.granted -= 1
        self.granted_bulk -= turn.lane is BULK
        self.shutter.came_to_nothing(turn.began_at)
        self._release(turn)
        self.dispatch()

    def _release(self, turn: Turn) -> None:
        self.ledger.give_back(turn.lane)
        if turn is self._pacing:
            self._pacing = None

    def _charge(self, lane: Lane, stamped_by: float, now: float) -> None:
        """A call left that had no slot of its own."""
        self.ledger.charge(lane, stamped_by)
        self.foreign.ended(stamped_by, now)

    def _settle(self, turn: Turn, stamped_by: float, now: float) -> float:
        """The slot of a call that left rests from here on; returns from when."""
        self.foreign.ended(stamped_by, now)
        if self._slow and turn.sent_at is not None:
            stamped_by = min(stamped_by, turn.sent_at + self.stamp_bound_s(now))
        self.ledger.settle(turn.lane, stamped_by)
        return stamped_by

    def stamp_bound_s(self, now: float) -> float:
        """The learned bound on the jitter of stamps; infinity when there is none to trust, or little to win by it."""
        if self.jitter is None or not self._slow or self.foreign.hold(now):
            return math.inf
        bound_s = self.jitter.bound_s(now)
        return bound_s if bound_s <= self._answer_s - _WORTH_A_BET * self.ledger.window_s else math.inf

    def _set_timer(self, now: float) -> None:
        if self.interactive.waiting or self.bulk.waiting:
            self.clock.wake_at(self._frees_at() if self.shutter.admits(now) else self.shutter.changes_at())

    def _frees_at(self) -> float:
        """When a slot may come free by itself."""
        return min(self.ledger.next_free_at or math.inf, self.foreign.changes_at())

    # --- learning ---------------------------------------------------------------------------------------------------

    def _learn(self, turn: Turn, headers: Mapping[str, str], now: float) -> None:
        limit, remaining, window_s, daily_limit, daily_remaining = self._headers.read(headers)
        if daily_limit is not None or daily_remaining is not None:
            self.daily.observe(daily_limit, daily_remaining, now)
            self._send_home()
        # They may speak of another window than this gate's, unless it takes over whatever they tell.
        ours = self.settings.assumed or (window_s or _PUBLISHED_WINDOW_S) == self.ledger.window_s
        if not limit or not ours or turn.sent_at is None:
            return
        if limit != self.published or window_s != self.ledger.window_s:
            self._learn_limit(limit, window_s)
            self.pacer.pace(self._pace_per_s(self.own_limit(), now))
        if remaining is None:
            return
        self.remaining = remaining
        self._counted(turn, limit - remaining if limit > remaining else 0, turn.sent_at, now)

    def _counted(self, turn: Turn, count: int, sent_at: float, now: float) -> None:
        """HubSpot counted so many calls in the window of this one."""
        del turn
        self.foreign.observe(now, sent_at, count)
        if self.jitter is not None and self._slow:
            self.jitter.observe(now, sent_at, count)

    def _learn_limit(self, published: int, window_s: float | None) -> None:
        self.published = published
        if self.settings.assumed:
            self.limit = published
        if window_s is not None:
            self.ledger.resize(window_s)
            self.foreign.window_s = self.shutter.longest_s = window_s
            if self.jitter is not None:
                self.jitter.window_s = window_s

    def _repace(self, busy_s: float, now: float) -> None:
        """Bulk calls go at the pace that is right now, when one more slot was busy for so long."""
        busy_s = min(busy_s, self.ledger.window_s)
        self._busy_s += (busy_s - self._busy_s) * (_MEAN_WEIGHT if self._busy_s else 1.0)
        self.pacer.pace(self._pace_per_s(self.own_limit(), now))

    def _pace_per_s(self, limit: int, now: float) -> float:
        """How fast bulk should go, for so many slots."""
        # A slot comes back after the window and the time it was busy. Calls spread over the window alone leave the end
        # of each such cycle empty, and whoever comes then waits for the next one. So spread them over the cycle; this
        # can cost part of a cycle once, which a run of seconds should not pay.
        window_s = self.ledger.window_s
        even = now >= self.clock.began_at + _EVEN_AFTER_WINDOWS * window_s
        return self.settings.bulk_rate * limit / (window_s + (self._busy_s if even else 0.0))

    # --- the day ----------------------------------------------------------------------------------------------------

    def learn_daily(self, limit: int | None, remaining: int | None, resets_at: datetime | None = None) -> None:
        """Somebody told how the day's calls stand."""
        now = self.clock.now()
        self.daily.observe(limit, remaining, now)
        if resets_at is not None:
            self.daily.learn_reset(resets_at, _seconds_until(resets_at), now)
        self._send_home()

    def _end_day(self, now: float, resets_at: datetime | None) -> None:
        self.daily.refuse(now)
        if resets_at is not None:
            self.daily.learn_reset(resets_at, _seconds_until(resets_at), now)
        self._send_home()

    def _ask_daily(self, turn: Turn, now: float) -> None:
        if self.daily.new_day(now):
            self.shutter.demand_probe(now)
        if self.daily.blocks(turn.lane):
            if not self.daily.takes_probe(now):
                raise self._daily_error()
            turn.daily_probe = True

    def _send_home(self) -> None:
        """Tell those that wait in vain."""
        for lane, line in ((INTERACTIVE, self.interactive), (BULK, self.bulk)):
            while line.waiting and self.daily.blocks(lane):
                turn = line.pop()
                if turn.granted is not None and not turn.granted.done():
                    turn.granted.set_result(False)

    def _daily_error(self) -> DailyLimitExceeded:
        return DailyLimitExceeded(
            "the calls of the day that this lane may use are spent", policy="DAILY", resets_at=self.daily.resets_at
        )


def _seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()

"""The turnstile of a quota that several processes share: a call that is first in its lane also needs the store's yes.

Who waits in this process, and in which order, is decided here as ever. The slots are the store's: it knows those of all
processes, and counts on one clock, so theirs may differ. While it is away each process keeps to its part of the limit.

This module knows when to ask the store and what to tell it. It must not know what the store is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
from datetime import datetime

import msgspec

from .lanes import Turn
from .protocol import INTERACTIVE, Lane
from .store import Ended, Granted, Kept, Message, SlotStore, StoreAway, Wanted
from .turnstile import MOST_OWED, Settings, Turnstile

__all__ = ["SharedTurnstile"]

# A slot of which nothing more is heard counts as stamped after this time: whoever held it has crashed.
_LEASE_S = 15.0
_RETRY_S = 0.5
_TRIAL_S = 2.0
_MOST_UNTOLD = 500
_MOST_ROUNDS = 3
# Whoever is next to the store would always be first when a slot comes free. So each asks a bit late, the later the more
# it has of the slots in use, compared with the others that wait; and a bit by chance.
_LATE_S = 0.015
_LATE_FROM = 0.8
_LATEST_S = 0.01
_CHANCE_S = 0.001
# A process that used nothing lately has this part of an equal share while the store is away.
_LEAST_PART = 8

_log = logging.getLogger("hubspot_meetings_async.limiter")


class _Ticket(msgspec.Struct):
    """A slot's name, and what is known of it for the store."""

    id: str
    granted_at: int | None = None
    stamped_by: float = 0.0
    count: int | None = None
    retry_after_s: float | None = None


class SharedTurnstile(Turnstile):
    """See `Turnstile`; `processes` is how many share the quota as long as the store never told."""

    def __init__(
        self,
        settings: Settings,
        store: SlotStore,
        *,
        limit: int,
        window_s: float,
        daily_reserve: float,
        processes: int,
    ) -> None:
        # Learning of stamps needs a count of all calls; this process knows its own.
        super().__init__(settings, limit=limit, window_s=window_s, learn_stamp=False, daily_reserve=daily_reserve)
        self._store = store
        self._name = secrets.token_hex(4)
        self._rng = random.Random(self._name)
        self._numbers = 0
        self._tickets: dict[Turn, _Ticket] = {}
        self._kept: dict[str, tuple[Lane, float]] = {}
        self._ended: list[tuple[Ended, float]] = []
        self._urgent = False
        self._telling = False
        self._asking: Turn | None = None
        self._heard = Granted(granted=False, epoch="", processes=processes)
        self._own_then = 0
        # While the store is away, and until it knows all slots again: the part of the limit to keep to.
        self._part: int | None = None
        self._away = False
        self._retry_at = -math.inf

    # --- for stats --------------------------------------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """True while the store does not answer."""
        return self._away

    @property
    def heard(self) -> Granted:
        """The store's last word."""
        return self._heard

    # --- verdicts ---------------------------------------------------------------------------------------------------

    def own_limit(self) -> int:
        """Slots that this process may use: all, or its part while the store is away."""
        limit = super().own_limit()
        return limit if self._part is None else min(limit, self._part)

    def limit_at(self, now: float) -> int:
        """As long as the store is there, it is the one to subtract what others use."""
        if self._part is None:
            return max(1, super().own_limit())
        return max(1, min(self._part, super().limit_at(now)))

    def hold(self, now: float) -> int:
        """While the store is there, what it found of others; in this process' own counts its fellows are others too."""
        return self._heard.hold if self._part is None else super().hold(now)

    def next_lane(self, now: float, *, interactive: bool, bulk: bool) -> Lane | None:
        """Of each lane, one call at a time asks the store."""
        return super().next_lane(now, interactive=interactive and self._asking is None, bulk=bulk)

    def _frees_at(self) -> float:
        if self._part is None:
            return self.ledger.next_free_at or math.inf
        return super()._frees_at()

    # --- granting ---------------------------------------------------------------------------------------------------

    def take(self, turn: Turn, now: float) -> bool:
        """Never: the store is asked for every slot."""
        del turn, now
        return False

    def _grant(self, turn: Turn, now: float) -> None:
        super()._grant(turn, now)
        self._numbers += 1
        self._tickets[turn] = _Ticket(f"{self._name}:{self._numbers}")
        if turn.lane is INTERACTIVE and not self._away:
            self._asking = turn

    async def _cleared(self, turn: Turn) -> bool:
        now = self.clock.now()
        if self._away and now < self._retry_at:
            return await self._cleared_alone(turn)
        self._retry_at = now + _TRIAL_S
        try:
            granted_at = await self._asked(turn)
        except StoreAway as away:
            self._lose(away)
            self._withdraw(turn)
            return False
        except BaseException:
            self._withdraw(turn)
            raise
        if granted_at is None:
            self._withdraw(turn)
            return False
        self._tickets[turn].granted_at = granted_at
        self._went(turn)
        return True

    async def _cleared_alone(self, turn: Turn) -> bool:
        cleared = await super()._cleared(turn)
        if cleared:
            self._keep(turn, self.clock.now() + _LEASE_S)
        return cleared

    def _went(self, turn: Turn) -> None:
        turn.began_at = self.clock.now()
        self._keep(turn, turn.began_at + _LEASE_S)
        self._leave_place(turn)
        self.dispatch()

    def _leave_place(self, turn: Turn) -> None:
        if turn is self._pacing:
            self._pacing = None
        elif turn is self._asking:
            self._asking = None

    async def _asked(self, turn: Turn) -> int | None:
        """The store's time from which on it granted the slot; None when the gate shut meanwhile."""
        ticket = self._tickets[turn]
        while not self.shutter.overtook(turn.began_at):
            heard = await self._exchange(self._wish(turn, ticket))
            if heard.granted:
                if heard.wait_us:
                    await asyncio.sleep(heard.wait_us / 1e6)
                return None if self.shutter.overtook(turn.began_at) else heard.at + heard.wait_us
            await asyncio.sleep(heard.wait_us / 1e6 + self._late_s(heard))
        return None

    def _late_s(self, heard: Granted) -> float:
        if heard.waiting <= 1:
            return 0.0
        share = self.ledger.in_use * heard.waiting / max(1, heard.in_use)
        return min(max(0.0, share - _LATE_FROM) * _LATE_S, _LATEST_S) + self._rng.uniform(0, _CHANCE_S)

    def _wish(self, turn: Turn, ticket: _Ticket) -> Wanted:
        limit = super().own_limit()
        return Wanted(
            id=ticket.id,
            lane=turn.lane.value,
            more=self._line(turn.lane).waiting > 0,
            bulk_slots=self._share(limit),
            reserve=self.settings.reserve,
            pace_us=round(1e6 / self._pace_per_s(limit, self.clock.now())),
            burst=self.pacer.burst,
            most_owed=max(self.pacer.burst, limit // MOST_OWED),
        )

    def _release(self, turn: Turn) -> None:
        super()._release(turn)
        if turn is self._asking:
            self._asking = None
        ticket = self._tickets.pop(turn)
        self._kept.pop(ticket.id, None)
        unused = Ended(id=ticket.id, lane=turn.lane.value, how="unused", granted_at=ticket.granted_at)
        self._note(unused, self.clock.now())

    # --- what became of a slot --------------------------------------------------------------------------------------

    def _counted(self, turn: Turn, count: int, sent_at: float, now: float) -> None:
        super()._counted(turn, count, sent_at, now)
        self._tickets[turn].count = count

    def refused(self, turn: Turn, policy: str | None, retry_after_s: float | None, resets_at: datetime | None) -> None:
        """The answer was a 429; when it is this window's, the other processes hear of it at once."""
        seen = self.shutter.refused
        super().refused(turn, policy, retry_after_s, resets_at)
        if self.shutter.refused > seen:
            self._tickets[turn].retry_after_s = retry_after_s or 0.0
            self._urgent = True

    def leave(self, turn: Turn) -> None:
        """The call is over."""
        ticket = self._tickets.get(turn)
        super().leave(turn)
        if ticket is None or self._tickets.pop(turn, None) is None:
            return
        refused = ticket.retry_after_s is not None
        ended = Ended(
            id=ticket.id,
            lane=turn.lane.value,
            how="lost" if turn.answered_at is None else "refused" if refused else "passed",
            granted_at=ticket.granted_at,
            count=ticket.count,
            retry_after_us=round(1e6 * (ticket.retry_after_s or 0.0)),
        )
        self._note(ended, ticket.stamped_by)

    def _settle(self, turn: Turn, stamped_by: float, now: float) -> float:
        self._keep(turn, stamped_by)
        self._tickets[turn].stamped_by = stamped_by
        return super()._settle(turn, stamped_by, now)

    def _charge(self, lane: Lane, stamped_by: float, now: float) -> None:
        super()._charge(lane, stamped_by, now)
        self._numbers += 1
        extra = f"{self._name}:{self._numbers}"
        self._kept[extra] = (lane, stamped_by + self.ledger.rest_s)
        self._note(Ended(id=extra, lane=lane.value, how="lost"), stamped_by)

    def _keep(self, turn: Turn, stamped_by: float) -> None:
        self._kept[self._tickets[turn].id] = (turn.lane, stamped_by + self.ledger.rest_s)
        if len(self._kept) > 4 * self.limit:
            self._forget_free()

    def _forget_free(self) -> None:
        now = self.clock.now()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[1] > now}

    def _note(self, ended: Ended, stamped_by: float) -> None:
        self._ended.append((ended, stamped_by))
        if len(self._ended) > 2 * _MOST_UNTOLD:
            # Slots in use are told of by themselves when the store is back.
            del self._ended[:_MOST_UNTOLD]

    # --- the store --------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell the store what became of slots, unless somebody who asks it soon does so anyway."""
        asking = self._asking is not None or self._pacing is not None
        if self._away or self._telling or not self._ended or (asking and not self._urgent):
            return
        self._telling = True
        try:
            # More calls may end meanwhile; those that end after that are told of with the next.
            for _ in range(_MOST_ROUNDS):
                if self._ended:
                    await self._exchange(None)
        except StoreAway as away:
            self._lose(away)
        finally:
            self._telling = False

    async def _exchange(self, wanted: Wanted | None) -> Granted:
        told, self._ended, self._urgent = self._ended, [], False
        kept = None if self._heard.epoch and not self._away else self._what_is_kept()
        epoch = self._heard.epoch
        try:
            heard = await self._store.exchange(self._message(epoch, told, wanted, kept))
            while heard.unknown:
                if epoch and self._part is None:
                    # The others have not told it of their slots yet either.
                    self._keep_to_part()
                heard = await self._store.exchange(self._message(heard.epoch, told, wanted, self._what_is_kept()))
        except (asyncio.CancelledError, StoreAway):
            # Nobody knows if it was heard; it may be said twice.
            self._ended = told + self._ended
            raise
        self._hear(heard)
        return heard

    def _message(
        self, epoch: str, told: list[tuple[Ended, float]], wanted: Wanted | None, kept: list[Kept] | None
    ) -> Message:
        now, structs = self.clock.now(), msgspec.structs
        return Message(
            process=self._name,
            epoch=epoch,
            window_us=round(1e6 * self.ledger.window_s),
            rest_us=math.ceil(1e6 * self.ledger.rest_s),
            lease_us=round(1e6 * _LEASE_S),
            limit=super().own_limit(),
            limit_known=self.published is not None,
            kept=kept,
            ended=[structs.replace(ended, age_us=math.floor(1e6 * (now - at))) for ended, at in told],
            wanted=wanted,
        )

    def _what_is_kept(self) -> list[Kept]:
        self._forget_free()
        now = self.clock.now()
        return [Kept(name, lane.value, math.ceil(1e6 * (at - now))) for name, (lane, at) in self._kept.items()]

    def _hear(self, heard: Granted) -> None:
        if self._away:
            self._away = False
            _log.info("the store of the shared quota is back")
        self._heard = heard
        # Those that still ask hold a slot of this process' ledger, and none of the store's.
        still_asking = (self._asking is not None) + (self._pacing is not None) - heard.granted
        self._own_then = self.ledger.in_use - still_asking
        if heard.limit is not None and self.published is None and self.settings.assumed:
            self.limit = heard.limit
        if self._part is not None and not heard.young_us:
            self._part = None
            self.dispatch()

    def _lose(self, away: StoreAway) -> None:
        self._retry_at = self.clock.now() + _RETRY_S
        if self._away:
            return
        self._away = True
        self._asking = None
        if self._part is None:
            self._keep_to_part()
        _log.warning(
            "the store of the shared quota is away (%s): this process keeps to %d of %d calls until it is back",
            away,
            self._part,
            super().own_limit(),
        )
        self.dispatch()

    def _keep_to_part(self) -> None:
        self._part = self._fair_part()
        self.pacer.pace(self._pace_per_s(self.own_limit(), self.clock.now()))

    def _fair_part(self) -> int:
        """The part of the limit that was ours lately; what other processes reckon the same way adds up to the rest."""
        limit, processes = super().own_limit(), max(1, self._heard.processes)
        least = limit / (_LEAST_PART * processes)
        in_use = max(self._heard.in_use, self._own_then)
        return max(1, int(limit * (self._own_then + least) / (in_use + processes * least)))

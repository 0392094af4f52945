"""The slots of a rolling window: who holds how many, and when each can be used again.

The rule that makes it safe: HubSpot stamps a request somewhere between the moment it leaves and the moment its answer
arrives, whatever the network and the clocks do. A slot that is used again no earlier than one window after the answer
therefore never has two stamps in one window, and L such slots never put more than L stamps into any window.

This module is bookkeeping: times in (seconds on any one clock that never goes back), verdicts out. It must not know
asyncio, clocks, headers, or why a call waits.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

from .protocol import INTERACTIVE, Lane

__all__ = ["SlotLedger"]

# A slot rests a bit longer than the window: a millisecond, since uvloop's clock counts nothing smaller and timers may
# fire a tick early; and a ten-thousandth, for clocks that run at different speeds. Both cost 0.02 % of the quota.
_TICK_S = 1e-3
_DRIFT = 1e-4


class SlotLedger:
    """Counts slots in flight and slots resting until their window has passed.

    Attributes:
        window_s: Length of the rolling window.
        rest_s: How long a slot rests from the latest moment it can have been stamped.
        in_flight: Slots taken and neither given back nor settled.
        in_use: Slots that can not be taken now, in flight or resting.
        in_use_interactive: Those of them that the interactive lane took; the others are bulk's.
    """

    __slots__ = ("_resting", "in_flight", "in_use", "in_use_interactive", "rest_s", "window_s")

    def __init__(self, window_s: float) -> None:
        self.resize(window_s)
        self.in_flight = 0
        self.in_use = 0
        self.in_use_interactive = 0
        # When each comes free, the next one first. They are settled in nearly that order, so no heap is needed.
        self._resting: deque[tuple[float, bool]] = deque()

    def resize(self, window_s: float) -> None:
        """The window has another length, for slots settled from now on."""
        self.window_s = window_s
        self.rest_s = window_s * (1 + _DRIFT) + _TICK_S

    @property
    def in_use_bulk(self) -> int:
        """Slots in use that the bulk lane took."""
        return self.in_use - self.in_use_interactive

    @property
    def next_free_at(self) -> float | None:
        """When the next resting slot can be taken again; None when none rests."""
        return self._resting[0][0] if self._resting else None

    def take(self, lane: Lane) -> None:
        """One more slot is in flight. Whether one was free is the caller's to ask first."""
        self.in_flight += 1
        self.in_use += 1
        if lane is INTERACTIVE:
            self.in_use_interactive += 1

    def give_back(self, lane: Lane) -> None:
        """A slot in flight was never used: it is free at once."""
        self.in_flight -= 1
        self.in_use -= 1
        if lane is INTERACTIVE:
            self.in_use_interactive -= 1

    def settle(self, lane: Lane, stamped_by: float) -> None:
        """A slot in flight was used, and stamped no later than `stamped_by`: it rests one window from there."""
        self.in_flight -= 1
        slot, resting = (stamped_by + self.rest_s, lane is INTERACTIVE), self._resting
        if not resting or resting[-1] <= slot:
            resting.append(slot)
        else:
            insort(resting, slot)

    def expire(self, now: float) -> None:
        """Free the slots whose window has passed."""
        resting = self._resting
        while resting and resting[0][0] <= now:
            self.in_use -= 1
            if resting.popleft()[1]:
                self.in_use_interactive -= 1

    def charge(self, lane: Lane, stamped_by: float) -> None:
        """A request left that had no slot of its own; one is in use for it all the same, if need be above the limit."""
        self.take(lane)
        self.settle(lane, stamped_by)

    def free_in_s(self, place: int, limit: int, now: float) -> float:
        """The least time until `place` more slots (1 = the next) have come free, when each that does is used at once.

        `limit` is the number of slots there are.
        """
        if place <= 0:
            return 0.0
        rounds, place = divmod(place - 1, max(limit, self.in_use))
        cycle_s = self.rest_s
        # A slot that is in flight or not yet taken rests a whole window from now, and so comes after all that rest.
        first_s = self._resting[place][0] - now if place < len(self._resting) else cycle_s
        return max(0.0, first_s) + rounds * cycle_s

    def __repr__(self) -> str:
        return f"<SlotLedger in_use={self.in_use} in_flight={self.in_flight} interactive={self.in_use_interactive}>"

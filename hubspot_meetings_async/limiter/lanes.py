"""A call's passage through the gate, and the line it stands in.

This module knows order. It must not know slots' numbers, times, or why a call waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from .protocol import Lane

__all__ = ["Turn", "WaitingLine"]


class Turn:
    """One call's passage: waiting, holding a slot, under way, done.

    Attributes:
        lane: The line it stands in.
        at_head: It was refused once and goes before those that never had a turn.
        granted: Set when its slot comes (True), or when waiting has no use any more (False).
        began_at: When it last got its slot.
        sent_at: When the request left; None before.
        answered_at: When its answer arrived; None before.
        was_refused: The answer was a 429.
        daily_probe: It goes to see if the day's calls are really spent.
        state: "new", "waiting", "held" or "done".
    """

    __slots__ = (
        "answered_at",
        "at_head",
        "began_at",
        "daily_probe",
        "granted",
        "lane",
        "sent_at",
        "state",
        "was_refused",
    )

    def __init__(self, lane: Lane, at_head: bool) -> None:
        self.lane = lane
        self.at_head = at_head
        self.granted: asyncio.Future[bool] | None = None
        self.began_at = -math.inf
        self.sent_at: float | None = None
        self.answered_at: float | None = None
        self.was_refused = False
        self.daily_probe = False
        self.state = "new"


class WaitingLine:
    """First come, first served, the refused ones (in their own order) in front. Leaving costs the same anywhere.

    Attributes:
        waiting: How many stand in it. A number kept, since every call asks for it and hardly any finds somebody.
    """

    __slots__ = ("_again", "_fresh", "waiting")

    def __init__(self) -> None:
        self._again: OrderedDict[Turn, None] = OrderedDict()
        self._fresh: OrderedDict[Turn, None] = OrderedDict()
        self.waiting = 0

    def join(self, turn: Turn) -> None:
        """Stand at the end, or at the end of the refused ones."""
        (self._again if turn.at_head else self._fresh)[turn] = None
        self._count()

    def rejoin(self, turn: Turn) -> None:
        """Stand before all others: its slot was taken back before it could be used."""
        self._again[turn] = None
        self._again.move_to_end(turn, last=False)
        self._count()

    def pop(self) -> Turn:
        """The one whose turn it is."""
        turn = (self._again or self._fresh).popitem(last=False)[0]
        self._count()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up waiting."""
        self._again.pop(turn, None)
        self._fresh.pop(turn, None)
        self._count()

    def _count(self) -> None:
        self.waiting = len(self._again) + len(self._fresh)

"""Writes that take effect after their answer was sent: HubSpot once did carry out what it had answered with 504.

Knows moments and things to do. Must not know what they do, nor how time passes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["LateWrites"]


class LateWrites:
    """What is still to be carried out."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, due_s: float, carry_out: Callable[[], None]) -> None:
        """Carry this out at a moment of the steady clock."""
        self._number += 1
        heapq.heappush(self._waiting, (due_s, self._number, carry_out))

    def catch_up(self, now_s: float) -> int:
        """Carry out what is due, in order; returns how much it was."""
        done = 0
        while self._waiting and self._waiting[0][0] <= now_s:
            heapq.heappop(self._waiting)[2]()
            done += 1
        return done

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

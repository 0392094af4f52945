"""When a batch that is not full may go, so that those do not use up the quota that full ones need.

This module knows shares of a window. It must not know batches, tasks, or timers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ..limiter import QuotaStats

__all__ = ["Spacing"]

_STEADY: Final = 0.8
"""Share of the quota that batches which are not full may take in the long run, evenly spaced."""
_BURST: Final = 0.2
"""Share of it that they may take at once after a rest. Together a window's worth: who spends it all at its beginning
waits for its end."""


class Spacing:
    """Counts what requests took of the quota; when the batcher `ends`, nothing is held back any more."""

    def __init__(self, quota: Callable[[], QuotaStats]) -> None:
        self._quota = quota
        self._paid_until = 0.0
        self.ends = False

    def may_at(self) -> float:
        """From when on the next batch that is not full may go."""
        return -math.inf if self.ends else self._paid_until - _burst_s(self._quota())

    def pay(self, now: float) -> None:
        """A request takes its share of the quota."""
        stats = self._quota()
        spacing_s = stats.window_s / stats.limit / _STEADY if stats.limit else 0.0
        # No debts beyond that: when full batches have taken the quota, the limiter says how long to wait.
        self._paid_until = min(max(self._paid_until, now), now + _burst_s(stats)) + spacing_s


def _burst_s(stats: QuotaStats) -> float:
    """How far ahead of the even spacing a batch that is not full may go."""
    return _BURST / _STEADY * stats.window_s

"""Spreads the bulk lane's calls over the window with aiolimiter's token bucket.

Slots that are all used at once all come free at once, one window later, for ever; a call that arrives in between waits
for the whole window. Spread evenly, a slot comes free every few hundredths of a second. This is all that pacing is
for: that the limit holds is the ledger's doing.

This module knows rates. It must not know slots, lanes or HubSpot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Pacer"]

_WORTH_A_CHANGE = 0.005


class Pacer:
    """A token bucket whose rate can change, for one caller at a time.

    aiolimiter keeps no order among those that wait in it and does more work the more they are. The gate lets one call
    at a time in here, and keeps the rest in its lane: that is the lock this bucket needs.

    Attributes:
        owed: Tokens that calls which come through the bucket take beyond their own.
    """

    __slots__ = ("_bucket", "_burst", "_period_s", "_rate_per_s", "owed")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._burst = burst
        self._rate_per_s = rate_per_s
        self._period_s = burst / rate_per_s
        self.owed = 0
        self._bucket: AsyncLimiter | None = None

    @property
    def burst(self) -> int:
        """Calls that may pass at once after a rest."""
        return self._burst

    @property
    def rate_per_s(self) -> float:
        """Calls per second in the long run."""
        return self._rate_per_s

    def pace(self, rate_per_s: float) -> None:
        """Pass calls at another rate from the next one on. Too small a change is not worth a new bucket."""
        if abs(rate_per_s - self._rate_per_s) > _WORTH_A_CHANGE * self._rate_per_s:
            self._rate_per_s = rate_per_s
            self._period_s = self._burst / rate_per_s

    def ready(self) -> bool:
        """True when a call would pass at once."""
        return self._bucket is None or self._bucket.has_capacity()

    def owe(self, most: int) -> None:
        """Somebody went past the bucket. Calls that come through it take a token more each until that is made up for.

        `most` bounds what is owed.
        """
        self.owed = min(self.owed + 1, most)

    def take(self, *, pay: bool = True) -> bool:
        """Take one token if one is there: `wait` for who can not wait. With `pay`, take some of the owed ones too."""
        bucket = self._bucket
        if bucket is None or bucket.time_period != self._period_s:
            return False
        owed = self._owing() if pay else 0
        if not bucket.has_capacity(1 + owed):
            return False
        try:
            # aiolimiter gives tokens to coroutines only; where they are there, it is done at its first step.
            bucket.acquire(1 + owed).send(None)
        except StopIteration:
            self.owed -= owed
            return True
        raise RuntimeError("an AsyncLimiter told of tokens that it has not")

    async def wait(self, *, pay: bool = True) -> None:
        """Take one token, waiting for it if need be. Returns without a switch of tasks when one is there.

        With `pay`, take some of the owed ones too.
        """
        bucket = self._bucket
        if bucket is None or bucket.time_period != self._period_s:
            bucket = self._bucket = await self._renewed(bucket)
        owed = self._owing() if pay else 0
        self.owed -= owed
        await bucket.acquire(1 + owed)

    def _owing(self) -> int:
        return min(self.owed, self._burst - 1)

    async def _renewed(self, old: AsyncLimiter | None) -> AsyncLimiter:
        # It imports importlib.metadata, for which who makes one call and goes should not wait.
        from aiolimiter import AsyncLimiter

        bucket = AsyncLimiter(self._burst, self._period_s)
        if old is not None:
            # An AsyncLimiter can not change its rate. The new one starts with as many tokens taken as the old one had,
            # or a limit that goes to and fro would let a burst pass each time. The acquire never waits: it is new.
            await bucket.acquire(self._burst - _tokens(old))
        return bucket


def _tokens(bucket: AsyncLimiter) -> float:
    """The tokens in a bucket, which tells them only by yes or no; rounded to whole ones each change would lose half."""
    least, most = 0.0, bucket.max_rate
    for _ in range(10):
        middle = (least + most) / 2
        least, most = (middle, most) if bucket.has_capacity(middle) else (least, middle)
    return least

"""By how much this machine's clock differs from HubSpot's, as the `Date` of its answers tells.

This module knows dates and the moments of requests. It must not know what is asked, or how a limit is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

from ..limiter import Lane, QuotaGate, Slot

__all__ = ["DatedGate"]


class DatedGate(QuotaGate):
    """The usual limiter, which also compares the clock of this machine with the `Date` of each answer."""

    def __init__(self) -> None:
        super().__init__()
        self._least_s, self._most_s = float("-inf"), float("inf")

    @property
    def ahead_s(self) -> float | None:
        """By how many seconds HubSpot's clock is ahead of this one, within about one; None before an answer."""
        return None if self._most_s == float("inf") else (self._least_s + self._most_s) / 2

    def compare(self, dated: str | None, sent_at: float, answered_at: float) -> None:
        """An answer came: its date, whole seconds, was written between these two moments of our clock."""
        try:
            stamp = parsedate_to_datetime(dated or "").timestamp()
        except ValueError:
            return
        self._least_s = max(self._least_s, stamp - answered_at)
        self._most_s = min(self._most_s, stamp + 1 - sent_at)

    def slot(self, lane: Lane, *, at_head: bool = False) -> AbstractAsyncContextManager[Slot]:
        """As `QuotaGate.slot`."""
        return _DatedSlot(super().slot(lane, at_head=at_head), self)


class _DatedSlot:
    """A slot that notes when its request left and when it was answered."""

    def __init__(self, inner: AbstractAsyncContextManager[Slot], gate: DatedGate) -> None:
        self._inner = inner
        self._gate = gate
        self._sent_at = 0.0

    async def __aenter__(self) -> Self:
        self._slot = await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    def written(self) -> None:
        """As of any slot."""
        self._sent_at = time.time()
        self._slot.written()

    def answered(self, headers: Mapping[str, str]) -> None:
        """As of any slot."""
        self._gate.compare(headers.get("Date"), self._sent_at, time.time())
        self._slot.answered(headers)

    def refused(self, *, policy: str | None, retry_after_s: float | None, resets_at: datetime | None = None) -> None:
        """As of any slot."""
        self._slot.refused(policy=policy, retry_after_s=retry_after_s, resets_at=resets_at)

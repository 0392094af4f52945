"""What was told already, and what that makes of the cursor: the book that a sync keeps.

This module knows versions, moments and what an index that lags may still bring. It must not know requests or clocks.

Why nothing is lost: search shows a write some seconds late. Of an answer that shows how the index stood at a moment,
only what lies `overlap_s` before that moment is settled; the mark never passes it. What was told beyond is remembered
by id and version, is read again next time, and not told again.
"""

from __future__ import annotations

import heapq

from .cursor import BinMark, LiveMark, packed, unpacked

__all__ = ["BinBook", "LiveBook"]


class LiveBook:
    """What was told of live meetings.

    Versions are `hs_lastmodifieddate` in Unix ms; they come in their order, and by id within one.
    """

    def __init__(self, mark: LiveMark) -> None:
        self.ms = mark.ms
        self.id = mark.id
        self._stopped = False
        self._told = unpacked(mark.told)
        self._oldest = [(version, id_) for id_, version in self._told.items()]
        heapq.heapify(self._oldest)

    def knows(self, ms: int, id_: int) -> bool:
        """Whether this version, or a later one, was told."""
        return (ms, id_) <= (self.ms, self.id) or self._told.get(id_, -1) >= ms

    def told(self, ms: int, id_: int) -> None:
        """A version was told out of the order, or beyond what is settled."""
        if (ms, id_) > (self.ms, self.id) and self._told.get(id_, -1) < ms:
            self._told[id_] = ms
            heapq.heappush(self._oldest, (ms, id_))

    def reached(self, ms: int, id_: int, *, settled_ms: int) -> None:
        """All before this version was told, as an answer said that is settled up to `settled_ms`.

        At the first version that is not, the mark stays for the rest of the walk: what later answers settle lies
        behind a piece that has to be read again.
        """
        if self._stopped:
            return
        self._stopped = (settled_ms, 0) < (ms, id_)
        self.ms, self.id = max((self.ms, self.id), min((ms, id_), (settled_ms, 0)))
        while self._oldest and self._oldest[0] <= (self.ms, self.id):
            version, gone = heapq.heappop(self._oldest)
            if self._told.get(gone) == version:
                del self._told[gone]

    def mark(self) -> LiveMark:
        """For the cursor."""
        return LiveMark(ms=self.ms, id=self.id, told=packed(self._told))


class BinBook:
    """What was told of the recycling bin, which can only be listed whole: versions are `archivedAt` in Unix ms."""

    def __init__(self, mark: BinMark) -> None:
        self.since_ms = mark.since_ms
        self.began_ms = mark.began_ms
        self.after = mark.after
        self._told = unpacked(mark.told)
        self._page = set(mark.page)

    def knows(self, ms: int | None, id_: int) -> bool:
        """Whether it was told that this meeting was archived then; None where HubSpot does not say when."""
        return id_ in self._page or (ms is not None and (ms < self.since_ms or self._told.get(id_) == ms))

    def begin(self, ms: int) -> None:
        """A listing shows all that was archived before this moment, and perhaps what is archived later."""
        if self.began_ms is None:
            self.began_ms = ms

    def told(self, ms: int | None, id_: int) -> None:
        """A meeting of the page was told of."""
        self._page.add(id_)
        if ms is not None and self.began_ms is not None and ms >= self.began_ms:
            self._told[id_] = ms

    def turn(self, after: str | None) -> None:
        """The page was told of whole; None: it was the last one."""
        self._page.clear()
        self.after = after
        if after is None and self.began_ms is not None:
            self.since_ms, self.began_ms = max(self.since_ms, self.began_ms), None
            self._told = {id_: ms for id_, ms in self._told.items() if ms >= self.since_ms}

    def mark(self) -> BinMark:
        """For the cursor."""
        return BinMark(
            since_ms=self.since_ms,
            told=packed(self._told),
            began_ms=self.began_ms,
            after=self.after,
            page=tuple(sorted(self._page)),
        )

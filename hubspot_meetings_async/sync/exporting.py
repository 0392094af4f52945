"""The walks of `export()`: ranges of ids through searches or lists, or one list from end to end.

This module knows what is asked for in each way, and when something counts as told. It must not know tasks, or how
requests look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from ..errors import ConfigurationError, UnexpectedResponse
from .changing import Portal, account_of, told_of
from .cursor import ExportMark, LiveMark, Stretch, SyncCursor
from .feed import Batch, Errand, Told
from .ranges import IdPage, IdRange, Ranges
from .reading import Plain, Reader, Wanted, row_of
from .windows import Row

__all__ = ["LIST_CONCURRENCY", "SEARCH_CONCURRENCY", "ExportWalk", "ListedRanges", "OneList", "SearchedRanges"]

SEARCH_CONCURRENCY: Final = 6
LIST_CONCURRENCY: Final = 32
_COMPLETERS: Final = 8
_MOST_WAITING: Final = 32


class ExportWalk:
    """What the ways of an export share: when it began, and what follows it."""

    def __init__(self, reader: Reader, wanted: Wanted, cursor: SyncCursor, *, portal: Portal, overlap_ms: int) -> None:
        self.total: int | None = None
        self._reader = reader
        self._wanted = wanted
        self._portal = portal
        self._account = cursor.account
        self._mark = cursor.export
        self._overlap_ms = overlap_ms
        self._began_ms = 0
        self._newest_id: int | None = None

    async def begin(self) -> None:
        """Raises: ConfigurationError when the cursor is of another account."""
        self._account = await account_of(self._portal, self._account)
        self._newest_id, self.total, seen_ms = await self._reader.newest_id()
        self._began_ms = seen_ms - self._overlap_ms if self._mark is None else self._mark.began_ms

    def _cursor(self, mark: ExportMark | None) -> SyncCursor:
        if mark is None:
            return SyncCursor(account=self._account, live=LiveMark(ms=self._began_ms))
        return SyncCursor(account=self._account, export=mark)


class SearchedRanges(ExportWalk):
    """Ranges of ids through searches: 200 meetings a request, five requests a second."""

    def __init__(
        self,
        reader: Reader,
        wanted: Wanted,
        cursor: SyncCursor,
        *,
        portal: Portal,
        overlap_ms: int,
        concurrency: int = SEARCH_CONCURRENCY,
    ) -> None:
        super().__init__(reader, wanted, cursor, portal=portal, overlap_ms=overlap_ms)
        self._concurrency = concurrency
        self._incomplete: deque[IdPage] = deque()
        self._ranges = Ranges((), concurrency=concurrency, page=1)
        self.workers = concurrency + (_COMPLETERS if reader.completes else 0)

    async def begin(self) -> None:
        """Find out where the ids end."""
        await super().begin()
        stretches: Sequence[Stretch] = ()
        if self._mark is not None:
            stretches = self._mark.left
        elif self._newest_id is None:
            stretches = (Stretch(0),)
        else:
            stretches = (Stretch(0, self._newest_id + 1), Stretch(self._newest_id + 1))
        self._ranges = Ranges(stretches, concurrency=self._concurrency, page=self._page_size())

    def _page_size(self) -> int:
        return self._reader.sizes.found

    @property
    def ended(self) -> bool:
        """All ranges were told."""
        return self._ranges.ended

    def cursor(self) -> SyncCursor:
        """Where to go on."""
        left = self._ranges.left()
        return self._cursor(ExportMark(began_ms=self._began_ms, left=left) if left else None)

    def errand(self) -> Errand | None:
        """A page of some range, or what searches left out."""
        if len(self._incomplete) < _MOST_WAITING and (chosen := self._ranges.next()) is not None:
            return partial(self._read, chosen)
        if self._incomplete:
            return partial(self._complete, self._incomplete.popleft())
        return None

    async def _read(self, chosen: IdRange) -> None:
        try:
            page = await self._page_of(chosen)
        except BaseException:
            self._ranges.failed(chosen)
            raise
        if page.rows and self._reader.completes and not page.complete:
            self._incomplete.append(page)
        else:
            page.complete = True

    async def _page_of(self, chosen: IdRange) -> IdPage:
        found, _ = await self._reader.by_id(chosen.start, chosen.end)
        rows = _in_order(found.results, chosen.start)
        return self._ranges.answered(chosen, rows, more=found.after is not None)

    async def _complete(self, page: IdPage) -> None:
        try:
            page.rows = sorted(await self._reader.complete(page.rows), key=lambda row: row.id)
        except BaseException:
            self._incomplete.appendleft(page)
            raise
        page.complete = True

    def take(self) -> Batch | None:
        """The next page of any range."""
        page = self._ranges.take()
        if page is None:
            return None
        items = deque(
            Told(told_of("changed", row.meeting, self._wanted), partial(_note, page.range, row.id)) for row in page.rows
        )
        return Batch(items, partial(self._ranges.told, page))


class ListedRanges(SearchedRanges):
    """Ranges of ids through lists: 100 meetings a request, at the pace of the ten-second limit.

    HubSpot's documents say that a list's cursor is the id of the next record; that any id is taken for one they do not
    say. Each export tries it first: a list from the id of a meeting amidst must begin with that meeting.
    """

    async def begin(self) -> None:
        """Raises: ConfigurationError when this account's lists do not take ids for cursors."""
        await super().begin()
        if self._newest_id is None:
            return
        amidst, _ = await self._reader.by_id(self._newest_id // 2, None)
        for meeting in amidst.results[-1:]:
            listed, _ = await self._reader.list_page(_before(int(meeting.id)))
            if meeting.id not in [other.id for other in listed[:2]]:
                raise ConfigurationError(
                    "this account's lists do not begin at an id that is given as their cursor: export by "
                    "method='search', or by method='list', one page after the other"
                )

    def _page_size(self) -> int:
        return self._reader.sizes.listed

    async def _page_of(self, chosen: IdRange) -> IdPage:
        after = chosen.after or _before(chosen.start)
        listed, following = await self._reader.list_page(after, associations=self._wanted.associations)
        rows = await _linked(self._reader, self._wanted, _in_order(listed, chosen.start - 1))
        page = self._ranges.answered(chosen, rows, more=following is not None, after=following)
        page.complete = True
        return page


class OneList(ExportWalk):
    """One list from end to end, page after page by HubSpot's own cursor: 100 meetings an answer."""

    workers = 1

    def __init__(self, reader: Reader, wanted: Wanted, cursor: SyncCursor, *, portal: Portal, overlap_ms: int) -> None:
        super().__init__(reader, wanted, cursor, portal=portal, overlap_ms=overlap_ms)
        mark = cursor.export
        self._after = mark.after if mark is not None else None
        self._page: set[int] = set(mark.page) if mark is not None else set()
        self._read: tuple[Sequence[Row], str | None] | None = None
        self._asking = self._ended = False

    @property
    def ended(self) -> bool:
        """The last page was told."""
        return self._ended

    def cursor(self) -> SyncCursor:
        """Where to go on."""
        mark = ExportMark(began_ms=self._began_ms, after=self._after, page=tuple(sorted(self._page)))
        return self._cursor(None if self._ended else mark)

    def errand(self) -> Errand | None:
        """The next page."""
        if self._asking or self._ended:
            return None
        self._asking = True
        return self._list

    async def _list(self) -> None:
        try:
            listed, following = await self._reader.list_page(self._after, associations=self._wanted.associations)
            rows = await _linked(self._reader, self._wanted, [row_of(meeting) for meeting in listed])
            if following is not None and following == self._after:
                raise UnexpectedResponse(f"the list does not go on: the page after {following!r} names itself")
            self._read = rows, following
        finally:
            self._asking = self._read is not None

    def take(self) -> Batch | None:
        """The page, if it is there."""
        if self._read is None:
            return None
        rows, following = self._read
        self._read = None
        items = deque(
            Told(told_of("changed", row.meeting, self._wanted), partial(self._page.add, row.id))
            for row in rows
            if row.id not in self._page
        )
        return Batch(items, partial(self._turn, following))

    def _turn(self, following: str | None) -> None:
        self._page.clear()
        self._after = following
        self._asking = False
        self._ended = following is None


def _note(range_: IdRange, id_: int) -> None:
    range_.told = max(range_.told, id_ + 1)


def _before(start: int) -> str | None:
    """The cursor of a list that misses nothing from an id on, whether lists begin at their cursor or behind it."""
    return str(start - 1) if start > 0 else None


def _in_order(meetings: Sequence[Plain], least: int) -> list[Row]:
    rows = [row_of(meeting) for meeting in meetings]
    for row in rows:
        if row.id < least:
            raise UnexpectedResponse(
                f"the answer does not keep the order of the ids: {row.id} comes behind {least}; export by method='list'"
            )
        least = row.id + 1
    return rows


async def _linked(reader: Reader, wanted: Wanted, rows: Sequence[Row]) -> list[Row]:
    """Listed meetings with all their associations: a list gives the first hundred of each type."""
    if not wanted.associations:
        return list(rows)
    cut = [row.meeting for row in rows if any(of_type.paging for of_type in (row.meeting.associations or {}).values())]
    whole = {meeting.id: meeting.associations for meeting in await reader.linked(cut)} if cut else {}
    return [
        row._replace(
            meeting=msgspec.structs.replace(
                row.meeting, associations=whole.get(row.meeting.id, row.meeting.associations or {})
            )
        )
        for row in rows
    ]

"""The walk of `changes()`: live meetings in order of their changes, then the recycling bin.

This module knows what follows what, and when something counts as told. It must not know tasks, or how requests look.

The bin comes last: a meeting that was archived while the live ones were walked is told as live first, then as archived,
never the other way round. HubSpot lists the bin by id only, so every pass reads all of it (100 meetings a request) and
tells of those that were archived since the last pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

from ..errors import ConfigurationError, UnexpectedResponse
from ..models import Meeting, read_as
from ..moments import unix_ms
from .change import Change
from .cursor import SyncCursor
from .feed import Batch, Errand, Told
from .progress import BinBook, LiveBook
from .reading import MERGED, Plain, Reader, Wanted
from .windows import Ask, Piece, Row, Windows

__all__ = ["ChangesWalk", "account_of"]

CONCURRENCY: Final = 6
"""With them five searches a second are used up to the last, also where answers take two seconds."""
_COMPLETERS: Final = 8
_TRIES: Final = 3

Portal = Callable[[], Awaitable[str | None]]


class ChangesWalk:
    """Finds what changed behind a cursor. Moments and lengths of time in milliseconds."""

    def __init__(
        self,
        reader: Reader,
        wanted: Wanted,
        cursor: SyncCursor,
        *,
        portal: Portal,
        until_ms: int | None,
        archived: bool,
        overlap_ms: int,
        concurrency: int,
    ) -> None:
        self._reader = reader
        self._wanted = wanted
        self._portal = portal
        self._account = cursor.account
        self._live = LiveBook(cursor.live)
        self._bin = BinBook(cursor.bin)
        self._until_ms = until_ms
        self._overlap_ms = overlap_ms
        self._searches = 0
        self._most_searches = concurrency
        self.workers = concurrency + (_COMPLETERS if reader.completes else 0)
        self._windows = Windows(
            self._live.ms,
            self._live.id,
            None if until_ms is None else until_ms + 1,
            concurrency=concurrency,
            most_excluded=reader.most_excluded,
            sizes=reader.sizes,
        )
        self._incomplete: deque[Piece] = deque()
        # One that broke off says nothing of what was archived since, where it has been: it is listed once more then.
        self._listings = 0 if not archived else 1 if self._bin.began_ms is None else 2
        self._bin_asking = False
        self._binned: tuple[Sequence[Plain], str | None] | None = None

    @property
    def total(self) -> int | None:
        """About how many live meetings changed."""
        return self._windows.total

    @property
    def ended(self) -> bool:
        """Live meetings and the bin were taken."""
        return self._windows.ended and not self._listings

    async def begin(self) -> None:
        """Raises: ConfigurationError when the cursor is of another account."""
        self._account = await account_of(self._portal, self._account)

    def cursor(self) -> SyncCursor:
        """Where to go on."""
        return SyncCursor(account=self._account, live=self._live.mark(), bin=self._bin.mark())

    # ---- what to ask

    def errand(self) -> Errand | None:
        """A search, what searches left out, or a page of the bin."""
        if self._searches < self._most_searches and (ask := self._windows.next()) is not None:
            self._searches += 1
            return partial(self._search, ask)
        if self._incomplete:
            return partial(self._complete, self._incomplete.popleft())
        if self._windows.ended and self._listings and not self._bin_asking:
            self._bin_asking = True
            return self._list_bin
        return None

    async def _search(self, ask: Ask) -> None:
        try:
            piece = await self._answered(ask)
        except BaseException:
            self._windows.failed(ask)
            raise
        finally:
            self._searches -= 1
        if piece is None:
            return
        piece.rows = [row for row in piece.rows if not self._live.knows(row.ms, row.id)]
        if self._reader.completes and piece.rows:
            self._incomplete.append(piece)
        else:
            piece.complete = True

    async def _answered(self, ask: Ask) -> Piece | None:
        for tried in range(1, _TRIES + 1):
            answer = await self._reader.search(ask)
            try:
                return self._windows.answered(ask, answer)
            except UnexpectedResponse:
                # A meeting that changes while HubSpot sorts stands out of order, once.
                if tried == _TRIES:
                    raise
        return None

    async def _complete(self, piece: Piece) -> None:
        try:
            piece.rows = await self._reader.complete(piece.rows)
        except BaseException:
            self._incomplete.appendleft(piece)
            raise
        piece.complete = True

    async def _list_bin(self) -> None:
        try:
            self._binned = await self._reader.list_page(self._bin.after, archived=True)
        finally:
            self._bin_asking = self._binned is not None

    # ---- what to tell

    def take(self) -> Batch | None:
        """The next page: of live meetings in order, then of the bin."""
        if (piece := self._windows.take()) is not None:
            return self._told_live(piece)
        if self._binned is not None:
            meetings, after = self._binned
            self._binned = None
            return self._told_bin(meetings, after)
        return None

    def _told_live(self, piece: Piece) -> Batch:
        settled_ms = piece.seen_ms - self._overlap_ms
        items: deque[Told] = deque()
        for row in piece.rows:
            if not self._live.knows(row.ms, row.id):
                change = told_of("changed", row.meeting, self._wanted)
                items.append(Told(change, partial(self._note_live, row, change, piece, settled_ms)))
        return Batch(items, partial(self._close_live, piece, settled_ms))

    def _note_live(self, row: Row, change: Change[Any], piece: Piece, settled_ms: int) -> None:
        if (row.ms, row.id) <= (piece.ms, piece.id):
            self._live.reached(row.ms, row.id, settled_ms=settled_ms)
        self._live.told(row.ms, row.id)
        for gone in change.merged_ids:
            # Search may show them a moment longer.
            self._live.told(row.ms, int(gone))

    def _close_live(self, piece: Piece, settled_ms: int) -> None:
        self._live.reached(piece.ms, piece.id, settled_ms=settled_ms)

    def _told_bin(self, meetings: Sequence[Plain], after: str | None) -> Batch:
        if after is not None and after == self._bin.after:
            raise UnexpectedResponse(f"the recycling bin does not go on: the page after {after!r} names itself")
        # What was archived before the live meetings were settled is in every list from then on.
        self._bin.begin(self._live.ms)
        items: deque[Told] = deque()
        for meeting in meetings:
            at_ms = None if meeting.archived_at is None else unix_ms(meeting.archived_at)
            id_ = int(meeting.id)
            if self._bin.knows(at_ms, id_) or (at_ms or 0) > (self._until_ms or at_ms or 0):
                continue
            change = told_of("archived", meeting, self._wanted)
            items.append(Told(change, partial(self._note_bin, at_ms, change)))
        return Batch(items, partial(self._close_bin, after))

    def _note_bin(self, at_ms: int | None, change: Change[Any]) -> None:
        self._bin.told(at_ms, int(change.meeting.id))
        if at_ms is not None:
            # Search may show them a moment longer, as they were.
            for id_ in (change.meeting.id, *change.merged_ids):
                self._live.told(at_ms, int(id_))

    def _close_bin(self, after: str | None) -> None:
        self._bin.turn(after)
        self._bin_asking = False
        self._listings -= after is None


def told_of(kind: Literal["changed", "archived"], found: Plain, wanted: Wanted) -> Change[Any]:
    """The change that tells of a meeting as it is now."""
    merged = found.properties.get(MERGED) or ""
    if MERGED not in wanted.properties:
        found.properties.pop(MERGED, None)
    meeting: Meeting[Any] = found if wanted.into is None else read_as(found, wanted.into)
    return Change(kind, meeting, tuple(id_ for id_ in merged.split(";") if id_.isascii() and id_.isdigit()))


async def account_of(portal: Portal, known: str | None) -> str | None:
    """The account's number. Raises: ConfigurationError when it is not the one known from the cursor."""
    account = await portal()
    if known is not None and account is not None and account != known:
        raise ConfigurationError(f"this cursor belongs to account {known}, and the token to account {account}")
    return account or known

"""Through everything that changed, oldest first, in windows that several searches walk at once.

This module knows which search to send next and what its answer covers. It must not know JSON, requests, or what is
done with a meeting. Moments are Unix ms of `hs_lastmodifieddate`.

A window is walked page by page: each search begins at the moment where the page before ended, which is told when all of
it is there; what there is of it already is left out by name (`NOT_IN`), or comes once more. A page that holds nothing
but one moment may be the start of thousands: those are walked by id. No page is asked for by an offset that others
depend on, so nothing is lost when meetings move on because they change.

Only the last window has no end. As soon as the `total` of its answers says that it is long, a search with an offset
of some pages looks ahead: where its results begin, the window is cut, and they are the first page of the next one. So
windows hold what `total` says, far below 10,000, and no search is spent on cutting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from ..errors import UnexpectedResponse
from ..models import Filter, Meeting, PlainProperties
from ..search import Sort

__all__ = ["Answer", "Ask", "Piece", "Row", "Sizes", "Windows"]

MODIFIED: Final = "hs_lastmodifieddate"
ID: Final = "hs_object_id"

_FEW: Final = 4
"""So few meetings of a page's last moment are cheaper got again than excluded by name."""

_LEAST_PAGES: Final = 4
"""A shorter window is not worth the page that is not full at its end."""

_BY_MODIFIED: Final = Sort(MODIFIED)
_BY_ID: Final = Sort(ID)


class Sizes(NamedTuple):
    """Meetings in a page of a search and in one of a list, and pages in a window."""

    found: int = 200
    listed: int = 100
    window: int = 16


class Row(NamedTuple):
    """A meeting with what it is ordered by."""

    ms: int
    id: int
    meeting: Meeting[PlainProperties]


class Ask(NamedTuple):
    """A search to send: its filters and order, and whether it looks ahead by an offset."""

    window: _Window
    filters: tuple[Filter, ...]
    sort: Sort
    offset: int = 0


class Answer(NamedTuple):
    """What a search found: `more` tells that this page is not the last, `seen_ms` how old the index was at most."""

    rows: Sequence[Row]
    total: int
    more: bool
    seen_ms: int


class Piece(Struct):
    """A page in its place: `rows` in order, and nothing is missing before `ms`, nor at `ms` up to `id`.

    It can be taken when it is `complete`: when whoever asked for it has put into `rows` all that is wanted.
    """

    rows: Sequence[Row]
    ms: int
    id: int
    seen_ms: int
    complete: bool = False


_USUAL: Final = Sizes()


class _Window:
    """The moments from `ms` on, below `end`; `run_id` is set while one moment is walked by id."""

    def __init__(self, ms: int, id_: int, end: int | None) -> None:
        self.ms = ms
        self.end = end
        self.first_id = id_
        self.run_id: int | None = None
        self.kept: list[Row] = []
        self.left: int | None = None
        self.asking = False
        self.done = False
        self.pieces: deque[Piece] = deque()


class Windows:
    """The windows of one walk.

    Args:
        ms, id_: where to begin: behind this version.
        end: where to end, if anywhere: versions from this moment on are left out.
        concurrency: how many searches to have under way.
        most_excluded: how many ids fit into a `NOT_IN` filter.
        sizes: of pages and windows.
    """

    def __init__(
        self,
        ms: int,
        id_: int,
        end: int | None,
        *,
        concurrency: int = 1,
        most_excluded: int = 100,
        sizes: Sizes = _USUAL,
    ) -> None:
        self.total: int | None = None
        """About how many versions there are, as the first answer said."""
        self._windows: deque[_Window] = deque([_Window(ms, id_, end)])
        self._most = concurrency
        self._most_excluded = most_excluded
        self._sizes = sizes
        self._most_pages = 2 * sizes.window
        self._looking = False
        if end is not None and end <= ms:
            self._windows[0].done = True

    @property
    def ended(self) -> bool:
        """Everything was asked for, answered and taken."""
        return not self._windows

    def next(self) -> Ask | None:
        """The next search, if one can be sent before others are answered."""
        if (ask := self._look_ahead()) is not None:
            return ask
        for window in self._windows:
            if not window.done and not window.asking and len(window.pieces) <= self._most_pages:
                window.asking = True
                return Ask(window, *_asked(window))
        return None

    def take(self) -> Piece | None:
        """The next page in order, if it is there."""
        while self._windows:
            first = self._windows[0]
            if first.pieces:
                return first.pieces.popleft() if first.pieces[0].complete else None
            if not first.done:
                return None
            self._windows.popleft()
        return None

    def answered(self, ask: Ask, answer: Answer) -> Piece | None:
        """Take an answer in, and give the page that it makes, if any.

        Raises: UnexpectedResponse for an answer that does not keep the order; the search can be sent again.
        """
        if ask.offset:
            piece = self._cut(ask, answer)
            self._looking = False
            return piece
        if self.total is None:
            self.total = answer.total
        if answer.more and not answer.rows:
            raise UnexpectedResponse(f"the search does not go on: of {answer.total:,} meetings came an empty page")
        if ask.sort is _BY_ID:
            piece = self._run(ask.window, answer)
        else:
            _need_order(answer.rows, ask.window.ms)
            piece = self._add(ask.window, answer)
        ask.window.asking = False
        return piece

    def failed(self, ask: Ask) -> None:
        """It was not answered, or not well: it can be asked again."""
        if ask.offset:
            self._looking = False
        else:
            ask.window.asking = False

    # ---- what an answer covers

    def _add(self, window: _Window, answer: Answer) -> Piece | None:
        """A page in order of the moments, behind what was kept of the page before."""
        rows = sorted([*window.kept, *answer.rows], key=lambda row: (row.ms, row.id))
        inside = [row for row in rows if window.end is None or row.ms < window.end]
        if not answer.more or len(inside) < len(rows):
            window.done = True
            end = window.end if window.end is not None else answer.seen_ms + 1
            last = inside[-1].ms + 1 if inside else 0
            return _appended(window, Piece(inside, max(end, last), 0, answer.seen_ms))
        window.left = max(0, answer.total - len(answer.rows))
        last = rows[-1].ms
        if rows[0].ms == last:
            # Perhaps only some of it: HubSpot promises no order within a moment.
            window.run_id = window.first_id if last == window.ms else 0
            window.ms, window.kept = last, []
            return None
        # The last moment may go on: it waits for the next page, which brings the rest of it or, where that is as well,
        # all of it.
        tail = [row for row in rows if row.ms == last]
        window.kept = tail if _FEW < len(tail) <= self._most_excluded else []
        window.ms, window.first_id = last, 0
        return _appended(window, Piece(rows[: -len(tail)], last, 0, answer.seen_ms))

    def _run(self, window: _Window, answer: Answer) -> Piece:
        """A page of one moment, in order of the ids."""
        last = window.run_id or 0
        for row in answer.rows:
            if row.ms != window.ms or row.id <= last:
                raise UnexpectedResponse(f"the search does not keep the order: meeting {row.id} follows {last}")
            last = row.id
        if answer.more:
            window.run_id = last
            return _appended(window, Piece(answer.rows, window.ms, last, answer.seen_ms))
        window.ms, window.run_id, window.first_id = window.ms + 1, None, 0
        window.done = window.end is not None and window.ms >= window.end
        return _appended(window, Piece(answer.rows, window.ms, 0, answer.seen_ms))

    # ---- windows

    def _look_ahead(self) -> Ask | None:
        if self._looking or self._most < 2 or not 0 < len(self._windows) <= self._most:
            return None
        last = self._windows[-1]
        if last.left is None or last.done or last.run_id is not None:
            return None
        # Shorter ones towards the end, so that all searches have something to do up to it.
        fair = last.left // (self._sizes.found * self._most)
        # A page that is not a window's last one gives a meeting less: the next page begins with its last one.
        ahead = max(_LEAST_PAGES, min(self._sizes.window, fair)) * (self._sizes.found - 1)
        if last.left <= ahead * 3 // 2:
            return None
        self._looking = True
        return Ask(last, *_asked(last), offset=ahead - 1)

    def _cut(self, ask: Ask, answer: Answer) -> Piece | None:
        """End the last window where the results of a look ahead begin, behind the moment they may begin amidst."""
        window, rows = ask.window, answer.rows
        window.left = None  # not again before its next page says that it is still long
        if window.done or not rows:
            return None
        _need_order(rows, rows[0].ms)
        at = rows[0].ms + 1
        if window.ms >= at or (window.end is not None and at >= window.end):
            return None  # it has been walked beyond by now
        following = _Window(at, 0, window.end)
        window.end = at
        self._windows.append(following)
        kept = [row for row in rows if row.ms >= at]
        following.left = max(0, answer.total - ask.offset - (len(rows) - len(kept)))
        return self._add(following, answer._replace(rows=kept, total=following.left)) if kept else None


def _appended(window: _Window, piece: Piece) -> Piece:
    window.pieces.append(piece)
    return piece


def _asked(window: _Window) -> tuple[tuple[Filter, ...], Sort]:
    if window.run_id is not None:
        return (Filter(MODIFIED, "EQ", str(window.ms)), Filter(ID, "GT", str(window.run_id))), _BY_ID
    filters = [Filter(MODIFIED, "GTE", str(window.ms))]
    if window.end is not None:
        filters.append(Filter(MODIFIED, "LT", str(window.end)))
    if window.kept:
        filters.append(Filter(ID, "NOT_IN", values=tuple(str(row.id) for row in window.kept)))
    return tuple(filters), _BY_MODIFIED


def _need_order(rows: Sequence[Row], least: int) -> None:
    for row in rows:
        if row.ms < least:
            raise UnexpectedResponse(
                f"the search does not keep the order: meeting {row.id}, changed at {row.ms}, comes behind {least}"
            )
        least = row.ms

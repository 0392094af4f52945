"""Through all ids, in ranges that several requests walk at once, in no order.

This module knows which range to read on, when to halve one, and what of each was told. It must not know requests, or
how a page is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from ..errors import UnexpectedResponse
from .cursor import Stretch
from .windows import Row

__all__ = ["IdPage", "IdRange", "Ranges"]

_MOST_PAGES_AHEAD: Final = 4
_WORTH_HALVING: Final = 3
"""Pages that a range must have left, as far as known: each half ends with a page that is not full."""


class IdPage(Struct):
    """A page in its place: `rows` in order of the ids, and nothing is missing below `start`.

    It can be taken when it is `complete`: when whoever asked for it has put into `rows` all that is wanted.
    """

    range: IdRange
    rows: Sequence[Row]
    start: int
    complete: bool = False


class IdRange(Struct, eq=False):
    """Ids from `start` on, below `end`: asked for up to `start`, told up to `told`.

    `after` is the cursor that the last page of a list ended with; `per_id` is how many meetings an id stood for there.
    """

    start: int
    end: int | None
    told: int
    after: str | None = None
    per_id: float | None = None
    asking: bool = False
    done: bool = False
    pages: deque[IdPage] = field(default_factory=deque["IdPage"])

    @property
    def left(self) -> float:
        """About how many meetings are left to ask for; 0 where nothing is known."""
        return 0.0 if self.end is None or self.per_id is None else (self.end - self.start) * self.per_id


class Ranges:
    """What is left of an account.

    Args:
        stretches: what is to be read.
        concurrency: how many requests to have under way.
        page: how many meetings a full page holds.
    """

    def __init__(self, stretches: Iterable[Stretch], *, concurrency: int, page: int) -> None:
        self._ranges = [_range(stretch.start, stretch.end) for stretch in stretches]
        self._most = concurrency
        self._page = page
        self._asking = 0

    @property
    def ended(self) -> bool:
        """Everything was asked for, answered and told."""
        return not self._ranges

    def left(self) -> tuple[Stretch, ...]:
        """What is still to be told."""
        return tuple(Stretch(found.told, found.end) for found in self._ranges)

    def next(self) -> IdRange | None:
        """A range to read a page of, if one more request is to be sent."""
        if self._asking >= self._most:
            return None
        free = [found for found in self._ranges if not found.done and not found.asking]
        chosen = next((found for found in free if len(found.pages) < _MOST_PAGES_AHEAD), None)
        if chosen is None and not free:
            chosen = self._half()
        if chosen is not None:
            chosen.asking = True
            self._asking += 1
        return chosen

    def answered(self, asked: IdRange, rows: Sequence[Row], *, more: bool, after: str | None = None) -> IdPage:
        """Take in the page that begins at the range's `start`; `rows` may go beyond its end by now.

        Raises: UnexpectedResponse for an empty page that is not the last.
        """
        if more and not rows:
            raise UnexpectedResponse(
                f"HubSpot sent an empty page of the ids from {asked.start} on, which is not the last"
            )
        self.failed(asked)
        inside = [row for row in rows if asked.start <= row.id and (asked.end is None or row.id < asked.end)]
        last = rows[-1].id if rows else asked.start
        if rows and more and (asked.end is None or last < asked.end - 1):
            asked.per_id = len(rows) / (last - rows[0].id + 1)
            asked.start, asked.after = last + 1, after
        else:
            asked.done = True
        page = IdPage(asked, inside, last + 1)
        asked.pages.append(page)
        return page

    def failed(self, asked: IdRange) -> None:
        """It was not answered: it can be asked again."""
        asked.asking = False
        self._asking -= 1

    def take(self) -> IdPage | None:
        """The next page of any range, if one is there."""
        for found in self._ranges:
            if found.pages and found.pages[0].complete:
                return found.pages.popleft()
        return None

    def told(self, page: IdPage) -> None:
        """All of a page was told."""
        page.range.told = max(page.range.told, page.start)
        if page.range.done and not page.range.pages:
            self._ranges.remove(page.range)

    def _half(self) -> IdRange | None:
        """The second half of the longest range."""
        longest = max(self._ranges, key=lambda found: 0.0 if found.done else found.left, default=None)
        if longest is None or longest.done or longest.end is None or longest.left < _WORTH_HALVING * self._page:
            return None
        middle = (longest.start + longest.end) // 2
        second = _range(middle, longest.end)
        second.per_id = longest.per_id
        longest.end = middle
        self._ranges.append(second)
        return second


def _range(start: int, end: int | None) -> IdRange:
    return IdRange(start, end, start)

"""What a store is: a place that holds a copy of an account's meetings.

This module knows what a pull asks of a store. It must not know any store, files, databases or requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

import msgspec
from msgspec import Struct

from ..errors import UnexpectedResponse, shown
from ..models import Meeting, PlainProperties
from ..sync import Change
from .columns import Kept

__all__ = ["Newest", "Store", "Written", "linked", "number_of"]


class Written(Struct, frozen=True):
    """What became of changes: `meetings` rows were written, `archived` of them in the bin; `older` ones were passed
    over, since the copy has a later version; `dropped` rows went, merged into others. `unfit` counts values that are
    not what their property's type says, by property."""

    meetings: int = 0
    archived: int = 0
    older: int = 0
    dropped: int = 0
    unfit: Counter[str] = msgspec.field(default_factory=Counter[str])


class Store(Protocol):
    """A place for a copy. Open it with `async with`; one copy is for one pull at a time.

    `str()` of a store is its name for people, without a password. Every method but `close` raises StoreError when the
    place fails, with nothing half done, and ConfigurationError when it is no place for a copy.
    """

    @property
    def kept(self) -> Kept | None:
        """What the copy is of; None for one that has yet to be begun."""
        ...

    @property
    def cursor(self) -> str | None:
        """Where the sync that fills it got to; None: at the beginning."""
        ...

    async def keep(self, kept: Kept, *, cursor: str | None) -> None:
        """Begin the copy, or make room for what `kept` has more than before, in one step."""
        ...

    async def write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        """Write changes and the cursor behind them: both or neither. An older version never replaces a later one."""
        ...

    async def publish(self) -> Counter[str]:
        """Show what was written to whoever reads the copy, and count values that do not fit their columns, by property,
        if that shows only now. Databases show everything at once, and this does nothing."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Newest:
    """Of changes that came together, the last version of each meeting, by number; `merged` are those that went."""

    def __init__(self, changes: Sequence[Change[PlainProperties]]) -> None:
        self.meetings: dict[int, Meeting] = {}
        self.merged: set[int] = set()
        self.older = 0
        for change in changes:
            number = number_of(change.meeting.id)
            before = self.meetings.get(number)
            if before is not None:
                self.older += 1
                if is_later(before.updated_at, change.meeting.updated_at):
                    continue
            self.meetings[number] = change.meeting
            self.merged.update(map(number_of, change.merged_ids))
        for number in self.merged:
            self.meetings.pop(number, None)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the meetings, in order: rows that lie together are written together."""
        return sorted(self.meetings)

    def pass_over(self, number: int) -> None:
        """Leave a meeting out: the copy has a later version."""
        del self.meetings[number]
        self.older += 1

    def written(self, unfit: Counter[str], dropped: int) -> Written:
        """The account of it, once written."""
        archived = sum(meeting.archived for meeting in self.meetings.values())
        return Written(len(self.meetings), archived, self.older, dropped, unfit)


def linked(meeting: Meeting) -> bool:
    """Whether a meeting tells its links: those of an archived one are no longer told, and stay as they were."""
    return meeting.associations is not None or not meeting.archived


def is_later(one: datetime | None, other: datetime | None) -> bool:
    """Whether a version is later than another; one without a moment is the earliest."""
    return one is not None and (other is None or one > other)


def number_of(id: str) -> int:
    """A record's id as the number it is. Raises: UnexpectedResponse for one that no table could tell apart by it."""
    if id.isascii() and id.isdigit() and len(id) <= 18:
        return int(id)
    raise UnexpectedResponse(f"HubSpot sent a record with the id {shown(id)}, which is no number")

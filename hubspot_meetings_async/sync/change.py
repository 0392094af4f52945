"""What a sync tells of a meeting, and how much of it at a time.

This module knows two forms. It must not know how changes are found, or what is done with them.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from msgspec import Struct

from ..models import Meeting
from .cursor import SyncCursor

__all__ = ["Change", "Lot"]

P = TypeVar("P")


class Change(Struct, Generic[P], frozen=True):
    """One version of one meeting.

    `kind` is `"changed"` for a meeting that is there, new or changed (or back from the recycling bin), `"archived"` for
    one in the recycling bin. `meeting` has the properties that were asked for, all its associations and its histories
    where those were asked for (an archived one has no associations). `merged_ids` are meetings that were merged into
    this one, ever: they are no more, in the recycling bin neither, so a copy drops them.

    A copy takes a change when its own `updated_at` of the meeting is not later: repeats do no harm then.
    """

    kind: Literal["changed", "archived"]
    meeting: Meeting[P]
    merged_ids: tuple[str, ...] = ()


class Lot(Struct, Generic[P], frozen=True):
    """Changes that came together, in their order, and the cursor that goes on behind the last one.

    Store the two in one transaction. A lot can be without changes: its cursor is news all the same.
    """

    changes: tuple[Change[P], ...]
    cursor: SyncCursor

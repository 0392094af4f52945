"""The two streams that a sync gives: `Changes` and `Export`.

This module knows lots, items and the cursor between them. It must not know requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from .change import Change, Lot
from .cursor import SyncCursor

__all__ = ["Changes", "Export"]

P = TypeVar("P")


class Changes(Generic[P]):
    """What changed, in order: `async for` gives change after change, `lots()` a request's worth at a time.

    async with hubspot.sync.changes(cursor) as changes:
        async for change in changes:
            ...
            keep(changes.cursor.to_json())
    """

    @property
    def cursor(self) -> SyncCursor:
        """Where to go on: behind the last item that was given, and behind all before it."""
        raise NotImplementedError

    @property
    def total(self) -> int | None:
        """About how many changes there are in all, for a progress bar; None before HubSpot said."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[Change[P]]:
        raise NotImplementedError

    def lots(self) -> AsyncIterator[Lot[P]]:
        """Lot after lot."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError


class Export(Changes[P]):
    """All meetings there are, in lots; when it ends, its `cursor` is one that `changes()` goes on from."""

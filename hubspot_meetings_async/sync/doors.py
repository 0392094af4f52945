"""`hubspot.sync`: what changed since last time, and everything at once.

This module knows the arguments. It must not know how changes are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar, overload

from msgspec import Struct

from ..models import PlainProperties
from .cursor import SyncCursor
from .feed import Changes, Export

__all__ = ["ExportMethod", "Sync"]

S = TypeVar("S", bound=Struct)

OVERLAP_S: Final = 60.0
"""HubSpot's search shows a write after "a few moments"; users see several seconds."""

ExportMethod = Literal["auto", "list", "ranges", "search"]


class Sync:
    """Copies of an account, kept in step (`hubspot.sync`)."""

    @overload
    def changes(
        self,
        since: datetime | SyncCursor | None = None,
        *,
        until: datetime | None = None,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = True,
        overlap_s: float = OVERLAP_S,
        concurrency: int | None = None,
    ) -> Changes[PlainProperties]: ...

    @overload
    def changes(
        self,
        since: datetime | SyncCursor | None = None,
        *,
        into: type[S],
        until: datetime | None = None,
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = True,
        overlap_s: float = OVERLAP_S,
        concurrency: int | None = None,
    ) -> Changes[S]: ...

    def changes(
        self,
        since: datetime | SyncCursor | None = None,
        *,
        until: datetime | None = None,
        into: type[Struct] | None = None,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = True,
        overlap_s: float = OVERLAP_S,
        concurrency: int | None = None,
    ) -> Changes[Any]:
        """Every meeting that was created or changed since `since`, once per version, oldest change first; then those
        archived since."""
        raise NotImplementedError

    @overload
    def export(
        self,
        after: SyncCursor | None = None,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        method: ExportMethod = "auto",
        concurrency: int | None = None,
    ) -> Export[PlainProperties]: ...

    @overload
    def export(
        self,
        after: SyncCursor | None = None,
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        method: ExportMethod = "auto",
        concurrency: int | None = None,
    ) -> Export[S]: ...

    def export(
        self,
        after: SyncCursor | None = None,
        *,
        into: type[Struct] | None = None,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        method: ExportMethod = "auto",
        concurrency: int | None = None,
    ) -> Export[Any]:
        """Every meeting that is not archived, at the full speed of the quota."""
        raise NotImplementedError

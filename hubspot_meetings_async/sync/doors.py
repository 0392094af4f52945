"""`hubspot.sync`: what changed since last time, and everything at once.

This module knows the arguments. It must not know how changes are found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast, get_args, overload

from msgspec import Struct

from ..associations.resource import Associations
from ..associations.v3 import object_type_in
from ..errors import ConfigurationError
from ..meetings.resource import Meetings
from ..models import PlainProperties, property_names
from ..moments import unix_ms, utc
from ..wire import Call
from .cursor import BinMark, LiveMark, SyncCursor
from .feed import Changes, Export

if TYPE_CHECKING:
    # Who syncs nothing does not import them: they are most of this package.
    from .changing import Portal
    from .reading import Reader, Wanted
    from .windows import Sizes

__all__ = ["ExportMethod", "Sync"]

S = TypeVar("S", bound=Struct)

OVERLAP_S: Final = 60.0
"""HubSpot's search shows a write after "a few moments"; users see several seconds."""

ExportMethod = Literal["auto", "list", "ranges", "search"]

_MOST_AT_ONCE: Final = 64


class Sync:
    """Copies of an account, kept in step (`hubspot.sync`).

        async with hubspot.sync.changes(cursor, properties=["hs_meeting_title"]) as changes:
            async for lot in changes.lots():
                copy.write(lot.changes, lot.cursor.to_json())      # in one transaction

    All calls go in the bulk lane. What both methods share:

    `properties`, `properties_with_history` and `into` as for `hubspot.meetings.get`; any number of properties.
    `associations` are object types in the plural (`"contacts"`); each meeting has all of its links to them, also where
    HubSpot gives them in pages. Searches give neither associations nor histories: those cost a request more per page
    and type, or two to four. `concurrency` is how many requests that find meetings are under way at once; the default
    fills the quota at answers of some seconds.
    """

    def __init__(
        self,
        call: Call,
        *,
        meetings: Meetings,
        associations: Associations,
        portal: Portal,
        api_version: str,
        sizes: Sizes | None = None,
    ) -> None:
        self._call = call
        self._meetings = meetings
        self._associations = associations
        self._portal = portal
        self._api_version = api_version
        self._sizes = sizes

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
        """Every meeting that was created or changed, once per version, the oldest change first; then those archived.

        `since` is a cursor, to go on where a sync (or an export) ended or broke off; a moment; or None for everything,
        live meetings and archived ones. `until` leaves out what changed later; without it, the walk goes on until
        nothing is left. A meeting that changes meanwhile comes once more, with its new version; versions that lie
        between two looks are not seen.

        Searches show a write some seconds late, so each walk reads the last `overlap_s` seconds once more and leaves
        out what was told; a write that search shows later than that is missed. Meetings that were merged away are in
        the `merged_ids` of the one they became part of. What does not move its `hs_lastmodifieddate` is not seen: a new
        link, or a restored meeting, where HubSpot leaves that date as it was, and meetings deleted for data protection;
        `hubspot.bulk.read` of the ids that a copy has says which of them are live, archived or gone.

        `archived=True` lists the whole recycling bin (100 meetings a request) behind the live ones, since HubSpot sorts
        it by id only, and tells of those archived since the last time; where the bin is large, do so less often.

        Five searches a second give up to 1,000 meetings a second. Raises: ConfigurationError for arguments that make
        no sense, and for the cursor of another account; UnexpectedResponse when answers do not keep the order.
        """
        from .changing import CONCURRENCY, ChangesWalk

        cursor = _cursor_of(since)
        if cursor.exporting:
            raise ConfigurationError("this cursor belongs to an export that has not ended; give it to export(after=…)")
        wanted = _wanted(properties, properties_with_history, associations, into)
        walk = ChangesWalk(
            self._reader(wanted),
            wanted,
            cursor,
            portal=self._portal,
            until_ms=None if until is None else unix_ms(utc("until", until)),
            archived=archived,
            overlap_ms=_overlap_ms(overlap_s),
            concurrency=_count(concurrency, CONCURRENCY),
        )
        return Changes(walk)

    @overload
    def export(
        self,
        after: SyncCursor | None = None,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        method: ExportMethod = "auto",
        overlap_s: float = OVERLAP_S,
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
        overlap_s: float = OVERLAP_S,
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
        overlap_s: float = OVERLAP_S,
        concurrency: int | None = None,
    ) -> Export[Any]:
        """Every meeting that is not archived, at the full speed of the quota, in no promised order.

        `after` is the cursor of an export that broke off, with the same `method`. When it has ended, its `cursor` goes
        into `changes()`, which gives what changed since the export began (less `overlap_s`), and the recycling bin.
        Meetings created or archived meanwhile may be missing or given; `changes()` puts that right.

        `"search"` (which `"auto"` is): ranges of ids through five searches a second, up to 1,000 meetings a second,
        from the search index. `"ranges"`: ranges of ids through lists, 1,900 a second at 190 requests in ten seconds,
        from HubSpot's own store; it takes ids for the cursors of lists, which HubSpot does not promise, and tries that
        first. `"list"`: one list, page after page, 100 meetings an answer.

        Raises: ConfigurationError for arguments that make no sense, the cursor of another account, and where `"ranges"`
        can not be had; UnexpectedResponse when answers do not keep the order of the ids.
        """
        from .exporting import LIST_CONCURRENCY, SEARCH_CONCURRENCY, ListedRanges, OneList, SearchedRanges

        if after is not None and not after.exporting:
            raise ConfigurationError("this cursor belongs to no export under way; give it to changes(since=…)")
        if method not in get_args(ExportMethod):
            raise ConfigurationError(f"method is one of {', '.join(get_args(ExportMethod))}, not {method!r}")
        mark = after.export if after is not None else None
        one_list = method == "list"
        if mark is not None and bool(mark.left) is one_list:
            raise ConfigurationError(f"this cursor belongs to an export by another method than {method!r}")
        wanted = _wanted(properties, properties_with_history, associations, into)
        reader = self._reader(wanted)
        cursor = after or SyncCursor()
        overlap_ms = _overlap_ms(overlap_s)
        if one_list:
            return Export(OneList(reader, wanted, cursor, portal=self._portal, overlap_ms=overlap_ms))
        way, usual = (ListedRanges, LIST_CONCURRENCY) if method == "ranges" else (SearchedRanges, SEARCH_CONCURRENCY)
        return Export(
            way(
                reader,
                wanted,
                cursor,
                portal=self._portal,
                overlap_ms=overlap_ms,
                concurrency=_count(concurrency, usual),
            )
        )

    def _reader(self, wanted: Wanted) -> Reader:
        from .reading import Reader
        from .windows import Sizes

        return Reader(
            self._call,
            self._meetings,
            self._associations,
            wanted,
            api_version=self._api_version,
            sizes=self._sizes or Sizes(),
        )


def _cursor_of(since: object) -> SyncCursor:
    if since is None:
        return SyncCursor()
    if isinstance(since, SyncCursor):
        return since
    if isinstance(since, datetime):
        ms = unix_ms(utc("since", since))
        return SyncCursor(live=LiveMark(ms=ms), bin=BinMark(since_ms=ms))
    raise ConfigurationError(
        f"since is a cursor (SyncCursor.from_json(text)), a datetime or None, not a {type(since).__name__}"
    )


def _wanted(
    properties: Sequence[str],
    with_history: Sequence[str],
    associations: Sequence[str],
    into: type[Struct] | None,
) -> Wanted:
    from .reading import Wanted

    if into is not None and properties:
        raise ConfigurationError("give properties= or into=, not both: the properties follow from the fields of into")
    return Wanted(
        property_names(into) if into is not None else _names("properties", properties),
        _names("properties_with_history", with_history),
        tuple(_type_name(name) for name in _names("associations", associations)),
        into,
    )


def _names(what: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise ConfigurationError(f"{what} is a list of names, not a {type(given).__name__}")
    names = tuple(dict.fromkeys(cast("Sequence[object]", given)))
    if wrong := [name for name in names if not isinstance(name, str) or not name.strip()]:
        raise ConfigurationError(f"{what} has {wrong[0]!r} among its names")
    return cast("tuple[str, ...]", names)


def _type_name(name: str) -> str:
    object_type_in(name)  # refuses what can not stand in a path
    return name


def _overlap_ms(overlap_s: object) -> int:
    if isinstance(overlap_s, bool) or not isinstance(overlap_s, (int, float)) or not 0 <= overlap_s < math.inf:
        raise ConfigurationError(f"overlap_s is a number of seconds from 0 on, not {overlap_s!r}")
    return round(overlap_s * 1000)


def _count(concurrency: object, usual: int) -> int:
    if concurrency is None:
        return usual
    if type(concurrency) is not int or not 1 <= concurrency <= _MOST_AT_ONCE:
        raise ConfigurationError(f"concurrency is a number of requests, 1-{_MOST_AT_ONCE}, not {concurrency!r}")
    return concurrency

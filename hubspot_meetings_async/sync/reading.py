"""The requests of a sync: searches that say how old their answer is, and what searches do not give.

This module knows HubSpot's search, list and batch reads. It must not know the order of a walk, or what was told.

HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

import anyio
import msgspec
from msgspec import Struct

from ..associations.resource import Associations
from ..errors import NotFound, UnexpectedResponse, printable
from ..inputs import MAX_INPUTS, MAX_INPUTS_WITH_HISTORY
from ..meetings.resource import Meetings, objects_path
from ..models import (
    MEETING_TO,
    AssociatedId,
    AssociatedIds,
    AssociatedRecord,
    Filter,
    FilterGroup,
    Meeting,
    PlainProperties,
    SearchBody,
    SearchPage,
    SortRule,
)
from ..moments import unix_ms
from ..wire import Call, Quota, Request, Trail, encode, rejection
from .windows import Answer, Ask, Row, Sizes

__all__ = ["MERGED", "Reader", "Wanted", "row_of", "sent_ms"]

MERGED: Final = "hs_merged_object_ids"
"""The meetings that were merged into one; asked for with every meeting, since they are told of nowhere else."""

MODIFIED: Final = "hs_lastmodifieddate"

_MAX_CHARACTERS: Final = 3_000
_ID_CHARACTERS: Final = 24
_MOST_EXCLUDED: Final = 100

_found: Final = msgspec.json.Decoder(SearchPage[Meeting[PlainProperties]])
_TYPE_NAMES: Final = {int(number): f"meeting_event_to_{name}" for name, number in MEETING_TO.items()}

Plain = Meeting[PlainProperties]


class Wanted(NamedTuple):
    """What is wanted of each meeting."""

    properties: tuple[str, ...] = ()
    with_history: tuple[str, ...] = ()
    associations: tuple[str, ...] = ()
    into: type[Struct] | None = None


class Reader:
    """Reads meetings for a sync, in the bulk lane."""

    def __init__(
        self,
        call: Call,
        meetings: Meetings,
        associations: Associations,
        wanted: Wanted,
        *,
        api_version: str,
        sizes: Sizes,
    ) -> None:
        if wanted.with_history:
            sizes = sizes._replace(listed=min(sizes.listed, MAX_INPUTS_WITH_HISTORY))
        self.sizes = sizes
        self._call = call
        self._meetings = meetings
        self._associations = associations
        self._path = f"{objects_path(api_version)}/search"
        self._wanted = wanted
        self._asked = tuple(dict.fromkeys((*wanted.properties, MERGED)))
        # Where all properties do not fit into a search, and for histories, meetings are read by their ids.
        room = _MAX_CHARACTERS - len(self._body((_LONGEST,) * 3, ID_ORDER, None, self._asked))
        self.by_batch = bool(wanted.with_history) or room < 0
        self._searched = () if self.by_batch else self._asked
        if self.by_batch:
            room = _MAX_CHARACTERS - len(self._body((_LONGEST,) * 3, ID_ORDER, None, ()))
        self.most_excluded = min(_MOST_EXCLUDED, room // _ID_CHARACTERS)
        """How many ids a filter can name beside all else that a search says."""

    @property
    def completes(self) -> bool:
        """Whether what searches give is not all that is wanted."""
        return self.by_batch or bool(self._wanted.associations)

    # ---- searches

    async def search(self, ask: Ask) -> Answer:
        """One page of a search."""
        rule = ask.sort.rule()
        page, seen_ms = await self._send(ask.filters, rule, offset=ask.offset)
        return Answer([row_of(meeting) for meeting in page.results], page.total, page.after is not None, seen_ms)

    async def by_id(self, start: int, end: int | None) -> tuple[SearchPage[Plain], int]:
        """One page of the meetings from an id on, below another, in order of the ids; and how old it is at most."""
        filters = [Filter("hs_object_id", "GTE", str(start))]
        if end is not None:
            filters.append(Filter("hs_object_id", "LT", str(end)))
        return await self._send(tuple(filters), ID_ORDER)

    async def newest_id(self) -> tuple[int | None, int, int]:
        """The highest id that search knows, the number of all meetings, and how old that is at most."""
        page, seen_ms = await self._send((), SortRule("hs_object_id", "DESCENDING"), limit=1)
        return (_number(page.results[0].id) if page.results else None), page.total, seen_ms

    async def _send(
        self, filters: tuple[Filter, ...], rule: SortRule, *, offset: int = 0, limit: int | None = None
    ) -> tuple[SearchPage[Plain], int]:
        trail = Trail()
        body = self._body(filters, rule, str(offset) if offset else None, self._searched, limit)
        request = Request(method="POST", path=self._path, body=body, decoder=_found, quota=Quota.SEARCH)
        page = await self._call(request, trail)
        return page, sent_ms(trail)

    def _body(
        self,
        filters: tuple[Filter, ...],
        rule: SortRule,
        after: str | None,
        properties: tuple[str, ...],
        limit: int | None = None,
    ) -> bytes:
        return encode(
            SearchBody(
                filter_groups=(FilterGroup(filters),) if filters else (),
                sorts=(rule,),
                properties=properties,
                limit=limit or self.sizes.found,
                after=after,
            )
        )

    # ---- what searches do not give

    async def complete(self, rows: Sequence[Row]) -> list[Row]:
        """The same meetings with all that is wanted, in their order; those that are gone by now are left out."""
        if not rows:
            return []
        if self.by_batch:
            read = await self._read([row.meeting.id for row in rows])
            # It may have changed since it was found: the later version is told, and known again when it is found.
            rows = [row_of(read[row.meeting.id]) for row in rows if row.meeting.id in read]
            rows.sort(key=lambda row: (row.ms, row.id))
        meetings = await self.linked([row.meeting for row in rows])
        return [row._replace(meeting=meeting) for row, meeting in zip(rows, meetings, strict=True)]

    async def linked(self, meetings: Sequence[Plain]) -> list[Plain]:
        """The same meetings with all their associations."""
        found: dict[str, dict[str, AssociatedIds]] = {meeting.id: {} for meeting in meetings}
        for to_type in self._wanted.associations:
            async for id_, links in self._associations.read("meetings", to_type, list(found)):
                if links:
                    found[id_][to_type] = AssociatedIds(results=tuple(_named(links)))
        if not self._wanted.associations:
            return list(meetings)
        return [msgspec.structs.replace(meeting, associations=found[meeting.id]) for meeting in meetings]

    async def _read(self, ids: Sequence[str]) -> Mapping[str, Plain]:
        most = MAX_INPUTS_WITH_HISTORY if self._wanted.with_history else MAX_INPUTS
        read: dict[str, Plain] = {}
        for first in range(0, len(ids), most):
            some = ids[first : first + most]
            try:
                answer = await self._meetings.batch_read(
                    some, properties=self._asked, properties_with_history=self._wanted.with_history
                )
            except NotFound as error:
                if error.category != "OBJECT_NOT_FOUND":
                    raise
                continue  # none of them is there any more
            read.update((meeting.id, meeting) for meeting in answer.results)
            gone = {id_ for entry in answer.errors for named in rejection(entry).context.values() for id_ in named}
            for id_ in some:
                if id_ not in read and id_ not in gone:
                    await self._read_alone(id_, read)
        return read

    async def _read_alone(self, id_: str, read: dict[str, Plain]) -> None:
        """HubSpot's batch answer passes over it in silence: to take that for "gone" would be a guess."""
        try:
            meeting = await self._meetings.get(
                id_, properties=self._asked, properties_with_history=self._wanted.with_history
            )
        except NotFound:
            return
        read[id_] = meeting

    # ---- lists

    async def list_page(
        self, after: str | None, *, archived: bool = False, associations: Sequence[str] = ()
    ) -> tuple[tuple[Plain, ...], str | None]:
        """One page of a list and the cursor of the next one."""
        pages = self._meetings.list(
            properties=self._asked,
            properties_with_history=self._wanted.with_history,
            associations=associations,
            archived=archived,
            limit=self.sizes.listed,
            after=after,
        ).pages()
        try:
            page = await anext(pages)
        finally:
            await pages.aclose()  # type: ignore[attr-defined]  # a generator, declared by what users need of it
        return page.results, page.after


ID_ORDER: Final = SortRule("hs_object_id", "ASCENDING")
_LONGEST: Final = Filter(MODIFIED, "NOT_IN", "9" * 20)


def row_of(meeting: Plain) -> Row:
    """A meeting with its version and id as numbers. Raises: UnexpectedResponse where it has none."""
    text = meeting.properties.get(MODIFIED)
    try:
        at = datetime.fromisoformat(text) if text and not text.isdigit() else None
        ms = int(text) if text and text.isdigit() else unix_ms(at or meeting.updated_at or _no_moment())
    except ValueError:
        raise UnexpectedResponse(
            f"meeting {meeting.id} has {printable(text or 'no moment')[:40]!r} as {MODIFIED}: its changes can not be "
            "followed"
        ) from None
    return Row(ms, _number(meeting.id), meeting)


def _no_moment() -> datetime:
    raise ValueError


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UnexpectedResponse(f"HubSpot sent a meeting with the id {printable(text)[:40]!r}, which is no number")
    return int(text)


def _named(links: Iterable[AssociatedRecord]) -> Iterable[AssociatedId]:
    """Links as lists have them: one entry for each type, by its name (or label, or number)."""
    for link in links:
        for kind in link.association_types:
            name = kind.label or _TYPE_NAMES.get(kind.type_id) or str(kind.type_id)
            yield AssociatedId(id=link.to_object_id, type=name)


def sent_ms(trail: Trail) -> int:
    """When the last request was sent, by HubSpot's clock where it tells it: an answer shows all that was there then."""
    now_ms: float = time.time() * 1000
    if trail.date is not None:
        from email.utils import parsedate_to_datetime  # two milliseconds, which aiohttp has spent by now

        with suppress(ValueError, TypeError, OverflowError):
            now_ms = parsedate_to_datetime(trail.date).astimezone(UTC).timestamp() * 1000
    took_s = 0.0 if trail.last_sent_at is None else anyio.current_time() - trail.last_sent_at
    return int(now_ms - took_s * 1000)

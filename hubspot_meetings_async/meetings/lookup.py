"""Which meetings there are for some keys: how a write whose answer was lost is found again.

This module knows the calls that find meetings by the value of a property, and what their answers prove. It must not
know the transport, the limiter, sleeping, or why somebody asks.

A key is missing only where HubSpot says so. One that an answer passes over in silence is asked for again, alone.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (batch read)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from ..errors import NotFound
from ..inputs import MAX_INPUTS, Inputs
from ..models import BatchResponse, Meeting, PlainProperties
from ..search import Search, plan, where
from ..wire import Call, Request, Trail, query_string, rejection, segment

__all__ = ["Found", "Lookup"]

T = TypeVar("T")

_batch: Final = msgspec.json.Decoder(BatchResponse[Meeting[PlainProperties]])
_meeting: Final = msgspec.json.Decoder(Meeting[PlainProperties])


class Found(NamedTuple):
    """`meetings` by key, mostly one each; `missing` are keys that HubSpot says it has no meeting for."""

    meetings: Mapping[str, tuple[Meeting, ...]]
    missing: frozenset[str]


class Lookup:
    """Finds meetings by the value of a property, archived ones too."""

    def __init__(self, call: Call, path: str) -> None:
        self._call = call
        self._path = path

    async def by_unique(
        self, name: str, keys: Sequence[str], *, properties: Iterable[str] = (), trail: Trail | None = None
    ) -> Found:
        """Up to 100 keys by the unique property `name`: read from HubSpot's own store, so nothing lags.

        Two requests, of which the second asks the recycling bin for what the first did not find; more only when
        answers leave keys out. The meetings have `properties` and `name`. Raises: as any read.
        """
        wanted = tuple(dict.fromkeys((name, *properties)))
        found: dict[str, tuple[Meeting, ...]] = {}
        live, absent = await self._batch_read(name, keys, wanted, trail, archived=False)
        found.update(live)
        left = [key for key in keys if key not in found]
        if left:
            binned, absent_there = await self._batch_read(name, left, wanted, trail, archived=True)
            found.update(binned)
            absent &= absent_there
        missing = {key for key in left if key in absent and key not in found}
        for key in left:
            if key not in found and key not in missing:
                meeting = await self._read_one(name, key, wanted, trail)
                if meeting is None:
                    missing.add(key)
                else:
                    found[key] = (meeting,)
        return Found(found, frozenset(missing))

    async def by_search(
        self, name: str, keys: Sequence[str], *, properties: Iterable[str] = (), trail: Trail | None = None
    ) -> Found:
        """Up to 100 keys by any property, through the search index.

        The index lags by seconds, knows no archived meetings, and may show several for one key: `missing` is what it
        does not show now, which proves nothing.
        """
        wanted = tuple(dict.fromkeys((name, *properties)))
        search: Search[PlainProperties] = Search(
            _Trailed(self._call, trail), self._path, plan(where(name).is_in(keys), properties=wanted), None
        )
        by_key = {key.lower(): key for key in keys}
        found: dict[str, tuple[Meeting, ...]] = {}
        async for meeting in search:
            # The index does not tell upper from lower case.
            key = by_key.get((meeting.properties.get(name) or "").lower())
            if key is not None:
                found[key] = (*found.get(key, ()), meeting)
        return Found(found, frozenset(key for key in keys if key not in found))

    async def _batch_read(
        self, name: str, keys: Sequence[str], properties: Sequence[str], trail: Trail | None, *, archived: bool
    ) -> tuple[dict[str, tuple[Meeting, ...]], set[str]]:
        """What one batch read shows, and which keys it says are not there."""
        form = Inputs.read(properties=properties, properties_with_history=(), id_property=name)
        entries = [form.entry(number, key, "") for number, key in enumerate(keys[:MAX_INPUTS])]
        request = Request(
            method="POST",
            path=f"{self._path}/batch/read",
            query="archived=true" if archived else "",
            body=form.body(entries),
            decoder=_batch,
        )
        try:
            answer = await self._call(request, trail)
        except NotFound as error:
            if error.category != "OBJECT_NOT_FOUND":
                raise
            return {}, set(keys)
        found: dict[str, tuple[Meeting, ...]] = {}
        for meeting in answer.results:
            key = meeting.properties.get(name)
            if key is not None:
                found[key] = (*found.get(key, ()), meeting)
        absent: set[str] = set()
        for entry in answer.errors:
            if entry.category == "OBJECT_NOT_FOUND":
                absent.update(value for values in rejection(entry).context.values() for value in values)
        asked = frozenset(keys)
        return {key: meetings for key, meetings in found.items() if key in asked}, absent

    async def _read_one(self, name: str, key: str, properties: Sequence[str], trail: Trail | None) -> Meeting | None:
        path = f"{self._path}/{segment(key, what=f'the value of {name}', digits=False)}"
        for archived in (False, True):
            query = query_string({"properties": properties, "idProperty": name, "archived": archived or None})
            try:
                return await self._call(Request(method="GET", path=path, query=query, decoder=_meeting), trail)
            except NotFound as error:
                if error.category != "OBJECT_NOT_FOUND":
                    raise
        return None


class _Trailed:
    """A call with every request noted on a trail."""

    def __init__(self, call: Call, trail: Trail | None) -> None:
        self._call = call
        self._trail = trail

    async def __call__(self, request: Request[T], trail: Trail | None = None) -> T:
        return await self._call(request, self._trail)

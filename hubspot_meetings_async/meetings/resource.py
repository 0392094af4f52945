"""`/crm/…/objects/meetings`: one method an endpoint.

This module knows paths, parameters and bodies of the meetings object. It must not know the transport, the limiter,
or how to sleep; it is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, overload

import msgspec
from msgspec import Struct

from ..calling.deadlines import Deadline
from ..errors import ConfigurationError, NotFound, UnexpectedResponse
from ..inputs import key_of
from ..models import (
    Association,
    Meeting,
    PlainProperties,
    Problem,
    property_values,
    read_as,
)
from ..properties.checks import check
from ..properties.resource import Properties
from ..search import Search, Searched, SortedBy, plan
from ..versions import API_VERSIONS, known_version
from ..wire import Call, Replay, Request, encode, query_string, rejection, segment
from .batches import MeetingBatches, asked, names_of
from .certainty import SETTLE_S, OnAmbiguous, create_once, mode_of
from .listing import Listing
from .lookup import Lookup

__all__ = ["API_VERSIONS", "Listing", "Meetings"]

S = TypeVar("S", bound=Struct)

MERGE_VERSIONS: Final = ("2026-09",)
"""The API versions that have `merge` and `gdpr_delete` for meetings."""

MAX_PAGE: Final = 100
MAX_PAGE_WITH_HISTORY: Final = 50

MAX_TARGET: Final = 7_800
"""Characters of path and query that a GET may have. HubSpot answers longer URLs with 414, from somewhere above 8,000
on; the rest is left to the host and the cursor. Who asks for more properties gets them by batch read, where they
stand in the body."""

_meeting = msgspec.json.Decoder(Meeting[PlainProperties])


def objects_path(api_version: str) -> str:
    """Where meetings live in an API version. Raises: ConfigurationError."""
    if known_version(api_version) == "v3":
        return "/crm/v3/objects/meetings"
    return f"/crm/objects/{api_version}/meetings"


class _Wanted(NamedTuple):
    """What a read wants of each meeting and a batch read can give: the parameters of a GET that grow long."""

    properties: tuple[str, ...]
    with_history: tuple[str, ...]
    archived: bool

    def parameters(self) -> dict[str, object]:
        return {"properties": self.properties, "propertiesWithHistory": self.with_history}


class Meetings(MeetingBatches):
    """The meetings object: single calls, lists and batches.

    All methods raise `RequestRejected` or one of its kinds when HubSpot refuses, `HubSpotUnavailable` or
    `TransportFailed` when it can not be had after the retries, `InvalidRecord` for arguments that can not be sent.
    Reads, updates and archives are tried again on their own; a create whose answer was lost raises
    `AmbiguousWriteError` and is not repeated. `call_s` bounds calls that take several requests; each has the `Call`'s.
    """

    def __init__(
        self, call: Call, *, api_version: str, properties: Properties | None = None, call_s: float | None = None
    ) -> None:
        super().__init__(call, objects_path(api_version))
        self._api_version = api_version
        self._call_s = call_s
        self._definitions = properties if properties is not None else Properties(call, api_version=api_version)
        self.lookup = Lookup(call, self._path)

    def _budget(self) -> AbstractContextManager[object]:
        """What several requests that are one call for its caller may take together."""
        return nullcontext() if self._call_s is None else Deadline(self._call_s)

    def _one(self, meeting_id: str | int, id_property: object) -> str:
        if id_property is not None and not (isinstance(id_property, str) and id_property.strip()):
            raise ConfigurationError("id_property must be the name of a unique property, not empty or something else")
        what = "the id of a meeting" if id_property is None else f"the value of {id_property}"
        return f"{self._path}/{segment(meeting_id, what=what, digits=id_property is None)}"

    async def create(
        self,
        properties: Mapping[str, Any] | Struct,
        *,
        associations: Sequence[Association] = (),
        key_property: str | None = None,
        on_ambiguous: OnAmbiguous | None = None,
        settle_s: float = SETTLE_S,
    ) -> Meeting:
        """Create one meeting (`POST …/objects/meetings`), linked to the `associations`.

        What happens when the answer is lost: HubSpot has no idempotency key, and a second create is a second meeting.
        `"hold"` (default): it is not repeated, and AmbiguousWriteError says so. `"reconcile"` (default with
        `key_property`, the name of a unique property with a value here): the meeting is read by that value, and only if
        HubSpot says that there is none, created again; HubSpot itself refuses a second one. `"probe"`: after `settle_s`
        seconds it is searched for by `key_property`, which need not be unique; best effort, since the index lags.
        `"resend"`: it is created again, and may then exist twice.

        Raises: AmbiguousWriteError when it left and nothing tells what became of it; Conflict when a unique value was
        taken before; ConfigurationError when `key_property` is not unique; InvalidRecord when it has no value here.
        """
        mode = mode_of(key_property, on_ambiguous)
        sent = property_values(properties)
        replay = Replay.ALWAYS if mode == "resend" else Replay.IF_NOT_DONE
        body = encode({"properties": sent, "associations": list(associations)})
        request = Request(method="POST", path=self._path, body=body, decoder=_meeting, replay=replay)
        if key_property is None or mode not in ("reconcile", "probe"):
            return await self._call(request)
        key = key_of(sent, key_property)
        find = self.lookup.by_search
        with self._budget():
            if mode == "reconcile":
                await self._definitions.need_key(key_property)
                find, settle_s = self.lookup.by_unique, 0.0
            return await create_once(
                partial(self._call, request),
                partial(find, key_property, [key], properties=tuple(sent)),
                key,
                settle_s=settle_s,
            )

    @overload
    async def get(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        id_property: str | None = None,
    ) -> Meeting: ...

    @overload
    async def get(
        self,
        meeting_id: str | int,
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        id_property: str | None = None,
    ) -> Meeting[S]: ...

    async def get(
        self,
        meeting_id: str | int,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        id_property: str | None = None,
        into: type[Struct] | None = None,
    ) -> Meeting[Any]:
        """Read one meeting (`GET …/objects/meetings/{meetingId}`).

        `associations` are object types (`"contacts"`). With `archived=True` only the recycling bin is looked at. With
        `id_property`, `meeting_id` is the value of that unique property. With `into=MyMeeting`, the properties are
        those of that Struct, and the meeting's `properties` are a `MyMeeting`. More properties than a URL holds cost a
        second request. Raises: NotFound.
        """
        wanted = _Wanted(asked(properties, into), names_of(properties_with_history), archived)
        rest: dict[str, object] = {
            "associations": names_of(associations),
            "archived": archived or None,
            "idProperty": id_property,
        }
        path = self._one(meeting_id, id_property)
        query = query_string({**wanted.parameters(), **rest})
        by_batch = len(path) + len(query) > MAX_TARGET
        if by_batch:
            query = query_string(rest)
        request = Request(method="GET", path=path, query=query, decoder=_meeting)
        if not by_batch:
            meeting = await self._call(request)
        else:
            with self._budget():
                meeting = await self._call(request)
                found = await self._completed(wanted, (meeting,))
            if not found:
                raise NotFound(f"meeting {meeting.id} went away while it was read", method="GET", path=path)
            meeting = found[0]
        return meeting if into is None else read_as(meeting, into)

    async def check(self, record: object) -> tuple[Problem, ...]:
        """What HubSpot would refuse about a record's properties, before a call is spent on it; empty when nothing.

            for problem in await hubspot.meetings.check({"hs_meeting_outcom": "SCHEDULED"}):
                print(problem)

        Names unknown properties (with the nearest name), read-only ones, options that do not exist, and values of the
        wrong form. Uses the account's definitions, which `hubspot.properties` reads once and keeps.
        """
        return check(record, await self._definitions.all())

    async def update(
        self, meeting_id: str | int, properties: Mapping[str, Any] | Struct, *, id_property: str | None = None
    ) -> Meeting:
        """Write properties to a meeting (`PATCH …/objects/meetings/{meetingId}`); `""` clears one.

        Tried again after lost answers: the same values once more do no harm. Raises: NotFound.
        """
        return await self._call(
            Request(
                method="PATCH",
                path=self._one(meeting_id, id_property),
                query=query_string({"idProperty": id_property}),
                body=encode({"properties": property_values(properties)}),
                decoder=_meeting,
            )
        )

    async def archive(self, meeting_id: str | int) -> None:
        """Move a meeting to the recycling bin (`DELETE …/objects/meetings/{meetingId}`).

        HubSpot answers the same whether the meeting existed or not. It can be restored in the app for 90 days.
        """
        request: Request[None] = Request(method="DELETE", path=self._one(meeting_id, None))
        await self._call(request)

    async def merge(self, primary_id: str | int, id_to_merge: str | int) -> Meeting:
        """Merge one meeting into another, for good (`POST …/objects/meetings/merge`); API version 2026-09 only.

        Where values conflict, those of `primary_id` stay. Go on with the id of the answer: HubSpot may give the merged
        record a new one. Not repeated when the answer is lost.

        Raises: AmbiguousWriteError; ConfigurationError on the other API versions.
        HubSpot: https://developers.hubspot.com/docs/api-reference/latest/crm/using-object-apis (merge records)
        """
        body = {
            "primaryObjectId": segment(primary_id, what="primary_id"),
            "objectIdToMerge": segment(id_to_merge, what="id_to_merge"),
        }
        if body["primaryObjectId"] == body["objectIdToMerge"]:
            raise ConfigurationError(f"a meeting can not be merged into itself (both ids are {primary_id})")
        return await self._call(
            Request(
                method="POST",
                path=self._since_2026_09("merge"),
                body=encode(body),
                decoder=_meeting,
                replay=Replay.IF_NOT_DONE,
            )
        )

    async def gdpr_delete(self, meeting_id: str | int, *, id_property: str | None = None) -> None:
        """Delete a meeting and all it held, for good (`POST …/objects/meetings/gdpr-delete`); API version 2026-09 only.

        It can not be restored; `archive` can. With `id_property`, `meeting_id` is the value of that unique property.
        Tried again after lost answers; should HubSpot then find the meeting gone, the error is `NotFound`.

        Raises: NotFound; ConfigurationError on the other API versions.
        """
        self._one(meeting_id, id_property)  # refuses what is no id
        body: dict[str, object] = {"objectId": str(meeting_id)}
        if id_property is not None:
            body["idProperty"] = id_property
        request: Request[None] = Request(method="POST", path=self._since_2026_09("gdpr-delete"), body=encode(body))
        await self._call(request)

    def _since_2026_09(self, name: str) -> str:
        if self._api_version not in MERGE_VERSIONS:
            raise ConfigurationError(
                f"{name} of meetings is in API version {', '.join(MERGE_VERSIONS)} only, and this client speaks "
                f"{self._api_version}; make one with api_version={MERGE_VERSIONS[0]!r}"
            )
        return f"{self._path}/{name}"

    @overload
    def list(
        self,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Listing[PlainProperties]: ...

    @overload
    def list(
        self,
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Listing[S]: ...

    def list(
        self,
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
        limit: int | None = None,
        after: str | None = None,
        into: type[Struct] | None = None,
    ) -> Listing[Any]:
        """All meetings in order of id (`GET …/objects/meetings`), page after page.

            async for meeting in hubspot.meetings.list(properties=["hs_meeting_title"]): ...

        `limit` is the size of a page: 1-100, 1-50 with histories, the most by default. `archived=True` lists the
        recycling bin and nothing else. `after` is a page's cursor to go on from. With `into=MyMeeting`, each meeting's
        `properties` are a `MyMeeting`. More properties than a URL holds cost a second request a page; a meeting that
        goes away between the two is left out.
        """
        most = MAX_PAGE_WITH_HISTORY if properties_with_history else MAX_PAGE
        if limit is not None and not (type(limit) is int and 1 <= limit <= most):
            raise ConfigurationError(f"limit is the size of a page, 1-{most} here, not {limit!r}")
        wanted = _Wanted(asked(properties, into), names_of(properties_with_history), archived)
        rest: dict[str, object] = {
            "limit": limit or most,
            "associations": names_of(associations),
            "archived": archived or None,
        }
        query = query_string({**wanted.parameters(), **rest})
        if len(self._path) + len(query) + len(query_string({"after": after})) <= MAX_TARGET:
            return Listing(self._call, self._path, query, after, into)
        return Listing(self._call, self._path, query_string(rest), after, into, partial(self._completed, wanted))

    async def _completed(self, wanted: _Wanted, listed: Sequence[Meeting]) -> tuple[Meeting, ...]:
        """`listed`, in their order, with what is wanted of them read by batch; their associations are kept.

        Left out is what HubSpot says is gone by now. Raises: UnexpectedResponse for what it says nothing about.
        """
        if not listed:
            return ()
        try:
            answer = await self.batch_read(
                [meeting.id for meeting in listed],
                properties=wanted.properties,
                properties_with_history=wanted.with_history,
                archived=wanted.archived,
            )
        except NotFound:  # none of them is there any more
            return ()
        read = {meeting.id: meeting for meeting in answer.results}
        gone = {value for entry in answer.errors for values in rejection(entry).context.values() for value in values}
        if lost := [meeting.id for meeting in listed if meeting.id not in read and meeting.id not in gone]:
            raise UnexpectedResponse(f"the batch read says nothing of {len(lost)} of its meetings, such as {lost[0]}")
        return tuple(
            msgspec.structs.replace(read[meeting.id], associations=meeting.associations)
            for meeting in listed
            if meeting.id in read
        )

    @overload
    def search(
        self,
        what: Searched = None,
        *,
        query: str | None = None,
        sorts: SortedBy = None,
        properties: Sequence[str] = (),
        limit: int | None = None,
    ) -> Search[PlainProperties]: ...

    @overload
    def search(
        self,
        what: Searched = None,
        *,
        into: type[S],
        query: str | None = None,
        sorts: SortedBy = None,
        limit: int | None = None,
    ) -> Search[S]: ...

    def search(
        self,
        what: Searched = None,
        *,
        query: str | None = None,
        sorts: SortedBy = None,
        properties: Sequence[str] = (),
        limit: int | None = None,
        into: type[Struct] | None = None,
    ) -> Search[Any]:
        """Meetings that satisfy filters (`POST …/objects/meetings/search`), any number of them, past 10,000 too.

            kick_offs = hubspot.meetings.search(
                where("hs_timestamp").between(monday, sunday) & where("hs_meeting_outcome").eq("SCHEDULED"))
            print(await kick_offs.total())
            async for meeting in kick_offs: ...

        `what` is an expression of `where(...)`, a `SearchRequest`, or HubSpot's own JSON as a dict; None is all
        meetings. `query` looks for words in title and body. `sorts` is one rule (`"hs_createdate"`,
        `"-hs_createdate"`, `descending("hs_timestamp")`); ids ascending by default. `limit` is the size of a page,
        1-200. What is promised about order and completeness stands with `Search`.

        Raises: ConfigurationError at once for what HubSpot would refuse (5 groups, 6 filters each, 18 in all, 3,000
        characters, one sort).
        """
        planned = plan(what, query=query, sorts=sorts, properties=asked(properties, into), limit=limit)
        return Search(self._call, self._path, planned, into)

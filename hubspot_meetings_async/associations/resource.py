"""Associations between records: one method an endpoint, and the same for any number of records.

This module knows the paths of HubSpot's v4 style (which the dated versions speak too), its pages and batches. It must
not know the transport, the limiter, or how to sleep; it is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, NotFound, UnexpectedResponse
from ..models import (
    AssociatedRecord,
    AssociatedRecords,
    AssociationLabel,
    BatchError,
    BatchResponse,
    DefaultAssociation,
    LabelsBetween,
    LinkAnswer,
    LinkReport,
    Page,
)
from ..versions import known_version
from ..wire import Call, Replay, Request, encode, rejection, segment
from .inputs import (
    MAX_ARCHIVE,
    MAX_CREATE,
    MAX_READ,
    LinkLike,
    LinkTypes,
    Pair,
    failures,
    fans,
    id_text,
    labelled,
    listed,
    nothing_linked,
    pair_of,
    plain,
    reads,
    types_of,
)
from .runs import Ids, Links, carried_out, cut
from .v3 import MAX_PAGE, AssociationsV3, LinkListing, object_type_in

__all__ = ["Associations"]

_Found = dict[str, list[AssociatedRecord]]


class _Labels(Struct):
    results: tuple[AssociationLabel, ...]


class _Removed(Struct):
    errors: tuple[BatchError, ...] = ()


class _RemovedDecoder:
    """Reads what a batch removal answers: nothing (204), or on the dated versions a batch answer (200)."""

    _decoder = msgspec.json.Decoder(_Removed)

    def decode(self, body: bytes) -> tuple[BatchError, ...]:
        return self._decoder.decode(body).errors if body else ()


_page = msgspec.json.Decoder(Page[AssociatedRecord])
_default = msgspec.json.Decoder(BatchResponse[DefaultAssociation])
_between = msgspec.json.Decoder(LabelsBetween)
_linked = msgspec.json.Decoder(BatchResponse[LabelsBetween])
_read = msgspec.json.Decoder(BatchResponse[AssociatedRecords])
_labels = msgspec.json.Decoder(_Labels)
_report = msgspec.json.Decoder(dict[str, Any])
_removed = cast("msgspec.json.Decoder[tuple[BatchError, ...]]", _RemovedDecoder())


class Associations:
    """Links between records of any two types (`hubspot.associations`).

        await hubspot.associations.set_default("meetings", 501, "contacts", 101)
        async for meeting_id, links in hubspot.associations.read("meetings", "contacts", meeting_ids): ...

    Object types are names (`"meetings"`, `"contact"`) or ids (`"0-47"`). Record ids are taken as numbers or strings,
    and given as strings. A plain link exists in both directions at once; to remove one removes the other.

    Doing any of these calls twice has the effect of once, so all are tried again after lost answers; `create_label`
    and `high_usage_report` are not. `v3` has the calls that name the type of each link.
    """

    def __init__(self, call: Call, *, api_version: str) -> None:
        self._call = call
        if known_version(api_version) == "v3":
            self._objects, self._pairs = "/crm/v4/objects", "/crm/v4/associations"
            self._label_roots: tuple[str, ...] = ("/crm/v4/associations", "/crm/associations/v4")
        else:
            self._objects, self._pairs = f"/crm/objects/{api_version}", f"/crm/associations/{api_version}"
            self._label_roots = (self._pairs,)
        self.v3 = AssociationsV3(call, api_version=api_version)
        """Links by the name or number of their type."""

    # ---- one record, one pair

    async def set_default(
        self, from_type: str, from_id: str | int, to_type: str, to_id: str | int
    ) -> tuple[DefaultAssociation, ...]:
        """Link two records without a label (`PUT …/associations/default/{toType}/{toId}`); labels there are stay.

        Answers the link in each of its directions.
        """
        path = f"{self._one(from_type, from_id)}/default/{object_type_in(to_type)}/{segment(to_id, what='to_id')}"
        answer = await self._call(Request(method="PUT", path=path, decoder=_default))
        for entry in answer.errors:
            raise rejection(entry)
        return answer.results

    async def set(
        self, from_type: str, from_id: str | int, to_type: str, to_id: str | int, types: LinkTypes
    ) -> LabelsBetween:
        """Link two records by these types and no others (`PUT …/associations/{toType}/{toId}`).

        This *replaces* the labels between the two: repeat those that shall stay. `batch_create` adds instead.
        """
        given = types_of(types)
        if not given:
            raise ConfigurationError("set() needs a type at least; set_default() links without one, remove() parts")
        path = self._pair(from_type, from_id, to_type, to_id)
        return await self._call(Request(method="PUT", path=path, body=encode(given), decoder=_between))

    def list(
        self,
        from_type: str,
        from_id: str | int,
        to_type: str,
        *,
        limit: int = MAX_PAGE,
        after: str | None = None,
    ) -> LinkListing[AssociatedRecord]:
        """Every record of a type that one record is linked to, with the types of the link
        (`GET …/objects/{type}/{id}/associations/{toType}`), page after page.

            async for link in hubspot.associations.list("contacts", 101, "meetings"): print(link.to_object_id)

        `limit` is the size of a page, 1-500; `after` is a page's cursor to go on from. Raises: NotFound.
        """
        path = f"{self._one(from_type, from_id)}/{object_type_in(to_type)}"
        return LinkListing(self._call, path, _page, limit=limit, after=after)

    async def remove(self, from_type: str, from_id: str | int, to_type: str, to_id: str | int) -> None:
        """Remove every link between two records, labels included (`DELETE …/associations/{toType}/{toId}`)."""
        request: Request[None] = Request(method="DELETE", path=self._pair(from_type, from_id, to_type, to_id))
        await self._call(request)

    # ---- batches: single calls, each with HubSpot's ceiling

    async def batch_read(
        self, from_type: str, to_type: str, ids: Iterable[str | int]
    ) -> BatchResponse[AssociatedRecords]:
        """What each of up to 1,000 records is linked to, the first page of each (`POST …/batch/read`).

        A record without links has an empty list (HubSpot calls that an error, this method does not). `results` come in
        no promised order; `result.after` is there when a record has more: `read()` follows it.
        """
        cursors: dict[str, str | None] = {id_text(id_, what="id"): None for id_ in listed("ids", ids)}
        if len(cursors) > MAX_READ:
            raise ConfigurationError(f"one batch read takes up to {MAX_READ} ids; associations.read() takes any number")
        return await self._read_pages(from_type, to_type, cursors)

    async def batch_create(self, from_type: str, to_type: str, links: Iterable[LinkLike]) -> LinkAnswer[LabelsBetween]:
        """Link up to 2,000 pairs, each by its own types (`POST …/batch/create`); types there are stay.

        Pairs that HubSpot refuses alone, or does not mention, are in `failures`. Raises: RequestRejected for the whole
        batch, for example for a type of other objects.
        """
        return await self._create(from_type, to_type, _checked(links, MAX_CREATE, "create", with_types=True))

    async def batch_associate_default(
        self, from_type: str, to_type: str, links: Iterable[LinkLike]
    ) -> LinkAnswer[DefaultAssociation]:
        """Link up to 2,000 pairs without labels (`POST …/batch/associate/default`).

        `results` name each link once per direction.
        """
        return await self._associate(
            from_type, to_type, _checked(links, MAX_CREATE, "associate_default", with_types=False)
        )

    async def batch_archive(self, from_type: str, to_type: str, links: Iterable[LinkLike]) -> LinkAnswer[LabelsBetween]:
        """Remove every link of each pair, from up to 100 records (`POST …/batch/archive`); no error if there is none.

        `results` are empty: HubSpot answers none.
        """
        pairs = _checked(links, MAX_CREATE, "archive", with_types=False)
        if len({pair.from_id for pair in pairs}) > MAX_ARCHIVE:
            raise ConfigurationError(
                f"one batch removes links of up to {MAX_ARCHIVE} records; associations.archive() takes any number"
            )
        return await self._archive(from_type, to_type, pairs)

    async def batch_archive_labels(
        self, from_type: str, to_type: str, links: Iterable[LinkLike]
    ) -> LinkAnswer[LabelsBetween]:
        """Remove single types of up to 100 pairs (`POST …/batch/labels/archive`); other types stay.

        To remove the plain, unlabelled type removes all of the pair. `results` are empty: HubSpot answers none.
        """
        return await self._archive_labels(
            from_type, to_type, _checked(links, MAX_ARCHIVE, "archive_labels", with_types=True)
        )

    # ---- any number

    async def read(
        self, from_type: str, to_type: str, ids: Ids
    ) -> AsyncIterator[tuple[str, tuple[AssociatedRecord, ...]]]:
        """What each of any number of records is linked to, complete, in the order of `ids`.

            async for meeting_id, links in hubspot.associations.read("meetings", "contacts", ids): ...

        Up to 1,000 records a request; further pages are fetched. Records without links come with an empty tuple. One
        with a million links comes with a million: `list()` gives those page by page.

        Raises: RequestRejected when HubSpot refuses a record for more than having no links.
        """
        async for chunk in cut("ids", ids, MAX_READ):
            wanted = [id_text(id_, what="id") for id_ in chunk]
            found = await self._complete(from_type, to_type, dict.fromkeys(wanted))
            for id_ in wanted:
                yield id_, tuple(found[id_])

    async def create(self, from_type: str, to_type: str, links: Links) -> LinkReport:
        """Link any number of pairs, each by its own types, 2,000 a request.

        Where HubSpot refuses a batch as a whole, it is halved until the refused pairs stand alone.

        Raises: RequestRejected when batch after batch is refused; what was linked until then stays, and giving the
        same links again does no harm.
        """
        return await carried_out(links, with_types=True, send=lambda pairs: self._create(from_type, to_type, pairs))

    async def associate_default(self, from_type: str, to_type: str, links: Links) -> LinkReport:
        """Link any number of pairs without labels, 2,000 a request; refused ones as in `create`."""
        return await carried_out(links, with_types=False, send=lambda pairs: self._associate(from_type, to_type, pairs))

    async def archive(self, from_type: str, to_type: str, links: Links) -> LinkReport:
        """Remove every link of any number of pairs, 100 records a request: sort the links by `from_id`."""
        return await carried_out(
            links,
            with_types=False,
            send=lambda pairs: self._archive(from_type, to_type, pairs),
            most=MAX_ARCHIVE,
            counted=lambda pair: pair.from_id,
        )

    async def archive_labels(self, from_type: str, to_type: str, links: Links) -> LinkReport:
        """Remove single types of any number of pairs, 100 a request; see `batch_archive_labels`."""
        return await carried_out(
            links,
            with_types=True,
            send=lambda pairs: self._archive_labels(from_type, to_type, pairs),
            most=MAX_ARCHIVE,
        )

    # ---- labels

    async def labels(self, from_type: str, to_type: str) -> tuple[AssociationLabel, ...]:
        """All types of link from one object type to another, the account's own included (`GET …/labels`).

        HubSpot has this endpoint at two addresses on v3; the second is asked where the first is not found.
        """
        *first, last = [f"{root}{self._types(from_type, to_type)}/labels" for root in self._label_roots]
        for path in first:
            try:
                return (await self._call(Request(method="GET", path=path, decoder=_labels))).results
            except NotFound:
                continue
        return (await self._call(Request(method="GET", path=last, decoder=_labels))).results

    async def create_label(
        self, from_type: str, to_type: str, *, label: str, name: str, inverse_label: str | None = None
    ) -> tuple[AssociationLabel, ...]:
        """Give the account a label for links between two object types (`POST …/labels`); answers its types.

        `name` is its internal name, `inverse_label` what it is called seen from the other side. Not repeated when the
        answer is lost: `labels()` tells whether it was made. Raises: AmbiguousWriteError, Conflict.
        """
        body: dict[str, str] = {"label": label, "name": name}
        if inverse_label is not None:
            body["inverseLabel"] = inverse_label
        path = f"{self._label_roots[-1]}{self._types(from_type, to_type)}/labels"
        request = Request(method="POST", path=path, body=encode(body), decoder=_labels, replay=Replay.IF_NOT_DONE)
        return (await self._call(request)).results

    async def high_usage_report(self, user_id: str | int) -> dict[str, Any]:
        """Have HubSpot e-mail this user a report of records near the limit of associations
        (`POST …/associations/usage/high-usage-report/{userId}`). Not repeated when the answer is lost.
        """
        path = f"{self._pairs}/usage/high-usage-report/{segment(user_id, what='user_id')}"
        return await self._call(Request(method="POST", path=path, decoder=_report, replay=Replay.IF_NOT_DONE))

    # ---- paths and single requests

    def _one(self, from_type: str, from_id: str | int) -> str:
        return f"{self._objects}/{object_type_in(from_type)}/{segment(from_id, what='from_id')}/associations"

    def _pair(self, from_type: str, from_id: str | int, to_type: str, to_id: str | int) -> str:
        return f"{self._one(from_type, from_id)}/{object_type_in(to_type)}/{segment(to_id, what='to_id')}"

    def _types(self, from_type: str, to_type: str) -> str:
        return f"/{object_type_in(from_type)}/{object_type_in(to_type)}"

    def _batch(self, from_type: str, to_type: str, name: str) -> str:
        return f"{self._pairs}{self._types(from_type, to_type)}/batch/{name}"

    async def _read_pages(
        self, from_type: str, to_type: str, cursors: dict[str, str | None]
    ) -> BatchResponse[AssociatedRecords]:
        path = self._batch(from_type, to_type, "read")
        return nothing_linked(await self._call(Request(method="POST", path=path, body=reads(cursors), decoder=_read)))

    async def _create(self, from_type: str, to_type: str, pairs: Sequence[Pair]) -> LinkAnswer[LabelsBetween]:
        path = self._batch(from_type, to_type, "create")
        answer = await self._call(Request(method="POST", path=path, body=labelled(pairs), decoder=_linked))
        confirmed = {(between.from_object_id, between.to_object_id) for between in answer.results}
        return LinkAnswer(answer.results, failures(pairs, answer.errors, confirmed))

    async def _associate(self, from_type: str, to_type: str, pairs: Sequence[Pair]) -> LinkAnswer[DefaultAssociation]:
        path = self._batch(from_type, to_type, "associate/default")
        answer = await self._call(Request(method="POST", path=path, body=plain(pairs), decoder=_default))
        confirmed = {(link.from_.id, link.to.id) for link in answer.results}
        return LinkAnswer(answer.results, failures(pairs, answer.errors, confirmed))

    async def _archive(self, from_type: str, to_type: str, pairs: Sequence[Pair]) -> LinkAnswer[LabelsBetween]:
        path = self._batch(from_type, to_type, "archive")
        errors = await self._call(Request(method="POST", path=path, body=fans(pairs), decoder=_removed))
        return LinkAnswer((), failures(pairs, errors, None))

    async def _archive_labels(self, from_type: str, to_type: str, pairs: Sequence[Pair]) -> LinkAnswer[LabelsBetween]:
        path = self._batch(from_type, to_type, "labels/archive")
        errors = await self._call(Request(method="POST", path=path, body=labelled(pairs), decoder=_removed))
        return LinkAnswer((), failures(pairs, errors, None))

    # ---- how any number is carried out

    async def _complete(self, from_type: str, to_type: str, cursors: dict[str, str | None]) -> _Found:
        """All pages of some records."""
        found: _Found = {id_: [] for id_ in cursors}
        while cursors:
            answer = await self._read_pages(from_type, to_type, cursors)
            for entry in answer.errors:
                raise rejection(entry)
            following: dict[str, str | None] = {}
            for record in answer.results:
                id_, after = record.from_.id, record.after
                if id_ not in cursors:
                    raise UnexpectedResponse(f"HubSpot answers with record {id_}, which was not asked for")
                if after is not None and after == cursors[id_]:
                    raise UnexpectedResponse(f"the links of record {id_} do not go on after {after!r}")
                found[id_] += record.to
                if after is not None:
                    following[id_] = after
            for id_ in cursors.keys() - {record.from_.id for record in answer.results}:
                # Neither links nor "has none": an empty list would be a guess.
                found[id_] += [link async for link in self.list(from_type, id_, to_type, after=cursors[id_])]
            cursors = following
        return found


def _checked(links: Iterable[LinkLike], most: int, method: str, *, with_types: bool) -> list[Pair]:
    pairs = [pair_of(link, with_types=with_types) for link in listed("links", links)]
    if len(pairs) > most:
        raise ConfigurationError(f"one batch call takes up to {most} links here; associations.{method}() any number")
    return pairs

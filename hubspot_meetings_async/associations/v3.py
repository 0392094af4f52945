"""Associations in the style of HubSpot's v3: each link by the name or the number of its type.

This module knows the paths and bodies of that style, and the list that both styles page through. It must not know the
transport, the limiter, or how to sleep; it is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (associations)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, Generic, TypeVar, cast

import msgspec

from ..errors import ConfigurationError, InvalidRecord, UnexpectedResponse, shown
from ..models import AssociatedId, BatchResponse, LinkAnswer, Meeting, NamedLink, NamedLinks, Page, PlainProperties
from ..versions import known_version
from ..wire import Call, Request, query_string, segment
from .inputs import MAX_CREATE, MAX_READ, Pair, failures, id_text, listed, named, pair_of, reads

__all__ = ["MAX_PAGE", "AssociationsV3", "LinkListing", "object_type_in"]

T = TypeVar("T")

MAX_PAGE: Final = 500
"""Linked records of one page."""

_record = msgspec.json.Decoder(Meeting[PlainProperties])
_page = msgspec.json.Decoder(Page[AssociatedId])
_linked = msgspec.json.Decoder(BatchResponse[NamedLink])
_read = msgspec.json.Decoder(BatchResponse[NamedLinks])


class LinkListing(Generic[T]):
    """What one record is linked to: `async for` over it gives links, over `pages()` whole pages.

    Each iteration begins anew at the first page (or at `after`).
    """

    def __init__(
        self, call: Call, path: str, decoder: msgspec.json.Decoder[Page[T]], *, limit: int, after: str | None
    ) -> None:
        if type(limit) is not int or not 1 <= limit <= MAX_PAGE:
            raise ConfigurationError(f"limit is the size of a page, 1-{MAX_PAGE}, not {limit!r}")
        self._call = call
        self._path = path
        self._decoder = decoder
        self._limit = limit
        self._after = after

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for link in page.results:
                yield link

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Page after page; `page.after` is the cursor to go on from later."""
        after = self._after
        while True:
            query = query_string({"limit": self._limit, "after": after})
            page = await self._call(Request(method="GET", path=self._path, query=query, decoder=self._decoder))
            yield page
            if page.after is None:
                return
            if page.after == after:
                raise UnexpectedResponse(f"the list does not go on: the page after {after!r} names itself as the next")
            after = page.after


class AssociationsV3:
    """Links by the name or number of their type (`hubspot.associations.v3`).

    `create` and `delete` work on every API version, the others on v3 only. A type is given in the direction *from →
    to*: `"meeting_event_to_contact"` or `200` (`AssociationTypeId.MEETING_TO_CONTACT`). All calls are tried again after
    lost answers: doing them twice has the effect of once.
    """

    def __init__(self, call: Call, *, api_version: str) -> None:
        self._call = call
        self._version = known_version(api_version)
        self._objects = "/crm/v3/objects" if api_version == "v3" else f"/crm/objects/{api_version}"

    def list(
        self,
        from_type: str,
        from_id: str | int,
        to_type: str,
        *,
        limit: int = MAX_PAGE,
        after: str | None = None,
    ) -> LinkListing[AssociatedId]:
        """Everything of a type that a record is linked to, with the names of the types
        (`GET …/objects/{type}/{id}/associations/{toType}`, v3 only): a record comes once for each type.

        `limit` is the size of a page, 1-500.
        """
        self._only_v3("list", "associations.list()")
        path = f"{self._one(from_type, from_id)}/{object_type_in(to_type)}"
        return LinkListing(self._call, path, _page, limit=limit, after=after)

    async def create(
        self,
        from_type: str,
        from_id: str | int,
        to_type: str,
        to_id: str | int,
        association_type: str | int,
    ) -> Meeting[PlainProperties]:
        """Link two records (`PUT …/associations/{toType}/{toId}/{associationType}`); answers the record of `from_id`
        with what was set. Other types between the two stay.

        Raises: NotFound for an unknown record, RequestRejected for a type of other objects.
        """
        path = self._pair(from_type, from_id, to_type, to_id, association_type)
        return await self._call(Request(method="PUT", path=path, decoder=_record))

    async def delete(
        self,
        from_type: str,
        from_id: str | int,
        to_type: str,
        to_id: str | int,
        association_type: str | int,
    ) -> None:
        """Take one type of link from two records (`DELETE` of the same path); no error if there is none."""
        request: Request[None] = Request(
            method="DELETE", path=self._pair(from_type, from_id, to_type, to_id, association_type)
        )
        await self._call(request)

    async def batch_create(
        self, from_type: str, to_type: str, links: Iterable[tuple[str | int, str | int, str | int]]
    ) -> LinkAnswer[NamedLink]:
        """Link up to 2,000 pairs in one request (`POST …/associations/{from}/{to}/batch/create`, v3 only).

        Each link is `(from_id, to_id, association_type)`. Pairs that HubSpot refuses alone are in `failures`.
        """
        path = self._batch(from_type, to_type, "create")
        given = _named_links(links)
        answer = await self._call(Request(method="POST", path=path, body=named(given), decoder=_linked))
        confirmed = {(link.from_.id, link.to.id) for link in answer.results}
        return LinkAnswer(answer.results, failures([pair for pair, _ in given], answer.errors, confirmed))

    async def batch_read(self, from_type: str, to_type: str, ids: Iterable[str | int]) -> BatchResponse[NamedLinks]:
        """The first page of links of up to 1,000 records (`POST …/batch/read`, v3 only), as HubSpot answers it: a
        record without any is an entry of `errors`. `associations.read()` gives all pages and empty lists.
        """
        path = self._batch(from_type, to_type, "read")
        cursors: dict[str, str | None] = {id_text(id_, what="id"): None for id_ in listed("ids", ids)}
        if len(cursors) > MAX_READ:
            raise ConfigurationError(f"one batch read takes up to {MAX_READ} ids; associations.read() takes any number")
        return await self._call(Request(method="POST", path=path, body=reads(cursors), decoder=_read))

    async def batch_archive(
        self, from_type: str, to_type: str, links: Iterable[tuple[str | int, str | int, str | int]]
    ) -> None:
        """Take one type of link from each of up to 2,000 pairs (`POST …/batch/archive`, v3 only)."""
        path = self._batch(from_type, to_type, "archive")
        request: Request[None] = Request(method="POST", path=path, body=named(_named_links(links)))
        await self._call(request)

    def _only_v3(self, method: str, instead: str) -> None:
        if self._version != "v3":
            raise ConfigurationError(
                f"associations.v3.{method}() is in API version v3 only, and this client speaks {self._version}; "
                f"use {instead}"
            )

    def _one(self, from_type: str, from_id: str | int) -> str:
        return f"{self._objects}/{object_type_in(from_type)}/{segment(from_id, what='from_id')}/associations"

    def _pair(
        self, from_type: str, from_id: str | int, to_type: str, to_id: str | int, association_type: str | int
    ) -> str:
        name = segment(_type_name(association_type), what="association_type", digits=False)
        end = segment(to_id, what="to_id")
        return f"{self._one(from_type, from_id)}/{object_type_in(to_type)}/{end}/{name}"

    def _batch(self, from_type: str, to_type: str, name: str) -> str:
        self._only_v3(f"batch_{name}", f"associations.batch_{name}()")
        return f"/crm/v3/associations/{object_type_in(from_type)}/{object_type_in(to_type)}/batch/{name}"


def object_type_in(object_type: object) -> str:
    """An object type (`"contacts"`, `"0-1"`) as a path segment. Raises: InvalidRecord."""
    if not isinstance(object_type, str):
        raise InvalidRecord(
            f"an object type is a name such as 'contacts', or an id such as '0-1', not {shown(object_type)}"
        )
    return segment(object_type, what="object type", digits=False)


def _type_name(association_type: object) -> str:
    if isinstance(association_type, bool) or not isinstance(association_type, (str, int)):
        raise InvalidRecord(f"an association type is a name or a number, not {shown(association_type)}")
    if isinstance(association_type, str):
        return association_type
    return segment(int(association_type), what="association_type", digits=False)


def _named_links(links: Iterable[tuple[str | int, str | int, str | int]]) -> Sequence[tuple[Pair, str]]:
    found: list[tuple[Pair, str]] = []
    for link in listed("links", links):
        parts = cast("tuple[object, ...]", link)
        if not isinstance(link, tuple) or len(parts) != 3:
            raise InvalidRecord(f"a link is (from_id, to_id, association_type), not {link!r}")
        found.append((pair_of(parts[:2], with_types=False), _type_name(parts[2])))
    if len(found) > MAX_CREATE:
        raise ConfigurationError(f"one batch call takes up to {MAX_CREATE} links")
    return found

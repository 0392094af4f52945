"""What pairs of records become on the wire, and which of them a batch answer confirms or refuses.

This module knows the inputs of HubSpot's association batches, their ceilings, and how results and errors name a pair.
It must not know await, paths, or how anything travels.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, cast

from msgspec import Struct

from ..errors import ConfigurationError, HubSpotError, InvalidRecord, UnexpectedResponse
from ..models import (
    AssociatedRecords,
    AssociationLabel,
    AssociationType,
    AssociationTypeId,
    BatchError,
    BatchResponse,
    LinkFailure,
    RecordId,
)
from ..wire import encode, rejection, segment

__all__ = [
    "MAX_ARCHIVE",
    "MAX_CREATE",
    "MAX_READ",
    "Link",
    "LinkLike",
    "LinkTypes",
    "Pair",
    "failures",
    "fans",
    "id_text",
    "labelled",
    "listed",
    "named",
    "nothing_linked",
    "pair_of",
    "plain",
    "reads",
    "types_of",
]

T = TypeVar("T")

MAX_READ: Final = 1000
"""Records of one batch read."""

MAX_CREATE: Final = 2000
"""Pairs of one batch that links (documented for `create`; taken for `associate/default` too)."""

MAX_ARCHIVE: Final = 100
"""Records on the `from` side of one batch that removes links; pairs, where single labels are removed."""

LinkType = AssociationType | AssociationTypeId | AssociationLabel
LinkTypes = LinkType | Sequence[LinkType]
"""One type or several: numbers of `AssociationTypeId`, what `labels()` answered, or `AssociationType(category, id)`."""


class Link(NamedTuple):
    """Two records to link; plain tuples do as well. Ids are numbers, or strings of digits."""

    from_id: str | int
    to_id: str | int
    types: LinkTypes = ()


LinkLike = Link | tuple[str | int, str | int] | tuple[str | int, str | int, LinkTypes]
"""A link in any of its forms: `(from_id, to_id)`, `(from_id, to_id, types)` or `Link(…)`."""


class Pair(NamedTuple):
    """A checked link: ids as strings."""

    from_id: str
    to_id: str
    types: tuple[AssociationType, ...] = ()


def types_of(given: object) -> tuple[AssociationType, ...]:
    """The types of a link as HubSpot takes them. Raises: InvalidRecord."""
    if isinstance(given, (AssociationType, AssociationTypeId, AssociationLabel)):
        return (_type_of(given),)
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return tuple(_type_of(item) for item in cast("Sequence[object]", given))
    raise InvalidRecord(
        f"types are AssociationTypeId.…, AssociationType(category, id), or a list of them, not {given!r}"
    )


def _type_of(given: object) -> AssociationType:
    if isinstance(given, AssociationType):
        return given
    if isinstance(given, (AssociationTypeId, AssociationLabel)):
        return given.type
    # A bare number could be of any category, and a wrong one links by another type.
    raise InvalidRecord(f"a type is AssociationTypeId.… or AssociationType(category, id), not {given!r}")


def pair_of(link: object, *, with_types: bool) -> Pair:
    """A link of any form, checked. Raises: InvalidRecord."""
    if not isinstance(link, tuple) or not 2 <= len(cast("tuple[object, ...]", link)) <= 3:
        raise InvalidRecord(f"a link is (from_id, to_id) or Link(from_id, to_id, types), not {link!r}")
    parts = cast("tuple[object, ...]", link)
    types = types_of(parts[2]) if len(parts) == 3 else ()
    if with_types and not types:
        raise InvalidRecord(f"the link of {parts[0]!r} and {parts[1]!r} names no type; this call needs one at least")
    if types and not with_types:
        raise InvalidRecord(f"the link of {parts[0]!r} and {parts[1]!r} names a type; this call takes none")
    return Pair(id_text(parts[0], what="from_id"), id_text(parts[1], what="to_id"), types)


def id_text(given: object, *, what: str) -> str:
    """A record id as HubSpot will name it: digits without leading zeros. Raises: InvalidRecord."""
    return segment(given, what=what).lstrip("0") or "0"


def listed(what: str, given: object) -> Iterable[object]:
    """`given`, if it is a list of things. Raises: ConfigurationError."""
    kind = type(given).__name__
    if isinstance(given, (str, bytes, Mapping, Struct)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"give a list of {what}, not one {kind}")
    return cast("Iterable[object]", given)


# ---- bodies -------------------------------------------------------------------------------------------------------


def _id(text: str) -> dict[str, str]:
    return {"id": text}


def plain(pairs: Iterable[Pair]) -> bytes:
    """The body of `associate/default`."""
    return encode({"inputs": [{"from": _id(pair.from_id), "to": _id(pair.to_id)} for pair in pairs]})


def labelled(pairs: Iterable[Pair]) -> bytes:
    """The body of `create` and `labels/archive`."""
    return encode(
        {"inputs": [{"from": _id(pair.from_id), "to": _id(pair.to_id), "types": pair.types} for pair in pairs]}
    )


def named(pairs: Iterable[tuple[Pair, str]]) -> bytes:
    """The body of v3's `create` and `archive`: each pair with the name or number of its type."""
    return encode(
        {"inputs": [{"from": _id(pair.from_id), "to": _id(pair.to_id), "type": name} for pair, name in pairs]}
    )


def fans(pairs: Iterable[Pair]) -> bytes:
    """The body of `archive`: each record once, with all it is to be parted from."""
    ends: dict[str, list[dict[str, str]]] = {}
    for pair in pairs:
        ends.setdefault(pair.from_id, []).append(_id(pair.to_id))
    return encode({"inputs": [{"from": _id(from_id), "to": to} for from_id, to in ends.items()]})


def reads(cursors: Mapping[str, str | None]) -> bytes:
    """The body of `read`: records, each with the cursor of the page to read."""
    return encode(
        {"inputs": [{"id": id_} if after is None else {"id": id_, "after": after} for id_, after in cursors.items()]}
    )


# ---- answers ------------------------------------------------------------------------------------------------------

_NONE_FOUND = "NO_ASSOCIATIONS_FOUND"


def nothing_linked(response: BatchResponse[AssociatedRecords]) -> BatchResponse[AssociatedRecords]:
    """The answer of a batch read in which "has no associations" is an empty list and no error."""
    empty: list[AssociatedRecords] = []
    errors: list[BatchError] = []
    for entry in response.errors:
        if _NONE_FOUND in str(entry.sub_category):
            ids = rejection(entry).context.get("fromObjectId", ())
            empty += [AssociatedRecords(from_=RecordId(id=id_)) for id_ in ids]
        else:
            errors.append(entry)
    if len(errors) == len(response.errors):
        return response
    return BatchResponse(
        status=response.status,
        results=(*response.results, *empty),
        num_errors=len(errors) or None,
        errors=tuple(errors),
        started_at=response.started_at,
        completed_at=response.completed_at,
    )


def failures(
    pairs: Iterable[Pair], errors: Sequence[BatchError], confirmed: set[tuple[str, str]] | None
) -> tuple[LinkFailure, ...]:
    """Which pairs were not carried out, and why.

    `confirmed` are the pairs that the results name; what neither results nor errors name counts as failed. None where
    the call answers no results: what no error names is done.
    """
    refused = [_Refusal(rejection(entry)) for entry in errors]
    if not refused and confirmed is None:
        return ()
    failed: list[LinkFailure] = []
    for pair in pairs:
        if confirmed is not None and pair[:2] in confirmed:
            continue
        error = next((refusal.error for refusal in refused if refusal.names(pair)), None)
        if error is None and confirmed is not None:
            error = UnexpectedResponse("HubSpot's answer does not mention this pair; send it again, which is safe")
        if error is not None:
            failed.append(LinkFailure(pair.from_id, pair.to_id, error))
    return tuple(failed)


class _Refusal:
    """An error entry and the ids it names, in whichever of HubSpot's ways."""

    def __init__(self, error: HubSpotError) -> None:
        context: Mapping[str, tuple[str, ...]] = getattr(error, "context", {})
        self.error = error
        self._from = frozenset(context.get("fromObjectId", ()))
        self._to = frozenset(context.get("toObjectId", ()))
        self._any = frozenset((*context.get("objectId", ()), *context.get("ids", ()), *context.get("id", ())))

    def names(self, pair: Pair) -> bool:
        """Whether it is about this pair; an entry without ids is about all that results do not confirm."""
        if self._from or self._to:
            return (not self._from or pair.from_id in self._from) and (not self._to or pair.to_id in self._to)
        return not self._any or pair.from_id in self._any or pair.to_id in self._any

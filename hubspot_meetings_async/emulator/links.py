"""The association endpoints below one record: HubSpot's v3 style and its v4, each on its own paths.

Knows HubSpot's rules for one pair of records. Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .associations import AssociationType, Kinds, ObjectType, object_type
from .bodies import AssociationTypeInput, decoder, parse
from .calls import Answer, Call
from .crm import invalid_targets, wrong_kind
from .portal import Portal
from .refusals import Refusal, not_found, validation
from .times import iso

__all__ = [
    "MAX_PAGE",
    "Pair",
    "as_id",
    "cursor",
    "default_kind",
    "kind_named",
    "kinds_named",
    "labels_between",
    "list_v3",
    "list_v4",
    "object_id",
    "pair_of",
    "put_default",
    "put_labels",
    "put_v3",
    "remove_all",
    "remove_v3",
    "show_default",
    "show_end",
]

MAX_PAGE = 500

_types = decoder(list[AssociationTypeInput])

Json = dict[str, Any]


class Pair(NamedTuple):
    """The object types at both ends of the ties a call is about."""

    start: ObjectType
    end: ObjectType


def pair_of(call: Call) -> Pair:
    """The object types the path names, by any of their names. Raises: Refusal."""
    found: list[ObjectType] = []
    for capture in ("object_type", "to_type"):
        type_ = object_type(call.captures[capture])
        if type_ is None:
            raise Refusal(404, f"Unable to infer object type from: {call.captures[capture]}")
        found.append(type_)
    return Pair(*found)


def as_id(text: str | int) -> int | None:
    """A record id as a number, None when it is no such number."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def object_id(portal: Portal, type_: ObjectType, text: str) -> int | None:
    """The id as a number, None when the account has no such record.

    Meetings must exist. Other records must be in the account only if `check_association_targets` says so: the usual
    test ties meetings to contacts of another account.
    """
    id_ = as_id(text)
    if id_ is None:
        return None
    store = portal.crm(type_.plural).store
    if type_.plural == "meetings" or portal.behaviour.check_association_targets:
        return None if store.get(id_) is None else id_
    return None if store.is_archived(id_) else id_


def default_kind(portal: Portal, pair: Pair) -> AssociationType:
    """The unlabeled kind of tie of a pair. Raises: Refusal when HubSpot defines none here."""
    kind = portal.associations.default(pair.start.plural, pair.end.plural)
    if kind is None:
        raise validation(f"No default association type is defined from {pair.start.type_id} to {pair.end.type_id}")
    return kind


def kinds_named(portal: Portal, pair: Pair, asked: Sequence[AssociationTypeInput]) -> list[AssociationType]:
    """The kinds a body asks for. Raises: Refusal for none at all, unknown ones, and those of another pair."""
    if not asked:
        raise validation("At least one association type is required")
    return [
        _of_pair(
            pair,
            portal.associations.type(given.association_category, given.association_type_id),
            given.association_type_id,
        )
        for given in asked
    ]


def list_v3(portal: Portal, call: Call) -> Answer:
    """`GET …/{id}/associations/{toType}` as v3 answers it: ids with the name of each type."""
    page, paging = _page(portal, call)
    results = [{"id": str(end), "type": kind.name} for end, kinds in page for kind in kinds]
    return Answer(200, {"results": results, **paging})


def list_v4(portal: Portal, call: Call) -> Answer:
    """The same as v4 answers it: each record once, with all its types."""
    page, paging = _page(portal, call)
    return Answer(200, {"results": [show_end(portal, end, kinds) for end, kinds in page], **paging})


def put_v3(portal: Portal, call: Call) -> Answer:
    """`PUT …/{id}/associations/{toType}/{toId}/{associationType}`: a type id or a name, added to what is there."""
    pair = pair_of(call)
    start, end = _ends(portal, call, pair)
    kind = kind_named(portal, pair, call.captures["kind"])
    crm = portal.crm(pair.start.plural)
    record = crm.store.get(start)
    if record is None:
        raise not_found(str(start))
    portal.associations.tie(start, kind, end)
    shown = crm.show(record)
    shown["associations"] = {pair.end.plural: {"results": [{"id": str(end), "type": kind.name}]}}
    return Answer(200, shown)


def remove_v3(portal: Portal, call: Call) -> Answer:
    """`DELETE` of one type; 204 also when there is nothing to remove."""
    pair = pair_of(call)
    kind = kind_named(portal, pair, call.captures["kind"])
    start, end = as_id(call.captures["id"]), as_id(call.captures["to_id"])
    if start is not None and end is not None:
        portal.associations.remove(start, end, [kind])
    return Answer(204)


def put_default(portal: Portal, call: Call) -> Answer:
    """`PUT …/{id}/associations/default/{toType}/{toId}`: the unlabeled tie, no body."""
    pair = pair_of(call)
    kind = default_kind(portal, pair)
    start, end = _ends(portal, call, pair)
    portal.associations.tie(start, kind, end)
    at = iso(call.now_ms, portal.behaviour.always_milliseconds)
    results = show_default(portal, kind, start, end)
    return Answer(200, {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at})


def put_labels(portal: Portal, call: Call) -> Answer:
    """`PUT …/{id}/associations/{toType}/{toId}`: these types and no others from now on."""
    pair = pair_of(call)
    asked = parse(_types, call.body)
    kinds = kinds_named(portal, pair, asked)
    start, end = _ends(portal, call, pair)
    portal.associations.replace(start, end, kinds)
    return Answer(201, labels_between(portal, pair, start, end), {"Location": call.url})


def remove_all(portal: Portal, call: Call) -> Answer:
    """`DELETE …/{id}/associations/{toType}/{toId}`: everything between the two."""
    pair = pair_of(call)
    start, end = as_id(call.captures["id"]), as_id(call.captures["to_id"])
    if start is not None and end is not None:
        portal.associations.untie(pair.start.plural, start, pair.end.plural, end)
    return Answer(204)


def show_end(portal: Portal, end: int, kinds: Kinds) -> Json:
    """One associated record as v4 shows it."""
    return {
        "toObjectId": _number(portal, end),
        "associationTypes": [
            {"category": kind.category, "typeId": kind.type_id, "label": kind.label} for kind in kinds
        ],
    }


def show_default(portal: Portal, kind: AssociationType, start: int, end: int) -> list[Json]:
    """An unlabeled tie as v4 shows it after making it: once per direction."""
    home = portal.associations.default(kind.to_type, kind.from_type) or kind
    return [
        {
            "from": {"id": str(one)},
            "to": {"id": str(other)},
            "associationSpec": {"associationCategory": way.category, "associationTypeId": way.type_id},
        }
        for one, other, way in ((start, end, kind), (end, start, home))
    ]


def labels_between(portal: Portal, pair: Pair, start: int, end: int) -> Json:
    """A pair of records with the labels it has."""
    kinds = portal.associations.between(pair.start.plural, start, pair.end.plural, end)
    return {
        "fromObjectTypeId": pair.start.type_id,
        "fromObjectId": _number(portal, start),
        "toObjectTypeId": pair.end.type_id,
        "toObjectId": _number(portal, end),
        "labels": [kind.label for kind in kinds if kind.label is not None],
    }


def cursor(text: str | int | None) -> int:
    """A paging cursor: the id of the next record. Raises: Refusal."""
    if text is None or text == "":
        return 0
    id_ = as_id(text)
    if id_ is None:
        raise validation(f"after is not a cursor of this endpoint: {text}")
    return id_


def _page(portal: Portal, call: Call) -> tuple[Iterable[tuple[int, Kinds]], Json]:
    pair = pair_of(call)
    text = call.one("limit")
    if text is not None and (not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= MAX_PAGE):
        raise validation(f"limit must be a number from 1 to {MAX_PAGE}, not {text}")
    limit = MAX_PAGE if text is None else int(text)
    start = object_id(portal, pair.start, call.captures["id"])
    if start is None:
        raise not_found(call.captures["id"])
    page, following = portal.tied(
        pair.start.plural, start, pair.end.plural, start=cursor(call.one("after")), limit=limit
    )
    if following is None:
        return page, {}
    link = f"{call.url}?limit={limit}&after={following}"
    return page, {"paging": {"next": {"after": str(following), "link": link}}}


def _ends(portal: Portal, call: Call, pair: Pair) -> tuple[int, int]:
    start = object_id(portal, pair.start, call.captures["id"])
    if start is None:
        raise not_found(call.captures["id"])
    end = object_id(portal, pair.end, call.captures["to_id"])
    if end is None:
        raise invalid_targets([(pair.end, call.captures["to_id"])])
    return start, end


def kind_named(portal: Portal, pair: Pair, text: str) -> AssociationType:
    """A kind of tie by its type id or its name. Raises: Refusal."""
    book = portal.associations
    if not (text.isascii() and text.isdigit()):
        for kind in book.types_between(pair.start.plural, pair.end.plural):
            if kind.name == text.lower():
                return kind
        raise validation(f"No association type {text} is defined from {pair.start.type_id} to {pair.end.type_id}")
    type_id = int(text[:10])
    own = book.type("USER_DEFINED", type_id)
    if own is not None and (own.from_type, own.to_type) == (pair.start.plural, pair.end.plural):
        return own
    return _of_pair(pair, book.type("HUBSPOT_DEFINED", type_id), type_id)


def _of_pair(pair: Pair, kind: AssociationType | None, type_id: int) -> AssociationType:
    if kind is None or kind.from_type != pair.start.plural:
        raise wrong_kind(pair.start, kind, type_id)
    if kind.to_type != pair.end.plural:
        raise validation(
            f"invalid to object type {pair.end.type_id} for associations to be created. For definition 0-{type_id}"
        )
    return kind


def _number(portal: Portal, id_: int) -> int | str:
    return id_ if portal.behaviour.association_ids == "number" else str(id_)

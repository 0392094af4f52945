"""The association endpoints for many pairs at once, of v4 and of v3, and the labels of an account.

Knows ceilings and what one bad input does. Must not know HTTP beyond a `Call` and its `Answer`. A record that does not
exist is an error entry; a type that does not exist, or belongs to other objects, refuses the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from .associations import AssociationType
from .bodies import AssociationTypeInput, Target, decoder, missing_fields, parse
from .calls import Answer, Call
from .crm import invalid_targets
from .links import (
    MAX_PAGE,
    Pair,
    as_id,
    cursor,
    default_kind,
    kind_named,
    kinds_named,
    labels_between,
    object_id,
    pair_of,
    show_default,
    show_end,
)
from .portal import Portal
from .refusals import Refusal, validation
from .times import iso

__all__ = [
    "archive",
    "archive_labels",
    "archive_v3",
    "associate_default",
    "create",
    "create_label",
    "create_v3",
    "list_labels",
    "read",
    "read_v3",
    "usage_report",
]

MAX_CREATE = 2000
MAX_READ = 1000
MAX_ARCHIVE = 100

Json = dict[str, Any]
T = TypeVar("T")


class PairInput(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """Two records."""

    start: Target
    end: Target


class LabelledInput(PairInput, rename={"start": "from", "end": "to"}):
    """Two records and the types between them."""

    types: list[AssociationTypeInput]


class NamedInput(PairInput, rename={"start": "from", "end": "to"}):
    """Two records and the type between them, as v3 names it."""

    type: str | int


class FanInput(msgspec.Struct, rename={"start": "from", "ends": "to"}):
    """One record and those it is to be parted from."""

    start: Target
    ends: list[Target]


class PageInput(msgspec.Struct):
    """A record whose associations are wanted, from a cursor on."""

    id: str | int
    after: str | int | None = None


class Pairs(msgspec.Struct):
    """The body of `associate/default`."""

    inputs: list[PairInput] | None = None


class LabelledPairs(msgspec.Struct):
    """The body of `create` and `labels/archive`."""

    inputs: list[LabelledInput] | None = None


class NamedPairs(msgspec.Struct):
    """The body of v3's `create` and `archive`."""

    inputs: list[NamedInput] | None = None


class Fans(msgspec.Struct):
    """The body of `archive`."""

    inputs: list[FanInput] | None = None


class Pages(msgspec.Struct):
    """The body of `read`."""

    inputs: list[PageInput] | None = None


class NewLabel(msgspec.Struct, rename="camel"):
    """The body of a new label."""

    label: str
    name: str
    inverse_label: str | None = None


_pairs = decoder(Pairs)
_labelled = decoder(LabelledPairs)
_named = decoder(NamedPairs)
_fans = decoder(Fans)
_pages = decoder(Pages)
_label = decoder(NewLabel)


def create(portal: Portal, call: Call) -> Answer:
    """v4 `batch/create`: adds types to those that are there."""
    pair = pair_of(call)
    inputs = _inputs(portal, call, parse(_labelled, call.body).inputs, MAX_CREATE)
    kinds = [kinds_named(portal, pair, given.types) for given in inputs]

    def carry_out(place: int, start: int, end: int) -> list[Json]:
        for kind in kinds[place]:
            portal.associations.tie(start, kind, end)
        return [labels_between(portal, pair, start, end)]

    # The published schema of 2026-09 has 200 where the others have 201.
    return _made(portal, call, pair, inputs, carry_out, 200 if call.captures.get("version") == "2026-09" else 201)


def associate_default(portal: Portal, call: Call) -> Answer:
    """v4 `batch/associate/default`: the unlabeled tie of each pair."""
    pair = pair_of(call)
    inputs = _inputs(portal, call, parse(_pairs, call.body).inputs, MAX_CREATE)
    kind = default_kind(portal, pair)

    def carry_out(_: int, start: int, end: int) -> list[Json]:
        portal.associations.tie(start, kind, end)
        return show_default(portal, kind, start, end)

    # No published schema of this call knows 207: its 200 carries the errors.
    return Answer(200, _made(portal, call, pair, inputs, carry_out, 200).payload)


def create_v3(portal: Portal, call: Call) -> Answer:
    """v3 `batch/create`: each input names its type."""
    pair = pair_of(call)
    inputs = _inputs(portal, call, parse(_named, call.body).inputs, MAX_CREATE)
    kinds = [kind_named(portal, pair, str(given.type)) for given in inputs]

    def carry_out(place: int, start: int, end: int) -> list[Json]:
        kind = kinds[place]
        portal.associations.tie(start, kind, end)
        return [{"from": {"id": str(start)}, "to": {"id": str(end)}, "type": kind.name}]

    return _made(portal, call, pair, inputs, carry_out, 201)


def read(portal: Portal, call: Call) -> Answer:
    """v4 `batch/read`: a page of each record's associations; a record without any is an error entry."""
    return _read(portal, call, lambda end, kinds: [show_end(portal, end, kinds)])


def read_v3(portal: Portal, call: Call) -> Answer:
    """v3 `batch/read`: ids with the name of each type."""
    return _read(portal, call, lambda end, kinds: [{"id": str(end), "type": kind.name} for kind in kinds])


def archive(portal: Portal, call: Call) -> Answer:
    """v4 `batch/archive`: everything between each record and those it names."""
    pair = pair_of(call)
    for given in _inputs(portal, call, parse(_fans, call.body).inputs, MAX_ARCHIVE):
        for target in given.ends:
            start, end = as_id(given.start.id), as_id(target.id)
            if start is not None and end is not None:
                portal.associations.untie(pair.start.plural, start, pair.end.plural, end)
    return _gone(portal, call)


def archive_labels(portal: Portal, call: Call) -> Answer:
    """v4 `batch/labels/archive`: single types; with the unlabeled one all of them."""
    pair = pair_of(call)
    inputs = _inputs(portal, call, parse(_labelled, call.body).inputs, MAX_CREATE)
    kinds = [kinds_named(portal, pair, given.types) for given in inputs]
    _part(portal, inputs, kinds)
    return _gone(portal, call)


def archive_v3(portal: Portal, call: Call) -> Answer:
    """v3 `batch/archive`."""
    pair = pair_of(call)
    inputs = _inputs(portal, call, parse(_named, call.body).inputs, MAX_CREATE)
    kinds = [[kind_named(portal, pair, str(given.type))] for given in inputs]
    _part(portal, inputs, kinds)
    return Answer(204)


def list_labels(portal: Portal, call: Call) -> Answer:
    """`GET …/{from}/{to}/labels`: every type of the pair; `label` is null for the unlabeled one."""
    pair = pair_of(call)
    kinds = portal.associations.types_between(pair.start.plural, pair.end.plural)
    return Answer(200, {"results": [_shown_kind(kind) for kind in kinds]})


def create_label(portal: Portal, call: Call) -> Answer:
    """`POST …/{from}/{to}/labels`: a label of the account's own; answers its types, there and back."""
    pair = pair_of(call)
    given = parse(_label, call.body)
    if not given.label or not given.name:
        raise validation("A label needs a label and a name")
    known = portal.associations.types_between(pair.start.plural, pair.end.plural)
    if any(given.name == kind.name or given.label == kind.label for kind in known):
        raise Refusal(409, f"An association label named {given.name} already exists", category="OBJECT_ALREADY_EXISTS")
    made = portal.associations.add_label(
        pair.start.plural, pair.end.plural, given.name, given.label, given.inverse_label
    )
    return Answer(200, {"results": [_shown_kind(kind) for kind in made]})


def usage_report(portal: Portal, call: Call) -> Answer:
    """`POST …/usage/high-usage-report/{userId}`: the report itself goes by e-mail, which nobody gets here."""
    user = as_id(call.captures["user_id"])
    if user is None:
        raise Refusal(404, f"User {call.captures['user_id']} does not exist", category="OBJECT_NOT_FOUND")
    at = iso(call.now_ms, portal.behaviour.always_milliseconds)
    return Answer(200, {"userId": user, "userEmail": f"user-{user}@example.com", "enqueueTime": at})


def _inputs(portal: Portal, call: Call, inputs: list[T] | None, ceiling: int) -> list[T]:
    if inputs is None:
        if portal.behaviour.accept_missing_inputs:
            return []
        raise missing_fields("inputs")
    if len(inputs) > ceiling:
        raise validation(
            f"The maximum number of inputs supported in a batch is {ceiling}."
            " Please reduce the number of items and try again"
        )
    return inputs if call.only_inputs is None else inputs[: call.only_inputs]


def _made(
    portal: Portal,
    call: Call,
    pair: Pair,
    inputs: list[Any],
    carry_out: Callable[[int, int, int], list[Json]],
    status: int,
) -> Answer:
    results: list[Json] = []
    errors: list[Json] = []
    for place, given in enumerate(inputs):
        start = object_id(portal, pair.start, str(given.start.id))
        end = object_id(portal, pair.end, str(given.end.id))
        if start is None or end is None:
            wrong = [(pair.start, str(given.start.id))] if start is None else [(pair.end, str(given.end.id))]
            errors.append(invalid_targets(wrong).entry())
        else:
            results += carry_out(place, start, end)
    return _answer(portal, call, status, results, errors)


def _read(portal: Portal, call: Call, show: Callable[[int, Any], list[Json]]) -> Answer:
    pair = pair_of(call)
    results: list[Json] = []
    errors: list[Json] = []
    for given in _inputs(portal, call, parse(_pages, call.body).inputs, MAX_READ):
        id_ = str(given.id)
        start = object_id(portal, pair.start, id_)
        after = cursor(given.after)
        page, following = (
            ([], None)
            if start is None
            else portal.tied(pair.start.plural, start, pair.end.plural, start=after, limit=MAX_PAGE)
        )
        if not page:
            errors.append(_no_associations(pair, id_))
            continue
        result: Json = {"from": {"id": id_}, "to": [shown for end, kinds in page for shown in show(end, kinds)]}
        if following is not None:
            link = f"{call.url.partition('/crm/')[0]}/crm/v3/objects/{pair.start.plural}/{id_}/associations"
            after_text = str(following)
            result["paging"] = {"next": {"after": after_text, "link": f"{link}/{pair.end.plural}?after={after_text}"}}
        results.append(result)
    return _answer(portal, call, 200, results, errors)


def _no_associations(pair: Pair, id_: str) -> Json:
    """What HubSpot says of a record that has none: an error entry, though nothing is wrong."""
    start, end = pair.start.internal.lower(), pair.end.internal.lower()
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {end.replace('_', ' ')} is associated with {start.replace('_', ' ')} {id_}.",
        "context": {"fromObjectId": [id_], "fromObjectType": [start], "toObjectType": [end]},
    }


def _part(portal: Portal, inputs: list[Any], kinds: list[list[AssociationType]]) -> None:
    for given, unwanted in zip(inputs, kinds, strict=True):
        start, end = as_id(given.start.id), as_id(given.end.id)
        if start is not None and end is not None:
            portal.associations.remove(start, end, unwanted)


def _shown_kind(kind: AssociationType) -> Json:
    return {"category": kind.category, "typeId": kind.type_id, "label": kind.label}


def _gone(portal: Portal, call: Call) -> Answer:
    """204, but 200 with an empty batch answer on the dated paths."""
    return _answer(portal, call, 200, [], []) if "version" in call.captures else Answer(204)


def _answer(portal: Portal, call: Call, status: int, results: list[Json], errors: list[Json]) -> Answer:
    three_digits = portal.behaviour.always_milliseconds
    payload: Json = {"status": "COMPLETE", "results": results}
    if errors:
        payload["numErrors"] = len(errors)
        payload["errors"] = errors
    payload["startedAt"] = iso(call.now_ms, three_digits)
    payload["completedAt"] = iso(portal.clock.wall_ms(), three_digits)
    return Answer(207 if errors else status, payload)

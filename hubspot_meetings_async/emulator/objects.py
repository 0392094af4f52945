"""The endpoints for one record and for lists: `/crm/v3/objects/meetings` and its dated twins.

Knows HubSpot's rules for them. Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from .bodies import CreateInput, PatchInput, decoder, parse
from .calls import Answer, Call, crm_of
from .crm import Crm
from .portal import Portal
from .records import Record
from .refusals import not_found, validation

__all__ = ["archive", "create", "get", "list_page", "update"]

DEFAULT_PAGE = 10
MAX_PAGE = 100
MAX_PAGE_WITH_HISTORY = 50

_create = decoder(CreateInput)
_patch = decoder(PatchInput)


def list_page(portal: Portal, call: Call) -> Answer:
    """`GET /{objectType}`: a page in order of ids; the cursor is the id of the next record."""
    crm = crm_of(portal, call)
    history = call.many("propertiesWithHistory")
    limit = _limit(call.one("limit"), MAX_PAGE_WITH_HISTORY if history else MAX_PAGE)
    start = _cursor(call.one("after"))
    records, following = crm.store.page(start=start, limit=limit, archived=call.flag("archived"))
    asked, associations = [*call.many("properties"), *history], call.many("associations")
    payload: dict[str, Any] = {
        "results": [
            _shown(crm, record, asked, history, associations, f"{call.url}/{record.id}" if associations else "")
            for record in records
        ]
    }
    if following is not None:
        after = str(following)
        query = [(name, value) for name, values in call.query.items() for value in values if name != "after"]
        payload["paging"] = {"next": {"after": after, "link": f"{call.url}?{urlencode([*query, ('after', after)])}"}}
    return Answer(200, payload)


def create(portal: Portal, call: Call) -> Answer:
    """`POST /{objectType}`."""
    crm = crm_of(portal, call)
    given = parse(_create, call.body)
    values = crm.screen_new(given.properties, call.now_ms)
    ties = crm.ties(given.associations)
    crm.need_free(values)
    record = crm.add(values, ties, now_ms=call.now_ms, request=call.number)
    shown = crm.show_written(record, values, new=True)
    if portal.behaviour.echo_trace_id and given.object_write_trace_id is not None:
        shown["objectWriteTraceId"] = given.object_write_trace_id
    # Of all published schemas only the newest one names this header.
    headers = {"Location": f"{call.url}/{record.id}"} if call.captures.get("version") == "2026-09" else {}
    return Answer(201, shown, headers)


def get(portal: Portal, call: Call) -> Answer:
    """`GET /{objectType}/{id}`; with `archived=true` only an archived record is found."""
    crm = crm_of(portal, call)
    record = _named(crm, call, reading=True, archived=call.flag("archived"))
    history = call.many("propertiesWithHistory")
    asked = [*call.many("properties"), *history]
    url = f"{call.url.rpartition('/')[0]}/{record.id}"
    return Answer(200, _shown(crm, record, asked, history, call.many("associations"), url))


def update(portal: Portal, call: Call) -> Answer:
    """`PATCH /{objectType}/{id}`."""
    crm = crm_of(portal, call)
    given = parse(_patch, call.body)
    record = _named(crm, call, reading=False, archived=False)
    changes = crm.screen_changes(record, given.properties)
    crm.need_free(changes, own_id=record.id)
    crm.change(record, changes, now_ms=call.now_ms, request=call.number)
    return Answer(200, crm.show_written(record, changes, new=False))


def archive(portal: Portal, call: Call) -> Answer:
    """`DELETE /{objectType}/{id}`: 204 also when there is nothing to archive."""
    crm = crm_of(portal, call)
    record = crm.find(call.captures["id"])
    if record is not None:
        crm.store.archive(record, now_ms=call.now_ms, request=call.number)
    return Answer(204)


def _named(crm: Crm, call: Call, *, reading: bool, archived: bool) -> Record:
    id_ = call.captures["id"]
    id_property = call.one("idProperty")
    if id_property is not None:
        crm.need_unique(id_property, reading=reading)
    record = crm.find(id_, id_property, archived=archived)
    if record is None and id_property is None and not archived:
        record = crm.heir(id_)
    if record is None:
        raise not_found(id_)
    return record


def _shown(
    crm: Crm, record: Record, asked: Iterable[str], history: list[str], associations: list[str], url: str
) -> dict[str, Any]:
    shown = crm.show(record, asked)
    if history:
        shown["propertiesWithHistory"] = crm.show_history(record, history)
    if associations:
        ties = crm.show_associations(record, associations, url)
        if ties:
            shown["associations"] = ties
    return shown


def _limit(text: str | None, highest: int) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= highest:
        raise validation(f"limit must be a number from 1 to {highest}, not {text}")
    return int(text)


def _cursor(text: str | None) -> int:
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise validation(f"after is not a cursor of this endpoint: {text}")
    return int(text)

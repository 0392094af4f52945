"""The two endpoints that make records disappear for good: merge, and delete for data protection.

HubSpot publishes them for 2025-09 and 2026-09 only. Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

import msgspec

from .bodies import decoder, parse
from .calls import Answer, Call, crm_of
from .crm import Crm
from .portal import Portal
from .records import Record
from .refusals import Refusal, not_found, validation

__all__ = ["gdpr_delete", "merge"]

MAX_IDENTITIES = 250
"""Records that one record may be merged from (HubSpot's error guide)."""


class MergeInput(msgspec.Struct, rename="camel"):
    """Who stays, and who goes."""

    primary_object_id: str | int
    object_id_to_merge: str | int


class GdprInput(msgspec.Struct, rename="camel"):
    """Whom to delete; by a unique property if named."""

    object_id: str | int
    id_property: str | None = None


_merge = decoder(MergeInput)
_gdpr = decoder(GdprInput)


def merge(portal: Portal, call: Call) -> Answer:
    """`POST …/merge`: the primary keeps its values, takes what it lacks and all ties from the other, which goes."""
    crm = crm_of(portal, call)
    given = parse(_merge, call.body)
    primary = _live(crm, given.primary_object_id)
    other = _live(crm, given.object_id_to_merge)
    if primary is other:
        raise validation(f"Object {primary.id} can not be merged with itself")
    merged = [str(id_) for id_, heir in crm.merged.items() if heir in (primary.id, other.id)]
    if len(merged) + 2 > MAX_IDENTITIES:
        raise Refusal(414, f"A record can not be merged from more than {MAX_IDENTITIES} records")
    values, spare = primary.properties(), other.properties()
    changes = {name: value for name, value in spare.items() if value and not values.get(name)}
    changes["hs_merged_object_ids"] = ";".join([*merged, str(other.id)])
    crm.store.remove(other)
    crm.change(primary, changes, now_ms=call.now_ms, request=call.number)
    portal.associations.move(crm.type.plural, other.id, primary.id)
    crm.take_over(other.id, primary.id)
    return Answer(200, crm.show(primary, ("hs_merged_object_ids",)))


def gdpr_delete(portal: Portal, call: Call) -> Answer:
    """`POST …/gdpr-delete`: the record, its history and its ties are gone; 204 also when there is nothing."""
    crm = crm_of(portal, call)
    given = parse(_gdpr, call.body)
    crm.need_unique(given.id_property, reading=True)
    id_ = str(given.object_id)
    record = crm.find(id_, given.id_property) or crm.find(id_, given.id_property, archived=True)
    if record is not None:
        portal.associations.forget(crm.type.plural, record.id)
        crm.store.remove(record)
    return Answer(204)


def _live(crm: Crm, id_: str | int) -> Record:
    record = crm.find(str(id_)) or crm.heir(str(id_))
    if record is None:
        raise not_found(str(id_))
    return record

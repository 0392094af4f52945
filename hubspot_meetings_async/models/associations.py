"""Links between records: what makes one, what HubSpot says of one, and the numbers of their types.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels. Record ids
are strings here, always: HubSpot sends some as numbers.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct, field
from msgspec.structs import force_setattr

from ..errors import ConfigurationError, HubSpotError, InvalidRecord
from .forms import Paging, Received, Sent
from .values import kind_of

__all__ = [
    "MEETING_TO",
    "TO_MEETING",
    "AssociatedId",
    "AssociatedIds",
    "AssociatedRecord",
    "AssociatedRecords",
    "Association",
    "AssociationLabel",
    "AssociationType",
    "AssociationTypeId",
    "DefaultAssociation",
    "LabelsBetween",
    "LinkAnswer",
    "LinkFailure",
    "LinkReport",
    "NamedLink",
    "NamedLinks",
    "ObjectId",
    "RecordId",
    "association",
    "to_appointment",
    "to_company",
    "to_contact",
    "to_course",
    "to_deal",
    "to_lead",
    "to_listing",
    "to_order",
    "to_service",
    "to_ticket",
]

T = TypeVar("T")

if TYPE_CHECKING:
    _Id = str
else:
    _Id = str | int  # on the wire; `__post_init__` leaves strings only

# ---- what goes out ------------------------------------------------------------------------------------------------


class ObjectId(Sent, frozen=True):
    """The id of a record: a string of digits on the wire."""

    id: str


class AssociationType(Sent, frozen=True):
    """Which kind of link: HubSpot's number for the type, in the direction *from → to*, and its category.

    Categories: `HUBSPOT_DEFINED`, `USER_DEFINED`, `INTEGRATOR_DEFINED`, `WORK`.
    """

    association_category: str
    association_type_id: int


class Association(Sent, frozen=True):
    """One record that a new meeting is linked to, and by which types. `to_contact(101)` makes the usual one."""

    to: ObjectId
    types: tuple[AssociationType, ...]


class AssociationTypeId(IntEnum):
    """HubSpot's own unlabeled types between meetings and other records (category `HUBSPOT_DEFINED`), both directions.

    A link exists in both directions at once, each with its own number; a call names the one of its direction.

    HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide (association type ids)
    """

    MEETING_TO_CONTACT = 200
    MEETING_TO_COMPANY = 188
    MEETING_TO_DEAL = 212
    MEETING_TO_TICKET = 226
    MEETING_TO_LEAD = 601
    MEETING_TO_ORDER = 769
    MEETING_TO_APPOINTMENT = 919
    MEETING_TO_COURSE = 873
    MEETING_TO_LISTING = 897
    MEETING_TO_SERVICE = 839

    CONTACT_TO_MEETING = 199
    COMPANY_TO_MEETING = 187
    DEAL_TO_MEETING = 211
    TICKET_TO_MEETING = 225
    LEAD_TO_MEETING = 600
    ORDER_TO_MEETING = 768
    APPOINTMENT_TO_MEETING = 918
    COURSE_TO_MEETING = 872
    LISTING_TO_MEETING = 896
    SERVICE_TO_MEETING = 838
    PROJECT_TO_MEETING = 1255

    @property
    def type(self) -> AssociationType:
        """The type with its category, as links take it."""
        return AssociationType("HUBSPOT_DEFINED", int(self))


_FROM, _TO = "MEETING_TO_", "_TO_MEETING"

MEETING_TO: Final[Mapping[str, AssociationTypeId]] = MappingProxyType(
    {kind.name.removeprefix(_FROM).lower(): kind for kind in AssociationTypeId if kind.name.startswith(_FROM)}
)
"""The type of a link from a meeting, by the other object (`"contact"`)."""

TO_MEETING: Final[Mapping[str, AssociationTypeId]] = MappingProxyType(
    {kind.name.removesuffix(_TO).lower(): kind for kind in AssociationTypeId if kind.name.endswith(_TO)}
)
"""The type of a link to a meeting, by the other object (`"contact"`)."""

_MOST_TYPE_ID = 2**31 - 1


def association(
    object_type: str, object_id: str | int, *, type_id: int | None = None, category: str = "HUBSPOT_DEFINED"
) -> Association:
    """Link a new meeting to any record, by a type of your choice.

        association("contact", 101, type_id=37, category="USER_DEFINED")     # a label of the account's own

    Without `type_id`, `object_type` is one of `MEETING_TO` and the usual type is taken. The type is the one *from* the
    meeting; `hubspot.associations.labels("meetings", "contacts")` lists those of the account.

    Raises: InvalidRecord for an id that is no number; ConfigurationError for a type that can not be.
    """
    if type_id is None:
        if object_type not in MEETING_TO:
            raise ConfigurationError(
                f"HubSpot has no usual type from meetings to {object_type!r}; give type_id= and category=, or one of "
                f"{', '.join(MEETING_TO)}"
            )
        type_id = MEETING_TO[object_type]
    if isinstance(type_id, bool) or not 0 < type_id <= _MOST_TYPE_ID:
        raise ConfigurationError(f"type_id is HubSpot's number of an association type, not {type_id!r}")
    return Association(ObjectId(_id_text(object_type, object_id)), (AssociationType(category, int(type_id)),))


def _maker(object_type: str) -> Callable[[str | int], Association]:
    type_id = MEETING_TO[object_type]
    types = (type_id.type,)

    def make(object_id: str | int) -> Association:
        return Association(ObjectId(_id_text(object_type, object_id)), types)

    make.__name__ = make.__qualname__ = f"to_{object_type}"
    make.__doc__ = f"Link a new meeting to the {object_type} with this id (HubSpot's association type {int(type_id)})."
    return make


def _id_text(object_type: str, object_id: object) -> str:
    if isinstance(object_id, int) and not isinstance(object_id, bool) and 0 <= object_id < 10**20:
        return str(object_id)
    if isinstance(object_id, str) and object_id.isascii() and object_id.isdigit() and len(object_id) <= 20:
        return object_id
    shown = repr(object_id[:40]) if isinstance(object_id, str) else kind_of(object_id)
    raise InvalidRecord(f"a {object_type} id is a number, not {shown}")


to_contact = _maker("contact")
to_company = _maker("company")
to_deal = _maker("deal")
to_ticket = _maker("ticket")
to_lead = _maker("lead")
to_order = _maker("order")
to_appointment = _maker("appointment")
to_course = _maker("course")
to_listing = _maker("listing")
to_service = _maker("service")


# ---- what comes back ----------------------------------------------------------------------------------------------


class RecordId(Received, frozen=True, kw_only=True):
    """One end of a link."""

    id: _Id

    def __post_init__(self) -> None:
        _as_text(self, "id", self.id)


class AssociatedId(Received, frozen=True, kw_only=True):
    """An associated record; `type` is the association's name, for example `meeting_event_to_contact`."""

    id: _Id
    type: str = ""

    def __post_init__(self) -> None:
        _as_text(self, "id", self.id)


class AssociatedIds(Received, frozen=True, kw_only=True):
    """The first associated records of one object type; more may be behind `paging`."""

    results: tuple[AssociatedId, ...] = ()
    paging: Paging | None = None


class AssociationLabel(Received, frozen=True, kw_only=True):
    """One type of link: `label` is None for the plain one of a pair of objects."""

    category: str
    type_id: int
    label: str | None = None

    @property
    def type(self) -> AssociationType:
        """The same as links take it."""
        return AssociationType(self.category, self.type_id)


class AssociatedRecord(Received, frozen=True, kw_only=True):
    """A record at the other end, and all types it is linked by."""

    to_object_id: _Id
    association_types: tuple[AssociationLabel, ...] = ()

    def __post_init__(self) -> None:
        _as_text(self, "to_object_id", self.to_object_id)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels among the types."""
        return tuple(kind.label for kind in self.association_types if kind.label is not None)


class AssociatedRecords(Received, frozen=True, kw_only=True):
    """One record of a batch read with (a page of) what it is linked to."""

    from_: RecordId = field(name="from")
    to: tuple[AssociatedRecord, ...] = ()
    paging: Paging | None = None

    @property
    def after(self) -> str | None:
        """The cursor of this record's next page, or None on the last one."""
        return self.paging.next.after if self.paging is not None and self.paging.next is not None else None


class DefaultAssociation(Received, frozen=True, kw_only=True):
    """A plain link that was made, in one of its two directions."""

    from_: RecordId = field(name="from")
    to: RecordId
    association_spec: AssociationType | None = None


class LabelsBetween(Received, frozen=True, kw_only=True):
    """Two records and the labels between them now; a plain link has none."""

    from_object_id: _Id
    to_object_id: _Id
    from_object_type_id: str | None = None
    to_object_type_id: str | None = None
    labels: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        _as_text(self, "from_object_id", self.from_object_id)
        _as_text(self, "to_object_id", self.to_object_id)


class NamedLink(Received, frozen=True, kw_only=True):
    """A link as v3 says it: `type` is its name, for example `meeting_event_to_contact`."""

    from_: RecordId = field(name="from")
    to: RecordId
    type: str | None = None


class NamedLinks(Received, frozen=True, kw_only=True):
    """One record of a v3 batch read with (a page of) what it is linked to."""

    from_: RecordId = field(name="from")
    to: tuple[AssociatedId, ...] = ()
    paging: Paging | None = None


class LinkFailure(Struct, frozen=True):
    """A pair of records that was not linked (or parted), and why."""

    from_id: str
    to_id: str
    error: HubSpotError


class LinkAnswer(Struct, Generic[T], frozen=True):
    """What became of one batch of links: `results` in HubSpot's order, and a failure for each pair not carried out."""

    results: tuple[T, ...]
    failures: tuple[LinkFailure, ...] = ()


class LinkReport(Struct, frozen=True):
    """What became of any number of links: `done + len(failures)` is the number of links given."""

    done: int
    failures: tuple[LinkFailure, ...] = ()


def _as_text(record: Struct, name: str, value: object) -> None:
    if not isinstance(value, str):
        force_setattr(record, name, str(value))

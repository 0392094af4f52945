"""Everything HubSpot sends or takes, as msgspec Structs; a module a topic.

This package knows the fields and their forms. It must not know URLs, status codes, or how anything travels.
Property keys stay as HubSpot spells them; all other names are HubSpot's in snake case. "Not given" is `UNSET`;
`None` is HubSpot's null. Fields that HubSpot adds later are ignored on purpose.
"""

from .forms import BatchError, BatchResponse, NextPage, Page, Paging
from .meetings import (
    AssociatedId,
    AssociatedIds,
    Association,
    AssociationType,
    LocationType,
    Meeting,
    MeetingOutcome,
    MeetingProperties,
    Notice,
    ObjectId,
    PropertyVersion,
    UpsertedMeeting,
    to_company,
    to_contact,
    to_deal,
    to_ticket,
)
from .typed import property_names, read_as, read_properties
from .values import PropertyValue, property_values

__all__ = [
    "AssociatedId",
    "AssociatedIds",
    "Association",
    "AssociationType",
    "BatchError",
    "BatchResponse",
    "LocationType",
    "Meeting",
    "MeetingOutcome",
    "MeetingProperties",
    "NextPage",
    "Notice",
    "ObjectId",
    "Page",
    "Paging",
    "PropertyValue",
    "PropertyVersion",
    "UpsertedMeeting",
    "property_names",
    "property_values",
    "read_as",
    "read_properties",
    "to_company",
    "to_contact",
    "to_deal",
    "to_ticket",
]

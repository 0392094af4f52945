"""Which call needs which scope, and HubSpot's 403 for a token that has none of them.

Knows operations by name. Must not know tokens, requests or records.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from .refusals import Refusal

__all__ = ["missing_scopes"]

_READ = ("crm.objects.contacts.read", "crm.objects.meetings.read")
_WRITE = ("crm.objects.contacts.write", "crm.objects.meetings.write")
_LINK_READ = ("scheduler.meetings.meeting-link.read",)
_LINK_WRITE = (
    "crm.objects.contacts.write",
    "crm.objects.companies.write",
    "crm.objects.deals.write",
    "tickets",
    "meetings-write",
)
"""Those the 403 names; any write scope of the objects a meeting can be tied to will do."""
_ANY_LINK_WRITE = re.compile(
    r"crm\.objects\.(contacts|companies|deals|appointments|courses|listings|services|projects|products|line_items|goals"
    r"|commercepayments|meetings)(\.(highly_)?sensitive)?\.write(\.v2)?"
    r"|tickets(\.(highly_)?sensitive(\.v2)?)?|meetings-write"
)
_READING = re.compile(r"list|get|search|(batch_)?read|.*_read|labels|usage_report|booking_info|availability")
_LINK_READING = ("list", "booking_info", "availability")
_FAMILIES = ("meetings", "properties", "associations", "contacts", "companies", "deals", "tickets")


def missing_scopes(operation: str, scopes: Collection[str]) -> Refusal | None:
    """The 403 for a call beyond these scopes; None when they suffice."""
    family, _, verb = operation.partition(".")
    if family == "scheduler":
        if verb in _LINK_READING:
            return None if any(scope in scopes for scope in _LINK_READ) else _refusal(_LINK_READ)
        return None if any(_ANY_LINK_WRITE.fullmatch(scope) for scope in scopes) else _refusal(_LINK_WRITE)
    if family not in _FAMILIES:
        return None
    needed: tuple[str, ...] = _READ if _READING.fullmatch(verb) else _WRITE
    if family == "tickets":
        needed = ("tickets",)
    elif family in ("companies", "deals"):
        needed = (needed[0].replace("contacts", family),)
    return None if any(scope in scopes for scope in needed) else _refusal(needed)


def _refusal(needed: Collection[str]) -> Refusal:
    return Refusal(
        403,
        "This app hasn't been granted all required scopes to make this call. Read more about required scopes here:"
        " https://developers.hubspot.com/scopes.",
        category="MISSING_SCOPES",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(needed)},
            }
        ],
        extra={"links": {"scopes": "https://developers.hubspot.com/scopes"}},
    )

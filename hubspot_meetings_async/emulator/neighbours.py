"""The objects that meetings are tied to: the few properties a test writes to contacts, companies, deals and tickets.

Knows names and types. Must not know records or requests; HubSpot's own lists are a hundred times as long.
"""

from __future__ import annotations

from .definitions import Definition, ModificationMetadata, PropertyType, contact_definitions, system_definitions

__all__ = ["definitions_of"]

_WRITABLE = ModificationMetadata(archivable=False, read_only_definition=True)
_FIELD_TYPES: dict[PropertyType, str] = {"string": "text", "number": "number", "datetime": "date"}
_NAMED: dict[str, dict[str, PropertyType]] = {
    "contacts": {"phone": "string", "company": "string", "jobtitle": "string", "lifecyclestage": "string"},
    "companies": {"name": "string", "domain": "string", "phone": "string", "website": "string", "city": "string"},
    "deals": {
        "dealname": "string",
        "amount": "number",
        "pipeline": "string",
        "dealstage": "string",
        "closedate": "datetime",
    },
    "tickets": {"subject": "string", "content": "string", "hs_pipeline": "string", "hs_pipeline_stage": "string"},
}


def definitions_of(plural: str) -> list[Definition]:
    """The properties of a fresh account for every object type but meetings."""
    own = [
        Definition(
            name=name,
            label=name.removeprefix("hs_").replace("_", " ").capitalize(),
            type=type_,
            field_type=_FIELD_TYPES[type_],
            group_name=f"{plural}information",
            hubspot_defined=True,
            modification_metadata=_WRITABLE,
        )
        for name, type_ in _NAMED.get(plural, {}).items()
    ]
    return [*own, *(contact_definitions() if plural == "contacts" else system_definitions())]

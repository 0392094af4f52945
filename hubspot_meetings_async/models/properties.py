"""Definitions of properties: what an account's meetings can hold, and which values a property takes.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from .forms import Received, Sent

__all__ = ["ModificationMetadata", "NewOption", "NewProperty", "Problem", "PropertyDefinition", "PropertyOption"]


class PropertyOption(Received, frozen=True, kw_only=True):
    """One allowed value of an enumeration: `value` is what is written, `label` what people see."""

    value: str = ""
    label: str | None = None
    description: str | None = None
    display_order: int | None = None
    hidden: bool | None = None


class ModificationMetadata(Received, frozen=True, kw_only=True):
    """What may be changed about a property; `read_only_value`: only HubSpot writes its values."""

    archivable: bool | None = None
    read_only_definition: bool | None = None
    read_only_options: bool | None = None
    read_only_value: bool | None = None


class PropertyDefinition(Received, frozen=True, kw_only=True):
    """One property of meetings.

    `type` is `string`, `number`, `bool`, `date`, `datetime`, `enumeration` or one of a few special ones; `field_type`
    how forms show it (`checkbox`: several values, joined by `;`). `external_options`: the options live elsewhere, for
    example owners. What HubSpot did not say is None.
    """

    name: str
    label: str | None = None
    type: str | None = None
    field_type: str | None = None
    group_name: str | None = None
    description: str | None = None
    options: tuple[PropertyOption, ...] | None = None
    has_unique_value: bool | None = None
    calculated: bool | None = None
    external_options: bool | None = None
    hidden: bool | None = None
    hubspot_defined: bool | None = None
    archived: bool | None = None
    form_field: bool | None = None
    display_order: int | None = None
    data_sensitivity: str | None = None
    referenced_object_type: str | None = None
    modification_metadata: ModificationMetadata | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def writable(self) -> bool:
        """Whether a value can be written: HubSpot neither keeps it to itself nor calculates it."""
        metadata = self.modification_metadata
        return not (self.calculated or self.archived or (metadata is not None and metadata.read_only_value))

    @property
    def allowed(self) -> tuple[str, ...] | None:
        """The values an enumeration takes; None where any will do, or where the options live elsewhere."""
        if self.type != "enumeration" or self.external_options or not self.options:
            return None
        return tuple(option.value for option in self.options)


class Problem(Struct, frozen=True):
    """Why HubSpot would refuse a property; `code` is one of HubSpot's (`PROPERTY_DOESNT_EXIST`, `INVALID_OPTION`, …)
    or `INVALID_VALUE` for what can not be sent at all."""

    property_name: str
    code: str
    message: str

    def __str__(self) -> str:
        return self.message


class NewOption(Sent, frozen=True):
    """An option of a property to be created."""

    label: str
    value: str
    display_order: int = -1
    hidden: bool = False


class NewProperty(Sent, frozen=True, kw_only=True):
    """The body of a property to be created."""

    name: str
    label: str
    type: str
    field_type: str
    group_name: str
    description: str = ""
    options: tuple[NewOption, ...] = ()
    has_unique_value: bool = False

"""What a copy is to be of: what was asked for, what it has been of so far, and what the account has.

This module knows selections and definitions. It must not know stores, files or requests.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from ..errors import ConfigurationError, printable, shown
from ..models import MEETING_TO, MeetingProperties, PropertyDefinition, property_names
from .columns import Kept, Selection, columns_of

__all__ = ["Wanted", "planned"]

Wanted = Literal["usual", "all"] | Iterable[str]
"""Properties of a copy: the documented ones and the account's own (`"usual"`), all there are, or these."""

_PLURALS: Final = {kind: "companies" if kind == "company" else f"{kind}s" for kind in MEETING_TO}


def planned(
    kept: Kept | None,
    *,
    portal: str | None,
    properties: Wanted | None,
    associations: Iterable[str],
    definitions: Mapping[str, PropertyDefinition],
) -> Kept:
    """What the copy is of from now on: never less than before. `properties` None: as it was, or the usual ones.

    Raises: ConfigurationError for a copy of another account, and for properties that the account does not have.
    """
    before = kept or Kept(portal=portal)
    if portal is not None and before.portal is not None and portal != before.portal:
        raise ConfigurationError(
            f"the copy is of the account {before.portal}, and the token is for {portal}; name another copy"
        )
    selection = before.selection if properties is None else _selection(properties)
    names = _names(selection, definitions)
    kinds = _kinds(associations)
    columns = before.columns + columns_of(names, definitions, (*before.columns, *before.associations))
    links = before.associations + columns_of(kinds, {}, (*columns, *before.associations), ids=True)
    return msgspec.structs.replace(
        before, portal=before.portal or portal, selection=selection, columns=columns, associations=links
    )


def _selection(properties: Wanted) -> Selection:
    if isinstance(properties, str):
        if properties == "usual":
            return Selection(mode="usual")
        if properties == "all":
            return Selection(mode="all")
        raise ConfigurationError(f"properties are 'usual', 'all' or a list of names, not {shown(properties)}")
    names = tuple(dict.fromkeys(properties))
    if not all(names):
        raise ConfigurationError("a property has no empty name")
    return Selection(mode="named", names=names)


def _names(selection: Selection, definitions: Mapping[str, PropertyDefinition]) -> tuple[str, ...]:
    match selection.mode:
        case "all":
            return tuple(definitions)
        case "usual":
            documented = [name for name in property_names(MeetingProperties) if name in definitions]
            own = [name for name, definition in definitions.items() if definition.hubspot_defined is False]
            return (*documented, *own)
        case "named":
            for name in selection.names:
                if name not in definitions:
                    close = difflib.get_close_matches(name, definitions, n=1)
                    hint = f"; there is {printable(close[0])}" if close else ""
                    raise ConfigurationError(f"meetings of this account have no property {shown(name)}{hint}")
            return selection.names


def _kinds(associations: Iterable[str]) -> tuple[str, ...]:
    if isinstance(associations, str):
        raise ConfigurationError(f"associations are a list of object types, not the string {associations!r}")
    kinds = tuple(dict.fromkeys(_PLURALS.get(kind, kind) for kind in associations))
    if not all(kinds):
        raise ConfigurationError("associations are object types, such as contacts; none of them has an empty name")
    return kinds

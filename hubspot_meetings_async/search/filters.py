"""Filters: `where("hs_timestamp").between(a, b) & where("hs_meeting_outcome").eq("SCHEDULED")`.

This module knows HubSpot's operators, how values are written in filters, and how conditions combine. It must not know
HubSpot's limits on their number, or how a search is sent.

HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide (filter search results)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn, cast

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, printable
from ..models import Filter, FilterGroup

__all__ = ["FilterValue", "Filters", "Group", "Where", "as_filters", "associated_with", "where"]

Group = tuple[Filter, ...]
FilterValue = str | int | float | bool | datetime | date | Enum
"""What a property is compared with. Datetimes must be aware; HubSpot compares whole milliseconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MOST_GROUPS: Final = 1_000
_NOT_FILTERABLE: Final = ("hs_body_preview_html",)
_TEXTS: Final = frozenset(
    (
        "hs_guest_emails",
        "hs_internal_meeting_notes",
        "hs_meeting_body",
        "hs_meeting_external_url",
        "hs_meeting_location",
        "hs_meeting_title",
    )
)
"""Properties of text: HubSpot finds their values by `IN` only when the list is in lower case."""


class Filters(Struct, frozen=True):
    """A condition on meetings, as HubSpot takes it: groups of filters, of which one must hold whole.

    `a & b` holds where both do, `a | b` where one does, in any nesting; what HubSpot can not nest is multiplied out.
    (`and`, `or` and `not` are refused: Python would quietly drop one side.)
    """

    groups: tuple[Group, ...]

    def __and__(self, other: Filters) -> Filters:
        if not isinstance(other, Filters):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return _normal((*mine, *theirs) for mine in self.groups for theirs in other.groups)

    def __or__(self, other: Filters) -> Filters:
        if not isinstance(other, Filters):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return _normal((*self.groups, *other.groups))

    def __bool__(self) -> NoReturn:
        raise ConfigurationError("combine filters with & and |, and put each in brackets; and, or, not do not work")


def _normal(groups: Iterable[Group]) -> Filters:
    """Each filter once in its group, and no group that another one says more shortly."""
    kept: dict[frozenset[Filter], Group] = {}
    for group in groups:
        kept.setdefault(frozenset(group), tuple(dict.fromkeys(group)))
        if len(kept) > _MOST_GROUPS:
            raise ConfigurationError(f"multiplied out, these filters are more than {_MOST_GROUPS:,} groups; simplify")
    return Filters(tuple(group for key, group in kept.items() if not any(other < key for other in kept)))


class Where:
    """A property about to be compared: `where("hs_meeting_outcome").eq("SCHEDULED")`.

    Values may be strings, numbers, booleans, aware datetimes, dates (midnight UTC) and enum members. HubSpot compares
    texts without regard to case, and options of enumerations exactly. Every method returns `Filters`.

    Raises: ConfigurationError for a value that no filter can have.
    """

    def __init__(self, property_name: str) -> None:
        self._name = property_name

    def __repr__(self) -> str:
        return f"where({self._name!r})"

    def eq(self, value: FilterValue) -> Filters:
        """The value is this one (`EQ`)."""
        return self._compared("EQ", value)

    def ne(self, value: FilterValue) -> Filters:
        """The value is another (`NEQ`). Add `| where(…).missing()` where meetings without a value count, too."""
        return self._compared("NEQ", value)

    def lt(self, value: FilterValue) -> Filters:
        """Less, or earlier (`LT`)."""
        return self._compared("LT", value)

    def le(self, value: FilterValue) -> Filters:
        """Less or equal (`LTE`)."""
        return self._compared("LTE", value)

    def gt(self, value: FilterValue) -> Filters:
        """Greater, or later (`GT`)."""
        return self._compared("GT", value)

    def ge(self, value: FilterValue) -> Filters:
        """Greater or equal (`GTE`)."""
        return self._compared("GTE", value)

    def between(self, low: FilterValue, high: FilterValue) -> Filters:
        """From `low` to `high`, both included (`BETWEEN`)."""
        return self._one("BETWEEN", value=self._text(low), high_value=self._text(high))

    def is_in(self, values: Iterable[FilterValue]) -> Filters:
        """The value is one of these (`IN`).

        HubSpot wants the list in lower case for properties of text, and in the options' own case for enumerations.
        For the text properties that every account has (`hs_meeting_title`, …) that is done here; for a text property
        of your own, write them in lower case.
        """
        return self._one("IN", values=self._texts(values))

    def not_in(self, values: Iterable[FilterValue]) -> Filters:
        """The value is none of these (`NOT_IN`); for case and missing values see `is_in` and `ne`."""
        return self._one("NOT_IN", values=self._texts(values))

    def exists(self) -> Filters:
        """There is a value (`HAS_PROPERTY`)."""
        return self._one("HAS_PROPERTY")

    def missing(self) -> Filters:
        """There is no value (`NOT_HAS_PROPERTY`)."""
        return self._one("NOT_HAS_PROPERTY")

    def contains(self, token: str) -> Filters:
        """The text has this word (`CONTAINS_TOKEN`); `*` stands for any characters."""
        return self._compared("CONTAINS_TOKEN", token)

    def not_contains(self, token: str) -> Filters:
        """The text does not have this word (`NOT_CONTAINS_TOKEN`)."""
        return self._compared("NOT_CONTAINS_TOKEN", token)

    def _compared(self, operator: str, value: FilterValue) -> Filters:
        return self._one(operator, value=self._text(value))

    def _one(self, operator: str, **members: Any) -> Filters:
        return Filters(((Filter(self._name, operator, **members),),))

    def _text(self, value: object) -> str:
        return _text(self._name, value)

    def _texts(self, values: object) -> tuple[str, ...]:
        kind = type(values).__name__
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise ConfigurationError(f"{self._name}: give a list of values, not one {kind}")
        texts = tuple(dict.fromkeys(self._text(value) for value in cast("Iterable[object]", values)))
        if not texts:
            raise ConfigurationError(f"{self._name}: the list of values is empty, and HubSpot takes no empty list")
        return tuple(dict.fromkeys(text.lower() for text in texts)) if self._name in _TEXTS else texts


def where(property_name: str) -> Where:
    """Begin a condition on a property of meetings. Raises: ConfigurationError for what can not be filtered on."""
    if property_name in _NOT_FILTERABLE:
        raise ConfigurationError(f"HubSpot can not filter on {property_name}")
    return Where(_property_name(property_name))


def _property_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigurationError(f"where() takes the name of a property, not {name!r}")
    return name


_PLURALS: Final = {"contacts": "contact", "companies": "company", "deals": "deal", "tickets": "ticket"}


def associated_with(object_type: str, object_id: str | int) -> Filters:
    """Meetings that are linked to this record: `associated_with("contact", 101)`.

    HubSpot has no such filter for custom objects. Raises: ConfigurationError.
    """
    name = _object_type(object_type)
    text = str(object_id) if type(object_id) in (str, int) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ConfigurationError(f"the id of a {name} is 1-20 digits, not {printable(repr(object_id))[:40]}")
    return Filters(((Filter(f"associations.{name}", "EQ", text),),))


def _object_type(given: object) -> str:
    name = given.strip().lower() if isinstance(given, str) else ""
    if not (name.isascii() and name.replace("_", "").isalpha()) or name.startswith("p_"):
        raise ConfigurationError(
            f"associated_with takes an object type such as 'contact', not {given!r}; HubSpot can not search by custom "
            "objects"
        )
    return _PLURALS.get(name, name)


# ---- values and raw forms -----------------------------------------------------------------------------------------


def milliseconds(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime, cut to whole ones."""
    return (moment - _EPOCH) // _MILLISECOND


def _text(name: str, value: object) -> str:
    """A value as filters take it."""
    match value:
        case Enum():  # before str: a StrEnum is both
            return _text(name, value.value)
        case str() if value:
            return str.__str__(value)
        case bool():
            return "true" if value else "false"
        case int():
            return int.__repr__(value)
        case float() if math.isfinite(value):
            return f"{Decimal(float.__repr__(value)):f}"
        case datetime() if value.utcoffset() is not None:
            return str(milliseconds(value))
        case datetime():
            raise ConfigurationError(f"{name}: a datetime without a time zone; give it one, e.g. tzinfo=UTC")
        case date():
            return str(milliseconds(datetime(value.year, value.month, value.day, tzinfo=UTC)))
        case None | "":
            raise ConfigurationError(f"{name}: HubSpot can not compare with nothing; use .missing() or .exists()")
        case _:
            shown = str(value) if isinstance(value, float) else f"a {type(value).__name__}"
            raise ConfigurationError(
                f"{name} can not be compared with {shown}; give a string, number, boolean, aware datetime or enum"
            )


def as_filters(given: object) -> Filters | None:
    """Filters in any form: `Filters`, a `Filter`, HubSpot's JSON for one filter, one group, or a list of either.

    A list of filters is one group, as HubSpot's `filters`; a list of groups are alternatives, as its `filterGroups`.
    """
    if given is None or isinstance(given, Filters):
        return given
    if isinstance(given, Where):
        raise ConfigurationError(f"{given!r} compares with nothing yet; go on with .eq(…), .between(…), .exists(), …")
    items = cast("Sequence[object]", given) if isinstance(given, (list, tuple)) else (given,)
    if not items:
        return None
    parts = [_part(item) for item in items]
    if all(isinstance(part, FilterGroup) for part in parts):
        return of_groups(cast("list[FilterGroup]", parts))
    if all(isinstance(part, Filter) for part in parts):
        return of_groups([FilterGroup(tuple(cast("list[Filter]", parts)))])
    raise ConfigurationError("give a list of filters or a list of groups, not both in one")


def of_groups(groups: Sequence[FilterGroup]) -> Filters:
    """Groups as HubSpot's JSON has them. Raises: ConfigurationError for an empty one."""
    if not all(group.filters for group in groups):
        raise ConfigurationError("a filter group needs at least one filter; leave empty groups out")
    return Filters(tuple(group.filters for group in groups))


def _part(item: object) -> Filter | FilterGroup:
    if isinstance(item, (Filter, FilterGroup)):
        return item
    if not isinstance(item, Mapping):
        raise ConfigurationError(f"filters are made by where(…), or are HubSpot's JSON, not a {type(item).__name__}")
    try:
        return msgspec.convert(item, FilterGroup) if "filters" in item else msgspec.convert(item, Filter)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"this is no filter as HubSpot's JSON has it: {error}") from None

"""Search: what a request says, and what comes back.

This module knows the forms, as HubSpot's JSON has them. It must not know how filters combine, HubSpot's limits, or how
many requests a search takes.

HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from .forms import Page, Sent

__all__ = ["Filter", "FilterGroup", "SearchBody", "SearchPage", "SortRule"]

T = TypeVar("T")

Value = str | int | float | bool


class Filter(Sent, frozen=True, forbid_unknown_fields=True):
    """One condition on one property; `where("hs_timestamp").between(a, b)` makes it.

    `operator` is `EQ`, `NEQ`, `LT`, `LTE`, `GT`, `GTE`, `CONTAINS_TOKEN` or `NOT_CONTAINS_TOKEN` (with `value`),
    `BETWEEN` (`value` to `high_value`, both included), `IN` or `NOT_IN` (`values`), `HAS_PROPERTY` or
    `NOT_HAS_PROPERTY` (nothing else). Moments are Unix milliseconds.
    """

    property_name: str
    operator: str
    value: Value | None = None
    high_value: Value | None = None
    values: tuple[Value, ...] | None = None


class FilterGroup(Sent, frozen=True, forbid_unknown_fields=True):
    """Filters that must all hold; of several groups, one must."""

    filters: tuple[Filter, ...]


class SortRule(Sent, frozen=True, forbid_unknown_fields=True):
    """By which property, and which way."""

    property_name: str
    direction: Literal["ASCENDING", "DESCENDING"] | None = None


class SearchBody(Sent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a search. HubSpot takes `filters` as one group; `after` is an offset, as a string."""

    filter_groups: tuple[FilterGroup, ...] = ()
    filters: tuple[Filter, ...] = ()
    query: str | None = None
    sorts: tuple[SortRule | str, ...] = ()
    properties: tuple[str, ...] = ()
    limit: int | None = None
    after: str | int | None = None


class SearchPage(Page[T], Generic[T], frozen=True, kw_only=True):
    """One page of a search. `total` counts all that was found, also beyond the 10,000 that `after` can reach."""

    total: int

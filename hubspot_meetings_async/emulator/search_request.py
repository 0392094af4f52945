"""What a search asks for: the shape of its body, and HubSpot's limits on it.

Knows JSON and numbers. Must not know properties or records.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .behaviour import Behaviour
from .bodies import decoder, parse
from .refusals import validation
from .values import Raw

__all__ = ["FilterInput", "Operator", "Search", "read_search"]

MAX_GROUPS = 5
MAX_FILTERS_IN_GROUP = 6
MAX_FILTERS = 18
MAX_CHARACTERS = 3000
MAX_RESULTS = 10_000
MAX_PAGE = 200
DEFAULT_PAGE = 10

Operator = Literal[
    "EQ",
    "NEQ",
    "LT",
    "LTE",
    "GT",
    "GTE",
    "BETWEEN",
    "IN",
    "NOT_IN",
    "HAS_PROPERTY",
    "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN",
    "NOT_CONTAINS_TOKEN",
]


class FilterInput(msgspec.Struct, rename="camel"):
    """One condition on one property."""

    property_name: str
    operator: Operator
    value: Raw = None
    values: list[Raw] | None = None
    high_value: Raw = None


class GroupInput(msgspec.Struct):
    """Conditions that must all hold."""

    filters: list[FilterInput] = []


class SortInput(msgspec.Struct, rename="camel"):
    """A sort rule as the guide writes it."""

    property_name: str
    direction: Literal["ASCENDING", "DESCENDING"] = "ASCENDING"


class SearchInput(msgspec.Struct, rename="camel"):
    """The body of a search; everything may be left out."""

    filter_groups: list[GroupInput] | None = None
    filters: list[FilterInput] | None = None
    query: str | None = None
    sorts: list[str | SortInput] | None = None
    properties: list[str] | None = None
    limit: int | None = None
    after: str | int | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search within the limits.

    Args:
        groups: any of them must hold, each as a whole; none at all holds for every record.
        query: what to look for in the texts of a record; empty for nothing.
        sort: the property to sort by; None is the default, oldest first.
    """

    groups: tuple[tuple[FilterInput, ...], ...]
    query: str
    sort: str | None
    descending: bool
    properties: tuple[str, ...]
    limit: int
    offset: int


_search = decoder(SearchInput)


def read_search(body: bytes, behaviour: Behaviour) -> Search:
    """Read a body. Raises: Refusal for what is no search, or is beyond a limit."""
    given = parse(_search, body)
    query = given.query or ""
    counted = len(query) if behaviour.search_length == "query" else len(body.decode())
    if counted > MAX_CHARACTERS:
        raise validation(f"The {behaviour.search_length} of a search may have {MAX_CHARACTERS} characters at most")
    groups = [tuple(group.filters) for group in given.filter_groups or ()]
    if given.filters:
        groups.append(tuple(given.filters))
    _check_groups(groups)
    sorts = given.sorts or []
    if len(sorts) > 1:
        raise validation("Only one sort rule is allowed in a search")
    sort, descending = _sort(sorts[0]) if sorts else (None, False)
    limit = DEFAULT_PAGE if given.limit is None else given.limit
    if not 1 <= limit <= MAX_PAGE:
        raise validation(f"limit must be a number from 1 to {MAX_PAGE}, not {limit}")
    offset = _offset(given.after)
    if offset + limit > MAX_RESULTS:
        raise validation(f"A search returns {MAX_RESULTS} results at most; after + limit is {offset + limit}")
    return Search(
        # A group without filters asks for nothing, and so holds for every record.
        groups=tuple(groups),
        query=query,
        sort=sort,
        descending=descending,
        properties=tuple(dict.fromkeys(given.properties or ())),
        limit=limit,
        offset=offset,
    )


def _check_groups(groups: list[tuple[FilterInput, ...]]) -> None:
    if len(groups) > MAX_GROUPS:
        raise validation(f"A search may have {MAX_GROUPS} filter groups at most, not {len(groups)}")
    if any(len(group) > MAX_FILTERS_IN_GROUP for group in groups):
        raise validation(f"A filter group may have {MAX_FILTERS_IN_GROUP} filters at most")
    total = sum(len(group) for group in groups)
    if total > MAX_FILTERS:
        raise validation(f"A search may have {MAX_FILTERS} filters at most, not {total}")


def _sort(given: str | SortInput) -> tuple[str, bool]:
    if isinstance(given, SortInput):
        return given.property_name, given.direction == "DESCENDING"
    return given.removeprefix("-"), given.startswith("-")


def _offset(after: str | int | None) -> int:
    if after is None or after == "":
        return 0
    text = str(after)
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise validation(f"after must be a number, not {after}")
    return int(text)

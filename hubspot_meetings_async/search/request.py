"""What is searched for, in any form a caller may give it, checked against HubSpot's limits before anything is sent.

This module knows the limits and the body of a search. It must not know how many requests a search takes, or when.

HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide (limits)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..models import Filter, FilterGroup, SearchBody, SortRule
from ..wire import encode
from .filters import Filters, Group, as_filters, of_groups

__all__ = ["CEILING", "MAX_PAGE", "Plan", "SearchRequest", "Sort", "ascending", "descending", "plan"]

CEILING: Final = 10_000
"""Results that `after` can reach in one search; beyond, HubSpot answers 400."""

MAX_PAGE: Final = 200
MAX_GROUPS: Final = 5
MAX_FILTERS_IN_GROUP: Final = 6
MAX_FILTERS: Final = 18
MAX_CHARACTERS: Final = 3_000

Kind = Literal["number", "datetime"]

ID: Final = "hs_object_id"
_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(
        (ID, "hs_created_by", "hs_created_by_user_id", "hs_modified_by", "hs_updated_by_user_id"), "number"
    ),
    **dict.fromkeys(
        ("hs_createdate", "hs_lastmodifieddate", "hs_timestamp", "hs_meeting_start_time", "hs_meeting_end_time"),
        "datetime",
    ),
}


class Sort(Struct, frozen=True):
    """By which property, and which way; `ascending(…)` and `descending(…)` make it.

    `type` says how the property's values grow: `"number"`, or `"datetime"` (for dates, too). It is known for HubSpot's
    own properties, and needed for other ones when more than 10,000 meetings are to come in this order.
    """

    property_name: str
    descending: bool = False
    type: Kind | None = None

    @property
    def kind(self) -> Kind | None:
        """How its values grow, where that is known."""
        return self.type or _KINDS.get(self.property_name)

    def rule(self) -> SortRule:
        """As HubSpot takes it."""
        return SortRule(self.property_name, "DESCENDING" if self.descending else "ASCENDING")


def ascending(property_name: str, *, type: Kind | None = None) -> Sort:
    """Least or oldest first."""
    return _sort(Sort(property_name, False, type))


def descending(property_name: str, *, type: Kind | None = None) -> Sort:
    """Greatest or newest first; `"-hs_createdate"` is short for `descending("hs_createdate")`."""
    return _sort(Sort(property_name, True, type))


class SearchRequest(Struct, frozen=True, kw_only=True):
    """A search, to be kept and used again. Every member may be left out.

    `filters`: what `where(…)` made, or HubSpot's JSON. `query`: words to look for in titles and descriptions. `sorts`:
    `"hs_createdate"`, `"-hs_createdate"` or `descending(…)`; one rule, HubSpot takes no more. `properties`: what to
    return; that of the sort comes along. `limit`: the size of a page, 1-200.
    """

    filters: Filters | Filter | Mapping[str, Any] | Sequence[Any] | None = None
    query: str | None = None
    sorts: str | Sort | Sequence[str | Sort] | None = None
    properties: Sequence[str] = ()
    limit: int | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """A search that has been checked: what every one of its requests has in common."""

    groups: tuple[Group, ...]
    query: str | None
    sort: Sort | None
    properties: tuple[str, ...]
    limit: int

    @property
    def order(self) -> Sort:
        """The order of the results: as asked, else by id, which is oldest first."""
        return self.sort or Sort(ID)

    def body(self, *, more: Sequence[Filter] = (), sort: Sort | None = None, limit: int, after: str | None) -> bytes:
        """The request's JSON; `more` filters hold beside those of every group."""
        properties = self.properties
        name = self.order.property_name
        if name not in properties and (properties or name not in _ALWAYS_RETURNED):
            properties = (*properties, name)
        return encode(
            SearchBody(
                filter_groups=tuple(FilterGroup((*group, *more)) for group in self.groups or ((),) if group or more),
                query=self.query,
                sorts=((sort or self.order).rule(),),
                properties=properties,
                limit=limit,
                after=after,
            )
        )

    def room_for(self, more: Sequence[Filter]) -> bool:
        """Whether these filters can stand beside those of every group, within HubSpot's limits."""
        groups = self.groups or ((),)
        total = sum(len(group) + len(more) for group in groups)
        longest = max(len(group) for group in groups) + len(more)
        body = self.body(more=more, limit=self.limit, after=None)
        return longest <= MAX_FILTERS_IN_GROUP and total <= MAX_FILTERS and len(body.decode()) <= MAX_CHARACTERS


_ALWAYS_RETURNED: Final = (ID, "hs_createdate", "hs_lastmodifieddate")


Searched = Filters | Filter | SearchRequest | Mapping[str, Any] | Sequence[Any] | None
"""What to search for: typed filters, a whole request, or HubSpot's JSON."""

SortedBy = str | Sort | Sequence[str | Sort] | None
"""The order of the results: one rule."""


def plan(
    what: Searched = None,
    *,
    query: str | None = None,
    sorts: SortedBy = None,
    properties: Sequence[str] = (),
    limit: int | None = None,
) -> Plan:
    """A search in any of its forms, checked. `what` may be filters, a `SearchRequest`, or HubSpot's JSON as a dict.

    Raises: ConfigurationError for what HubSpot would not take, saying what to do.
    """
    asked = SearchRequest(query=query, sorts=sorts, properties=properties, limit=limit)
    if isinstance(what, SearchRequest):
        asked = _joined(what, asked)
    elif isinstance(what, Mapping) and "propertyName" not in what:
        asked = _joined(_of_json(what), asked)
    else:
        asked = msgspec.structs.replace(asked, filters=what)
    filters = as_filters(asked.filters)
    made = Plan(
        groups=filters.groups if filters is not None else (),
        query=_query(asked.query),
        sort=_only_sort(asked.sorts),
        properties=_properties(asked.properties),
        limit=_limit(asked.limit),
    )
    _check(made)
    return made


def _joined(given: SearchRequest, beside: SearchRequest) -> SearchRequest:
    """A request with what was said beside it. Raises: ConfigurationError for what is said twice."""
    said = {name: value for name, value in msgspec.structs.asdict(beside).items() if value not in (None, ())}
    for name in said:
        if getattr(given, name) not in (None, ()):
            raise ConfigurationError(f"{name} stands in the request already; say it there or beside it, not both")
    return msgspec.structs.replace(given, **said)


def _of_json(given: Mapping[str, Any]) -> SearchRequest:
    try:
        body = msgspec.convert(given, SearchBody)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"this is no search as HubSpot's JSON has it: {error}") from None
    if body.after is not None:
        raise ConfigurationError("a search begins at its first page; for another, use page(after=…)")
    if body.filters and body.filter_groups:
        raise ConfigurationError("give filters (one group) or filterGroups, not both")
    groups = (FilterGroup(body.filters),) if body.filters else body.filter_groups
    return SearchRequest(
        filters=of_groups(groups) if groups else None,
        query=body.query,
        sorts=[_of_rule(rule) for rule in body.sorts],
        properties=body.properties,
        limit=body.limit,
    )


def _of_rule(rule: SortRule | str) -> Sort | str:
    return Sort(rule.property_name, rule.direction == "DESCENDING") if isinstance(rule, SortRule) else rule


# ---- the checks ---------------------------------------------------------------------------------------------------


def _query(query: object) -> str | None:
    if query is None or query == "":
        return None
    if not isinstance(query, str):
        raise ConfigurationError(f"query is a string of words to look for, not a {type(query).__name__}")
    if len(query) > MAX_CHARACTERS:
        raise ConfigurationError(f"query has {len(query):,} characters; HubSpot takes {MAX_CHARACTERS:,}")
    return query


def _only_sort(sorts: object) -> Sort | None:
    rules = cast("Sequence[object]", sorts) if isinstance(sorts, (list, tuple)) else () if sorts is None else (sorts,)
    if len(rules) > 1:
        raise ConfigurationError(f"HubSpot sorts a search by one rule, and these are {len(rules)}; keep the first")
    return _sort(rules[0]) if rules else None


def _sort(given: object) -> Sort:
    if isinstance(given, str):
        given = Sort(given.removeprefix("-"), given.startswith("-"))
    if not isinstance(given, Sort):
        raise ConfigurationError(
            f"sorts takes 'hs_createdate', '-hs_createdate' or descending('hs_createdate'), not {given!r}"
        )
    name = given.property_name
    if type(name) is not str or not name.strip() or not name.isprintable() or name.startswith("-"):
        raise ConfigurationError(f"sorts takes the name of a property, not {name!r}")
    if given.type not in (None, "number", "datetime"):
        raise ConfigurationError(f"the type of a sort is 'number' or 'datetime', not {given.type!r}")
    return given


def _properties(names: object) -> tuple[str, ...]:
    if isinstance(names, (str, bytes, Mapping)) or not isinstance(names, Iterable):
        raise ConfigurationError(f"properties are a list of names, not {names!r}")
    return tuple(dict.fromkeys(str(name) for name in cast("Iterable[object]", names)))


def _limit(limit: object) -> int:
    if limit is None:
        return MAX_PAGE
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE:
        raise ConfigurationError(f"limit is the size of a page, 1-{MAX_PAGE} in a search, not {limit!r}")
    return limit


def _check(made: Plan) -> None:
    groups = made.groups
    if len(groups) > MAX_GROUPS:
        raise ConfigurationError(
            f"these filters make {len(groups)} groups (alternatives); HubSpot takes {MAX_GROUPS} in a search. Use "
            "is_in(…) for alternatives of one property, or split the search"
        )
    longest = max(map(len, groups), default=0)
    total = sum(map(len, groups))
    if longest > MAX_FILTERS_IN_GROUP or total > MAX_FILTERS:
        raise ConfigurationError(
            f"these filters make groups of up to {longest}, {total} in all; HubSpot takes {MAX_FILTERS_IN_GROUP} in a "
            f"group and {MAX_FILTERS} in all (| within & repeats filters). Use between(…) and is_in(…), or split the "
            "search"
        )
    characters = len(made.body(limit=made.limit, after=None).decode())
    if characters > MAX_CHARACTERS:
        raise ConfigurationError(
            f"the request is {characters:,} characters long; HubSpot takes {MAX_CHARACTERS:,}. Ask for fewer "
            "properties (batch_read takes any number), or split long lists of values over several searches"
        )

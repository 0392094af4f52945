"""A search in any of its forms, and the limits that are checked before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.models import Filter
from hubspot_meetings_async.search import Filters, Plan, SearchRequest, Sort, ascending, descending, plan, where

DONE = where("hs_meeting_outcome").eq("COMPLETED")
RAW_DONE = {"propertyName": "hs_meeting_outcome", "operator": "EQ", "value": "COMPLETED"}
TITLE = ["hs_meeting_title"]
NEWEST = descending("hs_createdate")
FULL_RAW: dict[str, Any] = {
    "filterGroups": [{"filters": [RAW_DONE]}],
    "query": "review",
    "sorts": [{"propertyName": "hs_createdate", "direction": "DESCENDING"}],
    "properties": ["hs_meeting_title"],
    "limit": 50,
}


def sent(made: Plan, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(made.body(**{"limit": made.limit, "after": None, **options}))
    return body


def alternatives(count: int, each: int = 1) -> Filters:
    filters = _both(0, each)
    for number in range(1, count):
        filters |= _both(number, each)
    return filters


def _both(number: int, each: int) -> Filters:
    filters = where(f"p{number}").eq(0)
    for other in range(1, each):
        filters &= where(f"p{number}").ne(other)
    return filters


def test_the_least_search() -> None:
    """All meetings, oldest first, the largest pages."""
    assert sent(plan()) == {
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "limit": 200,
    }


@pytest.mark.parametrize(
    "made",
    [
        plan(DONE, query="review", sorts="-hs_createdate", properties=TITLE, limit=50),
        plan(SearchRequest(filters=DONE, query="review", sorts="-hs_createdate"), properties=TITLE, limit=50),
        plan(SearchRequest(filters=RAW_DONE, sorts=[NEWEST], properties=TITLE), query="review", limit=50),
        plan([RAW_DONE], query="review", sorts=NEWEST, properties=tuple(TITLE), limit=50),
        plan(Filter("hs_meeting_outcome", "EQ", "COMPLETED"), query="review", sorts=NEWEST, properties=TITLE, limit=50),
        plan(RAW_DONE, query="review", sorts=["-hs_createdate"], properties=TITLE, limit=50),
        plan(FULL_RAW),
        plan(MappingProxyType(FULL_RAW)),
        plan({**{k: v for k, v in FULL_RAW.items() if k != "filterGroups"}, "filters": [RAW_DONE]}),
        plan({**FULL_RAW, "sorts": ["-hs_createdate"]}),
    ],
)
def test_all_forms_say_the_same(made: Plan) -> None:
    """Typed, kept, or HubSpot's own JSON; the property of the order comes along."""
    assert sent(made) == {**FULL_RAW, "properties": ["hs_meeting_title", "hs_createdate"]}


@pytest.mark.parametrize(
    ("properties", "sorts", "asked"),
    [
        ([], "hs_timestamp", ["hs_timestamp"]),
        (["a", "a"], "hs_timestamp", ["a", "hs_timestamp"]),
        (["hs_timestamp"], "hs_timestamp", ["hs_timestamp"]),
        ([], "hs_lastmodifieddate", None),
    ],
)
def test_the_property_of_the_order_is_asked_for(properties: list[str], sorts: str, asked: list[str] | None) -> None:
    """The walk needs its values; HubSpot returns three properties unasked."""
    assert sent(plan(sorts=sorts, properties=properties)).get("properties") == asked


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: plan(alternatives(6)), r"6 groups.*HubSpot takes 5"),
        (lambda: plan(alternatives(1, 7)), r"groups of up to 7"),
        (lambda: plan(alternatives(5, 4)), r"20 in all.*18"),
        (lambda: plan(query="x" * 3_001), "3,001 characters"),
        (lambda: plan(query="ü" * 2_990), "Ask for fewer"),
        (lambda: plan(properties=[f"property_{n}" for n in range(300)]), "Ask for fewer properties"),
        (lambda: plan(where("p").is_in(range(1000))), "split long lists"),
        (lambda: plan(query=3), "string of words"),  # type: ignore[arg-type]
        (lambda: plan(sorts=["a", "b"]), "one rule, and these are 2"),
        (lambda: plan(sorts=3), "not 3"),  # type: ignore[arg-type]
        (lambda: plan(sorts=""), "name of a property"),
        (lambda: plan(sorts="--a"), "name of a property"),
        (lambda: plan(sorts=Sort("a", type="text")), "'number' or 'datetime'"),  # type: ignore[arg-type]
        (lambda: ascending(""), "name of a property"),
        (lambda: plan(limit=0), "1-200"),
        (lambda: plan(limit=201), "1-200"),
        (lambda: plan(limit=True), "1-200"),
        (lambda: plan(properties="hs_meeting_title"), "list of names"),
        (lambda: plan({**FULL_RAW, "after": "200"}), r"page\(after="),
        (lambda: plan({**FULL_RAW, "filters": [RAW_DONE]}), "not both"),
        (lambda: plan({"filtersGroups": []}), "filtersGroups"),
        (lambda: plan({**FULL_RAW, "limit": "50"}), "limit"),
        (lambda: plan({**FULL_RAW, "sorts": ["a", "b"]}), "one rule"),
        (lambda: plan(FULL_RAW, query="other"), "query stands in the request already"),
        (lambda: plan(SearchRequest(limit=5), limit=6), "limit stands in the request already"),
        (lambda: plan("hs_meeting_title"), "not a str"),
    ],
)
def test_what_hubspot_would_not_take_is_refused_before_sending(make: Callable[[], Any], words: str) -> None:
    """With its number, HubSpot's, and what to do."""
    with pytest.raises(ConfigurationError, match=words):
        make()


@pytest.mark.parametrize("made", [lambda: plan(alternatives(5, 3)), lambda: plan(alternatives(3, 6))])
def test_the_limits_themselves_are_allowed(made: Callable[[], Plan]) -> None:
    """Five groups, six filters in one, eighteen in all; 3,000 characters."""
    assert made().groups
    shortest = len(plan(query="x").body(limit=200, after=None)) - 1
    longest = plan(query="x" * (3_000 - shortest))
    assert len(longest.body(limit=200, after=None)) == 3_000


def test_room_is_measured_in_every_group() -> None:
    """What stands beside the filters counts once a group."""
    more = [Filter("k", "GT", "9" * 20)]
    assert plan(alternatives(3, 5)).room_for(more)
    assert not plan(alternatives(3, 6)).room_for(more)
    assert not plan(alternatives(5, 3)).room_for(more)
    assert plan(alternatives(4, 3)).room_for(more)
    tight = plan(query="x" * 2_850)
    assert tight.room_for([])
    assert not tight.room_for(more)

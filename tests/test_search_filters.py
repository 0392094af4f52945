"""Filters: what becomes of conditions, however they are combined."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.models import Filter, FilterGroup
from hubspot_meetings_async.search import Filters, associated_with, where
from hubspot_meetings_async.search.filters import as_filters
from hubspot_meetings_async.wire import encode

from .search_fake import satisfies

START = datetime(2026, 11, 23, 9, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))


class Outcome(enum.StrEnum):
    DONE = "COMPLETED"


def only(filters: Filters) -> dict[str, Any]:
    """The one filter there is, as JSON."""
    ((one,),) = filters.groups
    result: dict[str, Any] = msgspec.json.decode(encode(one))
    return result


@pytest.mark.parametrize(
    ("made", "operator", "rest"),
    [
        (where("p").eq("v"), "EQ", {"value": "v"}),
        (where("p").ne(Outcome.DONE), "NEQ", {"value": "COMPLETED"}),
        (where("p").lt(3), "LT", {"value": "3"}),
        (where("p").le(-3.5), "LTE", {"value": "-3.5"}),
        (where("p").gt(1e22), "GT", {"value": "10000000000000000000000"}),
        (where("p").ge(START), "GTE", {"value": "1795420800123"}),
        (where("p").eq(True), "EQ", {"value": "true"}),
        (where("p").eq(date(2026, 11, 23)), "EQ", {"value": "1795392000000"}),
        (where("p").between(1, 2), "BETWEEN", {"value": "1", "highValue": "2"}),
        (where("p").is_in(["A", "b", "A"]), "IN", {"values": ["A", "b"]}),
        (where("p").not_in(n for n in (1, 2)), "NOT_IN", {"values": ["1", "2"]}),
        (where("p").exists(), "HAS_PROPERTY", {}),
        (where("p").missing(), "NOT_HAS_PROPERTY", {}),
        (where("p").contains("rev*"), "CONTAINS_TOKEN", {"value": "rev*"}),
        (where("p").not_contains("x"), "NOT_CONTAINS_TOKEN", {"value": "x"}),
    ],
)
def test_every_operator_has_hubspots_form(made: Filters, operator: str, rest: dict[str, object]) -> None:
    """Names and values as HubSpot's guide writes them; nothing that was not given."""
    assert only(made) == {"propertyName": "p", "operator": operator, **rest}


def test_lists_for_texts_are_in_lower_case() -> None:
    """HubSpot finds texts by IN only in lower case; options of enumerations keep their case."""
    assert only(where("hs_meeting_title").is_in(["Review", "REVIEW", "Kick-Off"]))["values"] == ["review", "kick-off"]
    assert only(where("hs_meeting_outcome").is_in(["NO_SHOW"]))["values"] == ["NO_SHOW"]
    assert only(where("hs_meeting_title").eq("Review"))["value"] == "Review"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: where(""), "name of a property"),
        (lambda: where(3), "name of a property"),  # type: ignore[arg-type]
        (lambda: where("hs_body_preview_html"), "can not filter on"),
        (lambda: where("p").eq(None), "missing"),  # type: ignore[arg-type]
        (lambda: where("p").eq(""), "missing"),
        (lambda: where("p").eq(float("nan")), "nan"),
        (lambda: where("p").eq(START.replace(tzinfo=None)), "without a time zone"),
        (lambda: where("p").eq(["a"]), "a list"),  # type: ignore[arg-type]
        (lambda: where("p").is_in("abc"), "one str"),
        (lambda: where("p").is_in([]), "empty"),
        (lambda: where("p").is_in(3), "one int"),  # type: ignore[arg-type]
        (lambda: associated_with("2-123", 1), "custom objects"),
        (lambda: associated_with("p_our_thing", 1), "custom objects"),
        (lambda: associated_with("contact", "x"), "1-20 digits"),
        (lambda: associated_with("contact", True), "1-20 digits"),
        (lambda: bool(where("p").eq(1)), "with & and |"),
        (lambda: all([where("p").eq(1), where("p").eq(2)]), "with & and |"),
        (lambda: not where("p").eq(1), "with & and |"),
        (lambda: as_filters(where("p")), "compares with nothing yet"),
        (lambda: as_filters(3), "not a int"),
        (lambda: as_filters([{"filters": []}]), "at least one"),
        (lambda: as_filters([{"filters": [{"propertyName": "p", "operator": "EQ"}]}, Filter("p", "EQ", "1")]), "both"),
        (lambda: as_filters({"propertyName": "p"}), "operator"),
        (lambda: as_filters({"propertyName": "p", "operator": "EQ", "vaule": 1}), "vaule"),
    ],
)
def test_what_makes_no_filter_is_refused(make: Callable[[], object], words: str) -> None:
    """At once, with words that say what to do."""
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_filter_and_something_else_do_not_combine() -> None:
    """A dict is given to the search as it is, not combined."""
    with pytest.raises(TypeError):
        where("p").eq(1) & {"propertyName": "p"}  # type: ignore[operator]
    with pytest.raises(TypeError):
        where("p").eq(1) | 3  # type: ignore[operator]


@pytest.mark.parametrize(("name", "sent"), [("contact", "contact"), ("Companies", "company"), ("deals", "deal")])
def test_associations_are_a_property_of_their_own(name: str, sent: str) -> None:
    """HubSpot's pseudo-property takes the singular."""
    assert only(associated_with(name, 101)) == {
        "propertyName": f"associations.{sent}",
        "operator": "EQ",
        "value": "101",
    }


def test_raw_forms_mean_what_hubspot_means() -> None:
    """A filter, a list of filters (all hold), a group, a list of groups (one holds)."""
    a, b = Filter("a", "EQ", 1), Filter("b", "IN", values=("x",))
    raw_a: dict[str, Any] = {"propertyName": "a", "operator": "EQ", "value": 1}
    raw_b: dict[str, Any] = {"propertyName": "b", "operator": "IN", "values": ["x"]}
    assert as_filters(None) is None
    assert as_filters([]) is None
    assert as_filters(raw_a) == as_filters(a) == Filters(((a,),))
    assert as_filters([raw_a, b]) == as_filters({"filters": [raw_a, raw_b]}) == Filters(((a, b),))
    assert as_filters([{"filters": [raw_a]}, FilterGroup((b,))]) == Filters(((a,), (b,)))


def test_combining_says_nothing_twice() -> None:
    """Equal filters and groups are one; a group that another one says more shortly is left out."""
    a, b, c = (where(name).eq(1) for name in "abc")
    assert (a & a) == a
    assert (a | a) == a
    assert (a | (a & b)) == a
    assert ((a | b) & (a | c)).groups == (a.groups[0], (*b.groups[0], *c.groups[0]))


def test_what_multiplies_without_end_is_refused() -> None:
    """Twenty alternatives of two make a million groups: refused, not computed."""
    filters = where("p0").eq(1) | where("p0").eq(2)
    with pytest.raises(ConfigurationError, match="simplify"):
        for number in range(1, 20):
            filters &= where(f"p{number}").eq(1) | where(f"p{number}").eq(2)


NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 3)
CONDITIONS: list[Callable[[str, int], Filters]] = [
    lambda name, n: where(name).eq(n),
    lambda name, n: where(name).ne(n),
    lambda name, n: where(name).lt(n),
    lambda name, n: where(name).ge(n),
    lambda name, n: where(name).between(n, n + 1),
    lambda name, n: where(name).is_in([n, n + 2]),
    lambda name, n: where(name).exists(),
    lambda name, n: where(name).missing(),
]
Record = dict[str, str | None]
Case = tuple[Filters, Callable[[Record], bool]]


def leaf(parts: tuple[int, str, int]) -> Case:
    filters = CONDITIONS[parts[0]](parts[1], parts[2])
    return filters, lambda record: satisfies(record, filters.groups)


def joined(parts: tuple[Case, Case, bool]) -> Case:
    (left, says_left), (right, says_right), both = parts
    if both:
        return left & right, lambda record: says_left(record) and says_right(record)
    return left | right, lambda record: says_left(record) or says_right(record)


CASES = st.recursive(
    st.tuples(st.integers(0, len(CONDITIONS) - 1), NAMES, NUMBERS).map(leaf),
    lambda inner: st.tuples(inner, inner, st.booleans()).map(joined),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(NAMES, st.none() | NUMBERS.map(str)), max_size=12)


@given(CASES, RECORDS)
def test_any_nesting_means_what_python_means(case: Case, records: list[Record]) -> None:
    """Of any record, the groups say the same as `and` and `or` over the single conditions."""
    filters, expected = case
    for record in records:
        assert satisfies(record, filters.groups) == expected(record)


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_become_whole_milliseconds(moment: datetime) -> None:
    """Never more than a millisecond off, and never later than the moment."""
    sent = int(only(where("p").eq(moment))["value"])
    rest = moment - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=sent))
    assert timedelta(0) <= rest < timedelta(milliseconds=1)

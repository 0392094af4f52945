"""Conditions of a search as people type them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from hubspot_meetings_async.cli.conditions import condition, filters
from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.models import PropertyDefinition
from hubspot_meetings_async.moments import Zone
from hubspot_meetings_async.search import where

BERLIN = Zone("Europe/Berlin", ZoneInfo("Europe/Berlin"))
KNOWN = {
    name: PropertyDefinition(name=name, type=kind)
    for name, kind in {"hs_timestamp": "datetime", "due": "date", "hs_meeting_title": "string"}.items()
}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hs_meeting_outcome=SCHEDULED", where("hs_meeting_outcome").eq("SCHEDULED")),
        (" hs_meeting_outcome = NO_SHOW ", where("hs_meeting_outcome").eq("NO_SHOW")),
        ("hs_meeting_outcome!=SCHEDULED", where("hs_meeting_outcome").ne("SCHEDULED")),
        ("seats>3", where("seats").gt("3")),
        ("seats>=3", where("seats").ge("3")),
        ("seats<3", where("seats").lt("3")),
        ("seats<=3", where("seats").le("3")),
        ("hs_meeting_title~kick*", where("hs_meeting_title").contains("kick*")),
        ("hs_meeting_title!~kick", where("hs_meeting_title").not_contains("kick")),
        ("hs_meeting_title=a=b, c", where("hs_meeting_title").eq("a=b, c")),
        ("hs_meeting_outcome in SCHEDULED, NO_SHOW", where("hs_meeting_outcome").is_in(["SCHEDULED", "NO_SHOW"])),
        ("hs_meeting_outcome NOT  IN A", where("hs_meeting_outcome").not_in(["A"])),
        ("hs_meeting_location exists", where("hs_meeting_location").exists()),
        ("hs_meeting_location missing", where("hs_meeting_location").missing()),
        ("associations.contact=101", where("associations.contact").eq("101")),
        ("inner_name=in", where("inner_name").eq("in")),
        ("hs_timestamp>=2026-11-24", where("hs_timestamp").ge("1795474800000")),
        ("hs_timestamp>=2026-11-24 16:00", where("hs_timestamp").ge("1795532400000")),
        ("due=2026-11-24", where("due").eq("1795478400000")),
        ("hs_meeting_title=2026-11-24", where("hs_meeting_title").eq("2026-11-24")),
        ("hs_timestamp>1795474800000", where("hs_timestamp").gt("1795474800000")),
    ],
)
def test_each_is_hubspots_filter(typed: str, meant: object) -> None:
    assert filters([condition(typed)], BERLIN, KNOWN) == meant


def test_all_must_hold() -> None:
    both = filters([condition("a=1"), condition("b=2")], BERLIN, {})
    assert both == where("a").eq("1") & where("b").eq("2")
    assert filters([], BERLIN, {}) is None


@pytest.mark.parametrize(
    "typed", ["", "nope", "=x", "a", "a in", "a in ,", "a exists x", "a missing b", "1=2", "a b=c", "a not", "--x"]
)
def test_what_is_none_is_refused_with_examples(typed: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a condition is written as NAME=VALUE"):
        condition(typed)


def test_to_compare_with_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="compares with nothing; write 'a missing' or 'exists'"):
        condition("a= ")


def test_only_values_that_may_be_days_need_definitions() -> None:
    assert condition("a in x,2026-11-24").names_a_day
    assert not condition("a in x,1795474800000").names_a_day

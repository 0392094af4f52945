"""What a copy is of: what was asked for, and never less than before."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hubspot_meetings_async import ConfigurationError, MeetingProperties, PropertyDefinition
from hubspot_meetings_async.models import property_names
from hubspot_meetings_async.stores import Kept, Selection
from hubspot_meetings_async.stores.planning import Wanted, planned

DOCUMENTED = property_names(MeetingProperties)
ACCOUNT = {
    **{name: PropertyDefinition(name=name, type="string", hubspot_defined=True) for name in DOCUMENTED},
    "hs_calculated": PropertyDefinition(name="hs_calculated", type="number", hubspot_defined=True),
    "booking_ref": PropertyDefinition(name="booking_ref", type="string", hubspot_defined=False),
}


def plan(
    kept: Kept | None = None,
    properties: Wanted | None = None,
    associations: Iterable[str] = (),
    *,
    portal: str | None = "1",
    definitions: dict[str, PropertyDefinition] = ACCOUNT,
) -> Kept:
    return planned(kept, portal=portal, properties=properties, associations=associations, definitions=definitions)


def names(kept: Kept) -> list[str]:
    return [column.of for column in kept.columns]


def test_the_usual_ones_are_the_documented_and_the_accounts_own() -> None:
    assert names(plan()) == [*DOCUMENTED, "booking_ref"]


def test_all_are_all() -> None:
    assert names(plan(properties="all")) == list(ACCOUNT)


def test_named_ones_are_remembered() -> None:
    """The next pull need not name them again, and does not begin with others of its own."""
    named = plan(properties=["booking_ref", "booking_ref"])
    assert (names(named), named.selection) == (["booking_ref"], Selection("named", ("booking_ref",)))
    assert plan(named) == named


def test_a_copy_never_has_less_than_before() -> None:
    before = plan(properties=["booking_ref"], associations=["contact"])
    after = plan(before, ["hs_calculated"], ["companies"])
    assert names(after) == ["booking_ref", "hs_calculated"]
    assert [column.of for column in after.associations] == ["contacts", "companies"]
    assert plan(after, definitions={"hs_calculated": ACCOUNT["hs_calculated"]}).columns == after.columns


def test_a_property_of_the_account_that_is_new_comes_in() -> None:
    new = ACCOUNT | {"colour": PropertyDefinition(name="colour", type="enumeration", hubspot_defined=False)}
    assert names(plan(plan(), definitions=new)) == [*DOCUMENTED, "booking_ref", "colour"]
    assert plan(plan(), definitions={**new, "hs_new": PropertyDefinition(name="hs_new", hubspot_defined=True)}) == plan(
        plan(), definitions=new
    )


def test_a_column_keeps_its_kind_when_the_property_changes_its_type() -> None:
    changed = ACCOUNT | {"booking_ref": PropertyDefinition(name="booking_ref", type="number", hubspot_defined=False)}
    assert plan(plan(), definitions=changed) == plan()


def test_object_types_may_be_in_the_singular() -> None:
    kinds = plan(associations=["contact", "contacts", "company", "deals", "p1_cars"]).associations
    assert [(kind.of, kind.kind) for kind in kinds] == [
        (name, "ids") for name in ("contacts", "companies", "deals", "p1_cars")
    ]


def test_a_copy_is_of_one_account() -> None:
    with pytest.raises(ConfigurationError, match="of the account 1, and the token is for 2"):
        plan(plan(), portal="2")
    assert plan(plan(), portal=None).portal == "1"
    assert plan(plan(portal=None)).portal == "1"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (["booking_reff"], "no property 'booking_reff'; there is booking_ref"),
        (["\x1b[2J"], "no property"),
        ("everything", "'usual', 'all' or a list of names"),
        ([""], "no empty name"),
    ],
)
def test_properties_that_can_not_be(properties: Wanted, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        plan(properties=properties)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("associations", ["contacts", [""]])
def test_associations_that_can_not_be(associations: Iterable[str]) -> None:
    with pytest.raises(ConfigurationError, match="associations"):
        plan(associations=associations)

"""Whatever is sent to search and to associations, the answer is HubSpot's: never a hole in the emulator."""

from typing import Any, get_args
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async.emulator.search_request import Operator
from tests.emulator.account import MEETINGS, Account
from tests.emulator.test_bad_input import TEXTS, VALUES, check

NAMES = st.sampled_from(
    [
        "hs_meeting_title",
        "hs_timestamp",
        "hs_meeting_outcome",
        "amount",
        "hs_object_id",
        "hs_createdate",
        "hs_was_imported",
        "associations.contact",
        "nope",
    ]
)
RAW = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.just("1*[?")
FILTERS = st.fixed_dictionaries(
    {
        "propertyName": NAMES,
        "operator": st.sampled_from([*get_args(Operator), "x"]),
    },
    optional={"value": RAW, "values": st.lists(RAW, max_size=3), "highValue": RAW},
)
SEARCHES = st.fixed_dictionaries(
    {},
    optional={
        "filterGroups": st.lists(st.fixed_dictionaries({"filters": st.lists(FILTERS, max_size=3)}), max_size=2),
        "filters": st.lists(FILTERS, max_size=2),
        "query": st.text(max_size=5) | st.none(),
        "sorts": st.lists(NAMES | st.fixed_dictionaries({"propertyName": NAMES}), max_size=1),
        "limit": st.integers(-1, 300),
        "after": st.integers() | st.text(max_size=3) | st.none(),
        "properties": st.lists(NAMES),
    },
)
ENDS = st.fixed_dictionaries({"id": st.integers(0, 3) | st.text(max_size=3) | st.sampled_from(["65059680001"])})
TYPES = st.fixed_dictionaries(
    {
        "associationCategory": st.sampled_from(["HUBSPOT_DEFINED", "USER_DEFINED", "x"]),
        "associationTypeId": st.integers(-1, 2) | st.sampled_from([199, 200, 188]),
    }
)
TYPE = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}
INPUTS = st.fixed_dictionaries(
    {"from": ENDS, "to": ENDS | st.lists(ENDS, max_size=2), "types": st.lists(TYPES, max_size=2)},
    optional={"id": st.text(max_size=3) | st.integers(), "type": st.sampled_from([200, "200", "x"]), "after": RAW},
)


def account() -> Account:
    fresh = Account(search_delay_s=0)
    fresh.portal.add_property("amount", type="number")
    fresh.portal.add_label("meetings", "contacts", "Host")
    fresh.create(amount="1.5", hs_meeting_title="a [b] c")
    fresh.create(amount="2")
    return fresh


@given(SEARCHES | VALUES)
@settings(max_examples=400, deadline=None)
def test_searches(body: Any) -> None:
    check(*account().post(f"{MEETINGS}/search", body))


@pytest.mark.parametrize(
    "value", ["1" * 2900, "9" * 400 + "e9", "\u0663", "1e999", "-0", "0x1", " 1 ", "\x00", "é" * 1400]
)
@pytest.mark.parametrize("name", ["hs_timestamp", "amount", "hs_object_id", "hs_meeting_title", "associations.contact"])
@pytest.mark.parametrize("operator", ["EQ", "GTE", "CONTAINS_TOKEN"])
def test_odd_values(name: str, operator: str, value: str) -> None:
    check(
        *account().post(
            f"{MEETINGS}/search", {"filters": [{"propertyName": name, "operator": operator, "value": value}]}
        )
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"query": "\\ud800"}',
        b'{"filters": [{"propertyName": "hs_meeting_title", "operator": "EQ", "value": "\\ud800"}], "query": "a"}',
        b'{"filters": [{"propertyName": "\\ud800", "operator": "EQ", "value": "a"}]}',
        b'{"filters": [{"propertyName": "amount", "operator": "EQ", "value": ' + b"9" * 2000 + b"}]}",
        b'{"filters": [{"propertyName": "amount", "operator": "EQ", "value": 1e400}]}',
        b'{"after": ' + b"9" * 2000 + b"}",
        b'{"limit": 99999999999999999999}',
        b'{"query": "\xff"}',
        b'{"filterGroups":' * 5000,
    ],
)
def test_odd_bodies(body: bytes) -> None:
    check(*account().post(f"{MEETINGS}/search", body))


@given(
    st.sampled_from(["create", "associate/default", "read", "archive", "labels/archive"]),
    st.sampled_from(["v3", "v4"]),
    st.fixed_dictionaries({"inputs": st.lists(INPUTS, max_size=3)}) | VALUES,
)
@settings(max_examples=300, deadline=None)
def test_association_batches(endpoint: str, version: str, body: Any) -> None:
    if version == "v3" and "/" in endpoint:
        return
    path = f"/crm/{version}/associations/meetings/contacts/batch/{endpoint}"
    status, answer = account().post(path, body)
    assert status in (200, 201, 204, 207, 400)
    if status >= 400:
        assert answer["status"] == "error"


@given(
    TEXTS.filter(lambda text: text.strip("/.") != ""),
    st.sampled_from(["meetings/{}/associations/contacts/1", "contacts/1/associations/meetings/{}"]),
    st.sampled_from(["PUT", "DELETE"]),
)
def test_association_paths(text: str, path: str, method: str) -> None:
    check(*account().send(method, f"/crm/v4/objects/{path.format(quote(text, safe=''))}", [TYPE]))

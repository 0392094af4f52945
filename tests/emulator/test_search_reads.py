"""Search and lists do not look at every record: only at those of the page, and at those that changed meanwhile."""

from typing import Any

import pytest

from hubspot_meetings_async.emulator.records import Record
from tests.emulator.account import MEETINGS, Account, ids

COUNT = 600
PAGE = 5
FIRST_ID = 65_059_680_001


class Reads:
    """How many records were unpacked since the last question."""

    def __init__(self) -> None:
        self.number = 0

    def since(self) -> int:
        number, self.number = self.number, 0
        return number


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted = Reads()
    unpack, value = Record.properties, Record.value

    def properties(record: Record) -> dict[str, str]:
        counted.number += 1
        return unpack(record)

    def one(record: Record, name: str) -> str | None:
        counted.number += 1
        return value(record, name)

    monkeypatch.setattr(Record, "properties", properties)
    monkeypatch.setattr(Record, "value", one)
    return counted


@pytest.fixture
def account() -> Account:
    account = Account(search_delay_s=0)
    for first in range(0, COUNT, 100):
        inputs = [{"properties": _meeting(number)} for number in range(first, first + 100)]
        status, _ = account.batch("create", inputs)
        assert status == 201
    return account


def _meeting(number: int) -> dict[str, Any]:
    return {
        "hs_meeting_title": f"Review {number} with {'Northwind' if number % 2 else 'Contoso'}",
        "hs_meeting_outcome": ("SCHEDULED", "COMPLETED", "NO_SHOW")[number % 3],
        "hs_meeting_start_time": 1_795_424_400_000 + number * 3_600_000,
        "hubspot_owner_id": str(number % 7),
    }


def condition(name: str, operator: str, *values: str) -> dict[str, Any]:
    given: dict[str, Any] = {"propertyName": name, "operator": operator}
    if operator == "IN":
        given["values"] = list(values)
    elif values:
        given["value"], *rest = values
        if rest:
            given["highValue"] = rest[0]
    return given


SEARCHES: dict[str, list[dict[str, Any]]] = {
    "by id": [condition("hs_object_id", "EQ", str(FIRST_ID + 70))],
    "above an id": [condition("hs_object_id", "GT", str(FIRST_ID + 70))],
    "by date": [condition("hs_meeting_start_time", "BETWEEN", "1795424400000", "1795500000000")],
    "by moment of creation": [condition("hs_createdate", "GTE", "1795249800000")],
    "by title": [condition("hs_meeting_title", "EQ", "Review 70 with Contoso")],
    "by outcome": [condition("hs_meeting_outcome", "EQ", "NO_SHOW")],
    "by outcomes": [condition("hs_meeting_outcome", "IN", "NO_SHOW", "COMPLETED")],
    "by owner": [condition("hubspot_owner_id", "EQ", "3")],
    "with an owner": [condition("hubspot_owner_id", "HAS_PROPERTY")],
    "by a word": [condition("hs_meeting_title", "CONTAINS_TOKEN", "northwind")],
    "by a pattern": [condition("hs_meeting_title", "CONTAINS_TOKEN", "*wind 7*")],
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_reads_its_page_only(account: Account, reads: Reads, name: str) -> None:
    """Once its index is there, by whichever property; after a write it reads what was written, too."""
    body = {"filterGroups": [{"filters": SEARCHES[name]}], "limit": PAGE, "properties": ["hs_meeting_title"]}
    _, first = account.post(f"{MEETINGS}/search", body)
    assert first["total"] > 0
    assert reads.since() > 0
    for after in (0, PAGE):
        account.post(f"{MEETINGS}/search", {**body, "after": str(after)})
        assert reads.since() <= PAGE
    account.send("PATCH", f"{MEETINGS}/{FIRST_ID}", {"properties": {"hs_meeting_title": "Renamed"}})
    account.create(hs_meeting_title="New")
    reads.since()
    account.post(f"{MEETINGS}/search", body)
    assert reads.since() <= PAGE + 2 * 3, "two records, by three indexes at most"


def test_a_long_walk_through_a_query_reads_each_record_once(account: Account, reads: Reads) -> None:
    """All 300 results, window by window above the last id: each search is another one, and none looks at the others."""
    found: list[str] = []
    body = {"query": "review northw", "limit": 20, "sorts": ["hs_object_id"], "properties": ["hs_meeting_title"]}
    account.post(f"{MEETINGS}/search", {**body, "limit": 1})
    reads.since()
    while True:
        filters = [condition("hs_object_id", "GT", found[-1] if found else "0")]
        _, page = account.post(f"{MEETINGS}/search", {**body, "filterGroups": [{"filters": filters}]})
        found += ids(page)
        if len(page["results"]) < 20:
            break
    assert len(set(found)) == len(found) == COUNT // 2
    assert reads.since() == COUNT // 2


def test_a_query_amid_writes_reads_what_was_written(account: Account, reads: Reads) -> None:
    """No result can be kept from one page to the next, yet no page looks at all records again."""
    body = {"query": "contoso", "limit": PAGE, "properties": ["hs_meeting_title"]}
    account.post(f"{MEETINGS}/search", body)
    for turn in range(10):
        account.create(hs_meeting_title=f"Contoso {turn}")
        reads.since()
        _, page = account.post(f"{MEETINGS}/search", {**body, "after": str(turn * PAGE)})
        assert page["total"] == COUNT // 2 + turn + 1
        assert reads.since() <= PAGE + 2


def test_a_list_reads_its_page_only(account: Account, reads: Reads) -> None:
    for after in (FIRST_ID, FIRST_ID + COUNT // 2, FIRST_ID + COUNT - PAGE):
        _, page = account.get(f"{MEETINGS}?limit={PAGE}&after={after}&properties=hs_meeting_title")
        assert ids(page)[0] == str(after)
        assert reads.since() == PAGE


def test_narrow_conditions_are_asked_of_few(account: Account, reads: Reads) -> None:
    """A condition without an index is asked of those only that the others leave."""
    filters = [
        condition("hs_meeting_start_time", "LT", str(1_795_424_400_000 + 9 * 3_600_000)),
        condition("hs_meeting_outcome", "NEQ", "NO_SHOW"),
    ]
    body = {"filterGroups": [{"filters": filters}], "limit": PAGE}
    account.post(f"{MEETINGS}/search", body)
    reads.since()
    _, page = account.post(f"{MEETINGS}/search", {**body, "query": "review"})
    assert page["total"] == 6
    reads.since()
    _, page = account.post(f"{MEETINGS}/search", {**body, "query": "contoso"})
    assert page["total"] == 3
    assert reads.since() == 5

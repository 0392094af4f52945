"""Merging two meetings, deleting one for good, and what is left of them afterwards."""

from typing import Any

import pytest

from tests.emulator.account import MEETINGS, Account, ids
from tests.emulator.test_associations import tied, v4_of

DATED = ["/crm/objects/2025-09/meetings", "/crm/objects/2026-09/0-47"]


def merge(account: Account, primary: str, other: str, path: str = DATED[1]) -> tuple[int, Any]:
    return account.post(f"{path}/merge", {"primaryObjectId": primary, "objectIdToMerge": other})


class TestMerge:
    @pytest.mark.parametrize("path", DATED)
    def test_the_primary_keeps_its_values_and_takes_the_rest(self, path: str) -> None:
        account = Account()
        primary = account.create(hs_meeting_title="kept", hs_timestamp="0")
        other = account.create(hs_meeting_title="lost", hs_meeting_body="taken", hs_timestamp="1")
        account.clock.advance(1)
        status, record = merge(account, primary, other, path)
        assert (status, record["id"], record["updatedAt"]) == (200, primary, "2026-11-21T08:30:01.123Z")
        names = "hs_meeting_title,hs_meeting_body,hs_timestamp,hs_merged_object_ids"
        _, record = account.get(f"{MEETINGS}/{primary}?properties={names}")
        assert {name: record["properties"][name] for name in names.split(",")} == {
            "hs_meeting_title": "kept",
            "hs_meeting_body": "taken",
            "hs_timestamp": "1970-01-01T00:00:00Z",
            "hs_merged_object_ids": other,
        }
        assert ids(account.get(MEETINGS)[1]) == [primary]
        assert ids(account.get(f"{MEETINGS}?archived=true")[1]) == []

    def test_the_ties_of_both_are_those_of_the_primary(self) -> None:
        account = Account()
        primary, other = tied(account, 101, 102), tied(account, 102, 103)
        merge(account, primary, other)
        assert [end["toObjectId"] for end in v4_of(account, primary)] == [101, 102, 103]
        assert [end["toObjectId"] for end in v4_of(account, "103", "meetings", "contacts")] == [int(primary)]
        assert [end["toObjectId"] for end in v4_of(account, "102", "meetings", "contacts")] == [int(primary)]

    def test_single_calls_follow_a_merged_id_and_batches_leave_it_out(self) -> None:
        account = Account()
        primary, other, bystander = account.create(), account.create(), account.create()
        merge(account, primary, other)
        status, record = account.send("PATCH", f"{MEETINGS}/{other}", {"properties": {"hs_meeting_title": "via"}})
        assert (status, record["id"], record["properties"]["hs_meeting_title"]) == (200, primary, "via")
        assert account.get(f"{MEETINGS}/{other}")[1]["id"] == primary
        inputs = [{"id": id_, "properties": {"hs_meeting_title": "batch"}} for id_ in (other, bystander)]
        status, body = account.batch("update", inputs)
        assert (status, ids(body), "errors" in body) == (200, [bystander], False)
        status, body = account.batch("update", inputs[:1])
        assert (status, body["results"], "errors" in body) == (200, [], False)
        assert account.batch("read", [{"id": other}])[1]["numErrors"] == 1
        assert account.send("DELETE", f"{MEETINGS}/{other}")[0] == 204
        assert ids(account.get(MEETINGS)[1]) == [primary, bystander]

    def test_goes_on_through_chains(self) -> None:
        account = Account()
        first, second, third = (account.create() for _ in range(3))
        merge(account, second, first)
        status, record = merge(account, third, second)
        assert status == 200
        assert sorted(record["properties"]["hs_merged_object_ids"].split(";")) == [first, second]
        assert account.get(f"{MEETINGS}/{first}")[1]["id"] == third

    def test_search_forgets_the_other_one(self) -> None:
        account = Account(search_delay_s=0)
        primary, other = account.create(), account.create()
        assert account.post(f"{MEETINGS}/search", {})[1]["total"] == 2
        merge(account, primary, other)
        assert ids(account.post(f"{MEETINGS}/search", {})[1]) == [primary]

    def test_frees_unique_values_for_the_primary(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        primary, other = account.create(), account.create(booking_ref="a")
        merge(account, primary, other)
        assert account.get(f"{MEETINGS}/a?idProperty=booking_ref")[1]["id"] == primary

    def test_refuses_what_can_not_be_merged(self) -> None:
        account = Account()
        primary, other = account.create(), account.create()
        assert merge(account, primary, primary)[0] == 400
        assert merge(account, primary, "1")[0] == 404
        assert account.post(f"{DATED[0]}/merge", {"primaryObjectId": primary})[0] == 400
        assert merge(account, primary, other)[0] == 200
        assert merge(account, primary, other)[0] == 400


class TestGdprDelete:
    @pytest.mark.parametrize("path", DATED)
    @pytest.mark.parametrize("archived", [False, True])
    def test_leaves_nothing(self, path: str, archived: bool) -> None:
        account = Account(search_delay_s=0)
        id_, other = tied(account, 101), tied(account, 101)
        if archived:
            account.send("DELETE", f"{MEETINGS}/{id_}")
        assert account.post(f"{path}/gdpr-delete", {"objectId": id_}) == (204, None)
        assert account.get(f"{MEETINGS}/{id_}")[0] == 404
        assert account.get(f"{MEETINGS}/{id_}?archived=true")[0] == 404
        assert ids(account.get(MEETINGS)[1]) == [other]
        assert ids(account.get(f"{MEETINGS}?archived=true")[1]) == []
        assert [end["toObjectId"] for end in v4_of(account, "101", "meetings", "contacts")] == [int(other)]
        assert ids(account.post(f"{MEETINGS}/search", {})[1]) == [other]
        assert account.post(f"{path}/gdpr-delete", {"objectId": id_}) == (204, None)
        assert int(account.create()) > int(other)

    def test_finds_by_a_unique_property(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        account.create(booking_ref="a")
        body = {"objectId": "a", "idProperty": "booking_ref"}
        assert account.post(f"{DATED[0]}/gdpr-delete", body) == (204, None)
        assert account.get(MEETINGS)[1]["results"] == []
        account.create(booking_ref="a")
        wrong = {"objectId": "a", "idProperty": "hs_meeting_title"}
        assert account.post(f"{DATED[0]}/gdpr-delete", wrong)[0] == 400


@pytest.mark.parametrize("prefix", ["/crm/v3/objects/meetings", "/crm/objects/2026-03/meetings"])
@pytest.mark.parametrize("name", ["merge", "gdpr-delete"])
def test_other_versions_have_neither(prefix: str, name: str) -> None:
    from hubspot_meetings_async.emulator.routes import hubspot_routes

    assert hubspot_routes().match("POST", f"{prefix}/{name}").endpoint is None

"""The account from Python: objects, properties, and the truth about what requests did."""

from typing import Any

import pytest

from hubspot_meetings_async.emulator import LedgerEntry
from hubspot_meetings_async.emulator.records import ObjectStore
from hubspot_meetings_async.emulator.routes import hubspot_routes
from tests.emulator.account import MEETINGS, Account

PROPERTIES = "/crm/v3/properties/meetings"
NEW = {"name": "booking_ref", "label": "Booking", "type": "string", "fieldType": "text", "groupName": "engagement"}


class TestProperties:
    def test_are_listed_with_their_meta_data(self) -> None:
        status, body = Account().get(PROPERTIES)
        by_name = {known["name"]: known for known in body["results"]}
        assert status == 200
        assert by_name["hs_object_id"]["modificationMetadata"]["readOnlyValue"] is True
        outcome = by_name["hs_meeting_outcome"]
        assert (outcome["type"], outcome["modificationMetadata"]["readOnlyValue"]) == ("enumeration", False)
        assert "NO_SHOW" in [option["value"] for option in outcome["options"]]

    @pytest.mark.parametrize("prefix", [PROPERTIES, "/crm/properties/2026-03/0-47"])
    def test_are_found_by_name(self, prefix: str) -> None:
        assert Account().get(f"{prefix}/hs_meeting_title")[1]["fieldType"] == "text"
        status, body = Account().get(f"{prefix}/nope")
        assert (status, body["category"]) == (404, "OBJECT_NOT_FOUND")

    def test_can_be_created_unique(self) -> None:
        account = Account()
        status, body = account.post(PROPERTIES, {**NEW, "hasUniqueValue": True})
        assert (status, body["hasUniqueValue"]) == (201, True)
        account.create(booking_ref="a")
        assert account.post(MEETINGS, {"properties": {"booking_ref": "a"}})[0] == 409

    def test_have_names_of_their_own(self) -> None:
        account = Account()
        assert account.post(PROPERTIES, NEW)[0] == 201
        assert account.post(PROPERTIES, NEW)[0] == 409

    def test_only_ten_custom_ones_may_be_unique(self) -> None:
        account = Account()
        for n in range(10):
            assert account.post(PROPERTIES, {**NEW, "name": f"key_{n}", "hasUniqueValue": True})[0] == 201
        assert account.post(PROPERTIES, {**NEW, "hasUniqueValue": True})[0] == 400
        assert account.post(PROPERTIES, NEW)[0] == 201

    @pytest.mark.parametrize(
        "wrong", [{"name": "Booking"}, {"name": "hs_x"}, {"type": "blob"}, {"type": "bool", "hasUniqueValue": True}]
    )
    def test_must_make_sense(self, wrong: dict[str, Any]) -> None:
        assert Account().post(PROPERTIES, {**NEW, **wrong})[0] == 400


class TestPython:
    def test_objects_of_other_types_are_targets(self) -> None:
        portal = Account().portal
        assert portal.add_object("contacts", id="101", properties={"email": "ada@example.com"}) == "101"
        assert portal.exists("contact", "101")
        assert not portal.exists("0-2", "101")
        assert portal.add_object("contacts") == "102"

    @pytest.mark.parametrize("words", [("unicorns", "1"), ("contacts", "abc"), ("contacts", "7")])
    def test_wrong_objects_fail_in_words(self, words: tuple[str, str]) -> None:
        portal = Account().portal
        portal.add_object("contacts", id=7)
        with (
            pytest.raises(ValueError, match=words[0][:7])
            if words[1] != "abc"
            else pytest.raises(ValueError, match="abc")
        ):
            portal.add_object(words[0], id=words[1])

    def test_a_property_of_that_name_fails_in_words(self) -> None:
        with pytest.raises(ValueError, match="already exists"):
            Account().portal.add_property("hs_meeting_title")
        with pytest.raises(ValueError, match="no enumeration"):
            Account().portal.add_option("hs_meeting_title", "x")

    def test_reset_can_keep_the_properties(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        first = account.create(booking_ref="a")
        account.portal.reset(properties=False)
        assert account.create(booking_ref="a") == first
        account.portal.reset()
        assert account.post(MEETINGS, {"properties": {"booking_ref": "a"}})[0] == 400


class TestTruth:
    def test_duplicates_are_found_by_any_property(self) -> None:
        account = Account()
        one, two, three = (account.create(hs_meeting_title=title) for title in ("x", "y", "x"))
        assert account.portal.duplicates_by("hs_meeting_title") == {"x": [one, three]}
        account.send("DELETE", f"{MEETINGS}/{one}")
        assert account.portal.duplicates_by("hs_meeting_title") == {}
        assert account.portal.duplicates_by("hs_meeting_title", archived=True) == {"x": [one, three]}
        assert two

    def test_the_ledger_names_the_requests(self) -> None:
        account = Account()
        one = account.create(hs_meeting_title="x")
        two = account.create(hs_meeting_title="y")
        account.send("PATCH", f"{MEETINGS}/{one}", {"properties": {"hs_meeting_title": "z"}})
        account.send("DELETE", f"{MEETINGS}/{two}")
        assert list(account.portal.ledger("hs_meeting_title")) == [
            LedgerEntry(id=one, value="z", created_by=1, updated_by=3, writes=2, archived=False),
            LedgerEntry(id=two, value="y", created_by=2, updated_by=4, writes=1, archived=True),
        ]

    def test_objects_are_listed_with_their_ids(self) -> None:
        account = Account()
        one = account.create(hs_timestamp="0")
        expected = {"hs_object_id": one, "hs_timestamp": "1970-01-01T00:00:00Z"}
        assert list(account.portal.objects()) == [expected]
        account.send("DELETE", f"{MEETINGS}/{one}")
        assert list(account.portal.objects()) == []
        assert list(account.portal.objects(archived="both")) == [expected]


class TestStore:
    def test_ids_given_out_of_order_are_listed_in_order(self) -> None:
        store = ObjectStore(first_id=1)
        for id_ in (5, 3, 9):
            store.add({}, now_ms=0, request=1, id_=id_)
        assert [record.id for record in store.page(start=0, limit=10)[0]] == [3, 5, 9]
        assert store.add({}, now_ms=0, request=1).id == 10

    def test_walking_on_above_an_id_leaves_nobody_out(self) -> None:
        """Live and archived records once each, in order of ids, also those whose ids were given out of order."""
        store = ObjectStore(first_id=1)
        records = {id_: store.add({}, now_ms=0, request=1, id_=id_) for id_ in (5, 3, 9, 1, 7)}
        for id_ in (3, 9):
            store.archive(records[id_], now_ms=0, request=2)
        store.remove(records[7])
        walked: list[int] = []
        while page := list(store.above(walked[-1] if walked else 0))[:2]:
            walked += [record.id for record in page]
        assert walked == [1, 3, 5, 9]

    def test_archiving_most_records_leaves_the_order_whole(self) -> None:
        store = ObjectStore(first_id=1)
        records = [store.add({}, now_ms=0, request=1) for _ in range(100)]
        for record in records[:90]:
            store.archive(record, now_ms=0, request=2)
        page, following = store.page(start=0, limit=5)
        assert ([record.id for record in page], following) == ([91, 92, 93, 94, 95], 96)
        archived, _ = store.page(start=88, limit=5, archived=True)
        assert [record.id for record in archived] == [88, 89, 90]


class TestRoutes:
    def test_an_encoded_slash_stays_in_its_segment(self) -> None:
        match = hubspot_routes().match("GET", "/crm/v3/objects/meetings/a%2Fb%20c")
        assert (match.operation, match.captures) == ("meetings.get", {"object_type": "meetings", "id": "a/b c"})

    def test_a_wrong_method_is_told_from_a_missing_path(self) -> None:
        routes = hubspot_routes()
        assert routes.match("PUT", "/crm/v3/objects/meetings").allowed == ("GET", "POST")
        for path in (
            "/",
            "/crm/v3/objects",
            "/crm/objects/2024-01/meetings",
            "/crm/v3/objects//1",
            "/crm/v3/objects/../x/y",
        ):
            assert routes.match("GET", path) == ("unknown", None, {}, ())

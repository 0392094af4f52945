"""One record at a time: what HubSpot answers to create, get, patch, delete and list."""

from typing import Any

import pytest

from tests.emulator.account import MEETINGS, Account, ids

START = "2026-11-23T09:00:00Z"
CONTACT = {"to": {"id": 101}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]}


class TestCreate:
    def test_answers_what_was_written_and_what_hubspot_adds(self) -> None:
        account = Account()
        body = {"properties": {"hs_timestamp": START, "hs_meeting_title": "Kick-off", "hubspot_owner_id": 41}}

        status, record = account.post(MEETINGS, body)

        now = "2026-11-21T08:30:00.123Z"
        assert status == 201
        assert record == {
            "id": "65059680001",
            "properties": {
                "hs_timestamp": START,
                "hs_meeting_title": "Kick-off",
                "hubspot_owner_id": "41",
                "hs_object_source": "INTEGRATION",
                "hs_createdate": now,
                "hs_lastmodifieddate": now,
                "hs_object_id": "65059680001",
            },
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
        }

    def test_ids_grow(self) -> None:
        account = Account()
        assert int(account.create()) < int(account.create())

    @pytest.mark.parametrize(
        ("given", "timestamp"),
        [
            ({"hs_meeting_start_time": "1795424400000"}, START),
            ({"hs_meeting_start_time": START, "hs_timestamp": "0"}, "1970-01-01T00:00:00Z"),
            ({}, "2026-11-21T08:30:00.123Z"),
        ],
    )
    def test_the_timestamp_falls_back_to_the_start_then_to_now(self, given: dict[str, str], timestamp: str) -> None:
        account = Account()
        _, record = account.post(MEETINGS, {"properties": given})
        assert record["properties"]["hs_timestamp"] == timestamp

    def test_the_timestamp_can_be_required(self) -> None:
        status, body = Account(timestamp_required=True).post(MEETINGS, {"properties": {}})
        assert (status, body["errors"][0]["code"]) == (400, "MISSING_REQUIRED_PROPERTY")

    @pytest.mark.parametrize(
        ("name", "value", "code", "text"),
        [
            ("nope", "1", "PROPERTY_DOESNT_EXIST", 'Property "nope" does not exist'),
            ("hs_object_id", "1", "READ_ONLY_VALUE", "read only"),
            ("hs_meeting_outcome", "LOST", "INVALID_OPTION", 'LOST was not one of the allowed options: [label: "Sch'),
            ("hs_meeting_start_time", "soon", "INVALID_LONG", "soon was not a valid long."),
            ("hs_meeting_body", "x" * 65_537, "PROPERTY_VALUE_TOO_LONG", "65536"),
        ],
    )
    def test_a_bad_value_is_named(self, name: str, value: str, code: str, text: str) -> None:
        account = Account()
        status, body = account.post(MEETINGS, {"properties": {"hs_meeting_title": "t", name: value}})
        assert status == 400
        assert (body["status"], body["category"]) == ("error", "VALIDATION_ERROR")
        assert body["message"].startswith("Property values were not valid: [{")
        assert body["errors"][0]["code"] == code
        assert body["errors"][0]["context"] == {"propertyName": [name]}
        assert text in body["errors"][0]["message"]
        assert account.get(MEETINGS)[1]["results"] == []

    def test_the_body_of_an_unknown_property_is_the_documented_one(self) -> None:
        _, body = Account().post(MEETINGS, {"properties": {"nope": 1}})
        text = 'Property "nope" does not exist'
        escaped = 'Property \\"nope\\" does not exist'
        assert body == {
            "status": "error",
            "message": f'Property values were not valid: [{{"isValid":false,"message":"{escaped}",'
            f'"error":"PROPERTY_DOESNT_EXIST","name":"nope","localizedErrorMessage":"{escaped}","portalId":1234567}}]',
            "correlationId": "the-correlation-id",
            "errors": [{"message": text, "code": "PROPERTY_DOESNT_EXIST", "context": {"propertyName": ["nope"]}}],
            "category": "VALIDATION_ERROR",
        }

    def test_unknown_and_read_only_properties_can_be_ignored(self) -> None:
        account = Account(unknown_property="ignore", read_only_property="ignore")
        status, record = account.post(MEETINGS, {"properties": {"nope": "1", "hs_object_id": "7"}})
        assert status == 201
        assert record["properties"]["hs_object_id"] == record["id"] != "7"

    def test_an_account_may_add_options(self) -> None:
        account = Account()
        account.portal.add_option("hs_meeting_outcome", "HELD")
        account.create(hs_meeting_outcome="HELD")

    def test_meeting_types_are_free_until_the_account_defines_some(self) -> None:
        account = Account()
        account.create(hs_activity_type="Demo")
        account.portal.add_option("hs_activity_type", "Review")
        assert account.post(MEETINGS, {"properties": {"hs_activity_type": "Demo"}})[0] == 400

    @pytest.mark.parametrize(("type_", "bad"), [("number", "1_0"), ("number", "nan"), ("bool", "ja"), ("date", "x")])
    def test_custom_properties_have_types(self, type_: Any, bad: str) -> None:
        account = Account()
        account.portal.add_property("extra", type=type_)
        assert account.post(MEETINGS, {"properties": {"extra": bad}})[0] == 400

    def test_a_taken_unique_value_is_a_conflict(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        first = account.create(booking_ref="a")
        status, body = account.post(MEETINGS, {"properties": {"booking_ref": "a"}})
        assert (status, body["category"]) == (409, "CONFLICT")
        assert body["message"] == f"Meeting already exists. Existing ID: {first}"

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"{", "Invalid input JSON on line 1, column 2"),
            (b'{"properties":\n oops}', "Invalid input JSON on line 2, column 2"),
            (b"", "Invalid input JSON"),
            (b'{"associations": []}', "Some required fields were not set: [properties]"),
            (b'{"properties": {"a": {}}}', "Invalid input JSON"),
            (b"[]", "Invalid input JSON"),
            (b'{"properties": {"a": "\xff"}}', "Invalid input JSON"),
            (b'{"properties":' * 50_000, "Invalid input JSON"),
        ],
    )
    def test_a_broken_body_is_refused_in_words(self, body: bytes, text: str) -> None:
        status, answer = Account().post(MEETINGS, body)
        assert status == 400
        assert text in answer["message"]


class TestAssociations:
    def test_show_on_reads_that_ask(self) -> None:
        account = Account()
        _, record = account.post(MEETINGS, {"properties": {}, "associations": [CONTACT]})
        url = f"{MEETINGS}/{record['id']}"
        assert "associations" not in account.get(url)[1]
        assert account.get(f"{url}?associations=contacts,deals,nonsense")[1]["associations"] == {
            "contacts": {"results": [{"id": "101", "type": "meeting_event_to_contact"}]}
        }

    def test_targets_are_checked_when_the_account_does(self) -> None:
        account = Account(check_association_targets=True)
        body = {"properties": {}, "associations": [CONTACT]}
        status, answer = account.post(MEETINGS, body)
        assert status == 400
        assert answer == {
            "status": "error",
            "message": "One or more associations are invalid",
            "correlationId": "the-correlation-id",
            "context": {
                "INVALID_OBJECT_IDS": ["CONTACT=101 is not valid"],
                "objectId": ["101"],
                "objectType": ["CONTACT"],
            },
            "category": "VALIDATION_ERROR",
        }
        account.portal.add_object("contacts", id="101", properties={"email": "ada@example.com"})
        assert account.post(MEETINGS, body)[0] == 201

    def test_a_type_of_the_wrong_direction_is_refused(self) -> None:
        other = {"to": {"id": "1"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 199}]}
        status, answer = Account().post(MEETINGS, {"properties": {}, "associations": [other]})
        assert status == 400
        assert "expected: 0-1. For definition 0-199" in answer["message"]

    def test_an_unknown_type_is_refused(self) -> None:
        other = {"to": {"id": "1"}, "types": [{"associationCategory": "USER_DEFINED", "associationTypeId": 5}]}
        assert Account().post(MEETINGS, {"properties": {}, "associations": [other]})[0] == 400


class TestGet:
    def test_returns_three_properties_and_those_asked_for(self) -> None:
        account = Account()
        id_ = account.create(hs_meeting_title="t", hs_meeting_body="b")
        _, record = account.get(f"{MEETINGS}/{id_}")
        assert sorted(record["properties"]) == ["hs_createdate", "hs_lastmodifieddate", "hs_object_id"]
        _, record = account.get(f"{MEETINGS}/{id_}?properties=hs_meeting_title,nope&properties=hs_meeting_location")
        assert record["properties"]["hs_meeting_title"] == "t"
        assert record["properties"]["hs_meeting_location"] is None
        assert "nope" not in record["properties"]

    def test_unset_properties_can_be_left_out(self) -> None:
        account = Account(unset_properties="omit")
        _, record = account.get(f"{MEETINGS}/{account.create()}?properties=hs_meeting_title")
        assert "hs_meeting_title" not in record["properties"]

    def test_missing_records_read_differently_for_numbers_and_words(self) -> None:
        account = Account()
        assert account.get(f"{MEETINGS}/1") == (
            404,
            {"status": "error", "message": "resource not found", "correlationId": "the-correlation-id"},
        )
        status, body = account.get(f"{MEETINGS}/abc")
        assert (status, body["category"], body["context"]) == (404, "OBJECT_NOT_FOUND", {"id": ["abc"]})
        assert body["message"] == "Object not found.  objectId are usually numeric."

    def test_finds_by_a_unique_property_only(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        id_ = account.create(booking_ref="a/b")
        assert account.get(f"{MEETINGS}/a%2Fb?idProperty=booking_ref")[1]["id"] == id_
        status, body = account.get(f"{MEETINGS}/x?idProperty=hs_meeting_title")
        assert status == 400
        assert "non-unique 0-47 property hs_meeting_title in portal ID 1234567" in body["message"]

    def test_archived_records_are_found_only_when_asked_for(self) -> None:
        account = Account()
        id_ = account.create()
        assert account.get(f"{MEETINGS}/{id_}?archived=true")[0] == 404
        account.send("DELETE", f"{MEETINGS}/{id_}")
        assert account.get(f"{MEETINGS}/{id_}")[0] == 404
        status, record = account.get(f"{MEETINGS}/{id_}?archived=true")
        assert (status, record["archived"], record["archivedAt"]) == (200, True, "2026-11-21T08:30:00.123Z")

    def test_history_lists_every_value_newest_first(self) -> None:
        account = Account()
        id_ = account.create(hs_meeting_title="one", hs_meeting_body="b")
        account.clock.advance(1)
        account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_meeting_title": "two"}})
        _, record = account.get(f"{MEETINGS}/{id_}?propertiesWithHistory=hs_meeting_title,hs_meeting_body")
        history = record["propertiesWithHistory"]
        assert [version["value"] for version in history["hs_meeting_title"]] == ["two", "one"]
        assert history["hs_meeting_title"][0]["timestamp"] == "2026-11-21T08:30:01.123Z"
        assert [version["value"] for version in history["hs_meeting_body"]] == ["b"]


class TestPatch:
    def test_answers_the_changes(self) -> None:
        account = Account()
        id_ = account.create(hs_meeting_title="one", hs_meeting_body="b")
        account.clock.advance(2)
        status, record = account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_meeting_title": "two"}})
        assert status == 200
        assert record["properties"]["hs_meeting_title"] == "two"
        assert "hs_meeting_body" not in record["properties"]
        assert (record["createdAt"], record["updatedAt"]) == ("2026-11-21T08:30:00.123Z", "2026-11-21T08:30:02.123Z")

    @pytest.mark.parametrize(("reading", "value"), [("null", None), ("empty", "")])
    @pytest.mark.parametrize("clear", ["", None])
    def test_an_empty_value_clears(self, reading: str, value: str | None, clear: str | None) -> None:
        account = Account(cleared_properties=reading)
        id_ = account.create(hs_meeting_title="one")
        account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_meeting_title": clear}})
        _, record = account.get(f"{MEETINGS}/{id_}?properties=hs_meeting_title")
        assert record["properties"]["hs_meeting_title"] == value

    def test_a_leading_semicolon_adds_to_a_checkbox(self) -> None:
        account = Account()
        id_ = account.create(hs_attendee_owner_ids="1;2")
        account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_attendee_owner_ids": ";2;3"}})
        _, record = account.get(f"{MEETINGS}/{id_}?properties=hs_attendee_owner_ids")
        assert record["properties"]["hs_attendee_owner_ids"] == "1;2;3"

    def test_missing_and_archived_records_answer_404(self) -> None:
        account = Account()
        id_ = account.create()
        account.send("DELETE", f"{MEETINGS}/{id_}")
        for path in (id_, "1", "abc"):
            assert account.send("PATCH", f"{MEETINGS}/{path}", {"properties": {}})[0] == 404

    def test_finds_by_a_unique_property_and_moves_its_value(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        id_ = account.create(booking_ref="a")
        account.create(booking_ref="b")
        url = f"{MEETINGS}/a?idProperty=booking_ref"
        assert account.send("PATCH", url, {"properties": {"booking_ref": "b"}})[0] == 409
        assert account.send("PATCH", url, {"properties": {"booking_ref": "c"}})[0] == 200
        assert account.get(f"{MEETINGS}/c?idProperty=booking_ref")[1]["id"] == id_
        assert account.get(url)[0] == 404
        assert account.send("PATCH", f"{MEETINGS}/{id_}?idProperty=hs_object_id", {"properties": {}})[0] == 400


class TestDelete:
    def test_answers_204_also_when_there_is_nothing(self) -> None:
        account = Account()
        id_ = account.create()
        for path in (id_, id_, "1", "abc"):
            assert account.send("DELETE", f"{MEETINGS}/{path}") == (204, None)
        assert account.portal.meetings.store.archived == 1

    def test_frees_the_unique_values(self) -> None:
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        first = account.create(booking_ref="a")
        account.send("DELETE", f"{MEETINGS}/{first}")
        second = account.create(booking_ref="a")
        url = f"{MEETINGS}/a?idProperty=booking_ref"
        assert account.get(url)[1]["id"] == second
        assert account.get(url + "&archived=true")[1]["id"] == first


class TestList:
    def test_pages_of_ten_by_id(self) -> None:
        account = Account()
        all_ids = [account.create() for _ in range(25)]
        _, page = account.get(MEETINGS)
        assert ids(page) == all_ids[:10]
        assert page["paging"]["next"]["after"] == all_ids[10]
        seen = ids(page)
        while "paging" in page:
            _, page = account.get(f"{MEETINGS}?after={page['paging']['next']['after']}")
            seen += ids(page)
        assert seen == all_ids
        assert "paging" not in page

    def test_the_link_repeats_the_query(self) -> None:
        account = Account()
        for _ in range(2):
            account.create()
        _, page = account.get(f"{MEETINGS}?limit=1&properties=hs_meeting_title&after=1")
        following = page["paging"]["next"]
        expected = f"http://test{MEETINGS}?limit=1&properties=hs_meeting_title&after={following['after']}"
        assert following["link"] == expected

    def test_a_full_last_page_has_no_next(self) -> None:
        account = Account()
        for _ in range(10):
            account.create()
        assert "paging" not in account.get(MEETINGS)[1]

    @pytest.mark.parametrize(
        "query",
        [
            "limit=101",
            "limit=0",
            "limit=-1",
            "limit=ten",
            "limit=51&propertiesWithHistory=hs_meeting_title",
            "after=abc",
            "archived=maybe",
        ],
    )
    def test_bad_parameters_answer_400(self, query: str) -> None:
        status, body = Account().get(f"{MEETINGS}?{query}")
        assert (status, body["category"]) == (400, "VALIDATION_ERROR")

    def test_live_and_archived_records_are_two_lists(self) -> None:
        account = Account()
        all_ids = [account.create() for _ in range(9)]
        for id_ in all_ids[::2]:
            account.send("DELETE", f"{MEETINGS}/{id_}")
        assert ids(account.get(MEETINGS)[1]) == all_ids[1::2]
        _, page = account.get(f"{MEETINGS}?archived=true&limit=3")
        assert ids(page) == all_ids[::2][:3]
        assert page["paging"]["next"]["after"] == all_ids[::2][3]

    def test_a_cursor_survives_the_archiving_of_its_record(self) -> None:
        account = Account()
        all_ids = [account.create() for _ in range(12)]
        after = account.get(MEETINGS)[1]["paging"]["next"]["after"]
        account.send("DELETE", f"{MEETINGS}/{after}")
        assert ids(account.get(f"{MEETINGS}?after={after}")[1]) == all_ids[11:]


@pytest.mark.parametrize("prefix", ["/crm/v3/objects", *(f"/crm/objects/20{v}" for v in ("25-09", "26-03", "26-09"))])
@pytest.mark.parametrize("object_type", ["meetings", "0-47"])
def test_every_version_and_both_names_lead_to_the_same_records(prefix: str, object_type: str) -> None:
    account = Account()
    id_ = account.create()
    assert account.get(f"{prefix}/{object_type}/{id_}")[1]["id"] == id_
    assert account.post(f"{prefix}/{object_type}", {"properties": {}})[0] == 201


def test_other_object_types_have_no_endpoints_here() -> None:
    assert Account().get("/crm/v3/objects/unicorns")[0] == 404


def test_three_digits_everywhere_when_asked() -> None:
    account = Account(always_milliseconds=True)
    account.clock.advance(0.877)
    _, record = account.get(f"{MEETINGS}/{account.create(hs_timestamp='0')}?properties=hs_timestamp")
    assert record["createdAt"] == record["properties"]["hs_createdate"] == "2026-11-21T08:30:01.000Z"
    assert record["properties"]["hs_timestamp"] == "1970-01-01T00:00:00.000Z"

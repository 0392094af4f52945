"""Associations of one record: what v3 and v4 answer on their paths, and what reads of records show of them."""

from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator
from tests.emulator.account import MEETINGS, Account, ids

V4 = "/crm/v4/objects"
DATED = [f"/crm/objects/{version}" for version in ("2025-09", "2026-03", "2026-09")]


def kind(type_id: int, category: str = "HUBSPOT_DEFINED") -> dict[str, Any]:
    return {"associationCategory": category, "associationTypeId": type_id}


def tie(to: str | int, type_id: int = 200) -> dict[str, Any]:
    return {"to": {"id": to}, "types": [kind(type_id)]}


def tied(account: Account, *to: str | int, type_id: int = 200) -> str:
    """A meeting tied to these records."""
    body = {"properties": {}, "associations": [tie(id_, type_id) for id_ in to]}
    return str(account.post(MEETINGS, body)[1]["id"])


def v4_of(account: Account, id_: str, to: str = "contacts", start: str = "meetings") -> list[Any]:
    status, body = account.get(f"{V4}/{start}/{id_}/associations/{to}")
    assert status == 200
    results: list[Any] = body["results"]
    return results


def unlabeled(to: int, type_id: int = 200) -> dict[str, Any]:
    return {
        "toObjectId": to,
        "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}],
    }


class TestCreateTime:
    def test_ties_show_from_both_sides(self) -> None:
        account = Account()
        id_ = tied(account, "101", 102)
        assert v4_of(account, id_) == [unlabeled(101), unlabeled(102)]
        assert v4_of(account, "101", "meetings", "contacts") == [unlabeled(int(id_), 199)]
        assert account.get(f"{MEETINGS}/{id_}/associations/contacts")[1] == {
            "results": [{"id": id_, "type": "meeting_event_to_contact"} for id_ in ("101", "102")]
        }
        assert account.get("/crm/v3/objects/contacts/101/associations/meetings")[1] == {
            "results": [{"id": id_, "type": "contact_to_meeting_event"}]
        }

    def test_long_lists_page_below_the_record(self) -> None:
        account = Account()
        id_ = tied(account, *range(1, 151))
        for path, place in ((f"{MEETINGS}/{id_}?associations=contact", None), (f"{MEETINGS}?associations=contact", 0)):
            record = account.get(path)[1]
            inline = (record if place is None else record["results"][place])["associations"]["contacts"]
            assert [end["id"] for end in inline["results"]] == [str(n) for n in range(1, 101)]
            assert inline["paging"]["next"]["after"] == "101"
            link = inline["paging"]["next"]["link"].removeprefix("http://test")
            assert [end["id"] for end in account.get(link)[1]["results"]] == [str(n) for n in range(101, 151)]


class TestV3:
    @pytest.mark.parametrize("prefix", ["/crm/v3/objects", *DATED])
    @pytest.mark.parametrize("name", ["200", "meeting_event_to_contact"])
    def test_adds_and_removes_by_name_or_type_id(self, prefix: str, name: str) -> None:
        account = Account()
        id_ = account.create()
        path = f"{prefix}/meetings/{id_}/associations/contact/101/{name}"
        status, record = account.send("PUT", path)
        assert (status, record["id"]) == (200, id_)
        assert sorted(record["properties"]) == ["hs_createdate", "hs_lastmodifieddate", "hs_object_id"]
        assert record["associations"] == {"contacts": {"results": [{"id": "101", "type": "meeting_event_to_contact"}]}}
        assert v4_of(account, id_) == [unlabeled(101)]
        for _ in range(2):
            assert account.send("DELETE", path) == (204, None)
        assert v4_of(account, id_) == []
        assert v4_of(account, "101", "meetings", "contacts") == []

    @pytest.mark.parametrize(
        ("rest", "text"),
        [
            ("contacts/101/199", "expected: 0-1. For definition 0-199"),
            ("contacts/101/188", "invalid to object type 0-1"),
            ("contacts/101/999", "No association type 999"),
            ("contacts/101/contact_to_meeting_event", "No association type contact_to_meeting_event"),
            ("contacts/abc/200", "One or more associations are invalid"),
        ],
    )
    def test_refuses_what_does_not_fit(self, rest: str, text: str) -> None:
        account = Account()
        id_ = account.create()
        status, body = account.send("PUT", f"{MEETINGS}/{id_}/associations/{rest}")
        assert (status, body["category"]) == (400, "VALIDATION_ERROR")
        assert text in body["message"]


class TestV4:
    @pytest.mark.parametrize("prefix", [V4, *DATED])
    def test_the_default_tie_answers_both_directions(self, prefix: str) -> None:
        account = Account()
        id_ = account.create()
        status, body = account.send("PUT", f"{prefix}/0-47/{id_}/associations/default/contacts/101", b"")
        now = "2026-11-21T08:30:00.123Z"
        assert (status, body) == (
            200,
            {
                "status": "COMPLETE",
                "results": [
                    {"from": {"id": id_}, "to": {"id": "101"}, "associationSpec": kind(200)},
                    {"from": {"id": "101"}, "to": {"id": id_}, "associationSpec": kind(199)},
                ],
                "startedAt": now,
                "completedAt": now,
            },
        )
        assert account.get(f"{prefix}/meetings/{id_}/associations/0-1")[1] == {"results": [unlabeled(101)]}
        assert account.send("DELETE", f"{prefix}/meetings/{id_}/associations/contact/101") == (204, None)
        assert v4_of(account, id_) == []

    def test_labels_are_replaced_and_bring_the_unlabeled_type(self) -> None:
        account = Account()
        id_ = account.create()
        host, hosted = account.portal.add_label("meetings", "contacts", "Host", inverse_label="Hosted")
        guest, _ = account.portal.add_label("meetings", "contacts", "Guest")
        path = f"{V4}/meetings/{id_}/associations/contacts/101"

        def labels() -> list[Any]:
            ((end,), (start,)) = v4_of(account, id_), v4_of(account, "101", "meetings", "contacts")
            return [[shown["label"] for shown in one["associationTypes"]] for one in (end, start)]

        status, body = account.send("PUT", path, [kind(host, "USER_DEFINED")])
        assert (status, body) == (
            201,
            {
                "fromObjectTypeId": "0-47",
                "fromObjectId": int(id_),
                "toObjectTypeId": "0-1",
                "toObjectId": 101,
                "labels": ["Host"],
            },
        )
        assert labels() == [[None, "Host"], [None, "Hosted"]]
        assert account.send("PUT", path, [kind(guest, "USER_DEFINED")])[1]["labels"] == ["Guest"]
        assert labels() == [[None, "Guest"], [None, "Guest"]]
        both = [kind(host, "USER_DEFINED"), kind(guest, "USER_DEFINED")]
        assert account.send("PUT", path, both)[1]["labels"] == ["Host", "Guest"]
        assert account.send("PUT", path, [kind(200)])[1]["labels"] == []
        assert labels() == [[None], [None]]
        reverse = f"{V4}/contacts/101/associations/meetings/{id_}"
        assert account.send("PUT", reverse, [kind(hosted, "USER_DEFINED")])[1]["labels"] == ["Hosted"]
        assert labels() == [[None, "Host"], [None, "Hosted"]]

    @pytest.mark.parametrize("body", [[], [kind(199)], [kind(1, "USER_DEFINED")], {}, [{}], b"", b"{"])
    def test_labels_must_fit(self, body: Any) -> None:
        account = Account()
        path = f"{V4}/meetings/{account.create()}/associations/contacts/101"
        assert account.send("PUT", path, body)[0] == 400

    def test_ids_can_be_texts(self) -> None:
        account = Account(association_ids="string")
        id_ = tied(account, 101)
        assert v4_of(account, id_)[0]["toObjectId"] == "101"
        _, body = account.send("PUT", f"{V4}/meetings/{id_}/associations/contacts/101", [kind(200)])
        assert (body["fromObjectId"], body["toObjectId"]) == (id_, "101")

    def test_lists_page_by_five_hundred(self) -> None:
        account = Account()
        id_ = tied(account, *range(1, 1202))
        path = f"{V4}/meetings/{id_}/associations/contacts"
        seen: list[int] = []
        sizes: list[int] = []
        url: str | None = path
        while url is not None:
            _, body = account.get(url)
            seen += [end["toObjectId"] for end in body["results"]]
            sizes.append(len(body["results"]))
            following = body.get("paging", {}).get("next")
            url = None if following is None else f"{path}?after={following['after']}"
        assert (seen, sizes) == (list(range(1, 1202)), [500, 500, 201])
        link = account.get(f"{path}?limit=2&after=4")[1]["paging"]["next"]["link"]
        assert link == f"http://test{path}?limit=2&after=6"
        for query in ("limit=501", "limit=0", "limit=x", "after=x"):
            assert account.get(f"{path}?{query}")[0] == 400

    def test_unknown_records_and_types_are_refused(self) -> None:
        account = Account()
        id_ = account.create()
        assert account.get(f"{V4}/meetings/1/associations/contacts")[0] == 404
        assert account.get(f"{V4}/meetings/{id_}/associations/unicorns")[0] == 404
        assert account.send("PUT", f"{V4}/meetings/1/associations/default/contacts/101")[0] == 404
        status, body = account.send("PUT", f"{V4}/contacts/101/associations/default/meetings/1")
        assert (status, body["context"]["INVALID_OBJECT_IDS"]) == (400, ["MEETING_EVENT=1 is not valid"])
        assert account.send("PUT", f"{V4}/contacts/101/associations/default/companies/7")[0] == 400
        assert account.send("DELETE", f"{V4}/meetings/abc/associations/contacts/101") == (204, None)

    def test_targets_can_be_checked(self) -> None:
        account = Account(check_association_targets=True)
        path = f"{V4}/meetings/{account.create()}/associations/default/contacts"
        assert account.send("PUT", f"{path}/101")[1]["context"]["objectType"] == ["CONTACT"]
        contact = account.post("/crm/v3/objects/contacts", {"properties": {"email": "ada@example.com"}})[1]["id"]
        assert account.send("PUT", f"{path}/{contact}")[0] == 200

    def test_archived_records_are_out_of_sight(self) -> None:
        account = Account()
        first, second = tied(account, 101), tied(account, 101)
        account.send("DELETE", f"{MEETINGS}/{first}")
        assert v4_of(account, "101", "meetings", "contacts") == [unlabeled(int(second), 199)]
        assert account.get(f"{V4}/meetings/{first}/associations/contacts")[0] == 404


@pytest.mark.parametrize("type_", ["contacts", "companies", "deals", "tickets", "0-1"])
def test_neighbours_can_be_created_listed_and_read(type_: str) -> None:
    account = Account()
    name = {"companies": "name", "deals": "dealname", "tickets": "subject"}.get(type_, "firstname")
    status, record = account.post(f"/crm/v3/objects/{type_}", {"properties": {name: "Ada"}})
    assert status == 201
    path = f"/crm/v3/objects/{type_}/{record['id']}"
    assert account.get(f"{path}?properties={name}")[1]["properties"][name] == "Ada"
    assert ids(account.get(f"/crm/objects/2026-03/{type_}")[1]) == [record["id"]]
    assert account.get("/crm/v3/objects/leads")[0] == 404
    assert account.portal.meetings.store.created == 0


async def test_over_the_wire(hubspot: Emulator, http: aiohttp.ClientSession) -> None:
    """A PUT without a body needs no content type; a labelled one says where the tie is."""
    async with http.post(hubspot.url + "/crm/v3/objects/contacts", json={"properties": {"email": "a@b.c"}}) as response:
        contact = (await response.json())["id"]
    async with http.post(hubspot.url + MEETINGS, json={"properties": {}}) as response:
        meeting = (await response.json())["id"]
    async with http.put(f"{hubspot.url}{V4}/meetings/{meeting}/associations/default/contacts/{contact}") as response:
        assert response.status == 200
    url = f"{hubspot.url}{V4}/meetings/{meeting}/associations/contacts/{contact}"
    async with http.put(url, json=[kind(200)]) as response:
        assert (response.status, response.headers["Location"]) == (201, url)
    async with http.get(f"{hubspot.url}{MEETINGS}/{meeting}?associations=contacts") as response:
        assert (await response.json())["associations"]["contacts"]["results"][0]["id"] == contact
    async with http.delete(url) as response:
        assert (response.status, await response.read()) == (204, b"")
    operations = [entry.operation for entry in hubspot.recent_requests]
    assert operations == [
        "contacts.create",
        "meetings.create",
        "associations.put_default",
        "associations.put",
        "meetings.get",
        "associations.archive",
    ]

"""Association batches: ceilings, error entries, pages of each record; labels; the report."""

from typing import Any

import pytest

from tests.emulator.account import MEETINGS, Account
from tests.emulator.test_associations import kind, tied, unlabeled, v4_of

V4 = "/crm/v4/associations/meetings/contacts"
DATED = [f"/crm/associations/{version}/meetings/contacts" for version in ("2025-09", "2026-03", "2026-09")]
V3 = "/crm/v3/associations/meetings/contacts"
NOW = "2026-11-21T08:30:00.123Z"


def pair(start: Any, end: Any, *type_ids: int) -> dict[str, Any]:
    return {
        "from": {"id": start},
        "to": {"id": end},
        **({"types": [kind(type_id) for type_id in type_ids]} if type_ids else {}),
    }


class TestCreate:
    @pytest.mark.parametrize(("path", "made"), [(V4, 201), (DATED[0], 201), (DATED[1], 201), (DATED[2], 200)])
    def test_answers_pairs_with_their_labels(self, path: str, made: int) -> None:
        account = Account()
        id_ = account.create()
        status, body = account.post(f"{path}/batch/create", {"inputs": [pair(id_, 101, 200), pair(id_, "102", 200)]})
        assert status == made
        assert body == {
            "status": "COMPLETE",
            "results": [
                {
                    "fromObjectTypeId": "0-47",
                    "fromObjectId": int(id_),
                    "toObjectTypeId": "0-1",
                    "toObjectId": to,
                    "labels": [],
                }
                for to in (101, 102)
            ],
            "startedAt": NOW,
            "completedAt": NOW,
        }
        assert v4_of(account, id_) == [unlabeled(101), unlabeled(102)]

    def test_adds_labels_to_those_that_are_there(self) -> None:
        account = Account()
        id_ = account.create()
        labels = [account.portal.add_label("meetings", "contacts", name)[0] for name in ("Host", "Guest")]
        for label in labels:
            inputs = [{**pair(id_, 101), "types": [kind(label, "USER_DEFINED")]}]
            _, body = account.post(f"{V4}/batch/create", {"inputs": inputs})
        assert body["results"][0]["labels"] == ["Host", "Guest"]

    def test_a_missing_record_is_an_error_entry(self) -> None:
        account = Account()
        id_ = account.create()
        for path in (f"{V4}/batch/create", f"{DATED[2]}/batch/create"):
            status, body = account.post(path, {"inputs": [pair("1", 101, 200), pair(id_, 101, 200)]})
            assert (status, len(body["results"]), body["numErrors"]) == (207, 1, 1)
            assert body["errors"] == [
                {
                    "status": "error",
                    "category": "VALIDATION_ERROR",
                    "message": "One or more associations are invalid",
                    "context": {
                        "INVALID_OBJECT_IDS": ["MEETING_EVENT=1 is not valid"],
                        "objectId": ["1"],
                        "objectType": ["MEETING_EVENT"],
                    },
                }
            ]

    def test_a_wrong_type_refuses_everything(self) -> None:
        account = Account()
        id_ = account.create()
        status, _ = account.post(f"{V4}/batch/create", {"inputs": [pair(id_, 101, 200), pair(id_, 102, 199)]})
        assert (status, v4_of(account, id_)) == (400, [])

    @pytest.mark.parametrize("prefix", [V4, *DATED])
    def test_default_ties_need_no_types(self, prefix: str) -> None:
        account = Account()
        id_ = account.create()
        status, body = account.post(f"{prefix}/batch/associate/default", {"inputs": [pair(id_, 101), pair(id_, 102)]})
        assert status == 200
        assert [(one["from"]["id"], one["associationSpec"]["associationTypeId"]) for one in body["results"]] == [
            (id_, 200),
            ("101", 199),
            (id_, 200),
            ("102", 199),
        ]
        assert v4_of(account, id_) == [unlabeled(101), unlabeled(102)]

    def test_default_ties_carry_their_errors_in_a_200(self) -> None:
        account = Account()
        id_ = account.create()
        inputs = [pair("1", 101), pair(id_, 101)]
        status, body = account.post(f"{V4}/batch/associate/default", {"inputs": inputs})
        assert (status, len(body["results"]), body["numErrors"]) == (200, 2, 1)
        assert body["errors"][0]["context"]["objectId"] == ["1"]


class TestRead:
    @pytest.mark.parametrize("prefix", [V4, *DATED])
    def test_none_at_all_is_an_error_entry(self, prefix: str) -> None:
        account = Account()
        some, none = tied(account, 101), account.create()
        status, body = account.post(f"{prefix}/batch/read", {"inputs": [{"id": some}, {"id": none}]})
        assert status == 207
        assert body == {
            "status": "COMPLETE",
            "results": [{"from": {"id": some}, "to": [unlabeled(101)]}],
            "numErrors": 1,
            "errors": [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": f"No contact is associated with meeting event {none}.",
                    "context": {
                        "fromObjectId": [none],
                        "fromObjectType": ["meeting_event"],
                        "toObjectType": ["contact"],
                    },
                }
            ],
            "startedAt": NOW,
            "completedAt": NOW,
        }
        assert account.post(f"{prefix}/batch/read", {"inputs": [{"id": some}]})[0] == 200

    def test_each_record_pages_on_its_own(self) -> None:
        account = Account()
        few, many = tied(account, 7), tied(account, *range(1, 1101))
        inputs: list[dict[str, str]] = [{"id": few}, {"id": many}]
        seen: dict[str, list[int]] = {few: [], many: []}
        calls = 0
        while inputs:
            status, body = account.post(f"{V4}/batch/read", {"inputs": inputs})
            assert status == 200
            calls += 1
            inputs = []
            for result in body["results"]:
                seen[result["from"]["id"]] += [end["toObjectId"] for end in result["to"]]
                if "paging" in result:
                    inputs.append({"id": result["from"]["id"], "after": result["paging"]["next"]["after"]})
        assert (seen, calls) == ({few: [7], many: list(range(1, 1101))}, 3)


class TestArchive:
    @pytest.mark.parametrize(("prefix", "status"), [(V4, 204), *((path, 200) for path in DATED)])
    def test_parts_records(self, prefix: str, status: int) -> None:
        account = Account()
        id_ = tied(account, 101, 102, 103)
        inputs = [{"from": {"id": id_}, "to": [{"id": 101}, {"id": "103"}, {"id": "999"}]}]
        found, body = account.post(f"{prefix}/batch/archive", {"inputs": inputs})
        empty = {"status": "COMPLETE", "results": [], "startedAt": NOW, "completedAt": NOW}
        assert (found, body) == (status, None if status == 204 else empty)
        assert v4_of(account, id_) == [unlabeled(102)]
        assert v4_of(account, "101", "meetings", "contacts") == []

    @pytest.mark.parametrize(("prefix", "status"), [(V4, 204), *((path, 200) for path in DATED)])
    def test_removes_labels_and_with_the_unlabeled_type_all(self, prefix: str, status: int) -> None:
        account = Account()
        id_ = account.create()
        host, guest = (account.portal.add_label("meetings", "contacts", name)[0] for name in ("Host", "Guest"))
        both = [kind(host, "USER_DEFINED"), kind(guest, "USER_DEFINED")]
        account.send("PUT", f"/crm/v4/objects/meetings/{id_}/associations/contacts/101", both)

        def remove(*types: dict[str, Any]) -> list[Any]:
            inputs = [{**pair(id_, 101), "types": types}]
            assert account.post(f"{prefix}/batch/labels/archive", {"inputs": inputs})[0] == status
            return [shown["label"] for end in v4_of(account, id_) for shown in end["associationTypes"]]

        assert remove(both[0]) == [None, "Guest"]
        assert remove(both[0]) == [None, "Guest"]
        assert remove(kind(200)) == []


class TestV3:
    def test_creates_reads_and_archives_by_name(self) -> None:
        account = Account()
        id_ = account.create()
        inputs = [{**pair(id_, to), "type": name} for to, name in ((101, "meeting_event_to_contact"), (102, 200))]
        status, body = account.post(f"{V3}/batch/create", {"inputs": inputs})
        assert status == 201
        assert body["results"] == [
            {"from": {"id": id_}, "to": {"id": to}, "type": "meeting_event_to_contact"} for to in ("101", "102")
        ]
        status, body = account.post(f"{V3}/batch/read", {"inputs": [{"id": id_}, {"id": "1"}]})
        assert (status, body["numErrors"]) == (207, 1)
        assert body["results"] == [
            {"from": {"id": id_}, "to": [{"id": to, "type": "meeting_event_to_contact"} for to in ("101", "102")]}
        ]
        assert account.post(f"{V3}/batch/archive", {"inputs": inputs[:1]}) == (204, None)
        assert v4_of(account, id_) == [unlabeled(102)]


@pytest.mark.parametrize(
    ("name", "ceiling"),
    [("create", 2000), ("associate/default", 2000), ("read", 1000), ("archive", 100), ("labels/archive", 2000)],
)
def test_ceilings(name: str, ceiling: int) -> None:
    account = Account()
    one: dict[str, Any] = pair("1", "101", 200)
    if name == "read":
        one = {"id": "1"}
    elif name == "archive":
        one["to"] = [one["to"]]
    assert account.post(f"{V4}/batch/{name}", {"inputs": [one] * ceiling})[0] < 300
    status, body = account.post(f"{V4}/batch/{name}", {"inputs": [one] * (ceiling + 1)})
    text = f"The maximum number of inputs supported in a batch is {ceiling}."
    assert (status, body["category"]) == (400, "VALIDATION_ERROR")
    assert body["message"].startswith(text)


def test_a_body_without_inputs_is_refused_or_taken_for_nothing() -> None:
    status, body = Account().post(f"{V4}/batch/create", {})
    assert (status, "[inputs]" in body["message"]) == (400, True)
    status, body = Account(accept_missing_inputs=True).post(f"{V3}/batch/create", {})
    assert (status, body["results"]) == (201, [])


@pytest.mark.parametrize("path", [V4, "/crm/associations/v4/meetings/contact", "/crm/associations/2026-03/0-47/0-1"])
def test_labels_are_listed_and_made(path: str) -> None:
    account = Account()
    plain = {"category": "HUBSPOT_DEFINED", "typeId": 200, "label": None}
    assert account.get(f"{path}/labels") == (200, {"results": [plain]})
    body = {"label": "Host", "name": "host", "inverseLabel": "Hosted"}
    status, made = account.post(f"{path}/labels", body)
    assert (status, [one["label"] for one in made["results"]]) == (200, ["Host", "Hosted"])
    assert account.get(f"{path}/labels")[1] == {"results": [plain, made["results"][0]]}
    back = {"category": "HUBSPOT_DEFINED", "typeId": 199, "label": None}
    assert account.get("/crm/v4/associations/contacts/meetings/labels")[1] == {"results": [back, made["results"][1]]}
    assert account.post(f"{path}/labels", body)[0] == 409
    account.portal.reset()
    assert account.get(f"{path}/labels")[1] == {"results": [plain]}


@pytest.mark.parametrize("prefix", ["/crm/v4/associations", "/crm/associations/2026-09"])
def test_the_report_is_promised(prefix: str) -> None:
    status, body = Account().post(f"{prefix}/usage/high-usage-report/7", b"")
    assert (status, body["userId"]) == (200, 7)
    assert Account().post(f"{prefix}/usage/high-usage-report/x", b"")[0] == 404


def test_a_contact_with_many_meetings_is_read_page_by_page() -> None:
    account = Account()
    for _ in range(20):
        ties = [{"to": {"id": 101}, "types": [kind(200)]}]
        account.batch("create", [{"properties": {}, "associations": ties}] * 100)
    path = "/crm/v4/objects/contacts/101/associations/meetings"
    seen: list[int] = []
    after = "0"
    while after:
        _, body = account.get(f"{path}?limit=300&after={after}")
        seen += [end["toObjectId"] for end in body["results"]]
        after = body.get("paging", {}).get("next", {}).get("after", "")
    assert seen == [int(record["hs_object_id"]) for record in account.portal.objects()]
    assert len(account.get(f"{MEETINGS}?limit=1&associations=contacts")[1]["results"]) == 1

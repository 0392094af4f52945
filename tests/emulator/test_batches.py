"""Batches: ceilings, orders, and what one bad input does to the others."""

from typing import Any

import pytest

from tests.emulator.account import MEETINGS, Account, ids

ENDPOINTS = ("read", "create", "update", "upsert", "archive")
BAD = {"properties": {"nope": "1"}}


def keyed(**behaviour: Any) -> Account:
    account = Account(**behaviour)
    account.portal.add_property("booking_ref", unique=True)
    return account


def titled(number: int, trace_id: str | None = None) -> dict[str, Any]:
    given: dict[str, Any] = {"properties": {"hs_meeting_title": str(number)}}
    return given if trace_id is None else {**given, "objectWriteTraceId": trace_id}


class TestShape:
    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    def test_101_inputs_are_too_many(self, endpoint: str) -> None:
        inputs = [{"id": str(n), "properties": {}, "idProperty": "booking_ref"} for n in range(101)]
        status, body = keyed().batch(endpoint, inputs)
        assert status == 400
        assert body == {
            "status": "error",
            "message": "The maximum number of inputs supported in a batch is 100."
            " Please reduce the number of items and try again",
            "correlationId": "the-correlation-id",
            "category": "VALIDATION_ERROR",
        }

    def test_51_inputs_are_too_many_with_history(self) -> None:
        inputs = [{"id": str(n)} for n in range(51)]
        status, body = Account().batch("read", inputs, propertiesWithHistory=["hs_meeting_title"])
        assert status == 400
        assert "in a batch request for property histories is 50." in body["message"]

    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    def test_a_body_without_inputs_is_refused(self, endpoint: str) -> None:
        status, body = Account().post(f"{MEETINGS}/batch/{endpoint}", {})
        assert status == 400
        assert body["message"] == "Invalid input JSON on line 1, column 2. Some required fields were not set: [inputs]"

    @pytest.mark.parametrize("endpoint", ENDPOINTS)
    def test_or_accepted_in_silence(self, endpoint: str) -> None:
        status, body = Account(accept_missing_inputs=True).post(f"{MEETINGS}/batch/{endpoint}", {})
        assert (status, body["status"], body["results"]) == (200, "COMPLETE", [])

    @pytest.mark.parametrize("endpoint", ["read", "update", "upsert", "archive"])
    @pytest.mark.parametrize("traced", [True, False])
    def test_an_id_may_not_stand_twice(self, endpoint: str, traced: bool) -> None:
        inputs = [
            {"id": id_, "properties": {}, "idProperty": "booking_ref", "objectWriteTraceId": str(n) if traced else None}
            for n, id_ in enumerate(["1", 1, "2"])
        ]
        status, body = keyed().batch(endpoint, inputs)
        assert status == 400
        assert body["message"] == "Duplicate IDs found in batch input: [1]. IDs must be unique"
        assert body["context"] == {"ids": ["1"]}

    def test_a_missing_member_of_an_input_is_named(self) -> None:
        status, body = Account().batch("update", [{"properties": {}}])
        assert (status, "[id]" in body["message"]) == (400, True)

    def test_answers_carry_status_and_times(self) -> None:
        status, body = Account().batch("create", [titled(1)])
        assert (status, body["status"]) == (201, "COMPLETE")
        assert body["startedAt"] == body["completedAt"] == "2026-11-21T08:30:00.123Z"
        assert "errors" not in body
        assert "numErrors" not in body

    def test_the_2025_09_schema_has_200_for_creates(self) -> None:
        body = {"inputs": [titled(1)]}
        assert Account().post("/crm/objects/2025-09/0-47/batch/create", body)[0] == 200
        assert Account().post("/crm/objects/2026-09/0-47/batch/create", body)[0] == 201


class TestCreate:
    def test_results_come_in_another_order_than_the_inputs(self) -> None:
        for number in (2, 3, 100):
            _, body = Account().batch("create", [titled(n) for n in range(number)])
            titles = [result["properties"]["hs_meeting_title"] for result in body["results"]]
            assert titles != [str(n) for n in range(number)]
            assert sorted(titles, key=int) == [str(n) for n in range(number)]

    def test_the_order_repeats_with_the_seed(self) -> None:
        orders = [ids(Account().batch("create", [titled(n) for n in range(50)])[1]) for _ in range(2)]
        assert orders[0] == orders[1]

    def test_results_can_be_sorted(self) -> None:
        _, body = Account(create_result_order="sorted").batch("create", [titled(n) for n in range(9)])
        assert ids(body) == sorted(ids(body), key=int)

    def test_without_trace_ids_one_bad_input_refuses_all(self) -> None:
        account = Account()
        status, body = account.batch("create", [titled(1), BAD, titled(2), {"properties": {"other": "1"}}])
        assert status == 400
        assert [error["context"]["propertyName"] for error in body["errors"]] == [["nope"]]
        assert account.portal.meetings.store.created == 0

    def test_unless_the_account_keeps_the_earlier_ones(self) -> None:
        account = Account(refused_batch="earlier")
        assert account.batch("create", [titled(1), titled(2), BAD, titled(3)])[0] == 400
        assert [meeting["hs_meeting_title"] for meeting in account.portal.objects()] == ["1", "2"]

    def test_with_trace_ids_the_good_ones_are_written(self) -> None:
        account = Account()
        status, body = account.batch("create", [titled(1, "t1"), {**BAD, "objectWriteTraceId": "t2"}, titled(3, "t3")])
        assert status == 207
        assert sorted(result["properties"]["hs_meeting_title"] for result in body["results"]) == ["1", "3"]
        assert all("objectWriteTraceId" not in result for result in body["results"])
        assert body["numErrors"] == 1
        (error,) = body["errors"]
        assert sorted(error) == ["category", "context", "message", "status"]
        assert (error["category"], error["context"]) == ("VALIDATION_ERROR", {"objectWriteTraceId": ["t2"]})
        assert error["message"].startswith("Property values were not valid: [{")

    @pytest.mark.parametrize("trace_ids", [("t1", None), ("t1", "t1"), ("t1", "")])
    def test_trace_ids_must_be_there_and_differ(self, trace_ids: tuple[str | None, ...]) -> None:
        account = Account()
        good, bad = trace_ids
        assert account.batch("create", [titled(1, good), {**BAD, "objectWriteTraceId": bad}])[0] == 400
        assert account.portal.meetings.store.created == 0

    def test_trace_ids_can_be_echoed(self) -> None:
        _, body = Account(echo_trace_id=True).batch("create", [titled(n, f"t{n}") for n in range(5)])
        assert all(
            result["objectWriteTraceId"] == "t" + result["properties"]["hs_meeting_title"] for result in body["results"]
        )

    def test_a_taken_value_refuses_the_batch_with_409(self) -> None:
        account = keyed()
        taken = account.create(booking_ref="a")
        inputs = [{"properties": {"booking_ref": ref}} for ref in ("b", "a")]
        status, body = account.batch("create", inputs)
        assert (status, body["category"], body["message"].endswith(f"Existing ID: {taken}")) == (409, "CONFLICT", True)
        assert account.portal.meetings.store.created == 1

    def test_or_stands_among_the_errors(self) -> None:
        account = keyed()
        taken = account.create(booking_ref="a")
        inputs = [{"properties": {"booking_ref": ref}, "objectWriteTraceId": ref} for ref in ("b", "a")]
        status, body = account.batch("create", inputs)
        assert (status, len(body["results"])) == (207, 1)
        (error,) = body["errors"]
        assert (error["category"], error["context"]) == ("CONFLICT", {"objectWriteTraceId": ["a"]})
        assert error["message"].endswith(f"Existing ID: {taken}")

    @pytest.mark.parametrize("traced", [True, False])
    def test_a_value_may_not_stand_twice_in_one_batch(self, traced: bool) -> None:
        account = keyed()
        inputs = [
            {"properties": {"booking_ref": "a"}, "objectWriteTraceId": str(n) if traced else None} for n in range(2)
        ]
        assert account.batch("create", inputs)[0] == (207 if traced else 409)
        assert account.portal.meetings.store.created == (1 if traced else 0)


class TestRead:
    def test_finds_by_id_sorted_by_id(self) -> None:
        account = Account()
        wanted = [account.create(hs_meeting_title=str(n)) for n in range(5)]
        inputs = [{"id": id_} for id_ in reversed(wanted)]
        status, body = account.batch("read", inputs, properties=["hs_meeting_title"])
        assert (status, ids(body)) == (200, wanted)
        assert [result["properties"]["hs_meeting_title"] for result in body["results"]] == list("01234")

    def test_missing_ids_share_one_error(self) -> None:
        account = Account()
        id_ = account.create()
        status, body = account.batch("read", [{"id": "1"}, {"id": id_}, {"id": "abc"}])
        assert (status, ids(body), body["numErrors"]) == (207, [id_], 1)
        assert body["errors"] == [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": "Could not get some MEETING_EVENT objects, they may be deleted or not exist."
                " Check that ids are valid.",
                "context": {"ids": ["1", "abc"]},
            }
        ]

    def test_all_missing_is_207_or_404(self) -> None:
        assert Account().batch("read", [{"id": "1"}])[0] == 207
        assert Account(read_all_missing_status=404).batch("read", [{"id": "1"}])[0] == 404

    def test_finds_by_a_unique_property(self) -> None:
        account = keyed()
        id_ = account.create(booking_ref="a")
        _, body = account.batch("read", [{"id": "a"}], idProperty="booking_ref")
        assert ids(body) == [id_]
        assert body["results"][0]["properties"]["booking_ref"] == "a"
        assert account.batch("read", [{"id": "a"}], idProperty="hs_meeting_title")[0] == 400

    def test_finds_archived_records_when_asked(self) -> None:
        account = keyed()
        id_ = account.create(booking_ref="a")
        account.send("DELETE", f"{MEETINGS}/{id_}")
        body = {"inputs": [{"id": "a"}], "idProperty": "booking_ref"}
        assert ids(account.post(f"{MEETINGS}/batch/read?archived=true", body)[1]) == [id_]
        assert ids(account.post(f"{MEETINGS}/batch/read", body)[1]) == []

    def test_returns_history(self) -> None:
        account = Account()
        id_ = account.create(hs_meeting_title="t")
        _, body = account.batch("read", [{"id": id_}], propertiesWithHistory=["hs_meeting_title"])
        assert body["results"][0]["propertiesWithHistory"]["hs_meeting_title"][0]["value"] == "t"


class TestUpdate:
    def test_a_missing_record_is_an_error_entry_with_and_without_trace_ids(self) -> None:
        account = Account()
        id_ = account.create()
        inputs: list[dict[str, Any]] = [
            {"id": id_, "properties": {"hs_meeting_title": "x"}},
            {"id": 7, "properties": {}},
        ]
        status, body = account.batch("update", inputs)
        assert (status, ids(body), body["errors"][0]["context"]) == (207, [id_], {"ids": ["7"]})
        traced = [{**given, "objectWriteTraceId": f"t{given['id']}"} for given in inputs]
        status, body = account.batch("update", traced)
        assert (status, ids(body)) == (207, [id_])
        assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
        assert body["errors"][0]["context"] == {"ids": ["7"], "objectWriteTraceId": ["t7"]}

    def test_a_bad_value_refuses_the_batch_without_trace_ids(self) -> None:
        account = Account()
        one, two = account.create(), account.create()
        inputs = [{"id": one, "properties": {"hs_meeting_title": "x"}}, {"id": two, **BAD}]
        assert account.batch("update", inputs)[0] == 400
        assert account.portal.meetings.store.updated == 0
        status, body = account.batch("update", [{**given, "objectWriteTraceId": given["id"]} for given in inputs])
        assert (status, ids(body), body["errors"][0]["context"]) == (207, [one], {"objectWriteTraceId": [two]})

    def test_results_are_sorted_by_id_or_shuffled(self) -> None:
        for order in ("sorted", "shuffled"):
            account = Account(result_order=order)
            wanted = [account.create() for _ in range(9)]
            _, body = account.batch("update", [{"id": id_, "properties": {}} for id_ in wanted])
            assert (ids(body) == wanted) is (order == "sorted")
            assert sorted(ids(body)) == sorted(wanted)

    def test_finds_by_a_unique_property(self) -> None:
        account = keyed()
        id_ = account.create(booking_ref="a")
        given = {"id": "a", "idProperty": "booking_ref", "properties": {"hs_meeting_title": "x"}}
        assert ids(account.batch("update", [given])[1]) == [id_]
        assert account.batch("update", [{**given, "idProperty": "hs_object_id"}])[0] == 400


class TestUpsert:
    def test_creates_or_updates_and_says_which(self) -> None:
        account = keyed()
        old = account.create(booking_ref="a", hs_meeting_title="before")
        inputs = [
            {"id": ref, "idProperty": "booking_ref", "properties": {"hs_meeting_title": "after"}} for ref in ("b", "a")
        ]
        status, body = account.batch("upsert", inputs)
        assert status == 200
        assert {result["properties"]["booking_ref"]: result["new"] for result in body["results"]} == {
            "a": False,
            "b": True,
        }
        assert ids(body)[0] == old
        assert [meeting["hs_meeting_title"] for meeting in account.portal.objects()] == ["after", "after"]
        assert account.batch("upsert", inputs)[1]["results"][1]["new"] is False

    @pytest.mark.parametrize("name", ["hs_object_id", "hs_meeting_title", "nope", None])
    def test_only_by_a_unique_property(self, name: str | None) -> None:
        status, body = Account().batch("upsert", [{"id": "1", "idProperty": name, "properties": {}}])
        assert (status, body["category"]) == (400, "VALIDATION_ERROR")
        shown = name or "hs_object_id"
        expected = f"Unable to perform update/upsert by non-unique 0-47 property {shown} in portal ID 1234567"
        assert body["message"] == expected

    def test_a_bad_input_refuses_all_or_stands_among_the_errors(self) -> None:
        account = keyed()
        inputs: list[dict[str, Any]] = [
            {"id": "a", "idProperty": "booking_ref", "properties": {}},
            {"id": "b", "idProperty": "booking_ref", "properties": {"nope": "1"}},
        ]
        assert account.batch("upsert", inputs)[0] == 400
        assert len(account.portal.meetings.store) == 0
        status, body = account.batch("upsert", [{**given, "objectWriteTraceId": given["id"]} for given in inputs])
        assert (status, len(body["results"]), body["errors"][0]["context"]) == (207, 1, {"objectWriteTraceId": ["b"]})

    def test_an_empty_id_is_refused(self) -> None:
        assert keyed().batch("upsert", [{"id": "", "idProperty": "booking_ref", "properties": {}}])[0] == 400


def test_archive_answers_204_for_missing_ids_too() -> None:
    account = Account()
    id_ = account.create()
    assert account.batch("archive", [{"id": id_}, {"id": "1"}, {"id": "abc"}]) == (204, None)
    assert account.portal.meetings.store.archived == 1
    assert account.get(f"{MEETINGS}/{id_}")[0] == 404

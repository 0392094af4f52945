"""Search: what its conditions find, how late, in which order, and where HubSpot refuses."""

from typing import Any

import pytest

from tests.emulator.account import MEETINGS, Account, ids

SEARCH = f"{MEETINGS}/search"
MINUTE_MS = 60_000


def where(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}


def search(account: Account, *filters: dict[str, Any], **more: Any) -> Any:
    body = {"filterGroups": [{"filters": list(filters)}], **more} if filters else more
    status, answer = account.post(SEARCH, body)
    assert status == 200, answer
    return answer


def refusal(account: Account, body: Any) -> str:
    status, answer = account.post(SEARCH, body)
    assert (status, answer["status"], answer["category"]) == (400, "error", "VALIDATION_ERROR")
    return str(answer["message"])


@pytest.fixture
def account() -> Account:
    """No delay: everything is seen at once."""
    return Account(search_delay_s=0)


class TestAnswer:
    def test_has_the_documented_shape(self, account: Account) -> None:
        all_ids = []
        for n in range(3):
            all_ids.append(account.create(hs_meeting_title=f"Review {n}", hs_meeting_outcome="SCHEDULED"))
            account.clock.advance(1)
        body = {"filterGroups": [{"filters": [where("hs_meeting_outcome", "EQ", "SCHEDULED")]}], "limit": 2}
        assert account.post(SEARCH, {**body, "properties": ["hs_meeting_title", "nope"]}) == (
            200,
            {
                "total": 3,
                "results": [
                    {
                        "id": all_ids[n],
                        "properties": {
                            "hs_meeting_title": f"Review {n}",
                            "hs_createdate": f"2026-11-21T08:30:0{n}.123Z",
                            "hs_lastmodifieddate": f"2026-11-21T08:30:0{n}.123Z",
                            "hs_object_id": all_ids[n],
                        },
                        "createdAt": f"2026-11-21T08:30:0{n}.123Z",
                        "updatedAt": f"2026-11-21T08:30:0{n}.123Z",
                        "archived": False,
                    }
                    for n in range(2)
                ],
                "paging": {"next": {"after": "2"}},
            },
        )
        _, last = account.post(SEARCH, {**body, "after": "2"})
        assert (ids(last), last["total"], "paging" in last) == (all_ids[2:], 3, False)

    def test_an_empty_body_finds_all_ten_at_a_time_oldest_first(self, account: Account) -> None:
        all_ids = [account.create() for _ in range(12)]
        assert (search(account)["total"], ids(search(account))) == (12, all_ids[:10])
        assert ids(search(account, after=10)) == all_ids[10:]
        assert search(account, after="30")["results"] == []

    @pytest.mark.parametrize("path", [f"/crm/objects/{v}/0-47/search" for v in ("2025-09", "2026-03", "2026-09")])
    def test_is_the_same_on_every_version(self, account: Account, path: str) -> None:
        id_ = account.create()
        assert ids(account.post(path, {})[1]) == [id_]

    def test_never_shows_archived_records(self, account: Account) -> None:
        first, second = account.create(), account.create()
        assert search(account)["total"] == 2
        account.send("DELETE", f"{MEETINGS}/{first}")
        assert ids(search(account)) == [second]

    def test_finds_other_objects_too(self, account: Account) -> None:
        account.post("/crm/v3/objects/contacts", {"properties": {"email": "ada@example.com", "lastname": "Byron"}})
        path = "/crm/v3/objects/contacts/search"
        assert account.post(path, {"query": "byr"})[1]["total"] == 1
        assert account.post(path, {"filters": [where("email", "CONTAINS_TOKEN", "*@example.com")]})[1]["total"] == 1
        assert search(account)["total"] == 0


class TestDelay:
    def test_new_and_changed_records_are_seen_seconds_later(self) -> None:
        account = Account()
        id_ = account.create(hs_meeting_title="old")
        account.clock.advance(4.999)
        assert search(account)["total"] == 0
        account.clock.advance(0.001)
        assert ids(search(account)) == [id_]
        account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_meeting_title": "new"}})
        account.clock.advance(3)
        account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": {"hs_meeting_title": "newest"}})
        titles = []
        for _ in range(3):
            (result,) = search(account, properties=["hs_meeting_title"])["results"]
            titles.append((result["properties"]["hs_meeting_title"], result["updatedAt"]))
            assert search(account, where("hs_meeting_title", "EQ", titles[-1][0]))["total"] == 1
            assert search(account, where("hs_lastmodifieddate", "EQ", titles[-1][1]))["total"] == 1
            account.clock.advance(2.5)
        assert titles == [
            ("old", "2026-11-21T08:30:00.123Z"),
            ("new", "2026-11-21T08:30:05.123Z"),
            ("newest", "2026-11-21T08:30:08.123Z"),
        ]

    def test_what_python_put_in_is_there_at_once(self) -> None:
        account = Account()
        id_ = account.portal.add_object("meetings", properties={"hs_meeting_title": "fixture"})
        assert ids(search(account)) == [id_]

    def test_a_test_can_settle_it(self) -> None:
        account = Account(search_delay_s=3600)
        first, second = account.create(), account.create()
        account.send("PATCH", f"{MEETINGS}/{first}", {"properties": {"hs_meeting_title": "x"}})
        assert search(account)["total"] == 0
        account.portal.settle_search()
        assert ids(search(account)) == [first, second]
        assert search(account, where("hs_meeting_title", "EQ", "x"))["total"] == 1
        account.clock.advance(7200)
        assert search(account)["total"] == 2

    def test_archived_records_go_at_once(self) -> None:
        account = Account()
        seen, unseen = account.create(), account.create()
        account.clock.advance(5)
        assert search(account)["total"] == 2
        third = account.create()
        for id_ in (seen, third):
            account.send("DELETE", f"{MEETINGS}/{id_}")
        assert ids(search(account)) == [unseen]
        account.clock.advance(10)
        assert ids(search(account)) == [unseen]

    def test_must_make_sense(self) -> None:
        with pytest.raises(ValueError, match="search_delay_s"):
            Account(search_delay_s=-1)


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "found"),
        [
            (where("hs_meeting_title", "EQ", "kick-OFF"), "a"),
            (where("hs_meeting_title", "NEQ", "Kick-off"), "b"),
            (where("hs_meeting_title", "IN", values=["kick-off"]), "a"),
            (where("hs_meeting_title", "IN", values=["Kick-off"]), ""),
            (where("hs_meeting_title", "NOT_IN", values=["kick-off", "x"]), "b"),
            (where("hs_meeting_title", "GT", "l"), "b"),
            (where("hs_meeting_title", "CONTAINS_TOKEN", "off"), "a"),
            (where("hs_meeting_title", "CONTAINS_TOKEN", "ki*"), "a"),
            (where("hs_meeting_title", "CONTAINS_TOKEN", "k"), ""),
            (where("hs_meeting_title", "CONTAINS_TOKEN", "with review"), "b"),
            (where("hs_meeting_title", "CONTAINS_TOKEN", "*@example.com"), "b"),
            (where("hs_meeting_title", "NOT_CONTAINS_TOKEN", "REVIEW"), "a"),
            (where("hs_meeting_title", "HAS_PROPERTY"), "ab"),
            (where("hs_meeting_title", "NOT_HAS_PROPERTY"), "c"),
            (where("hs_meeting_outcome", "EQ", "SCHEDULED"), "a"),
            (where("hs_meeting_outcome", "EQ", "scheduled"), ""),
            (where("hs_meeting_outcome", "IN", values=["SCHEDULED", "NO_SHOW"]), "ab"),
            (where("hs_meeting_outcome", "NOT_IN", values=["SCHEDULED"]), "b"),
            (where("hs_attendee_owner_ids", "EQ", "2"), "ab"),
            (where("hs_attendee_owner_ids", "IN", values=["1", "7"]), "a"),
            (where("hs_timestamp", "EQ", "120000"), "b"),
            (where("hs_timestamp", "LT", 120_000), "a"),
            (where("hs_timestamp", "LTE", "1970-01-01T00:02:00Z"), "ab"),
            (where("hs_timestamp", "BETWEEN", "60000", highValue="120000"), "ab"),
            (where("hs_timestamp", "IN", values=["60000", "180000"]), "ac"),
            (where("hs_timestamp", "NEQ", "60000"), "bc"),
            (where("length", "GTE", "30"), "bc"),
            (where("length", "LT", "1e2"), "ab"),
            (where("hs_object_source", "EQ", "integration"), "abc"),
            (where("associations.contact", "EQ", "101"), "a"),
            (where("associations.contacts", "IN", values=[101, "102"]), "ab"),
            (where("associations.company", "EQ", "101"), ""),
        ],
    )
    def test_find_what_they_say(self, account: Account, condition: dict[str, Any], found: str) -> None:
        account.portal.add_property("length", type="number")
        records: list[dict[str, Any]] = [
            {
                "hs_meeting_title": "Kick-off",
                "hs_meeting_outcome": "SCHEDULED",
                "hs_attendee_owner_ids": "1;2",
                "length": 4,
            },
            {
                "hs_meeting_title": "Review with bob@example.com",
                "hs_meeting_outcome": "NO_SHOW",
                "hs_attendee_owner_ids": "2",
                "length": "30",
            },
            {"hs_meeting_title": "", "length": 100},
        ]
        names: dict[str, str] = {}
        for n, (name, properties) in enumerate(zip("abc", records, strict=True)):
            types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]
            ties = [{"to": {"id": 101 + n}, "types": types}] if n < 2 else []
            given = {"properties": {**properties, "hs_timestamp": (n + 1) * MINUTE_MS}, "associations": ties}
            names[account.post(MEETINGS, given)[1]["id"]] = name
        answer = search(account, condition)
        assert "".join(names[id_] for id_ in ids(answer)) == found
        assert answer["total"] == len(found)

    def test_negations_can_take_in_records_without_a_value(self) -> None:
        account = Account(search_delay_s=0, negation_matches_empty=True)
        account.create(hs_meeting_title="one")
        bare = account.create()
        for operator, value in (("NEQ", {"value": "one"}), ("NOT_IN", {"values": ["one"]})):
            assert ids(search(account, where("hs_meeting_title", operator, **value))) == [bare]

    def test_filters_are_anded_and_groups_ored(self, account: Account) -> None:
        made = {
            (title, outcome): account.create(hs_meeting_title=title, hs_meeting_outcome=outcome)
            for title in ("x", "y")
            for outcome in ("SCHEDULED", "COMPLETED")
        }
        x, y = where("hs_meeting_title", "EQ", "x"), where("hs_meeting_title", "EQ", "y")
        scheduled = where("hs_meeting_outcome", "EQ", "SCHEDULED")
        assert ids(search(account, x, scheduled)) == [made["x", "SCHEDULED"]]
        groups = [{"filters": [x, scheduled]}, {"filters": [y]}]
        expected = [made["x", "SCHEDULED"], made["y", "SCHEDULED"], made["y", "COMPLETED"]]
        assert ids(search(account, filterGroups=groups)) == expected
        assert ids(search(account, filters=[x, scheduled])) == [made["x", "SCHEDULED"]]

    def test_a_query_looks_into_title_and_body(self, account: Account) -> None:
        first = account.create(hs_meeting_title="Quarterly review")
        second = account.create(hs_meeting_body="<p>About the quarter&amp;more</p>", hs_meeting_location="review room")
        account.create(hs_internal_meeting_notes="quarterly")
        assert ids(search(account, query="QUARTER")) == [first, second]
        assert ids(search(account, query="rev quarterly")) == [first]
        assert ids(search(account, where("hs_meeting_title", "HAS_PROPERTY"), query="quarter")) == [first]
        assert search(account, query="p")["total"] == 0


class TestOrder:
    @pytest.mark.parametrize(
        ("sorts", "order"),
        [
            ([{"propertyName": "hs_timestamp", "direction": "ASCENDING"}], [1, 2, 0]),
            ([{"propertyName": "hs_timestamp", "direction": "DESCENDING"}], [0, 2, 1]),
            ([{"propertyName": "hs_timestamp"}], [1, 2, 0]),
            (["hs_timestamp"], [1, 2, 0]),
            (["-hs_timestamp"], [0, 2, 1]),
            (["hs_meeting_title"], [2, 0, 1]),
            (["-hs_meeting_title"], [0, 2, 1]),
            ([], [0, 1, 2]),
        ],
    )
    def test_follows_one_rule_and_puts_missing_values_last(
        self, account: Account, sorts: list[Any], order: list[int]
    ) -> None:
        all_ids = [
            account.create(hs_timestamp=stamp, **title)
            for stamp, title in ((3, {"hs_meeting_title": "b"}), (1, {}), (2, {"hs_meeting_title": "A"}))
        ]
        expected = [all_ids[n] for n in order]
        assert ids(search(account, sorts=sorts)) == expected
        assert ids(search(account, where("hs_object_id", "GT", "1"), sorts=sorts)) == expected
        pages = [ids(search(account, sorts=sorts, limit=1, after=n)) for n in range(3)]
        assert [id_ for page in pages for id_ in page] == expected

    def test_follows_changes(self, account: Account) -> None:
        all_ids = [account.create(hs_timestamp=n) for n in range(5)]
        assert ids(search(account, sorts=["hs_timestamp"])) == all_ids
        account.send("PATCH", f"{MEETINGS}/{all_ids[0]}", {"properties": {"hs_timestamp": 9}})
        account.send("PATCH", f"{MEETINGS}/{all_ids[1]}", {"properties": {"hs_timestamp": ""}})
        account.send("DELETE", f"{MEETINGS}/{all_ids[2]}")
        expected = [all_ids[3], all_ids[4], all_ids[0], all_ids[1]]
        assert ids(search(account, sorts=["hs_timestamp"])) == expected


class TestLimits:
    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({"filterGroups": [{"filters": [where("hs_object_id", "EQ", "1")]}] * 6}, "5 filter groups"),
            ({"filterGroups": [{"filters": [where("hs_object_id", "HAS_PROPERTY")] * 7}]}, "6 filters"),
            ({"filterGroups": [{"filters": [where("hs_object_id", "HAS_PROPERTY")] * 4}] * 5}, "18 filters"),
            ({"query": "x" * 3001}, "3000 characters"),
            ({"properties": ["x" * 3000]}, "3000 characters"),
            ({"sorts": ["hs_timestamp", "hs_object_id"]}, "one sort"),
            ({"sorts": ["nope"]}, "nope does not exist"),
            ({"limit": 201}, "from 1 to 200"),
            ({"limit": 0}, "from 1 to 200"),
            ({"after": "x"}, "after"),
            ({"after": "9990", "limit": 11}, "10000 results"),
            ({"filters": [where("nope", "EQ", "1")]}, "nope does not exist"),
            ({"filters": [where("hs_body_preview_html", "HAS_PROPERTY")]}, "can not be filtered"),
            ({"filters": [where("hs_timestamp", "EQ", "soon")]}, "not a valid datetime"),
            ({"filters": [where("hs_object_id", "EQ", "abc")]}, "not a valid number"),
            ({"filters": [where("hs_object_id", "EQ")]}, "needs a value"),
            ({"filters": [where("hs_object_id", "IN", "1")]}, "needs values"),
            ({"filters": [where("hs_object_id", "BETWEEN", "1")]}, "needs a highValue"),
            ({"filters": [where("hs_object_id", "LIKE", "1")]}, "LIKE"),
            ({"filters": [where("associations.contact", "EQ", "x")]}, "takes ids"),
            ({"filters": [where("associations.contact", "HAS_PROPERTY")]}, "not supported"),
            ({"filters": [where("associations.unicorn", "EQ", "1")]}, "no object type"),
            ({"filterGroups": "all"}, "Invalid input JSON"),
        ],
    )
    def test_are_refused_beyond(self, account: Account, body: Any, text: str) -> None:
        assert text in refusal(account, body)

    def test_are_kept_within(self, account: Account) -> None:
        groups = [{"filters": [where("hs_object_id", "HAS_PROPERTY")] * n} for n in (6, 6, 4, 1, 1)]
        search(account, filterGroups=groups, limit=200, after="9800")

    def test_the_length_can_be_that_of_the_query_alone(self) -> None:
        account = Account(search_length="query")
        search(account, properties=["x" * 3000], query="y" * 3000)
        assert "3000" in refusal(account, {"query": "y" * 3001})

    def test_the_total_is_true_beyond_ten_thousand(self, account: Account) -> None:
        for _ in range(101):
            account.batch("create", [{"properties": {}}] * 100)
        answer = search(account, limit=200, after="9800")
        assert (answer["total"], len(answer["results"]), answer["paging"]["next"]["after"]) == (10_100, 200, "10000")
        assert "10000" in refusal(account, {"limit": 200, "after": "10000"})


def test_a_walk_by_key_finds_everything_once(account: Account) -> None:
    """Thousands of records may share a millisecond: the id tells them apart."""
    made: list[str] = []
    for n in range(12):
        made += ids(account.batch("create", [{"properties": {}}] * 100)[1])
        if n % 4 == 3:
            account.clock.advance(1)
    seen: list[str] = []
    since, last = "0", "0"
    while True:
        later = [where("hs_lastmodifieddate", "GT", since)]
        same = [where("hs_lastmodifieddate", "EQ", since), where("hs_object_id", "GT", last)]
        groups = [{"filters": later}, {"filters": same}]
        answer = search(account, filterGroups=groups, sorts=["hs_lastmodifieddate"], limit=70)
        if not answer["results"]:
            break
        assert answer["total"] == len(made) - len(seen)
        seen += ids(answer)
        since, last = answer["results"][-1]["updatedAt"], answer["results"][-1]["id"]
    assert sorted(seen) == sorted(made)
    assert len(seen) == len(made)


def test_a_property_called_query_is_no_query() -> None:
    """The words of a property and those a query looks among do not get mixed up, whatever the property is called."""
    account = Account(search_delay_s=0)
    account.portal.add_property("query")
    by_title = account.create(hs_meeting_title="Review")
    by_property = account.create(query="review")
    condition = {"propertyName": "query", "operator": "CONTAINS_TOKEN", "value": "review"}
    for _ in range(2):
        assert ids(account.post(f"{MEETINGS}/search", {"query": "rev"})[1]) == [by_title]
        filtered = account.post(f"{MEETINGS}/search", {"filterGroups": [{"filters": [condition]}]})[1]
        assert ids(filtered) == [by_property]

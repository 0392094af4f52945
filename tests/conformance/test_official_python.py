"""HubSpot's own Python client, `hubspot-api-client` 12, through its own public API.

What it decodes, raises and repeats here is what its users meet on HubSpot. Bodies are given as plain mappings, which
it takes as well as its models.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from hubspot_meetings_async.emulator.threaded import ThreadedEmulator

hubspot = pytest.importorskip("hubspot", reason="hubspot-api-client is not installed: it is in the extra `bench`")
urllib3 = pytest.importorskip("urllib3")

# Monday, 2026-11-23, 08:00 UTC.
NOW = 1_795_420_800_000
TITLE = {"hs_meeting_title": "Review", "hs_timestamp": "2026-11-24T09:00:00Z"}
TO_CONTACT = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}
LINKS = "/scheduler/v3/meetings/meeting-links"


@pytest.fixture
def account() -> Iterator[Emulator]:
    """An account without limits, whose search knows at once, and whose time a test moves."""
    emulator = Emulator(
        limit=None, search_limit=None, clock=ManualClock(wall_ms=NOW), behaviour=Behaviour(search_delay_s=0)
    )
    emulator.portal.add_property("booking_ref", unique=True)
    with ThreadedEmulator(emulator):
        yield emulator


def client_of(account: Emulator, **options: Any) -> Any:
    """The official client, sent to the emulator by its own configuration."""
    return hubspot.Client.create(**{"access_token": "token", "host": account.url, "base_url": account.url, **options})


@pytest.fixture
def client(account: Emulator) -> Any:
    return client_of(account)


@pytest.fixture
def meetings(client: Any) -> Any:
    return client.crm.objects.meetings


def create(meetings: Any, **properties: str) -> str:
    return str(meetings.basic_api.create({"properties": {**TITLE, **properties}, "associations": []}).id)


def refused(call: Any, *arguments: Any, **words: Any) -> tuple[Any, dict[str, Any]]:
    """The client's exception, and the error body in it."""
    with pytest.raises(Exception, match=r"Reason:") as caught:
        call(*arguments, **words)
    error: Any = caught.value
    assert type(error).__module__.endswith(".exceptions")
    return error, json.loads(error.body)


class TestOneRecord:
    def test_is_created_read_changed_and_archived(self, meetings: Any) -> None:
        ties = [{"to": {"id": "101"}, "types": [TO_CONTACT]}]
        made = meetings.basic_api.create({"properties": TITLE, "associations": ties})
        assert made.created_at == datetime.fromtimestamp(NOW / 1000, UTC)
        assert (made.archived, made.properties["hs_meeting_title"]) == (False, "Review")

        changed = meetings.basic_api.update(made.id, {"properties": {"hs_meeting_title": "Retro"}})
        assert (changed.id, changed.properties["hs_meeting_title"]) == (made.id, "Retro")

        names = ["hs_meeting_title", "hs_meeting_location"]
        read = meetings.basic_api.get_by_id(
            made.id, properties=names, properties_with_history=["hs_meeting_title"], associations=["contacts"]
        )
        assert read.properties["hs_meeting_title"] == "Retro"
        assert read.properties["hs_meeting_location"] is None
        assert [version.value for version in read.properties_with_history["hs_meeting_title"]] == ["Retro", "Review"]
        assert [(end.id, end.type) for end in read.associations["contacts"].results] == [
            ("101", "meeting_event_to_contact")
        ]

        meetings.basic_api.archive(made.id)
        assert refused(meetings.basic_api.get_by_id, made.id)[0].status == 404
        assert meetings.basic_api.get_by_id(made.id, archived=True).archived_at is not None

    def test_is_found_by_a_unique_property(self, meetings: Any) -> None:
        id_ = create(meetings, booking_ref="A-1")
        assert meetings.basic_api.get_by_id("A-1", id_property="booking_ref").id == id_
        changed = meetings.basic_api.update("A-1", {"properties": {"hs_meeting_title": "x"}}, id_property="booking_ref")
        assert changed.id == id_


class TestPages:
    def test_follow_each_other_to_the_end(self, meetings: Any) -> None:
        ids = [create(meetings) for _ in range(5)]
        page = meetings.basic_api.get_page(limit=2)
        assert page.paging.next.after == ids[2]
        last = meetings.basic_api.get_page(limit=2, after=ids[4])
        assert ([record.id for record in last.results], last.paging) == (ids[4:], None)

    def test_get_all_fetches_every_record_once(self, account: Emulator, client: Any, meetings: Any) -> None:
        for _ in range(3):
            meetings.batch_api.create({"inputs": [{"properties": TITLE, "associations": []}] * 70})
        found = client.crm.objects.get_all("meetings", properties=["hs_meeting_title"])
        assert len({record.id for record in found}) == len(found) == 210
        assert {record.properties["hs_meeting_title"] for record in found} == {"Review"}
        assert account.stats().by_operation["meetings.list"] == 3

    def test_fetch_all_keeps_within_fifty_with_history(self, client: Any, meetings: Any) -> None:
        from hubspot.utils.objects import fetch_all

        meetings.batch_api.create({"inputs": [{"properties": TITLE, "associations": []}] * 60})
        found = fetch_all(meetings.basic_api, properties_with_history=["hs_meeting_title"])
        assert len(found) == 60
        assert found[0].properties_with_history["hs_meeting_title"][0].value == "Review"


class TestBatches:
    def test_all_five(self, meetings: Any) -> None:
        inputs = [{"properties": {**TITLE, "booking_ref": str(n)}, "associations": []} for n in range(3)]
        made = meetings.batch_api.create({"inputs": inputs})
        assert (type(made).__name__, made.status) == ("BatchResponseSimplePublicObject", "COMPLETE")
        by_ref = {record.properties["booking_ref"]: record.id for record in made.results}
        assert by_ref.keys() == {"0", "1", "2"}

        changes = [{"id": id_, "properties": {"hs_meeting_title": "new"}} for id_ in by_ref.values()]
        assert {record.id for record in meetings.batch_api.update({"inputs": changes}).results} == set(by_ref.values())

        upserts = [{"idProperty": "booking_ref", "id": ref, "properties": TITLE} for ref in ("2", "3")]
        upserted = meetings.batch_api.upsert({"inputs": upserts}).results
        assert {record.properties["booking_ref"]: record.new for record in upserted} == {"2": False, "3": True}

        wanted = {
            "inputs": [{"id": ref} for ref in ("0", "2", "3")],
            "idProperty": "booking_ref",
            "properties": ["hs_meeting_title", "booking_ref"],
            "propertiesWithHistory": [],
        }
        read = meetings.batch_api.read(wanted).results
        assert {record.properties["booking_ref"]: record.properties["hs_meeting_title"] for record in read} == {
            "0": "new",
            "2": "Review",
            "3": "Review",
        }

        meetings.batch_api.archive({"inputs": [{"id": id_} for id_ in by_ref.values()]})
        assert len(meetings.basic_api.get_page().results) == 1

    def test_multi_status_comes_with_its_errors(self, meetings: Any) -> None:
        inputs = [
            {"properties": {"hs_meeting_title": "good"}, "associations": [], "objectWriteTraceId": "1"},
            {"properties": {"hs_meeting_outcome": "BAD"}, "associations": [], "objectWriteTraceId": "2"},
        ]
        answer = meetings.batch_api.create({"inputs": inputs})
        assert type(answer).__name__ == "BatchResponseSimplePublicObjectWithErrors"
        assert [record.properties["hs_meeting_title"] for record in answer.results] == ["good"]
        assert (answer.num_errors, answer.errors[0].context["objectWriteTraceId"]) == (1, ["2"])

        known = answer.results[0].id
        read = {"inputs": [{"id": known}, {"id": "7"}], "properties": [], "propertiesWithHistory": []}
        answer = meetings.batch_api.read(read)
        assert [record.id for record in answer.results] == [known]
        assert (answer.errors[0].category, answer.errors[0].context) == ("OBJECT_NOT_FOUND", {"ids": ["7"]})

    def test_one_bad_input_without_trace_ids_refuses_all(self, account: Emulator, meetings: Any) -> None:
        inputs = [{"properties": TITLE, "associations": []}, {"properties": {"nope": "1"}, "associations": []}]
        error, body = refused(meetings.batch_api.create, {"inputs": inputs})
        assert (error.status, body["errors"][0]["code"]) == (400, "PROPERTY_DOESNT_EXIST")
        assert account.stats().records.created == 0


class TestSearch:
    def test_filters_sorts_and_pages(self, account: Emulator, meetings: Any) -> None:
        clock = account.portal.clock
        assert isinstance(clock, ManualClock)
        ids = []
        for outcome in ("SCHEDULED", "NO_SHOW", "SCHEDULED", "SCHEDULED"):
            ids.append(create(meetings, hs_meeting_outcome=outcome))
            clock.advance(1)
        request = {
            "filterGroups": [
                {"filters": [{"propertyName": "hs_meeting_outcome", "operator": "EQ", "value": "SCHEDULED"}]},
            ],
            "sorts": [{"propertyName": "hs_createdate", "direction": "DESCENDING"}],
            "properties": ["hs_meeting_outcome"],
            "limit": 2,
        }
        first = meetings.search_api.do_search(request)
        assert (first.total, [record.id for record in first.results]) == (3, [ids[3], ids[2]])
        rest = meetings.search_api.do_search({**request, "after": first.paging.next.after})
        assert ([record.id for record in rest.results], rest.paging) == ([ids[0]], None)

    def test_models_of_the_client_do_as_well(self, meetings: Any) -> None:
        from hubspot.crm.objects.meetings import Filter, FilterGroup, PublicObjectSearchRequest

        id_ = create(meetings, booking_ref="only")
        one = Filter(property_name="booking_ref", operator="IN", values=["only"])
        request = PublicObjectSearchRequest(filter_groups=[FilterGroup(filters=[one])], limit=200)
        assert [record.id for record in meetings.search_api.do_search(request).results] == [id_]


class TestAssociations:
    def test_single_ones_of_v4(self, client: Any, meetings: Any) -> None:
        id_ = create(meetings)
        v4 = client.crm.associations.v4.basic_api
        tied = v4.create_default("meetings", id_, "contacts", "101")
        assert {(tie._from.id, tie.to.id, tie.association_spec.association_type_id) for tie in tied.results} == {
            (id_, "101", 200),
            ("101", id_, 199),
        }
        labelled = v4.create("meetings", id_, "companies", "5", [{**TO_CONTACT, "associationTypeId": 188}])
        assert (labelled.from_object_type_id, labelled.to_object_type_id) == ("0-47", "0-2")
        page = v4.get_page("meetings", id_, "companies", limit=500)
        assert [(str(end.to_object_id), end.association_types[0].type_id) for end in page.results] == [("5", 188)]
        assert (page.results[0].association_types[0].label, page.paging) == (None, None)
        v4.archive("meetings", id_, "companies", "5")
        assert v4.get_page("meetings", id_, "companies").results == []

    def test_batches_of_v4(self, client: Any, meetings: Any) -> None:
        one, two = create(meetings), create(meetings)
        batch = client.crm.associations.v4.batch_api
        pair = ("meetings", "contacts")
        ties = [{"from": {"id": one}, "to": {"id": "101"}, "types": [TO_CONTACT]}]
        assert batch.create(*pair, {"inputs": ties}).results[0].from_object_id in (one, int(one))
        batch.create_default(*pair, {"inputs": [{"from": {"id": one}, "to": {"id": "102"}}]})

        answer = batch.get_page(*pair, {"inputs": [{"id": one}, {"id": two}]})
        assert [(result._from.id, len(result.to)) for result in answer.results] == [(one, 2)]
        assert answer.num_errors == 1
        assert answer.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"

        batch.archive_labels(*pair, {"inputs": ties})
        batch.archive(*pair, {"inputs": [{"from": {"id": one}, "to": [{"id": "102"}]}]})
        assert client.crm.associations.v4.basic_api.get_page("meetings", one, "contacts").results == []

    def test_batches_of_v3(self, client: Any, meetings: Any) -> None:
        id_ = create(meetings)
        batch = client.crm.associations.batch_api
        pair = ("meetings", "contacts")
        tie = {"inputs": [{"from": {"id": id_}, "to": {"id": "101"}, "type": "meeting_event_to_contact"}]}
        made = batch.create(*pair, tie)
        assert [(made.results[0]._from.id, made.results[0].type)] == [(id_, "meeting_event_to_contact")]
        read = batch.read(*pair, {"inputs": [{"id": id_}]})
        assert [end.id for end in read.results[0].to] == ["101"]
        batch.archive(*pair, tie)
        assert batch.read(*pair, {"inputs": [{"id": id_}]}).results == []

    def test_labels_are_listed(self, client: Any) -> None:
        labels = client.crm.associations.v4.schema.definitions_api.get_all("meetings", "contacts").results
        assert [(label.category, label.type_id, label.label) for label in labels] == [("HUBSPOT_DEFINED", 200, None)]


class TestProperties:
    def test_are_listed_read_and_created(self, client: Any, meetings: Any) -> None:
        properties = client.crm.properties.core_api
        listed = {known.name: known for known in properties.get_all("meetings").results}
        assert listed["booking_ref"].has_unique_value is True
        assert listed["hs_createdate"].modification_metadata.read_only_value is True
        made = properties.create(
            "meetings",
            {
                "name": "ticket_no",
                "label": "Ticket",
                "type": "string",
                "fieldType": "text",
                "groupName": "meetinginformation",
                "hasUniqueValue": True,
            },
        )
        assert (made.name, made.has_unique_value) == ("ticket_no", True)
        assert properties.get_by_name("meetings", "ticket_no").label == "Ticket"
        create(meetings, ticket_no="7")
        again = {"properties": {**TITLE, "ticket_no": "7"}, "associations": []}
        error, body = refused(meetings.basic_api.create, again)
        assert (error.status, body["category"]) == (409, "CONFLICT")


class TestScheduler:
    """The client has no methods for it: its users send such requests with `api_request`."""

    def test_a_slot_is_found_and_booked_once(self, client: Any, meetings: Any) -> None:
        link = client.api_request({"path": LINKS, "qs": {"limit": 1}}).json()["results"][0]
        slug = quote(link["slug"], safe="")
        info = client.api_request({"path": f"{LINKS}/book/{slug}", "qs": {"timezone": "Europe/Berlin"}}).json()
        duration = info["customParams"]["durations"][0]
        page = client.api_request({"path": f"{LINKS}/book/availability-page/{slug}", "qs": {"timezone": "UTC"}}).json()
        slot = page["linkAvailability"]["linkAvailabilityByDuration"][str(duration)]["availabilities"][0]
        booking = {
            "slug": link["slug"],
            "firstName": "Grace",
            "lastName": "Hopper",
            "email": "grace@example.com",
            "startTime": slot["startMillisUtc"],
            "duration": duration,
            "formFields": [],
            "legalConsentResponses": [],
            "likelyAvailableUserIds": [],
        }
        request = {"path": f"{LINKS}/book", "method": "POST", "body": booking, "qs": {"timezone": "UTC"}}
        booked = client.api_request(request)
        assert (booked.status_code, booked.json()["isOffline"]) == (200, False)
        again = client.api_request(request)
        assert again.status_code == 400
        assert again.json()["subCategory"].endswith("MEETING_TIME_NOT_AVAILABLE")
        assert len(meetings.basic_api.get_page().results) == 1


class TestOAuth:
    def test_tokens_are_given_used_and_taken_back(self, account: Emulator) -> None:
        account.portal.add_app("app", "secret")
        code = account.portal.authorize("app", "https://example.com/back")
        oauth = client_of(account, access_token=None).oauth
        app = {"client_id": "app", "client_secret": "secret"}
        tokens = oauth.tokens_api.create(
            grant_type="authorization_code", code=code, redirect_uri="https://example.com/back", **app
        )
        assert (tokens.token_type, tokens.expires_in) == ("bearer", 1800)
        assert client_of(account, access_token=tokens.access_token).crm.objects.get_all("meetings") == []
        assert oauth.access_tokens_api.get(tokens.access_token).hub_id == 1_234_567
        fresh = oauth.tokens_api.create(grant_type="refresh_token", refresh_token=tokens.refresh_token, **app)
        assert fresh.refresh_token == tokens.refresh_token
        assert oauth.refresh_tokens_api.get(tokens.refresh_token).client_id == "app"
        oauth.refresh_tokens_api.archive(tokens.refresh_token)
        error, body = refused(
            oauth.tokens_api.create, grant_type="refresh_token", refresh_token=tokens.refresh_token, **app
        )
        assert (error.status, body["status"]) == (400, "BAD_REFRESH_TOKEN")


class TestErrors:
    def test_each_status_has_its_exception_body_and_headers(self, account: Emulator, meetings: Any) -> None:
        from hubspot.crm.objects.meetings import exceptions

        account.quota.limit = 190
        create(meetings, booking_ref="taken")
        without_token = client_of(account, access_token=None).crm.objects.meetings.basic_api
        account.faults.fail_next(403, operation="meetings.batch_read")
        account.faults.fail_next(503, operation="meetings.batch_archive")
        cases = [
            (400, meetings.basic_api.create, {"properties": {"hs_meeting_outcome": "BAD"}, "associations": []}),
            (401, without_token.get_by_id, "1"),
            (403, meetings.batch_api.read, {"inputs": [{"id": "1"}], "properties": [], "propertiesWithHistory": []}),
            (404, meetings.basic_api.get_by_id, "1"),
            (409, meetings.basic_api.create, {"properties": {"booking_ref": "taken"}, "associations": []}),
            (503, meetings.batch_api.archive, {"inputs": [{"id": "1"}]}),
        ]
        classes = {
            401: exceptions.UnauthorizedException,
            403: exceptions.ForbiddenException,
            404: exceptions.NotFoundException,
            503: exceptions.ServiceException,
        }
        categories = {400: "VALIDATION_ERROR", 401: "INVALID_AUTHENTICATION", 403: "MISSING_SCOPES", 409: "CONFLICT"}
        for status, call, argument in cases:
            error, body = refused(call, argument)
            assert type(error) is classes.get(status, exceptions.ApiException)
            assert (error.status, body["status"]) == (status, "error")
            assert body["message"]
            assert body.get("category") == categories.get(status)
            assert error.headers["Content-Type"] == "application/json;charset=utf-8"
            assert error.headers["X-HubSpot-Correlation-Id"] == body["correlationId"]
            if status != 401:  # no app, no window
                assert error.headers["X-HubSpot-RateLimit-Max"] == "190"


class TestRateLimits:
    """The client leaves them to `urllib3.Retry`, which its users hand in."""

    def test_a_429_tells_its_policy(self, account: Emulator, meetings: Any) -> None:
        account.quota.limit = 2
        for _ in range(2):
            meetings.basic_api.get_page()
        error, body = refused(meetings.basic_api.get_page)
        assert (error.status, body["errorType"], body["policyName"]) == (429, "RATE_LIMIT", "TEN_SECONDLY_ROLLING")
        assert body["message"] == "You have reached your ten_secondly_rolling limit."
        assert error.headers["X-HubSpot-RateLimit-Remaining"] == "0"
        assert error.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
        assert "Retry-After" not in error.headers
        clock = account.portal.clock
        assert isinstance(clock, ManualClock)
        clock.advance(10)
        meetings.basic_api.get_page()

    def test_a_search_429_has_no_policy_and_no_headers(self, account: Emulator, meetings: Any) -> None:
        account.quota.search_limit = 5
        for _ in range(5):
            meetings.search_api.do_search({"limit": 1})
        error, body = refused(meetings.search_api.do_search, {"limit": 1})
        assert (error.status, body["category"], body["message"]) == (
            429,
            "RATE_LIMITS",
            "You have reached your secondly limit.",
        )
        assert "policyName" not in body
        assert not [name for name in error.headers if "ratelimit" in name.lower()]

    def test_retries_of_the_client_get_through(self, account: Emulator) -> None:
        retry = urllib3.Retry(total=3, status_forcelist=(429, 502, 503), allowed_methods=None, backoff_factor=0)
        meetings = client_of(account, retry=retry).crm.objects.meetings
        account.faults.fail_next(429)
        account.faults.fail_next(502)
        account.faults.fail_next(503)
        id_ = create(meetings)
        assert [entry.status for entry in account.recent_requests] == [429, 502, 503, 201]
        assert meetings.basic_api.get_by_id(id_).id == id_

    def test_retries_that_run_out_are_an_error(self, account: Emulator) -> None:
        retry = urllib3.Retry(total=1, status_forcelist=(429,), allowed_methods=None)
        meetings = client_of(account, retry=retry).crm.objects.meetings
        account.quota.limit = 1
        meetings.basic_api.get_page()
        with pytest.raises(urllib3.exceptions.MaxRetryError, match="too many 429 error responses"):
            meetings.basic_api.get_page()
        assert account.stats().rate_limited.ten_secondly == 2

    def test_a_lost_answer_is_repeated_only_when_the_user_says_so(self, account: Emulator) -> None:
        retry = urllib3.Retry(total=1, allowed_methods=None)
        meetings = client_of(account, retry=retry).crm.objects.meetings
        account.faults.reset_next(applied=True)
        create(meetings)
        assert account.stats().records.created == 2

"""HubSpot's generated SDK, `hubspot-sdk` (a pre-release), blocking and asynchronous, on the dated paths it uses.

Its strict validation is on: an answer that departs from HubSpot's published schema is an error of the client.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock
from hubspot_meetings_async.emulator.threaded import ThreadedEmulator

hubspot_sdk = pytest.importorskip("hubspot_sdk", reason="hubspot-sdk is not installed: it is in the extra `bench`")

# Monday, 2026-11-23, 08:00 UTC.
NOW = 1_795_420_800_000
TITLE = {"hs_meeting_title": "Review", "hs_timestamp": "2026-11-24T09:00:00Z"}
TO_CONTACT = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}
PAIR = {"from_object_type": "meetings", "to_object_type": "contacts"}

# The readings on which the published schema insists where recorded answers differ.
AS_PUBLISHED = Behaviour(
    search_delay_s=0, association_ids="string", availability_users="full", availability_hours="object"
)


@pytest.fixture
def account() -> Iterator[Emulator]:
    """An account without limits, whose time a test moves."""
    emulator = Emulator(limit=None, search_limit=None, clock=ManualClock(wall_ms=NOW), behaviour=AS_PUBLISHED)
    emulator.portal.add_property("booking_ref", unique=True)
    with ThreadedEmulator(emulator):
        yield emulator


@pytest.fixture(params=["blocking", "asynchronous"])
async def client(request: pytest.FixtureRequest, account: Emulator) -> AsyncIterator[Any]:
    """The SDK in both of its forms; without retries, which have tests of their own."""
    options = {"access_token": "token", "base_url": account.url, "max_retries": 0, "_strict_response_validation": True}
    if request.param == "blocking":
        with hubspot_sdk.HubSpot(**options) as blocking:
            yield blocking
    else:
        async with hubspot_sdk.AsyncHubSpot(**options) as asynchronous:
            yield asynchronous


async def done(call: Any) -> Any:
    """What a call of either form gives."""
    return await call if inspect.isawaitable(call) else call


async def everything(call: Any) -> list[Any]:
    """All items of a list of either form, page after page."""
    if hasattr(call, "__aiter__"):
        return [item async for item in call]
    return list(call)


async def refused(kind: type[Exception], call: Any) -> Any:
    """The exception of a call that has yet to be made."""
    with pytest.raises(kind) as caught:
        await done(call())
    return caught.value


async def create(client: Any, **properties: str) -> str:
    made = await done(client.crm.objects.meetings.create(properties={**TITLE, **properties}, associations=[]))
    return str(made.id)


async def test_one_record_is_created_read_changed_and_archived(client: Any) -> None:
    meetings = client.crm.objects.meetings
    ties = [{"to": {"id": "101"}, "types": [TO_CONTACT]}]
    made = await done(meetings.create(properties={**TITLE, "booking_ref": "A"}, associations=ties))
    assert (made.archived, made.properties["hs_meeting_title"]) == (False, "Review")
    changed = await done(meetings.update("A", properties={"hs_meeting_title": "Retro"}, id_property="booking_ref"))
    assert changed.id == made.id
    read = await done(
        meetings.get(
            made.id,
            properties=["hs_meeting_title"],
            properties_with_history=["hs_meeting_title"],
            associations=["contacts"],
        )
    )
    assert read.properties["hs_meeting_title"] == "Retro"
    assert [version.value for version in read.properties_with_history["hs_meeting_title"]] == ["Retro", "Review"]
    assert [end.id for end in read.associations["contacts"].results] == ["101"]
    await done(meetings.delete(made.id))
    await refused(hubspot_sdk.NotFoundError, lambda: meetings.get(made.id))
    assert (await done(meetings.get(made.id, archived=True))).archived_at is not None


async def test_lists_page_by_themselves(account: Emulator, client: Any) -> None:
    meetings = client.crm.objects.meetings
    ids = [await create(client) for _ in range(5)]
    assert [record.id for record in await everything(meetings.list(limit=2))] == ids
    assert account.stats().by_operation["meetings.list"] == 3


async def test_all_five_batches(client: Any) -> None:
    batch = client.crm.objects.meetings.batch
    inputs = [{"properties": {**TITLE, "booking_ref": str(n)}, "associations": []} for n in range(3)]
    made = await done(batch.create(inputs=inputs))
    by_ref = {record.properties["booking_ref"]: record.id for record in made.results}
    assert (made.status, sorted(by_ref)) == ("COMPLETE", ["0", "1", "2"])
    changes = [{"id": id_, "properties": {"hs_meeting_title": "new"}} for id_ in by_ref.values()]
    assert {record.id for record in (await done(batch.update(inputs=changes))).results} == set(by_ref.values())
    upserts = [{"id_property": "booking_ref", "id": ref, "properties": TITLE} for ref in ("2", "3")]
    upserted = (await done(batch.upsert(inputs=upserts))).results
    assert {record.properties["booking_ref"]: record.new for record in upserted} == {"2": False, "3": True}
    read = await done(
        batch.get(
            inputs=[{"id": ref} for ref in ("0", "3")],
            id_property="booking_ref",
            properties=["hs_meeting_title", "booking_ref"],
            properties_with_history=[],
        )
    )
    assert {record.properties["booking_ref"] for record in read.results} == {"0", "3"}
    await done(batch.delete(inputs=[{"id": id_} for id_ in by_ref.values()]))
    assert len(await everything(client.crm.objects.meetings.list())) == 1


async def test_multi_status_is_read_as_a_success(client: Any) -> None:
    """The generated types leave the errors out; they are there all the same."""
    inputs = [
        {"properties": TITLE, "associations": [], "object_write_trace_id": "1"},
        {"properties": {"nope": "x"}, "associations": [], "object_write_trace_id": "2"},
    ]
    answer = await done(client.crm.objects.meetings.batch.create(inputs=inputs))
    extra = answer.model_extra
    assert (len(answer.results), extra["numErrors"]) == (1, 1)
    assert extra["errors"][0]["context"] == {"objectWriteTraceId": ["2"]}


async def test_search(client: Any) -> None:
    ids = [await create(client, hs_meeting_outcome=outcome) for outcome in ("SCHEDULED", "NO_SHOW", "SCHEDULED")]
    group = {"filters": [{"property_name": "hs_meeting_outcome", "operator": "EQ", "value": "SCHEDULED"}]}
    words = {"filter_groups": [group], "sorts": ["hs_object_id"], "properties": ["hs_meeting_outcome"], "limit": 1}
    search = client.crm.objects.meetings.search
    first = await done(search(**words, after="0"))
    assert (first.total, [record.id for record in first.results]) == (2, ids[:1])
    second = await done(search(**words, after=first.paging.next.after))
    assert ([record.id for record in second.results], second.paging) == (ids[2:], None)


async def test_associations(client: Any) -> None:
    one, two = await create(client), await create(client)
    associations = client.crm.associations
    tied = await done(associations.create("101", from_object_id=one, **PAIR))
    assert {tie.association_spec.association_type_id for tie in tied.results} == {199, 200}
    of_one = {"object_type": "meetings", "object_id": one}
    labelled = await done(associations.update_labels("102", to_object_type="contacts", body=[TO_CONTACT], **of_one))
    assert (labelled.from_object_type_id, labelled.to_object_id) == ("0-47", "102")
    assert [end.to_object_id for end in await everything(associations.list("contacts", limit=1, **of_one))] == [
        "101",
        "102",
    ]
    await done(associations.delete("102", to_object_type="contacts", **of_one))

    inputs = [{"from": {"id": two}, "to": {"id": "103"}, "types": [TO_CONTACT]}]
    pair = {"from_object_type": "meetings", "to_object_type": "contacts"}
    made = await done(associations.batch.create(**pair, inputs=inputs))
    assert [result.from_object_id for result in made.results] == [two]
    defaults = [{"from": {"id": two}, "to": {"id": "104"}}]
    await done(associations.batch.create_default(**pair, inputs=defaults))
    read = await done(associations.batch.get(**pair, inputs=[{"id": one}, {"id": two}]))
    assert {result.from_.id: len(result.to) for result in read.results} == {one: 1, two: 2}
    await done(associations.batch.delete_labels(**pair, inputs=inputs))
    await done(associations.batch.delete(**pair, inputs=[{"from": {"id": two}, "to": [{"id": "104"}]}]))
    assert await everything(associations.list("contacts", object_type="meetings", object_id=two)) == []


async def test_property_definitions(client: Any) -> None:
    properties = client.crm.properties
    listed = {known.name: known for known in (await done(properties.list("0-47"))).results}
    assert listed["booking_ref"].has_unique_value is True
    made = await done(
        properties.create(
            "meetings",
            name="ticket_no",
            label="Ticket",
            type="string",
            field_type="text",
            group_name="meetinginformation",
            has_unique_value=True,
        )
    )
    assert made.name == "ticket_no"
    assert (await done(properties.get("ticket_no", object_type="meetings"))).label == "Ticket"


async def test_a_slot_is_found_and_booked_once(client: Any) -> None:
    scheduler = client.scheduler.meetings
    link = (await everything(scheduler.basic.list(limit=1)))[0]
    assert (await done(scheduler.basic.get_booking_info_by_slug(link.slug, timezone="UTC"))).link_id == link.id
    page = await done(scheduler.basic.get_availability_by_slug(link.slug, timezone="Europe/Berlin"))
    duration, offered = next(iter(page.link_availability.link_availability_by_duration.items()))
    booking = {
        "slug": link.slug,
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": "grace@example.com",
        "start_time": offered.availabilities[0].start_millis_utc,
        "duration": int(duration),
        "form_fields": [],
        "legal_consent_responses": [],
        "likely_available_user_ids": [],
    }
    booked = await done(scheduler.advanced.book(**booking))
    assert (booked.is_offline, booked.duration) == (False, int(duration))
    error = await refused(hubspot_sdk.BadRequestError, lambda: scheduler.advanced.book(**booking))
    assert error.body["subCategory"].endswith("MEETING_TIME_NOT_AVAILABLE")


async def test_a_calendar_event_is_a_meeting(client: Any) -> None:
    when = {"start": "2026-11-24T18:00:00Z", "end": "2026-11-24T19:00:00Z"}
    event = await done(
        client.scheduler.meetings.advanced.create(
            organizer_user_id="51204417",
            associations=[{"to": {"id": "101"}, "types": [TO_CONTACT]}],
            timezone="Europe/Berlin",
            email_reminder_schedule={"reminders": [], "should_include_invite_description": True},
            properties={
                "hs_meeting_title": "Review",
                "hs_meeting_start_time": when["start"],
                "hs_meeting_end_time": when["end"],
                "hs_timestamp": when["start"],
                "hs_meeting_outcome": "SCHEDULED",
                "hubspot_owner_id": "41629779",
            },
        )
    )
    assert event.properties.hs_engagement_source == "MEETINGS"
    read = await done(client.crm.objects.meetings.get(event.id, properties=["hs_meeting_end_time"]))
    assert read.properties["hs_meeting_end_time"] == when["end"]


async def test_tokens_hold_for_their_time(account: Emulator, client: Any) -> None:
    account.portal.add_app("app", "secret")
    client.access_token = account.portal.issue_tokens("app").access.value
    await create(client)
    clock = account.portal.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1_875)
    error = await refused(hubspot_sdk.AuthenticationError, lambda: client.crm.objects.meetings.list())
    assert error.body["category"] == "EXPIRED_AUTHENTICATION"
    assert error.body["message"] == "The OAuth token used to make this call expired 75 second(s) ago."


async def test_its_token_requests_are_json_which_hubspot_refuses(account: Emulator, client: Any) -> None:
    """A flaw of this pre-release: HubSpot takes forms there, and answers 415 to anything else."""
    account.portal.add_app("app", "secret")
    ask = client.auth.oauth.create_token
    words = {"grant_type": "refresh_token", "client_id": "app", "client_secret": "secret", "refresh_token": "x"}
    assert (await refused(hubspot_sdk.APIStatusError, lambda: ask(**words))).status_code == 415


async def test_daily_use(account: Emulator, client: Any) -> None:
    account.quota.daily_limit = 1000
    await create(client)
    usage = (await done(client.account.get_daily_private_apps_usage())).results[0]
    assert (usage.usage_limit, usage.current_usage) == (1000, 2)


async def test_each_status_has_its_exception_and_body(account: Emulator, client: Any) -> None:
    meetings = client.crm.objects.meetings
    await create(client, booking_ref="taken")
    account.faults.fail_next(403, operation="meetings.archive")
    account.faults.fail_next(503, operation="meetings.search")
    account.faults.fail_next(429, operation="meetings.list")
    stranger = client.copy()
    stranger.access_token = None
    for status, kind, call in (
        (400, "BadRequestError", lambda: meetings.create(properties={"nope": "1"}, associations=[])),
        (401, "AuthenticationError", lambda: stranger.crm.objects.meetings.get("1")),
        (403, "PermissionDeniedError", lambda: meetings.delete("1")),
        (404, "NotFoundError", lambda: meetings.get("1")),
        (409, "ConflictError", lambda: meetings.create(properties={"booking_ref": "taken"}, associations=[])),
        (429, "RateLimitError", lambda: meetings.list()),
        (503, "InternalServerError", lambda: meetings.search(**SEARCH_ALL)),
    ):
        error = await refused(getattr(hubspot_sdk, kind), call)
        assert (error.status_code, error.body["status"]) == (status, "error")
        assert error.body["correlationId"] == error.response.headers["X-HubSpot-Correlation-Id"]


SEARCH_ALL: dict[str, Any] = {"after": "0", "filter_groups": [], "limit": 1, "properties": [], "sorts": []}


@pytest.mark.parametrize("kind", ["HubSpot", "AsyncHubSpot"])
async def test_its_retries_outlast_a_window_that_is_full(kind: str) -> None:
    """The SDK waits half a second and doubles it; a window of 0.3 s is open again by then."""
    account = Emulator(limit=1, window_s=0.3, behaviour=AS_PUBLISHED)
    with ThreadedEmulator(account):
        client = getattr(hubspot_sdk, kind)(access_token="token", base_url=account.url)
        await create(client)
        await create(client)
        statuses = [entry.status for entry in account.recent_requests]
        assert (statuses[0], set(statuses[1:-1]), statuses[-1]) == (201, {429}, 201)
        assert account.stats().records.created == 2
        await done(client.close())


@pytest.mark.parametrize("kind", ["HubSpot", "AsyncHubSpot"])
async def test_its_retries_honour_retry_after(kind: str) -> None:
    account = Emulator(limit=None)
    with ThreadedEmulator(account):
        client = getattr(hubspot_sdk, kind)(access_token="token", base_url=account.url)
        account.faults.fail_next(429, retry_after="0.01")
        account.faults.fail_next(503, retry_after="0.01")
        await create(client)
        assert [entry.status for entry in account.recent_requests] == [429, 503, 201]
        await done(client.close())

"""The status rows of the fault matrix: what each answer proves, and what is done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubspot_meetings_async import (
    Ambiguous,
    AmbiguousWriteError,
    Conflict,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    MeetingsClient,
    NotFound,
    OAuth,
    RateLimited,
    Rejected,
    RequestRejected,
    TokenRefused,
    Unauthorized,
)
from hubspot_meetings_async.emulator import Emulator, Fault

from .conftest import SWIFT, MakeClient

BODY = {"hs_meeting_title": "new"}
CALLS: dict[str, Callable[[MeetingsClient, str], Awaitable[Any]]] = {
    "create": lambda h, id_: h.meetings.create(BODY),
    "update": lambda h, id_: h.meetings.update(id_, BODY),
    "get": lambda h, id_: h.meetings.get(id_),
}
CALL = pytest.mark.parametrize("call", CALLS)


def stored(emulator: Emulator) -> int:
    return emulator.stats().records.stored


@pytest.fixture
def id_(emulator: Emulator) -> str:
    """A meeting that is there already."""
    return emulator.portal.add_object("meetings", properties={"hs_meeting_title": "old"})


def title(emulator: Emulator, id_: str) -> str | None:
    record = emulator.portal.meetings.store.any(int(id_))
    return None if record is None else record.value("hs_meeting_title")


async def outcomes_of(run: Any) -> list[Any]:
    async with run:
        return [outcome async for outcome in run]


def keyed(number: int = 100) -> list[dict[str, str]]:
    return [{"booking_ref": str(at)} for at in range(number)]


# ---- refused for now


@pytest.mark.row("H1")
@CALL
async def test_429_with_a_wait(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """Nothing was done: sent again after the wait that HubSpot asks for, creates too."""
    emulator.faults.fail_next(429, retry_after="0.3")
    assert await CALLS[call](hubspot, id_)
    first, second = (entry.at_s for entry in emulator.recent_requests)
    assert second - first >= 0.29
    assert stored(emulator) == (2 if call == "create" else 1)


@pytest.mark.row("H1")
async def test_429_holds_all_tasks(emulator: Emulator, connect: MakeClient) -> None:
    """Through the gate, one refusal holds everybody for as long as it says; nobody runs into it twice."""
    hubspot = connect(emulator.url, limiter=None)
    emulator.faults.fail_next(429, retry_after=1)
    await asyncio.gather(*(hubspot.meetings.create(BODY) for _ in range(50)))
    assert stored(emulator) == 50
    assert emulator.stats().rate_limited.injected == 1
    assert hubspot.quota.pauses == 1


@pytest.mark.row("H2")
@CALL
async def test_429_without_a_word(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """Without a header the pause is our own."""
    emulator.faults.fail_next(429, times=3, policy="TEN_SECONDLY_ROLLING")
    assert await CALLS[call](hubspot, id_)
    assert emulator.stats().requests == 4


@pytest.mark.row("H3")
@CALL
async def test_the_day_is_over(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """No use in trying again: told at once, and nothing was done."""
    emulator.faults.fail_next(429, times=None, policy="DAILY")
    with pytest.raises(DailyLimitExceeded) as caught:
        await CALLS[call](hubspot, id_)
    assert (caught.value.policy, emulator.stats().requests, stored(emulator)) == ("DAILY", 1, 1)


@pytest.mark.row("H4")
@pytest.mark.parametrize("wait", ["-5", "abc", "NaN", "inf", "", "Wed, 21 Oct 2099 07:28:00 GMT", "1e-9", " 0 "])
@pytest.mark.parametrize("status", [429, 503])
async def test_nonsense_waits(emulator: Emulator, hubspot: MeetingsClient, id_: str, wait: str, status: int) -> None:
    """What is no number of seconds is as good as absent."""
    emulator.faults.fail_next(status, retry_after=wait)
    assert (await hubspot.meetings.get(id_)).id == id_
    assert emulator.stats().requests == 2


@pytest.mark.row("H4")
@pytest.mark.parametrize("status", [429, 503, 477])
async def test_a_wait_without_an_end(emulator: Emulator, hubspot: MeetingsClient, id_: str, status: int) -> None:
    """Thirty years are not slept: the error comes at once, with HubSpot's wish."""
    emulator.faults.fail_next(status, retry_after=10**9)
    with pytest.raises((RateLimited, HubSpotUnavailable)) as caught:
        await hubspot.meetings.get(id_)
    assert (getattr(caught.value, "retry_after_s", None), emulator.stats().requests) == (1e9, 1)


@pytest.mark.row("H10")
@CALL
async def test_the_account_moves(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """477 for a day: nothing was done, the time is named, nothing more is sent."""
    emulator.faults.move_account(86_400)
    with pytest.raises(HubSpotUnavailable) as caught:
        await CALLS[call](hubspot, id_)
    assert (caught.value.status, caught.value.retry_after_s) == (477, 86_400.0)
    assert (emulator.stats().requests, stored(emulator)) == (1, 1)


@pytest.mark.row("H10")
@CALL
async def test_a_short_move(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """A short one is waited out, by creates too."""
    emulator.faults.fail_next(477, retry_after="0.01")
    assert await CALLS[call](hubspot, id_)
    assert emulator.stats().requests == 2


# ---- broken, done or not


BROKEN = [
    *(pytest.param(status, False, marks=pytest.mark.row("H5"), id=f"{status}") for status in (500, 502, 503, 504)),
    *(pytest.param(status, True, marks=pytest.mark.row("H6"), id=f"{status} done") for status in (500, 502, 504)),
    *(
        pytest.param(status, done, marks=pytest.mark.row("H8"), id=f"{status}{' done' * done}")
        for status in (520, 521, 522, 523, 524, 599)
        for done in (False, True)
    ),
    *(pytest.param(408, done, marks=pytest.mark.row("H22"), id=f"408{' done' * done}") for done in (False, True)),
    *(pytest.param(423, done, marks=pytest.mark.row("H9"), id=f"423{' done' * done}") for done in (False, True)),
]


@pytest.mark.parametrize(("status", "done"), BROKEN)
@CALL
async def test_broken(
    emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str, status: int, done: bool
) -> None:
    """A create is in doubt, and there is as much of it as HubSpot made; what may be repeated is, with the same end."""
    emulator.faults.fail_next(status, applied=done)
    if call == "create":
        with pytest.raises(AmbiguousWriteError) as caught:
            await hubspot.meetings.create(BODY)
        assert caught.value.why == ("locked" if status == 423 else "5xx")
        assert (caught.value.status, emulator.stats().requests, stored(emulator)) == (status, 1, 1 + done)
        return
    assert (await CALLS[call](hubspot, id_)).id == id_
    assert (emulator.stats().requests, stored(emulator)) == (2, 1)
    assert title(emulator, id_) == ("new" if call == "update" else "old")


@pytest.mark.row("H8")
@pytest.mark.parametrize("status", [525, 526])
@CALL
async def test_the_edge_can_not_shake_hands(
    emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str, status: int
) -> None:
    """A certificate of HubSpot's own is broken: trying again is no use."""
    emulator.faults.fail_next(status, times=None)
    with pytest.raises(AmbiguousWriteError if call == "create" else HubSpotUnavailable):
        await CALLS[call](hubspot, id_)
    assert emulator.stats().requests == 1


@pytest.mark.row("H9")
async def test_a_lock_gets_its_time(emulator: Emulator, connect: MakeClient, id_: str) -> None:
    """423: the record is left alone for a while before the next try."""
    import msgspec

    hubspot = connect(emulator.url, retry=msgspec.structs.replace(SWIFT, locked_s=0.3))
    emulator.faults.fail_next(423)
    await hubspot.meetings.update(id_, BODY)
    first, second = (entry.at_s for entry in emulator.recent_requests)
    assert second - first >= 0.29


@pytest.mark.row("H22")
@CALL
async def test_too_early(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """425: nothing was done, and everything may be sent again."""
    emulator.faults.fail_next(425)
    assert await CALLS[call](hubspot, id_)
    assert emulator.stats().requests == 2


@pytest.mark.row("H7")
async def test_37_of_100(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """A batch broke off in the middle: creates are all in doubt, upserts all land once."""
    emulator.faults.fail_next(500, applied=True, applied_inputs=37, operation="meetings.batch_*")
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(100)]))
    assert [type(outcome) for outcome in outcomes] == [Ambiguous] * 100
    assert stored(emulator) == 37
    emulator.faults.fail_next(500, applied=True, applied_inputs=37, operation="meetings.batch_*")
    report = await hubspot.bulk.upsert(keyed(), id_property="booking_ref")
    assert report.created + report.updated == 100
    assert stored(emulator) == 137


# ---- refused for good


@pytest.mark.row("H11")
async def test_an_expired_token(emulator: Emulator, connect: MakeClient) -> None:
    """Twenty calls meet an expired token: one refresh for all, each sent again once."""
    emulator.portal.add_app("app-1", "s3cret")
    refresh = emulator.portal.issue_tokens("app-1").refresh
    assert refresh is not None
    hubspot = connect(emulator.url, auth=OAuth("app-1", "s3cret", refresh.value))
    made = await hubspot.meetings.create(BODY)
    emulator.faults.strike_next("expire_token")
    got = await asyncio.gather(*(hubspot.meetings.get(made.id) for _ in range(20)))
    assert {meeting.id for meeting in got} == {made.id}
    assert emulator.portal.keyring.grants["refresh_token"] == 2


@pytest.mark.row("H12")
@CALL
async def test_401_for_ever(emulator: Emulator, connect: MakeClient, id_: str, call: str) -> None:
    """Refused again with a fresh token: the refusal stands, after one refresh."""
    emulator.portal.add_app("app-1", "s3cret")
    refresh = emulator.portal.issue_tokens("app-1").refresh
    assert refresh is not None
    hubspot = connect(emulator.url, auth=OAuth("app-1", "s3cret", refresh.value))
    emulator.faults.fail_next(401, times=None, operation="meetings.*")
    with pytest.raises(Unauthorized):
        await CALLS[call](hubspot, id_)
    assert emulator.portal.keyring.grants["refresh_token"] == 2
    assert stored(emulator) == 1


@pytest.mark.row("H12")
async def test_the_grant_is_gone(emulator: Emulator, connect: MakeClient, id_: str) -> None:
    """The token endpoint answers 400: TokenRefused, and no call is sent without a token."""
    emulator.portal.add_app("app-1", "s3cret")
    hubspot = connect(emulator.url, auth=OAuth("app-1", "s3cret", "wrong"))
    for _ in range(5):
        with pytest.raises(TokenRefused):
            await hubspot.meetings.get(id_)
    assert emulator.stats().by_operation.get("meetings.get", 0) == 0
    assert emulator.stats().requests == 1


@pytest.mark.row("H13")
@CALL
async def test_a_missing_scope(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """403: at once, with the scope that HubSpot names."""
    body = (
        '{"status":"error","message":"This app has not been granted all required scopes","category":"MISSING_SCOPES",'
        '"errors":[{"message":"x","context":{"requiredGranularScopes":["crm.objects.contacts.write"]}}]}'
    )
    emulator.faults.fail_next(403, times=None, body=body, content_type="application/json")
    with pytest.raises(Forbidden, match="scope") as caught:
        await CALLS[call](hubspot, id_)
    assert caught.value.scopes == ("crm.objects.contacts.write",)
    assert (emulator.stats().requests, stored(emulator)) == (1, 1)


@pytest.mark.row("H14")
async def test_one_record_spoils_the_batch(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """400 for the whole batch because of one record: halved until it stands alone; 99 land."""
    emulator.faults.fail_next(400, times=None, body_contains="poison", operation="meetings.batch_*")
    records = [{"booking_ref": "poison" if at == 61 else str(at)} for at in range(100)]
    outcomes = await outcomes_of(hubspot.bulk.upsert(records, id_property="booking_ref"))
    wrong = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert (len(outcomes), len(wrong), stored(emulator)) == (100, 1, 99)
    assert wrong[0].record["booking_ref"] == "poison"
    assert emulator.stats().requests <= 15


@pytest.mark.row("H14")
async def test_unkeyed_creates_need_not_be_halved(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """Where that is switched off, the batch is refused as a whole, and is not sent again."""
    emulator.faults.fail_next(400, times=None, body_contains="poison", operation="meetings.batch_*")
    records = [{"hs_meeting_title": "poison" if at == 61 else str(at)} for at in range(100)]
    outcomes = await outcomes_of(hubspot.bulk.create(records, split_refused=False))
    assert [type(outcome) for outcome in outcomes] == [Rejected] * 100
    assert (emulator.stats().requests, stored(emulator)) == (1, 0)


@pytest.mark.row("H15")
async def test_refused_and_partly_done(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """400, and 12 are there all the same, against HubSpot's documents: told as refused, and never made twice."""
    emulator.faults.fail_next(400, applied=True, applied_inputs=12, operation="meetings.batch_*")
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(100)], split_refused=False))
    assert [type(outcome) for outcome in outcomes] == [Rejected] * 100
    assert stored(emulator) == 12
    emulator.faults.fail_next(400, applied=True, applied_inputs=12, operation="meetings.batch_*")
    report = await hubspot.bulk.upsert(keyed(), id_property="booking_ref")
    assert (report.created + report.updated, stored(emulator)) == (100, 112)


@pytest.mark.row("H16")
async def test_a_taken_key(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """409: a create says so at once and nothing was made; in a batch the others land."""
    await hubspot.meetings.create({"booking_ref": "7"})
    with pytest.raises(Conflict):
        await hubspot.meetings.create({"booking_ref": "7"})
    assert (emulator.stats().requests, stored(emulator)) == (2, 1)
    emulator.faults.fail_next(409, times=None, body_contains="poison", operation="meetings.batch_*")
    records = [*keyed(99), {"booking_ref": "poison"}]
    report = await hubspot.bulk.upsert(records, id_property="booking_ref")
    assert (report.created + report.updated, report.rejected, stored(emulator)) == (99, 1, 99)


@pytest.mark.row("H17")
@pytest.mark.parametrize("status", [413, 414])
@CALL
async def test_too_large(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str, status: int) -> None:
    """One call is refused at once with advice; nothing was done."""
    emulator.faults.fail_next(status, times=None)
    with pytest.raises(RequestRejected, match=r"Send fewer|Ask for fewer") as caught:
        await CALLS[call](hubspot, id_)
    assert (caught.value.status, emulator.stats().requests, stored(emulator)) == (status, 1, 1)


@pytest.mark.row("H17")
async def test_a_batch_too_large(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """413 for a batch: it is halved, and all land."""
    emulator.faults.fail_next(413, operation="meetings.batch_*")
    report = await hubspot.bulk.upsert(keyed(), id_property="booking_ref")
    assert (report.created, stored(emulator), emulator.stats().requests) == (100, 100, 3)


@pytest.mark.row("H18")
@CALL
async def test_no_such_path(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """404 names the path that was asked for."""
    emulator.faults.fail_next(404, times=None)
    with pytest.raises(NotFound, match="/crm/v3/objects/meetings") as caught:
        await CALLS[call](hubspot, id_)
    assert (caught.value.status, emulator.stats().requests, stored(emulator)) == (404, 1, 1)


@pytest.mark.row("H20")
@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("done", [False, True])
@CALL
async def test_a_success_without_a_body(
    emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str, status: int, done: bool
) -> None:
    """A 2xx that names nothing proves nothing: a create is in doubt, an update and a read are sent again."""
    emulator.faults.fail_next(status, body="", applied=done)
    if call == "create":
        with pytest.raises(AmbiguousWriteError) as caught:
            await hubspot.meetings.create(BODY)
        assert (caught.value.why, emulator.stats().requests, stored(emulator)) == ("unreadable", 1, 1 + done)
        return
    assert (await CALLS[call](hubspot, id_)).id == id_
    assert emulator.stats().requests == 2


@pytest.mark.row("H20")
async def test_a_batch_answered_with_nothing(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """Of a batch, nobody counts as done: creates are in doubt, upserts sent again."""
    emulator.faults.fail_next(204, body="", applied=True, operation="meetings.batch_*")
    outcomes = await outcomes_of(hubspot.bulk.create([{} for _ in range(10)]))
    assert [type(outcome) for outcome in outcomes] == [Ambiguous] * 10
    emulator.faults.fail_next(204, body="", applied=True, operation="meetings.batch_*")
    report = await hubspot.bulk.upsert(keyed(10), id_property="booking_ref")
    assert (report.created + report.updated, stored(emulator)) == (10, 20)


@pytest.mark.row("H5")
@CALL
async def test_broken_for_ever(emulator: Emulator, hubspot: MeetingsClient, id_: str, call: str) -> None:
    """What stays broken ends after the last attempt, with the last error."""
    emulator.faults.strike_next(Fault(status=503), times=None)
    with pytest.raises(HubSpotError) as caught:
        await CALLS[call](hubspot, id_)
    attempts = 1 if call == "create" else SWIFT.attempts
    assert type(caught.value) is (AmbiguousWriteError if call == "create" else HubSpotUnavailable)
    assert (caught.value.attempt, emulator.stats().requests) == (attempts, attempts)

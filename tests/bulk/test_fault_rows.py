"""What a bulk run does when HubSpot or the network fails, over real sockets: one test a row of the fault matrix.

Three columns: keyed creates (every record exactly once, whatever happens), creates without a key (never sent again,
named one by one), updates (sent again).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import anyio.lowlevel
import pytest

from hubspot_meetings_async import (
    Ambiguous,
    ConfigurationError,
    Conflict,
    Created,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    MeetingsClient,
    NoLimit,
    NotFound,
    NotSent,
    Outcome,
    PoisonRecord,
    Rejected,
    Report,
    RetryPolicy,
    Run,
    Timeouts,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.emulator import Behaviour, Emulator, Fault

KEY = "booking_ref"
SWIFT = RetryPolicy(base_s=0.001, cap_s=0.01, locked_s=0.01)
COUNT = 250
CREATE, READ, UPDATE, UPSERT = (f"meetings.batch_{name}" for name in ("create", "read", "update", "upsert"))


@asynccontextmanager
async def account(
    *, retry: RetryPolicy = SWIFT, timeout: Timeouts | None = None, behaviour: Behaviour | None = None
) -> AsyncIterator[tuple[Emulator, MeetingsClient]]:
    """An account with a unique property, and a client that waits little."""
    async with Emulator(limit=None, behaviour=behaviour) as emulator:
        emulator.portal.add_property(KEY, unique=True)
        async with MeetingsClient(
            "pat-token-of-the-fault-rows",
            base_url=emulator.url,
            limiter=NoLimit(),
            retry=retry,
            timeout=timeout,
            max_response_bytes=1 << 20,
        ) as hubspot:
            yield emulator, hubspot


def bookings(count: int = COUNT) -> list[dict[str, str]]:
    return [{KEY: f"ref-{number}", "hs_meeting_title": f"Review {number}"} for number in range(count)]


class Ended(NamedTuple):
    """How a run ended."""

    outcomes: list[Outcome[Any]]
    report: Report
    error: Exception | None


async def ended(run: Run[Any]) -> Ended:
    """Run to the end; the account adds up, and every record has one outcome."""
    outcomes: list[Outcome[Any]] = []
    error: Exception | None = None
    try:
        async with run:
            async for outcome in run:
                outcomes.append(outcome)
    except HubSpotError as raised:
        error = raised
    outcomes += run.unread
    assert run.report.adds_up
    assert sorted(outcome.ordinal for outcome in outcomes) == list(range(run.report.pulled))
    return Ended(outcomes, run.report, error)


def stored(emulator: Emulator) -> dict[str, list[str]]:
    """Ids of the meetings that hold each key, archived ones too."""
    found: dict[str, list[str]] = {}
    for meeting in emulator.portal.objects(archived="both"):
        found.setdefault(meeting.get(KEY, ""), []).append(meeting["hs_object_id"])
    return found


def titles(emulator: Emulator) -> dict[str, str]:
    """Titles by meeting id."""
    return {meeting["hs_object_id"]: meeting.get("hs_meeting_title", "") for meeting in emulator.portal.objects()}


def asked(emulator: Emulator, operation: str) -> int:
    """How many requests of an operation the emulator has seen."""
    return emulator.stats().by_operation.get(operation, 0)


def assert_truthful(emulator: Emulator, end: Ended) -> None:
    """No key twice; a created record names its own meeting; a refused or unsent one has none."""
    held = stored(emulator)
    assert {key: ids for key, ids in held.items() if len(ids) > 1} == {}
    for outcome in end.outcomes:
        ids = held.get(outcome.record[KEY], [])
        match outcome:
            case Created(meeting=meeting):
                assert ids == [meeting.id]
            case Rejected() | NotSent():
                assert ids == []
            case _:
                pass


def lost(emulator: Emulator, fault: Fault) -> None:
    """The second batch is struck."""
    emulator.faults.strike_next(fault, operation=CREATE, skip=1)


EMPTY = json.dumps({"status": "COMPLETE", "results": [], "startedAt": "2026-11-21T08:00:00Z"})
JSON = "application/json"
# Row; fault of one batch; how many of its hundred records are there afterwards.
LOST: list[Any] = [
    pytest.param("T12", Fault(kind="reset"), 0, id="T12-reset-before"),
    pytest.param("T13", Fault(kind="reset", applied=True), 100, id="T13-reset-after"),
    pytest.param("T15", Fault(kind="cut"), 100, id="T15-cut"),
    pytest.param("T16", Fault(kind="cut_chunked"), 100, id="T16-cut-chunked"),
    pytest.param("T18", Fault(kind="hang", applied=True), 100, id="T18-hang-after"),
    pytest.param("T18", Fault(kind="hang"), 0, id="T18-hang-before"),
    pytest.param("T19", Fault(kind="drip", pause_s=0.05), 100, id="T19-drip"),
    *[pytest.param("H5", Fault(status=status), 0, id=f"H5-{status}") for status in (500, 502, 503, 504)],
    *[pytest.param("H6", Fault(status=status, applied=True), 100, id=f"H6-{status}") for status in (500, 502, 504)],
    pytest.param("H7", Fault(status=500, applied=True, applied_inputs=37), 37, id="H7-37-of-100"),
    *[
        pytest.param("H8", Fault(status=status, applied=True), 100, id=f"H8-{status}")
        for status in (520, 521, 522, 523, 524, 525, 526, 599)
    ],
    pytest.param("H9", Fault(status=423), 0, id="H9-locked"),
    pytest.param("H20", Fault(status=201, body="", content_type=JSON, applied=True), 100, id="H20-no-body"),
    pytest.param("H22", Fault(status=408, applied=True), 100, id="H22-408"),
    pytest.param("B1", Fault(status=201, body='{"status": "COMPL', content_type=JSON, applied=True), 100, id="B1-cut"),
    pytest.param("B2", Fault(kind="html", applied=True), 100, id="B2-html"),
    *[
        pytest.param("B3", Fault(status=201, body=body, content_type=JSON, applied=True), 100, id=f"B3-{body}")
        for body in ("[]", '"x"', "null", "123")
    ],
    *[
        pytest.param("B4", Fault(status=201, body=body, content_type=JSON, applied=True), 100, id=f"B4-{name}")
        for name, body in {
            "missing": '{"status": "COMPLETE"}',
            "null": '{"status": "COMPLETE", "results": null}',
            "object": '{"status": "COMPLETE", "results": {}}',
        }.items()
    ],
    pytest.param("B5", Fault(status=201, body=EMPTY, content_type=JSON), 0, id="B5-empty-complete"),
    pytest.param(
        "B6", Fault(status=201, body=EMPTY.replace("COMPLETE", "PENDING"), content_type=JSON), 0, id="B6-pending"
    ),
    pytest.param("B8", Fault(kind="gzip_bomb", size_bytes=4 << 20), 100, id="B8-bomb"),
    pytest.param("B12", Fault(kind="bad_gzip"), 100, id="B12-gzip-that-is-none"),
    pytest.param("B13", Fault(status=502, body="<html>nginx</html>", applied=True), 100, id="B13-nginx"),
]


@pytest.mark.row("T12", "T13", "T15", "T16", "T18", "T19", "H5", "H6", "H7", "H8", "H9", "H20", "H22")
@pytest.mark.row("B1", "B2", "B3", "B4", "B5", "B6", "B8", "B12", "B13")
@pytest.mark.parametrize(("row", "fault", "landed"), LOST)
class TestALostAnswer:
    async def test_keyed(self, row: str, fault: Fault, landed: int) -> None:
        """Looked up by key: what is there is not sent again, what is missing is; one look, one resend at most."""
        async with account(timeout=Timeouts(attempt_s=0.4)) as (emulator, hubspot):
            lost(emulator, fault)
            end = await ended(hubspot.bulk.create(bookings(), key_property=KEY))
            assert end.error is None
            assert end.report.created == COUNT
            assert end.report.found == landed
            assert_truthful(emulator, end)
            # Three batches, a look at the live ones, one at the bin where something was missing, then the rest.
            assert end.report.requests == 3 + 1 + (2 if landed < 100 else 0)

    async def test_held(self, row: str, fault: Fault, landed: int) -> None:
        """Without a key nothing is sent again, and each record of the batch is named."""
        async with account(timeout=Timeouts(attempt_s=0.4)) as (emulator, hubspot):
            lost(emulator, fault)
            end = await ended(hubspot.bulk.create(bookings()))
            assert end.error is None
            assert (end.report.created, end.report.ambiguous) == (COUNT - 100, 100)
            assert end.report.requests == 3
            assert_truthful(emulator, end)
            assert sum(map(len, stored(emulator).values())) == COUNT - 100 + landed

    async def test_updated(self, row: str, fault: Fault, landed: int) -> None:
        """An update is sent again, and has the effect of one."""
        async with account(timeout=Timeouts(attempt_s=0.4)) as (emulator, hubspot):
            made = [emulator.portal.add_object("meetings", properties={KEY: str(number)}) for number in range(COUNT)]
            emulator.faults.strike_next(fault, operation=UPDATE, skip=1)
            records = [{"id": meeting, "hs_meeting_title": f"new {meeting}"} for meeting in made]
            end = await ended(hubspot.bulk.update(records))
            assert end.error is None
            assert end.report.updated == COUNT
            assert titles(emulator) == {meeting: f"new {meeting}" for meeting in made}


async def test_the_first_record_in_doubt_is_told_with_the_way_out(caplog: pytest.LogCaptureFixture) -> None:
    """Once a run, without a word of what the records hold; not where a key takes care of it."""
    async with account() as (emulator, hubspot):
        for key_property, warnings in ((None, 1), (KEY, 0)):
            caplog.clear()
            emulator.faults.fail_next(502, operation=CREATE, times=2, skip=1)
            await ended(hubspot.bulk.create(bookings(500), key_property=key_property))
            emulator.portal.reset(properties=False)
            told = [record for record in caplog.records if record.name == "hubspot_meetings_async"]
            assert len(told) == warnings
            assert all("key_property" in record.getMessage() for record in told)
            assert "Review" not in caplog.text


@pytest.mark.row("T21")
async def test_a_write_that_lands_late_is_refused_by_the_key() -> None:
    """504 now, applied after the records were looked for, found missing and sent again: one meeting each."""
    async with account() as (emulator, hubspot):
        emulator.faults.strike_next(Fault(status=504, applied_after_s=3600), operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        emulator.apply_late_writes()
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("T21")
async def test_a_write_that_lands_between_the_look_and_the_resend_is_found() -> None:
    """The resend meets a conflict, which means: look again."""
    async with account() as (emulator, hubspot):
        emulator.faults.strike_next(Fault(status=504, applied_after_s=0.02), operation=CREATE)
        emulator.faults.delay_next(0.2, operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("T25")
async def test_a_request_that_arrives_twice_makes_one_meeting() -> None:
    """A middlebox repeats it, and the answer that is seen is the second one: a conflict of our own making."""
    async with account() as (emulator, hubspot):
        emulator.faults.strike_next("twice", operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("T10", "T26")
async def test_connections_that_close_after_each_answer_cost_nothing() -> None:
    """A server that closes idle connections just before they are used again."""
    async with account() as (emulator, hubspot):
        emulator.faults.strike_next(Fault(kind="reset"), operation=CREATE, times=3, skip=1)
        end = await ended(hubspot.bulk.create(bookings(), key_property=KEY))
        assert end.report.created == COUNT
        assert_truthful(emulator, end)


# ---- refusals and limits


@pytest.mark.row("H1", "H2", "H4")
@pytest.mark.parametrize("retry_after", [None, 0, "-5", "abc", "Wed, 21 Oct 2026 07:28:00 GMT", "NaN"])
async def test_a_429_costs_time_and_nothing_else(retry_after: Any) -> None:
    """Whatever `Retry-After` says: no negative sleep, no endless one, no record lost."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(429, times=2, operation=CREATE, skip=1, retry_after=retry_after)
        for key_property in (KEY, None):
            end = await ended(hubspot.bulk.create(bookings(150), key_property=key_property))
            assert end.error is None
            assert end.report.created == 150
            emulator.portal.reset(properties=False)


@pytest.mark.row("H3")
async def test_the_daily_limit_ends_the_run_and_names_what_was_not_sent() -> None:
    """Going on is no use before the reset; every record is accounted for."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(429, times=None, operation=CREATE, skip=1, policy="DAILY")
        end = await ended(hubspot.bulk.create(bookings(), key_property=KEY))
        assert isinstance(end.error, DailyLimitExceeded)
        assert (end.report.created, end.report.not_sent) == (100, end.report.pulled - 100)
        assert_truthful(emulator, end)


@pytest.mark.row("H10")
async def test_an_account_that_is_moved_ends_the_run_with_the_time() -> None:
    """477 with a day of `Retry-After`: nothing is sent meanwhile."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(477, times=None, operation=CREATE, skip=1, retry_after=86_400)
        end = await ended(hubspot.bulk.create(bookings()))
        assert isinstance(end.error, HubSpotUnavailable)
        assert end.error.retry_after_s == 86_400
        assert (end.report.created, end.report.ambiguous) == (100, 0)
        assert_truthful(emulator, end)


@pytest.mark.row("H10")
async def test_a_run_waits_for_an_account_that_is_moved_when_it_is_told_to() -> None:
    """With `wait_for_reset` it sleeps as long as HubSpot says, and goes on."""
    async with account(retry=RetryPolicy(base_s=0.001, cap_s=0.01, longest_wait_s=0.0)) as (emulator, hubspot):
        emulator.faults.fail_next(477, times=1, operation=CREATE, skip=1, retry_after=0.05)
        end = await ended(hubspot.bulk.create(bookings(), wait_for_reset=True))
        assert end.error is None
        assert end.report.created == COUNT
        assert_truthful(emulator, end)


@pytest.mark.row("H11", "H12", "H13", "H18", "H19")
@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthorized), (403, Forbidden), (404, NotFound), (307, UnexpectedResponse)],
)
@pytest.mark.parametrize("key_property", [KEY, None], ids=["keyed", "held"])
async def test_what_makes_going_on_useless_ends_the_run(
    status: int, error: type[HubSpotError], key_property: str | None
) -> None:
    """A bad token, a missing scope, a wrong path, a redirect: one refusal each, the rest is not sent."""
    async with account() as (emulator, hubspot):
        headers = {"Location": f"{emulator.url}/elsewhere"} if status == 307 else {}
        emulator.faults.fail_next(status, times=None, operation=CREATE, skip=1, headers=headers)
        end = await ended(hubspot.bulk.create(bookings(1000), key_property=key_property))
        assert isinstance(end.error, error)
        assert end.report.created == 100
        assert end.report.not_sent == end.report.pulled - 100
        assert end.report.requests <= 1 + 3
        assert_truthful(emulator, end)


def with_one_bad(count: int = 100, at: int = 42) -> list[dict[str, str]]:
    records = bookings(count)
    records[at]["no_such_property"] = "x"
    return records


@pytest.mark.row("H14")
@pytest.mark.parametrize("key_property", [KEY, None], ids=["keyed", "held"])
async def test_one_bad_record_does_not_spoil_its_batch(key_property: str | None) -> None:
    """Refused as a whole, without naming the culprit: at most 14 requests more find it, and the others land."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(400, times=None, operation=CREATE, body_contains='"ref-42"')
        end = await ended(hubspot.bulk.create(bookings(100), key_property=key_property))
        assert end.error is None
        assert (end.report.created, end.report.rejected) == (99, 1)
        assert end.report.requests <= 1 + 14
        assert_truthful(emulator, end)


@pytest.mark.row("H14")
async def test_without_splitting_all_of_a_refused_batch_are_rejected() -> None:
    """For who does not trust that a refused batch wrote nothing."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(400, times=None, operation=CREATE, body_contains='"ref-42"')
        end = await ended(hubspot.bulk.create(bookings(100), split_refused=False))
        assert (end.report.rejected, end.report.requests) == (100, 1)


@pytest.mark.row("H15")
async def test_a_refused_batch_that_was_written_in_part_makes_no_copy() -> None:
    """400, and 12 records are there all the same: their keys are found taken when they are sent again."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(400, operation=CREATE, applied=True, applied_inputs=12)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("H16", "S16")
@pytest.mark.parametrize("on_existing", ["accept", "reject"])
async def test_a_key_that_was_taken_before_the_run(on_existing: Any) -> None:
    """Somebody else's meeting with our key: done or refused, as told; the 99 others are created."""
    async with account() as (emulator, hubspot):
        emulator.portal.add_object("meetings", properties={KEY: "ref-7"})
        emulator.advance(3600)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY, on_existing=on_existing))
        assert end.error is None
        theirs = next(outcome for outcome in end.outcomes if outcome.record[KEY] == "ref-7")
        if on_existing == "reject":
            assert isinstance(theirs, Rejected)
            assert isinstance(theirs.error, Conflict)
            assert end.report.created == 99
        else:
            assert isinstance(theirs, Created)
            assert theirs.new is False
            assert (end.report.created, end.report.found) == (100, 1)
        assert len(stored(emulator)) == 100
        assert all(len(ids) == 1 for ids in stored(emulator).values())


@pytest.mark.row("H17")
async def test_a_batch_that_is_too_large_is_halved() -> None:
    """413 for the whole: smaller ones pass; one that is too large alone is refused with the reason."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(413, times=3, operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        assert end.error is None
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("H22")
async def test_too_early_is_tried_again() -> None:
    """425: HubSpot did nothing."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(425, times=2, operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100)))
        assert end.report.created == 100


# ---- answers that leave something open


@pytest.mark.row("S7", "S8")
async def test_bad_records_among_good_ones() -> None:
    """207: each is told its own fate, in whatever order the answer has."""
    async with account() as (emulator, hubspot):
        end = await ended(hubspot.bulk.create(with_one_bad(), key_property=KEY))
        assert (end.report.created, end.report.rejected, end.report.requests) == (99, 1, 1)
        assert_truthful(emulator, end)


@pytest.mark.row("S11")
@pytest.mark.parametrize("status", [207, 404])
async def test_the_look_is_answered_either_way(status: Any) -> None:
    """HubSpot answers a batch read of missing ids with 207 or 404; both mean: missing."""
    async with account(behaviour=Behaviour(read_all_missing_status=status)) as (emulator, hubspot):
        emulator.faults.fail_next(502, operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(100), key_property=KEY))
        assert end.report.created == 100
        assert_truthful(emulator, end)


@pytest.mark.row("S11")
async def test_silence_is_not_taken_for_missing() -> None:
    """A look that passes over keys is asked again, one by one, before anything is sent again."""
    silent = json.dumps({"status": "COMPLETE", "results": []})
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(502, operation=CREATE, applied=True)
        emulator.faults.fail_next(200, times=2, operation=READ, body=silent, content_type=JSON)
        end = await ended(hubspot.bulk.create(bookings(20), key_property=KEY))
        assert (end.report.created, end.report.found) == (20, 20)
        assert asked(emulator, CREATE) == 1


@pytest.mark.row("S12")
async def test_nothing_is_sent_again_while_looking_fails() -> None:
    """Ten failed looks end the run; the records stay ambiguous."""
    async with account(retry=RetryPolicy(attempts=1, base_s=0.001, cap_s=0.002)) as (emulator, hubspot):
        emulator.faults.fail_next(502, operation=CREATE, applied=True)
        emulator.faults.fail_next(503, times=None, operation=READ)
        run = hubspot.bulk.create(bookings(100), key_property=KEY, delivery_timeout_s=1.0)
        end = await ended(run)
        assert end.report.ambiguous == 100
        assert asked(emulator, CREATE) == 1


@pytest.mark.row("S14")
async def test_a_key_property_that_is_not_fit_is_refused_before_anything_is_sent() -> None:
    """Missing, not unique, read-only: in words, with the way out."""
    async with account() as (emulator, hubspot):
        for name, words in {
            "no_such": "ensure_key_property",
            "hs_meeting_title": "not unique",
            "hs_unique_creation_key": "can not be written",
        }.items():
            with pytest.raises(ConfigurationError, match=words):
                await hubspot.bulk.create(bookings(3), key_property=name)
            with pytest.raises(ConfigurationError, match=words):
                await hubspot.meetings.create({name: "x"}, key_property=name)
        assert asked(emulator, CREATE) == 0


@pytest.mark.row("S15")
async def test_a_record_that_was_archived_meanwhile_is_found_in_the_bin() -> None:
    """Landed, answer lost, archived by a user before it is looked for: no second meeting."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(502, operation=CREATE, applied=True, latency_s=0.1)
        async with hubspot.bulk.create(bookings(1), key_property=KEY) as run:
            while not stored(emulator):
                await anyio.lowlevel.checkpoint()
            [[meeting_id]] = stored(emulator).values()
            await hubspot.meetings.archive(meeting_id)
            [outcome] = [outcome async for outcome in run]
        assert isinstance(outcome, Created)
        assert outcome.meeting.archived
        assert list(stored(emulator).values()) == [[meeting_id]]


@pytest.mark.row("S17")
@pytest.mark.parametrize("name", ["create", "upsert"])
async def test_a_record_that_makes_hubspot_fail_stands_alone_in_the_end(name: str) -> None:
    """500 whenever it is in the batch: the 99 others land, it is refused; other batches do not notice."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(500, times=None, operation=f"meetings.batch_{name}", body_contains='"ref-142"')
        records = bookings(300)
        run = (
            hubspot.bulk.create(records, key_property=KEY, settle_s=0.05)
            if name == "create"
            else hubspot.bulk.upsert(records, id_property=KEY, settle_s=0.05)
        )
        end = await ended(run)
        assert end.error is None
        [poison] = [outcome for outcome in end.outcomes if not isinstance(outcome, Created)]
        assert isinstance(poison, Rejected)
        assert isinstance(poison.error, PoisonRecord)
        assert poison.record[KEY] == "ref-142"
        assert end.report.created == 299
        assert_truthful(emulator, end)


@pytest.mark.row("S17")
async def test_a_poison_record_without_a_key_makes_its_batch_ambiguous() -> None:
    """Nothing is sent again, so nothing is isolated."""
    async with account() as (emulator, hubspot):
        emulator.faults.fail_next(500, times=None, operation=CREATE, body_contains='"ref-142"')
        end = await ended(hubspot.bulk.create(bookings(300)))
        assert (end.report.created, end.report.ambiguous) == (200, 100)


@pytest.mark.row("S18")
async def test_a_key_twice_in_the_source_makes_one_meeting() -> None:
    """The second record of a key is refused; the first one is created."""
    async with account() as (emulator, hubspot):
        records = [*bookings(150), {KEY: "ref-3", "hs_meeting_title": "again"}]
        end = await ended(hubspot.bulk.create(records, key_property=KEY))
        assert (end.report.created, end.report.rejected) == (150, 1)
        last = next(outcome for outcome in end.outcomes if outcome.ordinal == 150)
        assert isinstance(last, Rejected)
        assert "duplicate_key_in_input" in str(last.error)
        assert len(stored(emulator)) == 150


@pytest.mark.row("S19")
async def test_verify_values_tells_what_is_stored_otherwise() -> None:
    """HubSpot's rewriting of times is no difference; a value that somebody changed is one."""
    async with account() as (emulator, hubspot):
        start = datetime(2026, 11, 23, 9, tzinfo=UTC)
        records = [{KEY: f"ref-{n}", "hs_meeting_title": f"T{n}", "hs_timestamp": start} for n in range(20)]
        end = await ended(hubspot.bulk.create(records, key_property=KEY, verify="values"))
        assert all(isinstance(outcome, Created) and outcome.differs == {} for outcome in end.outcomes)
        assert end.report.differing == 0

        made = [outcome.meeting.id for outcome in end.outcomes if isinstance(outcome, Created)]
        answer = {
            "status": "COMPLETE",
            "results": [{"id": meeting_id, "properties": {"hs_meeting_title": "cut sho"}} for meeting_id in made],
        }
        emulator.faults.fail_next(200, operation=READ, body=json.dumps(answer), content_type=JSON)
        updates = [{"id": meeting_id, "hs_meeting_title": "cut short"} for meeting_id in made]
        report = await hubspot.bulk.update(updates, verify="values")
        assert (report.updated, report.differing) == (20, 20)


@pytest.mark.row("S20")
async def test_an_empty_source_costs_no_request() -> None:
    """And a record larger than a batch may be is refused before it is sent."""
    async with account() as (emulator, hubspot):
        report = await hubspot.bulk.create([])
        assert (report.pulled, report.requests) == (0, 0)
        end = await ended(hubspot.bulk.create([{KEY: "x", "hs_meeting_body": "b" * 3_000_000}]))
        assert end.report.rejected == 1
        assert asked(emulator, CREATE) == 0


@pytest.mark.row("S21")
async def test_verify_final_repairs_a_late_write() -> None:
    """An update that was thought lost lands after a newer one of the same id; the last value wins in the end."""
    async with account() as (emulator, hubspot):
        meeting = emulator.portal.add_object("meetings", properties={KEY: "a"})
        emulator.faults.strike_next(Fault(status=504, applied_after_s=3600), operation=UPDATE)
        settled = 0

        def late(report: Report) -> None:
            nonlocal settled
            settled = report.updated
            if settled == 2:
                emulator.apply_late_writes()

        records = [{"id": meeting, "hs_meeting_title": title} for title in ("old", "new")]
        report = await hubspot.bulk.update(records, verify="final", settle_s=0.05, on_progress=late)
        assert settled == 2
        assert report.repaired == 1
        assert report.unverified == 0
        assert titles(emulator) == {meeting: "new"}


@pytest.mark.row("T8")
async def test_a_record_has_so_much_time_and_no_more() -> None:
    """`delivery_timeout_s`: what had left is ambiguous, what had not is not sent; both say so."""
    async with account(timeout=Timeouts(attempt_s=30)) as (emulator, hubspot):
        emulator.faults.hang_next(times=None, operation=CREATE)
        end = await ended(hubspot.bulk.create(bookings(300), delivery_timeout_s=0.3))
        assert {outcome.why for outcome in end.outcomes if isinstance(outcome, Ambiguous)} == {"timeout"}
        assert {outcome.why for outcome in end.outcomes if isinstance(outcome, NotSent)} <= {"deadline"}
        assert end.report.ambiguous >= 100


def test_rows_are_named() -> None:
    """The rows in the tables are the rows in the marks."""
    marked = {row for mark in TestALostAnswer.pytestmark if mark.name == "row" for row in mark.args}  # type: ignore[attr-defined]
    assert marked == {param.values[0] for param in LOST}

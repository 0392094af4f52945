"""Settling: what an answer says about each record, and that place in the answer never counts."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.bulk.outcomes import Ambiguous, Created, NotSent, Read, Rejected, Updated
from hubspot_meetings_async.bulk.settling import settle_answer, settle_failure
from hubspot_meetings_async.entries import Entry
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    Conflict,
    HubSpotError,
    HubSpotUnavailable,
    NotFound,
    RequestRejected,
    TransportFailed,
)
from hubspot_meetings_async.inputs import Inputs, Record
from hubspot_meetings_async.models import (
    BatchError,
    BatchResponse,
    Meeting,
    PlainProperties,
    UpsertedMeeting,
    to_contact,
)


def entries_of(form: Inputs, items: list[Any]) -> list[Entry]:
    return [form.entry(number, item, f"t{number}") for number, item in enumerate(items)]


def answer(*results: Meeting, errors: tuple[BatchError, ...] = (), num_errors: int | None = None) -> BatchResponse[Any]:
    return BatchResponse(status="COMPLETE", results=results, errors=errors, num_errors=num_errors)


def meeting(meeting_id: str, trace: str | None = None, **properties: str | None) -> Meeting:
    return Meeting(id=meeting_id, properties=dict(properties), object_write_trace_id=trace)


def create(items: list[Any], given: BatchResponse[Any]) -> dict[int, Any]:
    settled = settle_answer("create", entries_of(Inputs.create(), items), given, may_repeat=False)
    assert settled.again == []
    assert sorted(o.ordinal for o in settled.outcomes) == list(range(len(items)))
    return {outcome.ordinal: outcome for outcome in settled.outcomes}


def test_trace_ids_tie_results_and_errors() -> None:
    """A 207 with trace ids: each result and each error goes to its own record, whatever the order."""
    bad = BatchError(category="VALIDATION_ERROR", message="bad", context={"objectWriteTraceId": ["t1"]})
    found = create([{"a": "x"}] * 3, answer(meeting("9", "t2", a="x"), meeting("8", "t0", a="x"), errors=(bad,)))
    assert (found[0].meeting.id, found[2].meeting.id) == ("8", "9")
    assert isinstance(found[1], Rejected)
    assert found[1].error.message == "bad"


@given(st.permutations(list(range(12))), st.booleans())
def test_without_trace_ids_results_are_told_apart_by_what_was_written(order: list[int], coerced: bool) -> None:
    """Shuffled results find their records by their values, times and numbers in HubSpot's form."""
    items = [{"hs_timestamp": str(1795424400000 + n * 60_000), "t": "same", "n": n} for n in range(12)]

    def stored(n: int) -> Meeting:
        when = f"2026-11-23T09:{n:02}:00Z" if coerced else str(1795424400000 + n * 60_000)
        return meeting(str(900 + n), hs_timestamp=when, t="same", n=str(n), hs_object_id=str(900 + n))

    found = create(items, answer(*(stored(n) for n in order)))
    assert all(isinstance(found[n], Created) and found[n].meeting.id == str(900 + n) for n in range(12))


def test_records_alike_to_the_last_byte_share_their_results() -> None:
    """Twins are both created; which meeting is whose makes no difference."""
    found = create([{"a": "x"}, {"a": "x"}], answer(meeting("8", a="x"), meeting("9", a="x")))
    assert {found[0].meeting.id, found[1].meeting.id} == {"8", "9"}


def test_records_alike_but_for_their_links_are_not_guessed() -> None:
    """Twins with other associations: both meetings exist, and the outcome says it can not tell them apart."""
    items = [Record(properties={"a": "x"}, associations=[to_contact(n)]) for n in (1, 2)]
    found = create(items, answer(meeting("8", a="x"), meeting("9", a="x")))
    assert all(isinstance(o, Ambiguous) and o.why == "not_told_apart" and o.ids == ("8", "9") for o in found.values())


def test_a_missing_result_is_ambiguous() -> None:
    """Two of three results: the third record may exist, and is not guessed at."""
    found = create([{"a": "x"}, {"a": "y"}, {"a": "z"}], answer(meeting("9", a="z"), meeting("8", a="x")))
    assert isinstance(found[1], Ambiguous)
    assert found[1].why == "missing_in_answer"
    assert (found[0].meeting.id, found[2].meeting.id) == ("8", "9")


def test_an_empty_complete_answer_proves_nothing() -> None:
    """`COMPLETE` without results: every record is ambiguous."""
    assert all(isinstance(o, Ambiguous) for o in create([{"a": "x"}, {"a": "y"}], answer()).values())


def test_one_result_twice_is_one_result() -> None:
    """The same meeting listed twice settles its record once."""
    found = create([{"a": "x"}, {"a": "y"}], answer(*[meeting("8", "t0", a="x")] * 2, meeting("9", "t1", a="y")))
    assert [found[n].meeting.id for n in (0, 1)] == ["8", "9"]


def test_two_meetings_for_one_trace_id_are_not_picked_from() -> None:
    """Two ids for one record: ambiguous, and both are named."""
    found = create([{"a": "x"}], answer(meeting("8", "t0"), meeting("9", "t0")))
    assert found[0].ids == ("8", "9")


def test_one_meeting_for_two_records_is_neithers() -> None:
    """One id under two trace ids: both records are ambiguous with that id."""
    found = create([{"a": "x"}, {"a": "y"}], answer(meeting("8", "t0"), meeting("8", "t1")))
    assert all(isinstance(o, Ambiguous) and o.ids == ("8",) for o in found.values())


def test_results_of_strangers_are_ignored() -> None:
    """A trace id nobody sent settles nobody."""
    found = create([{"a": "x"}], answer(meeting("8", "t0", a="x"), meeting("9", "zz", a="x")))
    assert found[0].meeting.id == "8"


def test_errors_that_name_nobody_reject_those_that_are_left() -> None:
    """As many nameless errors as unnamed records: they are rejected, with the possible reasons."""
    errors = (BatchError(message="first"), BatchError(message="second"))
    found = create([{"a": "x"}, {"a": "y"}, {"a": "z"}], answer(meeting("8", a="x"), errors=errors))
    for n in (1, 2):
        assert isinstance(found[n], Rejected)
        assert "first; or: second" in str(found[n].error)


def test_fewer_nameless_errors_than_unnamed_records_leave_doubt() -> None:
    """One nameless error for two unnamed records proves nothing about either."""
    found = create([{"a": "x"}, {"a": "y"}], answer(errors=(BatchError(message="one"),)))
    assert all(isinstance(o, Ambiguous) for o in found.values())
    found = create([{"a": "x"}, {"a": "y"}], answer(errors=(BatchError(message="both"),), num_errors=2))
    assert all(isinstance(o, Rejected) for o in found.values())


def test_updates_and_reads_go_by_id() -> None:
    """Results by id; missing ones are NotFound; ids that neither names are asked for again."""
    gone = BatchError(category="OBJECT_NOT_FOUND", message="gone", context={"ids": ["2"]})
    given = answer(meeting("3", a="x"), meeting("1", a="x"), errors=(gone,))
    for operation, form, done in (
        ("update", Inputs.update(id_property=None), Updated),
        ("read", Inputs.read(properties=(), properties_with_history=(), id_property=None), Read),
    ):
        entries = entries_of(form, [{"id": n, "a": "x"} for n in (1, 2, 3, 4)])
        outcomes, again, *_ = settle_answer(operation, entries, given)
        found = {o.ordinal: o for o in outcomes}
        assert isinstance(found[0], done)
        assert isinstance(found[2], done)
        assert isinstance(found[1], Rejected)
        assert isinstance(found[1].error, NotFound)
        assert [e.key for e in again] == ["4"]


def test_upserts_go_by_the_unique_value_and_say_whether_they_are_new() -> None:
    """`new` decides between Created and Updated."""
    entries = entries_of(Inputs.upsert(id_property="ref"), [{"ref": "r0"}, {"ref": "r1"}, {"ref": "r2"}])
    results: tuple[UpsertedMeeting, ...] = (
        UpsertedMeeting(id="9", properties={"ref": "r1"}, new=False),
        UpsertedMeeting(id="8", properties={"ref": "r0"}, new=True),
    )
    taken = BatchError(category="CONFLICT", message="taken", context={"ref": ["r2"]})
    outcomes, again, *_ = settle_answer("upsert", entries, answer(*results, errors=(taken,)), id_property="ref")
    found = {o.ordinal: o for o in outcomes}
    assert again == []
    assert isinstance(found[0], Created)
    assert isinstance(found[1], Updated)
    assert isinstance(found[2], Rejected)
    assert isinstance(found[2].error, Conflict)


LOST = TransportFailed("reset", sent=True)
AMBIGUOUS = AmbiguousWriteError("lost", why="timeout")


@pytest.mark.parametrize(
    ("operation", "error", "stopped", "doubtful", "expected", "reason"),
    [
        ("create", AMBIGUOUS, False, False, Ambiguous, "timeout"),
        ("create", RequestRejected("no", status=400), False, False, Rejected, None),
        ("create", TransportFailed("refused", sent=False), True, False, NotSent, "stopped"),
        ("update", LOST, False, False, Ambiguous, "reset"),
        ("update", HubSpotUnavailable("locked", status=423), False, False, Ambiguous, "locked"),
        ("update", HubSpotUnavailable("moved", status=477), False, False, NotSent, "unavailable"),
        ("update", TransportFailed("refused", sent=False), True, True, Ambiguous, "reset"),
        ("upsert", HubSpotUnavailable("502", status=502), True, False, Ambiguous, "5xx"),
        ("read", LOST, False, False, NotSent, "unavailable"),
        ("read", HubSpotUnavailable("502", status=502), True, True, NotSent, "stopped"),
    ],
)
def test_failures_say_no_more_than_is_known(
    operation: str, error: HubSpotError, stopped: bool, doubtful: bool, expected: type, reason: str | None
) -> None:
    """A write that left is ambiguous, one that did not is not sent, one that was refused is rejected; reads are never
    ambiguous."""
    entries = entries_of(Inputs.create(), [{"a": "x"}])
    (outcome,) = settle_failure(operation, entries, error, stopped=stopped, doubtful=doubtful)
    assert type(outcome) is expected
    assert getattr(outcome, "why", None) == reason


@given(st.integers(1, 100), st.integers(0, 2**32), st.data())
def test_any_selection_of_results_is_tied_right(count: int, seed: int, data: st.DataObject) -> None:
    """Any subset of results in any order, with and without echoed trace ids: no record gets another's meeting."""
    rng = random.Random(seed)
    values = [data.draw(st.integers(0, max(1, count // 3)), label="value") for _ in range(count)]
    items = [{"a": str(value), "b": "x"} for value in values]
    present = [n for n in range(count) if rng.random() < 0.8]
    rng.shuffle(present)
    results = [
        meeting(str(1000 + n), f"t{n}" if rng.random() < 0.3 else None, a=str(values[n]), b="x") for n in present
    ]
    found = create(items, answer(*results))
    for n, outcome in found.items():
        if isinstance(outcome, Created):
            assert outcome.meeting.properties["a"] == str(values[n])
            if outcome.meeting.object_write_trace_id is not None:
                assert outcome.meeting.id == str(1000 + n)
        else:
            assert isinstance(outcome, Ambiguous)
    ids = [o.meeting.id for o in found.values() if isinstance(o, Created)]
    assert len(set(ids)) == len(ids)
    if len(present) == count:
        assert len(ids) == count


def test_null_for_errors_is_no_errors() -> None:
    """`"errors": null` in a batch answer leaves its results readable."""
    decoder = msgspec.json.Decoder(BatchResponse[Meeting[PlainProperties]])
    given = decoder.decode(b'{"status":"COMPLETE","results":[{"id":"8","properties":{"a":"x"}}],"errors":null}')
    assert given.errors == ()
    assert isinstance(create([{"a": "x"}], given)[0], Created)

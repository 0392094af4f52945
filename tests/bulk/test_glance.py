"""An answer at a glance: the plain one is matched without decoding it, any other is decoded as a whole."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from hubspot_meetings_async import Created, Meeting, UnexpectedResponse
from hubspot_meetings_async.bulk.glance import Matched, glance_at
from hubspot_meetings_async.bulk.outcomes import Updated
from hubspot_meetings_async.bulk.settling import settle_answer
from hubspot_meetings_async.entries import Entry
from hubspot_meetings_async.inputs import Inputs
from hubspot_meetings_async.meetings.batches import BATCH, UPSERTED
from hubspot_meetings_async.models import BatchResponse

TITLES = ["Kick-off", "Review", "Prüfung"]


def entries(form: Inputs | None = None, records: list[dict[str, Any]] | None = None) -> list[Entry]:
    """Three records on their way, told apart by their titles."""
    form = form or Inputs.create()
    given = records or [{"hs_meeting_title": title, "hubspot_owner_id": "7"} for title in TITLES]
    return [form.entry(number, record, f"t-{number}") for number, record in enumerate(given)]


def result(number: int, **more: Any) -> dict[str, Any]:
    """One result of HubSpot's."""
    properties = {"hs_meeting_title": TITLES[number], "hubspot_owner_id": "7", "hs_object_id": str(500 + number)}
    return {"id": str(500 + number), "properties": properties, "createdAt": "2026-11-21T08:00:00Z", **more}


def answer(*results: dict[str, Any], **more: Any) -> bytes:
    """The answer to a batch."""
    return msgspec.json.encode({"status": "COMPLETE", "results": list(results), **more})


def plain(**more: Any) -> bytes:
    """One result for each record, in another order."""
    return answer(*(result(number, **more) for number in (2, 0, 1)))


def read(body: bytes, given: list[Entry] | None = None) -> Any:
    """As a run reads it."""
    return glance_at(given or entries(), None, BATCH).decode(body)


def test_a_plain_answer_is_matched_by_the_property_whose_values_differ_and_never_by_position() -> None:
    """Each record has its own meeting, decoded in full when it is looked at."""
    given = entries()
    seen = read(plain(), given)
    assert isinstance(seen, Matched)
    outcomes, again, *_ = settle_answer("create", given, seen)
    assert [outcome.id for outcome in outcomes if isinstance(outcome, Created)] == ["500", "501", "502"]
    for outcome in outcomes:
        assert isinstance(outcome, Created)
        assert outcome.meeting == next(m for m in BATCH.decode(plain()).results if m.id == outcome.id)
    assert again == []


def test_trace_ids_are_believed_before_values() -> None:
    """HubSpot may have rewritten what was sent."""
    body = answer(*({**result(n, objectWriteTraceId=f"t-{n}"), "properties": {}} for n in (1, 2, 0)))
    seen = read(body)
    assert isinstance(seen, Matched)
    assert seen.ids == ["500", "501", "502"]


ODD = {
    "one too few": answer(result(0), result(1)),
    "one too many": answer(result(0), result(1), result(2), result(2)),
    "one twice": answer(result(0), result(1), result(1)),
    "one id for two": answer(result(0), result(1), result(2, id="501")),
    "a stranger": answer(result(0), result(1), {**result(2), "properties": {"hs_meeting_title": "?"}}),
    "no properties": answer(result(0), result(1), {"id": "502"}),
    "an error": answer(result(0), result(1), result(2), errors=[{"message": "no"}]),
    "a number of errors": answer(result(0), result(1), result(2), numErrors=1),
    "a trace id twice": answer(*(result(n, objectWriteTraceId="t-1") for n in range(3))),
    "an unknown trace id": answer(*(result(n, objectWriteTraceId=f"u-{n}") for n in range(3))),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
def test_whatever_is_odd_is_decoded_as_a_whole(body: bytes) -> None:
    """For those who look closer."""
    assert read(body) == BATCH.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        plain()[:-1],
        plain().replace("ü".encode(), b"\xff"),
        plain().replace(b'"id":"501"', b'"id":5'),
    ],
    ids=["nothing", "a list", "an empty object", "cut off", "no UTF-8", "a number as id"],
)
def test_what_can_not_be_read_as_a_whole_can_not_be_read_at_a_glance(body: bytes) -> None:
    """Nobody is told a success of it."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        read(body)


def test_an_id_that_is_not_the_one_that_was_asked_for_is_odd() -> None:
    """Trace id and id name two records."""
    given = entries(Inputs.update(id_property=None), [{"id": str(500 + n), "hubspot_owner_id": "7"} for n in range(3)])
    crossed = answer(*(result(n, objectWriteTraceId=f"t-{(n + 1) % 3}") for n in range(3)))
    assert isinstance(read(plain(), given), Matched)
    assert isinstance(read(crossed, given), BatchResponse)


def test_upserts_are_told_by_their_unique_value_and_say_what_was_made() -> None:
    """Created or updated: HubSpot says it with each result."""
    form = Inputs.upsert(id_property="hs_meeting_title")
    given = entries(form)
    body = answer(result(2, new=False), result(0, new=True), result(1))
    seen = glance_at(given, "hs_meeting_title", UPSERTED).decode(body)
    outcomes, *_ = settle_answer("upsert", given, seen, id_property="hs_meeting_title")
    assert [type(outcome) for outcome in outcomes] == [Created, Updated, Updated]
    whole: Any = UPSERTED.decode(body)
    assert outcomes == settle_answer("upsert", given, whole, id_property="hs_meeting_title").outcomes


def test_records_that_are_alike_in_everything_are_not_glanced_at() -> None:
    """No property tells them apart, and results bear no trace ids."""
    assert glance_at(entries(records=[{"hubspot_owner_id": "7"}] * 3), None, BATCH) is BATCH


def created(body: bytes) -> Created[Any]:
    """The first outcome of an answer, its meeting not looked at."""
    given = entries()
    first = settle_answer("create", given, read(body, given)).outcomes[0]
    assert isinstance(first, Created)
    return first


def test_an_outcome_whose_meeting_was_not_looked_at_is_like_any_other() -> None:
    """Equal, shown, copied, pickled, replaced, matched."""
    meeting = BATCH.decode(answer(result(0))).results[0]
    usual = Created({"hs_meeting_title": "Kick-off", "hubspot_owner_id": "7"}, 0, meeting)
    assert created(plain()) == usual
    assert usual == created(plain())
    assert repr(created(plain())) == repr(usual)
    assert copy.deepcopy(created(plain())) == usual
    assert pickle.loads(pickle.dumps(created(plain()))) == usual  # noqa: S301 - its own bytes
    assert msgspec.structs.replace(created(plain()), journaled=False).meeting == meeting
    match created(plain()):
        case Created(meeting=Meeting(id=meeting_id), id=outcome_id):
            assert meeting_id == outcome_id == "500"
        case _:
            pytest.fail("it does not match")


def test_an_odd_field_leaves_the_outcome_and_the_rest_of_the_meeting() -> None:
    """The id settles what became of the record."""
    outcome = created(plain(createdAt="yesterday"))
    assert outcome.id == "500"
    assert outcome.meeting.properties["hs_meeting_title"] == "Kick-off"


def test_a_meeting_that_is_no_json_after_all_says_so_when_it_is_looked_at() -> None:
    """What is passed over is read for its form only."""

    class Broken:
        type = BATCH.type

        def decode(self, body: bytes) -> Any:
            raise msgspec.DecodeError("broken")

    given = entries()
    seen = glance_at(given, None, Broken()).decode(plain())  # type: ignore[arg-type]  # a decoder that reads nothing
    outcome = settle_answer("create", given, seen).outcomes[0]
    assert isinstance(outcome, Created)
    with pytest.raises(UnexpectedResponse):
        _ = outcome.meeting

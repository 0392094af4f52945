"""What a journal's rows say, read again: the model is a dict, the truth is the same."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async.bulk.journal.rows import (
    ACK,
    END,
    INTENT,
    NOTE,
    SESSION,
    Ack,
    End,
    Intent,
    Note,
    Past,
    Session,
    digest,
    pack,
    records,
    unpack,
)
from hubspot_meetings_async.inputs import Inputs

encode = msgspec.msgpack.encode


@given(st.sets(st.integers(0, 2_000), min_size=1, max_size=100))
def test_ordinals_come_back(ordinals: set[int]) -> None:
    """A range is two numbers, anything else itself."""
    ordered = sorted(ordinals)
    packed = pack(ordered)
    assert list(unpack(packed)) == ordered
    if ordered[-1] - ordered[0] == len(ordered) - 1 and len(ordered) > 1:
        assert len(packed) == 2


def intent(ordinals: list[int], *, alone: bool = False) -> tuple[int, bytes]:
    digests = array("I", [ordinal + 1 for ordinal in ordinals]).tobytes()
    return INTENT, encode(Intent(pack(ordinals), [f"k{ordinal}" for ordinal in ordinals], digests, alone))


def ack(codes: dict[int, str]) -> tuple[int, bytes]:
    ordinals = sorted(codes)
    return ACK, encode(Ack(pack(ordinals), "".join(codes[o] for o in ordinals), [f"d{o}" for o in ordinals]))


def session(number: int, first: int = 0) -> tuple[int, bytes]:
    return SESSION, encode(Session(number, first, 1_700_000_000.0 + number))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("intent"), st.sets(st.integers(0, 60), min_size=1, max_size=20)),
        st.tuples(st.sampled_from("cuax?-"), st.sets(st.integers(0, 60), min_size=1, max_size=20)),
        st.tuples(st.just("session"), st.just(set[int]())),
    ),
    max_size=30,
)


@settings(max_examples=300)
@given(steps)
def test_a_journal_is_the_sum_of_its_rows(steps: list[tuple[str, set[int]]]) -> None:
    """The last row about a record holds; what has an intent and no ack was on its way when its run died."""
    rows: list[tuple[int, bytes]] = [session(1)]
    model: dict[int, str] = {}
    crashes: dict[int, int] = {}
    sessions = 1
    for step, ordinals in steps:
        if step == "session":
            sessions += 1
            rows.append(session(sessions))
        elif step == "intent":
            rows.append(intent(sorted(ordinals)))
            for ordinal in ordinals:
                if model.get(ordinal) == "i":  # a run writes one intent for a record: this one is another run's
                    crashes[ordinal] = crashes.get(ordinal, 0) + 1
            model.update(dict.fromkeys(ordinals, "i"))
        else:
            rows.append(ack(dict.fromkeys(ordinals, step)))
            model.update(dict.fromkeys(ordinals, step))
            for ordinal in ordinals:
                crashes.pop(ordinal, None)
    for ordinal, code in model.items():
        if code == "i":  # whoever reads the journal is the next run
            crashes[ordinal] = crashes.get(ordinal, 0) + 1
    past = Past.read(rows, with_keys=True)
    for ordinal in range(past.next_ordinal):
        code = model.get(ordinal, "-")
        assert past.codes[ordinal] == (0 if code == "-" else ord(code))
    assert past.next_ordinal == max(model, default=-1) + 1
    assert dict(past.crashes) == crashes
    assert past.sessions == sessions
    assert {record.ordinal: record.code for record in records(rows)} == model
    for record in records(rows):
        assert record.key in (None, f"k{record.ordinal}")
    assert sum(past.tally().values()) == sum(code != "-" for code in model.values())


def test_the_small_rows() -> None:
    """HubSpot's clock is the first one noted; an end holds until another run begins."""
    rows: list[Any] = [session(1), (NOTE, encode(Note(5.0))), (NOTE, encode(Note(9.0))), (END, encode(End(7)))]
    past = Past.read(rows)
    assert (past.hubspot_began_at, past.records, past.began_at) == (5.0, 7, 1_700_000_001.0)
    assert Past.read([*rows, session(2)]).records is None


def test_who_stood_alone_is_known_until_it_goes_with_others() -> None:
    """A record that is sent by itself and kills the run is known by that."""
    rows = [session(1), intent([3], alone=True), intent([4], alone=True), intent([4, 5])]
    assert Past.read(rows).alone == {3}


def test_a_digest_tells_records_apart_and_forgets_the_trace() -> None:
    """Of a create without a key all counts but the trace id; of others the key."""
    plain = Inputs.create()
    assert digest(plain.entry(0, {"a": "1"}, "t-1")) == digest(plain.entry(9, {"a": "1"}, "t-2"))
    assert digest(plain.entry(0, {"a": "1"}, "t-1")) != digest(plain.entry(0, {"a": "2"}, "t-1"))
    keyed = Inputs.create(key_property="k")
    assert digest(keyed.entry(0, {"a": "1", "k": "x"}, "t")) == digest(keyed.entry(0, {"a": "2", "k": "x"}, "t"))

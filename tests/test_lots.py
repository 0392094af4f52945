"""Records formed together are what they would be one by one, and what is odd is left to those who look closer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.entries import Entry, Lot, keys_of, origins_of, trace_ids_of
from hubspot_meetings_async.errors import InvalidRecord
from hubspot_meetings_async.inputs import Inputs

KEY = "booking_ref"


class Colour(Enum):
    """A value of a choice."""

    RED = "red"


KINDS: dict[str, Inputs] = {
    "create": Inputs.create(),
    "create by key": Inputs.create(key_property=KEY),
    "upsert": Inputs.upsert(id_property=KEY),
    "update": Inputs.update(id_property=None),
    "archive": Inputs.archive(),
    "read": Inputs.read(properties=("hs_meeting_title",), properties_with_history=(), id_property=None),
}

TEXTS = st.text(max_size=8)
NAMES = st.sampled_from(["hs_meeting_title", "hs_meeting_body", KEY, "id", "properties", "colour"])
STEADY = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.dates(),
    st.just(Colour.RED),
)
ODD = st.one_of(st.lists(TEXTS, max_size=2), st.dictionaries(NAMES, TEXTS, max_size=2), st.binary(max_size=2))
PLAIN = st.fixed_dictionaries({KEY: st.text("abc ", max_size=4), "hs_meeting_title": TEXTS}, optional={"colour": TEXTS})
CHANGES = st.fixed_dictionaries({"id": st.from_regex(r"[0-9]{1,21}", fullmatch=True), "properties": PLAIN})
ITEMS = st.one_of(
    PLAIN,
    PLAIN,
    st.dictionaries(NAMES, STEADY, max_size=4),
    st.dictionaries(NAMES, STEADY | ODD, max_size=4),
    CHANGES,
    st.from_regex(r"[0-9]{0,21}", fullmatch=True),
    STEADY,
)
SAME = st.one_of(
    PLAIN, CHANGES, st.dictionaries(NAMES, STEADY, max_size=4), st.from_regex(r"[0-9]{1,20}", fullmatch=True)
)


def lot_of(inputs: Inputs, items: list[Any], *, first: int = 0) -> Lot | None:
    """What the engine does: copies, then a lot of them."""
    assert inputs.lots is not None
    try:
        copies = [inputs.lots.copied(item) for item in items]
    except Exception:  # noqa: BLE001 - not usual, then
        return None
    return inputs.lots.lot(first, items, copies, f"run-{first}.")


def one_by_one(inputs: Inputs, items: list[Any], trace_ids: list[str | None]) -> list[Entry]:
    return [inputs.entry(n, item, trace or "") for n, (item, trace) in enumerate(zip(items, trace_ids, strict=True))]


def read(encoded: bytes) -> Any:
    return msgspec.json.decode(encoded)


@pytest.mark.parametrize("inputs", KINDS.values(), ids=KINDS)
@given(items=st.lists(ITEMS, min_size=1, max_size=6) | st.lists(SAME, min_size=1, max_size=6))
def test_a_lot_is_what_its_records_are_one_by_one(inputs: Inputs, items: list[Any]) -> None:
    """The body, and each entry; and there is no lot where one of them would be refused."""
    lot = lot_of(inputs, items)
    if lot is None:
        return
    alone = one_by_one(inputs, items, trace_ids_of(lot))
    assert read(lot.body) == read(inputs.body(alone))
    assert lot.body == inputs.body(lot)
    for entry, other in zip(lot, alone, strict=True):
        assert (entry.ordinal, entry.record, entry.key) == (other.ordinal, other.record, other.key)
        assert entry.trace_id == (other.trace_id or None)
        assert read(entry.encoded) == read(other.encoded)
        assert dict(entry.sent or {}) == dict(other.sent or {})
        assert entry.content == other.content, "a journal would not know the record again"
    assert keys_of(lot) == keys_of(alone)
    assert [*map(list, origins_of(lot))] == [*map(list, origins_of(alone))]
    if lot.tells is not None:
        assert len({*lot.tells.values}) == len(lot.tells.values) or lot.keys is not None


USUAL: dict[str, Callable[[int], Any]] = {
    "create": lambda n: {"hs_meeting_title": f"no. {n}", "hs_meeting_body": "the same"},
    "create by key": lambda n: {KEY: f"ref-{n}"},
    "upsert": lambda n: {
        KEY: f"ref-{n}",
        "n": n,
        "at": datetime(2026, 11, 23, 9, tzinfo=UTC),
        "on": date(2026, 11, 23),
    },
    "update": lambda n: {"id": str(500 + n), "properties": {"hs_meeting_title": f"no. {n}"}},
    "archive": lambda n: str(500 + n),
    "read": lambda n: str(500 + n),
}


@pytest.mark.parametrize("kind", KINDS)
def test_usual_records_make_a_lot(kind: str) -> None:
    """Else nothing above says anything."""
    items = [USUAL[kind](n) for n in range(100)]
    lot = lot_of(KINDS[kind], items, first=300)
    assert lot is not None
    lots = KINDS[kind].lots
    assert lots is not None
    assert all(map(lots.usual, items))
    assert list(lot.ordinals) == list(range(300, 400))
    assert lot.tells is not None
    assert len({*lot.tells.values}) == 100
    assert len({*trace_ids_of(lot)}) == (1 if kind in ("archive", "read") else 100)


ODDITIES: dict[str, tuple[str, Any]] = {
    "a list": ("create", {"hs_meeting_title": ["a", "b"]}),
    "no string in it": ("create", {"hs_meeting_title": b"bytes"}),
    "half a character": ("create", {"hs_meeting_title": "\ud800"}),
    "a moment nowhere": ("create", {"hs_meeting_title": datetime(2026, 1, 1)}),  # noqa: DTZ001 - without a zone
    "no key": ("create by key", {"hs_meeting_title": "x"}),
    "an empty key": ("upsert", {KEY: ""}),
    "a key with a space": ("create by key", {KEY: "ref "}),
    "too long a key": ("upsert", {KEY: "r" * 256}),
    "HubSpot's form": ("create", {"properties": {"hs_meeting_title": "x"}}),
    "no id": ("update", {"properties": {}}),
    "a word for an id": ("update", {"id": "x", "properties": {}}),
    "a number": ("archive", 501),
    "a long number": ("read", "1" * 21),
}


@pytest.mark.parametrize(("kind", "odd"), ODDITIES.values(), ids=ODDITIES)
def test_one_odd_record_and_there_is_no_lot(kind: str, odd: Any) -> None:
    """It is looked at closer, and the others with it."""
    items = [USUAL[kind](n) for n in range(5)]
    assert lot_of(KINDS[kind], [*items[:3], odd, *items[3:]]) is None


def test_what_tells_results_apart_is_never_the_same_twice() -> None:
    """The first property whose values all differ."""
    lot = lot_of(Inputs.create(), [{"a": "x", "b": str(n % 2), "c": str(n)} for n in range(4)])
    assert lot is not None
    assert lot.tells is not None
    assert (lot.tells.name, lot.tells.values) == ("c", ["0", "1", "2", "3"])
    alike = lot_of(Inputs.create(), [{"a": "x"}, {"a": "x"}])
    assert alike is not None
    assert alike.tells is None


def test_a_lot_without_its_odd_one_is_still_refused_in_words() -> None:
    """Who looks at each says why."""
    with pytest.raises(InvalidRecord, match="begins or ends with a space"):
        KINDS["create by key"].entry(0, {KEY: "ref "}, "t")

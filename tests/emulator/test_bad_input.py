"""Whatever is sent, the answer is HubSpot's: a status it knows and its error shape, never a hole in the emulator."""

from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.account import MEETINGS, Account

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["hs_meeting_title", "hs_timestamp", "hs_meeting_outcome", "booking_ref", "hs_object_id", "amount", "nope", ""]
)
PROPERTIES = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=4)
INPUTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.text(max_size=3) | st.integers(),
            "properties": PROPERTIES | VALUES,
            "idProperty": NAMES | st.none(),
            "objectWriteTraceId": st.text(max_size=2) | st.integers(),
            "associations": VALUES,
        },
    ),
    max_size=4,
)
BATCHES = st.fixed_dictionaries({"inputs": INPUTS}, optional={"idProperty": NAMES, "properties": st.lists(NAMES)})
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def account() -> Account:
    fresh = Account()
    fresh.portal.add_property("booking_ref", unique=True)
    fresh.portal.add_property("amount", type="number", unique=True)
    fresh.create(booking_ref="a", amount="1")
    return fresh


def check(status: int, body: Any) -> None:
    assert status in (200, 201, 204, 207, 400, 404, 409)
    if status >= 400:
        assert body["status"] == "error"
        assert isinstance(body["message"], str)
    if status == 207:
        assert len(body["errors"]) == body["numErrors"] > 0


@given(st.sampled_from(["read", "create", "update", "upsert", "archive"]), BATCHES | VALUES)
@settings(max_examples=300, deadline=None)
def test_batches(endpoint: str, body: Any) -> None:
    fresh = account()
    before = len(fresh.portal.meetings.store)
    status, answer = fresh.post(f"{MEETINGS}/batch/{endpoint}", body)
    check(status, answer)
    if status >= 400:
        assert len(fresh.portal.meetings.store) == before
    elif endpoint in ("create", "update", "upsert"):
        assert len(answer["results"]) + sum(
            len(error["context"].get("ids", ["one"])) for error in answer.get("errors", ())
        ) == len(body["inputs"])


@given(PROPERTIES | VALUES)
@settings(max_examples=100, deadline=None)
def test_single_writes(properties: Any) -> None:
    fresh = account()
    check(*fresh.post(MEETINGS, {"properties": properties}))
    check(*fresh.send("PATCH", f"{MEETINGS}/a?idProperty=booking_ref", {"properties": properties}))


@given(st.binary(max_size=60) | VALUES.map(msgspec.json.encode))
def test_bodies(body: bytes) -> None:
    fresh = account()
    check(*fresh.post(MEETINGS, body))
    check(*fresh.post(f"{MEETINGS}/batch/upsert", body))


@given(
    TEXTS.filter(lambda text: text.strip("/.") != ""),
    TEXTS,
    st.sampled_from(["limit", "after", "archived", "idProperty"]),
)
def test_paths_and_queries(id_: str, value: str, name: str) -> None:
    fresh = account()
    check(*fresh.get(f"{MEETINGS}/{quote(id_, safe='')}?{name}={quote(value, safe='')}"))
    check(*fresh.get(f"{MEETINGS}?{name}={quote(value, safe='')}&propertiesWithHistory=booking_ref"))

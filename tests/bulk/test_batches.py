"""Cutting: where one batch ends, and that one key is never in two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.bulk.batches import Batch, Cutter
from hubspot_meetings_async.entries import Entry
from hubspot_meetings_async.errors import InvalidRecord


def entry(number: int, key: str | None = None, size: int = 10) -> Entry:
    return Entry(number, number, b"x" * size, key, None, None)


@given(st.lists(st.integers(1, 60), max_size=400), st.integers(1, 20), st.integers(61, 300))
def test_batches_keep_both_bounds_and_lose_nothing(sizes: list[int], max_inputs: int, max_bytes: int) -> None:
    """All entries come out once, in order, within the bounds; no batch had room for its successor's first entry."""
    cutter = Cutter(max_inputs=max_inputs, max_bytes=max_bytes)
    batches: list[Batch] = []
    for number, size in enumerate(sizes):
        cutter.feed(entry(number, size=size))
        while (batch := cutter.take()) is not None:
            batches.append(batch)
    while (batch := cutter.flush()) is not None:
        batches.append(batch)
    assert [e.ordinal for b in batches for e in b.entries] == list(range(len(sizes)))
    weights = [sum(len(e.encoded) + 1 for e in b.entries) for b in batches]
    assert all(weight <= max_bytes and len(b) <= max_inputs for weight, b in zip(weights, batches, strict=True))
    for (weight, batch), follower in zip(zip(weights, batches, strict=True), batches[1:], strict=False):
        assert len(batch) == max_inputs or weight + len(follower.entries[0].encoded) + 1 > max_bytes


def test_a_record_larger_than_a_batch_is_refused() -> None:
    """One entry above `max_batch_bytes` can not travel, and the message names the option."""
    with pytest.raises(InvalidRecord, match="max_batch_bytes"):
        Cutter(max_inputs=100, max_bytes=1_000).feed(entry(0, size=1_000))


@given(st.lists(st.sampled_from("abcdefgh"), max_size=200), st.integers(1, 7), st.randoms(use_true_random=False))
def test_one_key_is_in_one_batch_at_a_time_and_in_order(keys: list[str], max_inputs: int, rng: Any) -> None:
    """However batches finish, a key is never out twice, its entries go out in order, and all get out."""
    cutter = Cutter(max_inputs=max_inputs, max_bytes=10_000)
    out: list[Batch] = []
    order: dict[str, list[int]] = {}

    def hand_out(batch: Batch | None) -> None:
        if batch is not None:
            busy = [e.key for b in out for e in b.entries]
            assert not set(busy) & {e.key for e in batch.entries}
            assert len({e.key for e in batch.entries}) == len(batch)
            out.append(batch)
            for e in batch.entries:
                order.setdefault(str(e.key), []).append(e.ordinal)

    for number, key in enumerate(keys):
        cutter.feed(entry(number, key=key))
        hand_out(cutter.take())
        if out and rng.random() < 0.3:
            cutter.release(out.pop(rng.randrange(len(out))).entries)
    for _ in range(2 * len(keys) + 2):
        hand_out(cutter.flush())
        if out:
            cutter.release(out.pop(rng.randrange(len(out))).entries)
    assert cutter.leftover() == []
    assert cutter.parked == 0
    for key, ordinals in order.items():
        assert ordinals == [number for number, k in enumerate(keys) if k == key]


def test_leftover_empties_the_cutter() -> None:
    """What was never handed out comes back once, in order: open, full and parked entries."""
    cutter = Cutter(max_inputs=2, max_bytes=1_000)
    for number, key in enumerate("aabcda"):
        cutter.feed(entry(number, key=key))
    assert cutter.parked == 2
    assert [e.ordinal for e in cutter.leftover()] == [0, 1, 2, 3, 4, 5]
    assert cutter.leftover() == []
    assert cutter.flush() is None

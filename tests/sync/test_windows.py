"""The windows: everything once and in order, whatever HubSpot's order within a moment, and hardly a search too many."""

import random
from collections.abc import Sequence

import pytest

from hubspot_meetings_async import Meeting, UnexpectedResponse
from hubspot_meetings_async.models import Filter
from hubspot_meetings_async.sync.windows import Answer, Ask, Row, Sizes, Windows

Key = tuple[int, int]
NONE: Meeting = Meeting(id="0")
CEILING = 10_000


class Index:
    """A search index: strict about HubSpot's ceiling, and free within a moment."""

    def __init__(self, keys: Sequence[Key], rng: random.Random, *, page: int, ceiling: int = CEILING) -> None:
        self._ceiling = ceiling
        self.keys = {id_: ms for ms, id_ in keys}
        self.asked = 0
        self._rng = rng
        self._page = page

    def answer(self, ask: Ask) -> Answer:
        self.asked += 1
        assert ask.offset + self._page <= self._ceiling
        found = [(ms, id_) for id_, ms in self.keys.items() if all(holds(ms, id_, each) for each in ask.filters)]
        if ask.sort.property_name == "hs_object_id":
            found.sort(key=lambda key: key[1])
        else:
            self._rng.shuffle(found)
            found.sort(key=lambda key: key[0])
        rows = [Row(ms, id_, NONE) for ms, id_ in found[ask.offset :][: self._page]]
        return Answer(rows, len(found), ask.offset + self._page < len(found), 10**6)


def holds(ms: int, id_: int, each: Filter) -> bool:
    value = ms if each.property_name == "hs_lastmodifieddate" else id_
    if each.operator == "NOT_IN":
        return str(value) not in (each.values or ())
    bound = int(str(each.value))
    return {"GTE": value >= bound, "GT": value > bound, "LT": value < bound, "EQ": value == bound}[each.operator]


def walked(windows: Windows, index: Index, rng: random.Random, *, at_once: int, moving: float = 0.0) -> list[Key]:
    """What the windows give, with answers coming in any order; `moving` meetings change meanwhile."""
    told: list[Key] = []
    under_way: list[tuple[Ask, Answer]] = []
    now = 10**5
    while not windows.ended:
        while len(under_way) < at_once and (ask := windows.next()) is not None:
            under_way.append((ask, index.answer(ask)))
            if index.keys and rng.random() < moving:
                now += 1
                index.keys[rng.choice(list(index.keys))] = now
        if under_way:
            piece = windows.answered(*under_way.pop(rng.randrange(len(under_way))))
            if piece is not None:
                piece.complete = True
        while (taken := windows.take()) is not None:
            told += [(row.ms, row.id) for row in taken.rows]
            assert all((row.ms, row.id) <= (taken.ms, taken.id) or row.ms <= taken.ms for row in taken.rows)
    return told


def keys_of(rng: random.Random, count: int, *, moments: int) -> list[Key]:
    return [(rng.randrange(moments), id_ + 1) for id_ in range(count)]


@pytest.mark.parametrize("seed", range(24))
def test_all_once_and_in_order(seed: int) -> None:
    """Few moments or many, one search at a time or eight, beginnings and ends anywhere."""
    rng = random.Random(seed)
    keys = keys_of(rng, rng.choice((0, 3, 50, 400)), moments=rng.choice((1, 5, 60, 5_000)))
    start = rng.choice((0, 0, 2)), rng.choice((0, 17))
    end = rng.choice((None, None, 4, 2_000))
    page = rng.choice((4, 7, 20))
    at_once = rng.choice((1, 2, 8))
    windows = Windows(
        *start,
        end,
        concurrency=at_once,
        most_excluded=rng.choice((0, 2, 100)),
        sizes=Sizes(found=page, window=rng.choice((1, 3))),
    )
    told = walked(windows, Index(keys, rng, page=page), rng, at_once=at_once)
    assert set(told) >= {key for key in keys if key > start and (end is None or key[0] < end)}
    fresh = [key for key in told if key > start]
    assert fresh == sorted(set(fresh))


@pytest.mark.parametrize("seed", range(12))
def test_meetings_that_change_meanwhile_are_not_lost(seed: int) -> None:
    """Each meeting comes, at the latest with its last version, or is behind what the last answer showed."""
    rng = random.Random(seed)
    keys = keys_of(rng, 200, moments=rng.choice((5, 5_000)))
    index = Index(keys, rng, page=7)
    windows = Windows(0, 0, None, concurrency=4, sizes=Sizes(found=7, window=3))
    told = walked(windows, index, rng, at_once=4, moving=0.5)
    index.asked = 0
    last = {id_: ms for ms, id_ in told}
    later = {id_ for id_, ms in index.keys.items() if last.get(id_) != ms}
    assert all(index.keys[id_] > 10**5 for id_ in later)


def test_searches_are_not_wasted() -> None:
    """Eight windows at once cost hardly a search more than the pages there are, and each lies below the ceiling."""
    rng = random.Random(1)
    keys = [(2 * n, n + 1) for n in range(3_000)]
    index = Index(keys, rng, page=25)
    windows = Windows(0, 0, None, concurrency=8, sizes=Sizes(found=25))
    assert walked(windows, index, rng, at_once=8) == keys
    assert index.asked <= 3_000 / 24 + 8


def test_records_of_one_batch_do_not_cost_twice() -> None:
    """A hundred meetings a moment, as batches make them: pages begin behind the last one, not at it."""
    rng = random.Random(1)
    keys = [(n // 30, n + 1) for n in range(3_000)]
    index = Index(keys, rng, page=60)
    windows = Windows(0, 0, None, concurrency=4, sizes=Sizes(found=60))
    assert walked(windows, index, rng, at_once=4) == keys
    assert index.asked <= 3_000 / 60 * 1.15


def test_more_than_the_ceiling_in_one_moment() -> None:
    rng = random.Random(1)
    keys = [(5, 1), *((7, n) for n in range(2, 1_200)), (8, 1_201)]
    index = Index(keys, rng, page=40, ceiling=1_000)
    windows = Windows(0, 0, None, concurrency=4, sizes=Sizes(found=40))
    assert walked(windows, index, rng, at_once=4) == keys


def test_a_page_that_goes_beyond_the_end_of_its_window() -> None:
    """A look ahead may be answered late, when the window is about to be walked beyond where it is cut."""
    rng = random.Random(1)
    keys = [(n, n) for n in range(1, 200)]
    index = Index(keys, rng, page=10)
    windows = Windows(0, 0, None, concurrency=2, sizes=Sizes(found=10, window=4))

    def walk(ask: Ask | None) -> None:
        assert ask is not None
        piece = windows.answered(ask, index.answer(ask))
        if piece is not None:
            piece.complete = True

    walk(windows.next())
    late = windows.next()
    assert late is not None
    assert late.offset == 35  # from the tenth meeting on: the 45th
    looked_ahead = index.answer(late)
    for id_ in range(20, 26):
        del index.keys[id_]  # archived meanwhile: the next pages reach further
    for _ in range(3):
        walk(windows.next())
    amidst = windows.next()
    answer = index.answer(amidst) if amidst is not None else None
    assert answer is not None
    assert [answer.rows[0].id, answer.rows[-1].id] == [43, 52]
    for ask, seen in ((late, looked_ahead), (amidst, answer)):
        assert ask is not None
        piece = windows.answered(ask, seen)
        assert piece is not None
        piece.complete = True
    told = walked(windows, index, rng, at_once=1)
    assert told == [key for key in keys if not 20 <= key[1] < 26]


def test_a_moment_of_thousands_behind_the_beginning() -> None:
    """Whatever the id that the walk begins behind: it is one of another moment."""
    rng = random.Random(1)
    keys = [(7, n) for n in range(1, 40)]
    windows = Windows(5, 1_000, None, sizes=Sizes(found=10))
    assert walked(windows, Index(keys, rng, page=10), rng, at_once=1) == keys


def test_an_order_that_is_none_is_refused() -> None:
    """To go on from it would lose meetings. The search can be sent again."""
    windows = Windows(0, 0, None)
    ask = windows.next()
    assert ask is not None
    with pytest.raises(UnexpectedResponse, match="does not keep the order"):
        windows.answered(ask, Answer([Row(5, 1, NONE), Row(4, 2, NONE)], 2, False, 9))
    piece = windows.answered(ask, Answer([Row(4, 2, NONE), Row(5, 1, NONE)], 2, False, 9))
    assert piece is not None
    assert [row.id for row in piece.rows] == [2, 1]


def test_an_empty_page_that_is_not_the_last_is_refused() -> None:
    windows = Windows(0, 0, None)
    ask = windows.next()
    assert ask is not None
    with pytest.raises(UnexpectedResponse, match="empty page"):
        windows.answered(ask, Answer([], 2, True, 9))


def test_no_more_is_read_ahead_than_some_windows() -> None:
    """However slowly pages are taken: as many windows as searches, and one."""
    rng = random.Random(1)
    keys = [(n, n + 1) for n in range(3_000)]
    index = Index(keys, rng, page=10)
    windows = Windows(0, 0, None, concurrency=3, sizes=Sizes(found=10, window=4))
    read = 0
    while (ask := windows.next()) is not None:
        piece = windows.answered(ask, index.answer(ask))
        if piece is not None:
            piece.complete = True
            read += len(piece.rows)
    assert 3 * 36 < read <= 4 * 1.5 * 40
    assert walked(windows, index, rng, at_once=3) == keys

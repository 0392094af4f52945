"""Reading sources: nothing lost, nothing read ahead of need, and the loop goes on meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

import anyio
import pytest

from hubspot_meetings_async.bulk.pulling import AsyncSource, ReadySource, Source, ThreadSource, source_of

T = TypeVar("T")


class Same(Generic[T]):
    """Keeps records and gives them on as they are."""

    def __init__(self, *, keep: Callable[[T], Any] | None = None) -> None:
        self.keep = keep
        self.room = 100

    def now(self, item: T, place: int = 0) -> T:
        """As it is."""
        return item

    def together(self, records: list[Any], kept: list[Any]) -> Iterator[list[T]]:
        """All that was kept."""
        yield kept


async def all_of(source: Source[T], rest_after: int = 7) -> list[T]:
    items: list[T] = []

    def accept(some: list[T]) -> bool:
        items.extend(some)
        return len(items) % rest_after == 0

    while await source.pull(Same[T](), accept):
        pass
    return items


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1000])
async def test_every_kind_of_source_gives_all_in_order(count: int) -> None:
    """Whatever it is, and wherever it is read."""
    expected = list(range(count))
    assert await all_of(source_of(range(count), in_thread=None)) == expected
    assert await all_of(source_of(iter(range(count)), in_thread=None)) == expected
    assert await all_of(source_of(iter(range(count)), in_thread=False)) == expected
    assert await all_of(source_of(numbers(count), in_thread=None)) == expected


def test_containers_are_read_on_the_loop_and_iterators_in_a_thread() -> None:
    """A list has its records at hand; a generator may wait for something."""
    assert isinstance(source_of([1], in_thread=None), ReadySource)
    assert isinstance(source_of({1: 2}.keys(), in_thread=None), ReadySource)
    assert isinstance(source_of((n for n in [1]), in_thread=None), ThreadSource)
    assert isinstance(source_of((n for n in [1]), in_thread=False), ReadySource)
    assert isinstance(source_of([1], in_thread=True), ThreadSource)
    assert isinstance(source_of(numbers(1), in_thread=None), AsyncSource)


async def test_a_source_that_blocks_does_not_stop_the_loop() -> None:
    """The loop turns while `next()` waits: it is the loop that lets it go on."""
    go_on = threading.Event()

    def blocking() -> Iterator[int]:
        assert go_on.wait(timeout=10)
        yield 1

    async def let_go() -> None:
        go_on.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_go)
        assert await all_of(source_of(blocking(), in_thread=None)) == [1]


@pytest.mark.parametrize("in_thread", [None, False])
async def test_what_a_source_raises_comes_after_its_records(in_thread: bool | None) -> None:
    """The records before it are not lost."""

    def failing() -> Iterator[int]:
        yield from range(150)
        raise LookupError("the cursor is gone")

    items: list[int] = []
    source: Source[int] = source_of(failing(), in_thread=in_thread)

    def accept(some: list[int]) -> bool:
        items.extend(some)
        return False

    async def drain() -> None:
        while await source.pull(Same[int](), accept):
            pass

    with pytest.raises(LookupError, match="cursor"):
        await drain()
    assert items == list(range(150))


async def test_a_source_of_another_thread_says_what_to_do() -> None:
    """SQLite's cursors belong to the thread that made them."""
    with sqlite3.connect(":memory:") as connection:
        cursor = connection.execute("SELECT 1")
        with pytest.raises(sqlite3.ProgrammingError) as caught:
            await all_of(source_of(cursor, in_thread=None))
        assert any("read_in_thread=False" in note for note in caught.value.__notes__)
        assert await all_of(source_of(cursor, in_thread=False)) == [(1,)]
    connection.close()


async def test_no_further_than_a_hundred_ahead() -> None:
    """A thread reads what one pull is for."""
    taken: list[int] = []

    def watched() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    await source_of(watched(), in_thread=None).pull(Same[int](), lambda _: False)
    assert len(taken) <= 100


async def test_stop_ends_the_wait_for_an_async_source() -> None:
    """And for nothing else."""

    waits = anyio.Event()

    async def never() -> AsyncIterator[int]:
        yield 1
        waits.set()
        await anyio.sleep_forever()

    source: Source[int] = source_of(never(), in_thread=None)
    items: list[int] = []

    def accept(some: list[int]) -> bool:
        items.extend(some)
        return False

    async def stop() -> None:
        await waits.wait()
        source.stop()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            assert not await source.pull(Same[int](), accept)
    assert items == [1]


async def test_a_slow_async_source_lets_go_of_what_it_has_read() -> None:
    """In the middle of a pull, which goes on behind it and gives nothing twice."""
    waits, go_on = anyio.Event(), anyio.Event()

    async def slow() -> AsyncIterator[int]:
        yield 1
        waits.set()
        await go_on.wait()
        yield 2

    source: Source[int] = source_of(slow(), in_thread=None)
    lots: list[list[int]] = []

    def accept(some: list[int]) -> bool:
        lots.append(some)
        return False

    async def let_go() -> None:
        await waits.wait()
        assert source.holds
        source.let_go(Same[int](), accept)
        assert (lots, source.holds) == ([[1]], False)
        go_on.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_go)
        assert not await source.pull(Same[int](), accept)
    assert lots == [[1], [2]]


@pytest.mark.row("U7")
@pytest.mark.parametrize("in_thread", [True, False])
async def test_a_record_is_formed_as_soon_as_it_is_read(in_thread: bool) -> None:
    """A source may use one object for all of its records."""

    def reusing() -> Iterator[dict[str, int]]:
        record: dict[str, int] = {}
        for number in range(300):
            record["n"] = number
            yield record

    formed: list[int] = []

    def accept(numbers: list[int]) -> bool:
        formed.extend(numbers)
        return False

    source: Source[dict[str, int]] = source_of(reusing(), in_thread=in_thread)
    while await source.pull(Same(keep=lambda record: record["n"]), accept):
        pass
    assert formed == list(range(300))

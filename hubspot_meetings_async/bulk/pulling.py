"""Reading a source of records: as fast as they are taken, and never at the cost of the event loop.

This module knows the kinds of sources. It must not know what becomes of a record, HTTP, or batches.

An iterable that may wait for something (a file, a cursor, a generator of any kind) is read in a thread, some records
at a time; lists and other containers have them at hand.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Accept", "AsyncSource", "Forms", "ReadySource", "Source", "ThreadSource", "source_of"]

R = TypeVar("R")

_FEWEST_AT_ONCE: Final = 100
_MOST_AT_ONCE: Final = 1_000
_SWIFT_S: Final = 0.005
"""A source that gives a lot in so little time is read in larger lots: to change threads costs more than to read."""
_LONGEST_PULL_S: Final = 0.05
"""A source that gives records slowly is not read on until the lot is full."""

F = TypeVar("F")
R_contra = TypeVar("R_contra", contravariant=True)
F_co = TypeVar("F_co", covariant=True)


_AT_HAND: Final = (list, tuple)


class Forms(Protocol[R_contra, F_co]):
    """Makes of records what is accepted. They are kept as soon as they are read, and where: the source may use its
    objects again."""

    @property
    def room(self) -> int:
        """How many make a lot."""
        ...

    @property
    def keep(self) -> Callable[[R_contra], Any] | None:
        """Keeps a record as it is; raises where it can not, and is None where none is kept that way."""
        ...

    def now(self, item: R_contra, place: int = 0) -> Any:
        """What is kept of a record that can not be kept otherwise; `place` counts those not yet put together."""
        ...

    def together(self, records: list[Any], kept: list[Any]) -> Iterator[F_co]:
        """Form what was kept."""
        ...


Accept = Callable[[F], bool]
"""Takes some in, on the loop; True when the source shall rest, since there is something to do with what came."""


def _now(form: Forms[R, Any], kept: list[Any], item: R) -> Any:
    return form.now(item, len(kept))


class Source(ABC, Generic[R]):
    """Where records come from."""

    @abstractmethod
    async def pull(self, form: Forms[R, F], accept: Accept[F]) -> bool:
        """Give formed records to `accept` until it says to rest; False at the end. Raises: what the source raises."""

    def stop(self) -> None:
        """End the wait for a record, where one can be ended."""

    @property
    def holds(self) -> bool:
        """Whether it has read records that it has not given yet."""
        return False

    def let_go(self, form: Forms[R, F], accept: Accept[F]) -> None:
        """Give what it holds."""


class _Iterating(Source[R]):
    """An iterable, read some records at a time."""

    def __init__(self, records: Iterable[R]) -> None:
        self._records = records
        self._iterator: Iterator[R] | None = None
        self._failure: Exception | None = None
        self._ended = False

    def _read(self, form: Forms[R, F], most: int) -> list[F]:
        """At most so many records, formed."""
        records: list[R] = []
        kept: list[Any] = []
        keep = form.keep or partial(_now, form, kept)
        try:
            for item in self._some(most):
                records.append(item)
                try:
                    kept.append(keep(item))
                except Exception:  # noqa: BLE001 - whatever it is, it is not usual
                    kept.append(form.now(item, len(kept)))
        except Exception as error:  # noqa: BLE001 - raised where the run can take it, after the records before it
            self._failure, self._ended = error, True
        self._note_end(len(records), most)
        return list(form.together(records, kept))

    def _some(self, most: int) -> Iterator[R]:
        if self._iterator is None:
            self._iterator = iter(self._records)
        return islice(self._iterator, most)

    def _note_end(self, read: int, most: int) -> None:
        self._ended = self._ended or read < most

    def _given(self, formed: list[F], accept: Accept[F]) -> bool:
        """Hand over what was read; then raise what the source raised behind it."""
        for some in formed:
            accept(some)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return not self._ended


class ReadySource(_Iterating[R]):
    """A container, or an iterable that its owner wants to be read on the event loop."""

    async def pull(self, form: Forms[R, F], accept: Accept[F]) -> bool:
        """A batch of records, without a wait."""
        if form.keep is None or type(self._records) not in _AT_HAND:
            return self._given(self._read(form, form.room), accept)
        # Nothing happens to these between one and the next: none has to be kept by itself.
        most = form.room
        records = list(self._some(most))
        self._note_end(len(records), most)
        return self._given(list(form.together(records, records)), accept)


class ThreadSource(_Iterating[R]):
    """An iterable that may block: read in a thread, one at a time, no further than what is asked for."""

    def __init__(self, records: Iterable[R]) -> None:
        super().__init__(records)
        self._at_once = _FEWEST_AT_ONCE
        self._in_time = True

    async def pull(self, form: Forms[R, F], accept: Accept[F]) -> bool:
        """What a thread reads in a twentieth of a second: a hundred records at first, more of them if it is swift.

        A cancelled wait ends when the record that the thread waits for is there: it would be lost otherwise.
        """
        return self._given(await anyio.to_thread.run_sync(self._read_some, form), accept)

    def _read_some(self, form: Forms[R, F]) -> list[F]:
        most = self._at_once
        began_at = time.monotonic()
        self._in_time = True
        formed = self._read(form, most)
        if self._failure is not None and "thread" in str(self._failure):
            self._failure.add_note("this source belongs to the thread that made it: pass read_in_thread=False")
        swift = time.monotonic() - began_at < _SWIFT_S
        self._at_once = min(2 * most, _MOST_AT_ONCE) if swift else _FEWEST_AT_ONCE
        return formed

    def _some(self, most: int) -> Iterator[R]:
        """None that begins when the time is over."""
        clock = time.monotonic
        until = clock() + _LONGEST_PULL_S
        for item in super()._some(most):
            yield item
            if clock() >= until:
                self._in_time = False
                return

    def _note_end(self, read: int, most: int) -> None:
        if self._in_time:
            super()._note_end(read, most)


class AsyncSource(Source[R]):
    """An async iterable."""

    def __init__(self, records: AsyncIterator[R]) -> None:
        self._source = records
        self._records: list[R] = []
        self._kept: list[Any] = []
        self._scope: anyio.CancelScope | None = None

    async def pull(self, form: Forms[R, F], accept: Accept[F]) -> bool:
        """Record by record, a batch of them. One scope a batch, so that `stop` can end a wait for the source and
        nothing else."""
        records, kept, most = self._records, self._kept, form.room
        keep = form.keep or partial(_now, form, kept)
        try:
            with anyio.CancelScope() as self._scope:
                async for item in self._source:
                    records.append(item)
                    try:
                        kept.append(keep(item))
                    except Exception:  # noqa: BLE001 - whatever it is, it is not usual
                        kept.append(form.now(item, len(kept)))
                    if len(kept) >= most:
                        return True
            return False
        finally:
            self.let_go(form, accept)

    @property
    def holds(self) -> bool:
        """Whether a batch is being filled."""
        return bool(self._kept)

    def let_go(self, form: Forms[R, F], accept: Accept[F]) -> None:
        """Give what was read so far to `accept`, in the middle of a `pull` too."""
        records, kept = self._records[:], self._kept[:]
        # The same lists go on: a pull that waits for its next record holds on to them.
        self._records.clear()
        self._kept.clear()
        for formed in form.together(records, kept):
            accept(formed)

    def stop(self) -> None:
        """End the wait for the next record."""
        if self._scope is not None:
            self._scope.cancel()


def source_of(records: Iterable[R] | AsyncIterable[R], *, in_thread: bool | None) -> Source[R]:
    """The source that `records` are. `in_thread` None: everything but containers is read in a thread."""
    if isinstance(records, AsyncIterable):
        return AsyncSource(aiter(records))
    if in_thread is None:
        in_thread = not isinstance(records, Collection)
    return ThreadSource(records) if in_thread else ReadySource(records)

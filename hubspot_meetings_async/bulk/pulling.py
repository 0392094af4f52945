"""Reading a source of records: as fast as they are taken, and never at the cost of the event loop.

This module knows the kinds of sources. It must not know what becomes of a record, HTTP, or batches.

An iterable that may wait for something (a file, a cursor, a generator of any kind) is read in a thread, some records
at a time; lists and other containers have them at hand.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Accept", "AsyncSource", "Form", "ReadySource", "Source", "ThreadSource", "source_of"]

R = TypeVar("R")

_FEWEST_AT_ONCE: Final = 100
_MOST_AT_ONCE: Final = 1_000
_SWIFT_S: Final = 0.005
"""A source that gives a lot in so little time is read in larger lots: to change threads costs more than to read."""
_LONGEST_PULL_S: Final = 0.05
"""A source that gives records slowly is not read on until the lot is full."""

E = TypeVar("E")

Form = Callable[[R], E]
"""Makes of a record what is accepted, as soon as it is read, and where: the source may use its object again."""
Accept = Callable[[list[E]], bool]
"""Takes some in, on the loop; True when the source shall rest, since there is something to do with what came."""


class Source(ABC, Generic[R]):
    """Where records come from."""

    @abstractmethod
    async def pull(self, form: Form[R, E], accept: Accept[E]) -> bool:
        """Give formed records to `accept` until it says to rest; False at the end. Raises: what the source raises."""

    def stop(self) -> None:
        """End the wait for a record, where one can be ended."""


class _Iterating(Source[R]):
    """An iterable, read some records at a time."""

    def __init__(self, records: Iterable[R]) -> None:
        self._records = records
        self._iterator: Iterator[R] | None = None
        self._failure: Exception | None = None
        self._ended = False

    def _taken(self, formed: list[E], accept: Accept[E]) -> bool:
        """Hand over what was read; then raise what the source raised behind it."""
        if formed:
            accept(formed)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return not self._ended


class ReadySource(_Iterating[R]):
    """A container, or an iterable that its owner wants to be read on the event loop."""

    async def pull(self, form: Form[R, E], accept: Accept[E]) -> bool:
        """A hundred records, without a wait."""
        formed: list[E] = []
        try:
            if self._iterator is None:
                self._iterator = iter(self._records)
            for item in islice(self._iterator, _FEWEST_AT_ONCE):
                formed.append(form(item))
            self._ended = len(formed) < _FEWEST_AT_ONCE
        except Exception as error:  # noqa: BLE001 - raised where the run can take it, after the records before it
            self._failure, self._ended = error, True
        return self._taken(formed, accept)


class ThreadSource(_Iterating[R]):
    """An iterable that may block: read in a thread, one at a time, no further than what is asked for."""

    def __init__(self, records: Iterable[R]) -> None:
        super().__init__(records)
        self._at_once = _FEWEST_AT_ONCE

    async def pull(self, form: Form[R, E], accept: Accept[E]) -> bool:
        """What a thread reads in a twentieth of a second: a hundred records at first, more of them if it is swift.

        A cancelled wait ends when the record that the thread waits for is there: it would be lost otherwise.
        """
        return self._taken(await anyio.to_thread.run_sync(self._read, form), accept)

    def _read(self, form: Form[R, E]) -> list[E]:
        formed: list[E] = []
        clock, most = time.monotonic, self._at_once
        began_at = clock()
        until = began_at + _LONGEST_PULL_S
        try:
            if self._iterator is None:
                self._iterator = iter(self._records)
            for item in self._iterator:
                formed.append(form(item))
                if len(formed) >= most or clock() >= until:
                    swift = clock() - began_at < _SWIFT_S
                    self._at_once = min(2 * most, _MOST_AT_ONCE) if swift else _FEWEST_AT_ONCE
                    return formed
        except Exception as error:  # noqa: BLE001 - raised where the run can take it, after the records before it
            if "thread" in str(error):
                error.add_note("this source belongs to the thread that made it: pass read_in_thread=False")
            self._failure = error
        self._ended = True
        return formed


class AsyncSource(Source[R]):
    """An async iterable."""

    def __init__(self, records: AsyncIterator[R]) -> None:
        self._records = records
        self._scope: anyio.CancelScope | None = None

    async def pull(self, form: Form[R, E], accept: Accept[E]) -> bool:
        """Record by record. One scope a batch, so that `stop` can end a wait for the source and nothing else."""
        with anyio.CancelScope() as self._scope:
            async for item in self._records:
                if accept([form(item)]):
                    return True
        return False

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

"""Any number of links, batch by batch: cut as they come, and one bad pair does not stop the others.

This module knows how a source is cut and what a refused batch is followed by. It must not know paths, bodies, or how
anything travels; it is given a function that sends a batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from ..errors import Forbidden, NotFound, RateLimited, RequestRejected, Unauthorized
from ..models import LinkAnswer, LinkFailure, LinkReport
from .inputs import MAX_CREATE, LinkLike, Pair, listed, pair_of

__all__ = ["REFUSED_IN_A_ROW", "Ids", "Links", "carried_out", "cut"]

T = TypeVar("T")

Links = Iterable[LinkLike] | AsyncIterable[LinkLike]
"""Any number of links: `(from_id, to_id)`, `(from_id, to_id, types)` or `Link(…)`, read only as fast as sent."""

Ids = Iterable[str | int] | AsyncIterable[str | int]
"""Any number of record ids: numbers, or strings of digits."""

REFUSED_IN_A_ROW: Final = 50
"""So many refused batches and nothing done in between: it is not about single pairs."""


async def carried_out(
    links: Links,
    *,
    with_types: bool,
    send: Callable[[Sequence[Pair]], Awaitable[LinkAnswer[Any]]],
    most: int = MAX_CREATE,
    counted: Callable[[Pair], Hashable] | None = None,
) -> LinkReport:
    """Send all links, and say what became of them. A batch that is refused as a whole is halved and sent again.

    Raises: RequestRejected for what is not about single pairs; InvalidRecord for a link that can not be sent.
    """
    done = refused = 0
    failed: list[LinkFailure] = []
    async for chunk in cut("links", _checked(links, with_types), most, counted):
        waiting: list[Sequence[Pair]] = [chunk]
        while waiting:
            pairs = waiting.pop()
            try:
                answer = await send(pairs)
            except (Unauthorized, Forbidden, NotFound, RateLimited):
                raise  # no pair is to blame
            except RequestRejected as error:
                refused += 1
                if refused == REFUSED_IN_A_ROW:
                    raise
                if len(pairs) == 1:
                    failed.append(LinkFailure(pairs[0].from_id, pairs[0].to_id, error))
                else:
                    half = len(pairs) // 2
                    waiting += [pairs[half:], pairs[:half]]
                continue
            refused = 0
            failed += answer.failures
            done += len(pairs) - len(answer.failures)
    return LinkReport(done, tuple(failed))


async def cut(
    what: str,
    source: Iterable[T] | AsyncIterable[T],
    most: int,
    counted: Callable[[T], Hashable] | None = None,
) -> AsyncIterator[list[T]]:
    """Chunks of up to `most` items; with `counted`, of up to `most` different values of it, and 2,000 items."""
    chunk: list[T] = []
    values: set[Hashable] = set()
    async for item in _stream(what, source):
        value = None if counted is None else counted(item)
        full = len(chunk) == most if counted is None else len(values) == most and value not in values
        if full or len(chunk) == MAX_CREATE:
            yield chunk
            chunk, values = [], set()
        chunk.append(item)
        values.add(value)
    if chunk:
        yield chunk


async def _checked(links: Links, with_types: bool) -> AsyncIterator[Pair]:
    async for link in _stream("links", links):
        yield pair_of(link, with_types=with_types)


async def _stream(what: str, source: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in cast("Iterable[T]", listed(what, source)):
            yield item

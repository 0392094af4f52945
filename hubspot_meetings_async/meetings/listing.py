"""All meetings of a list request, page after page.

This module knows cursors. It must not know which parameters a list has, or how anything travels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from ..errors import UnexpectedResponse
from ..models import Meeting, Page, PlainProperties, read_as
from ..wire import Call, Request, query_string

__all__ = ["Listing"]

P = TypeVar("P")

_page = msgspec.json.Decoder(Page[Meeting[PlainProperties]])


class Listing(Generic[P]):
    """All meetings of a list request: `async for` over it gives meetings, over `pages()` whole pages.

    Each iteration begins anew at the first page (or at `after`).
    """

    def __init__(
        self,
        call: Call,
        path: str,
        query: str,
        after: str | None,
        into: type[Struct] | None = None,
        complete: Callable[[Sequence[Meeting]], Awaitable[tuple[Meeting, ...]]] | None = None,
    ) -> None:
        self._call = call
        self._path = path
        self._query = query
        self._after = after
        self._into = into
        self._complete = complete

    async def __aiter__(self) -> AsyncIterator[Meeting[P]]:
        # Not by way of `pages()`: two generators would keep a page while the next one comes.
        after = self._after
        while True:
            page = await self._page(after)
            for meeting in page.results:
                yield meeting
            after = _cursor(page, after)
            if after is None:
                return
            del page  # what is read next takes its memory, which is warm yet

    async def pages(self) -> AsyncIterator[Page[Meeting[P]]]:
        """Page after page; `page.after` is the cursor to go on from later."""
        after = self._after
        while True:
            page = await self._page(after)
            yield page
            after = _cursor(page, after)
            if after is None:
                return
            del page

    async def _page(self, after: str | None) -> Page[Meeting[P]]:
        query = self._query if after is None else f"{self._query}&{query_string({'after': after})}"
        page = await self._call(Request(method="GET", path=self._path, query=query, decoder=_page))
        if self._complete is not None:
            page = msgspec.structs.replace(page, results=await self._complete(page.results))
        return cast("Page[Meeting[P]]", page if self._into is None else _page_as(page, self._into))


def _cursor(page: Page[Any], before: str | None) -> str | None:
    """The cursor of the next page. Raises: UnexpectedResponse where the list does not go on."""
    after = page.after
    if after is not None and after == before:
        # To stop here in silence would pass for the end of the list.
        raise UnexpectedResponse(f"the list does not go on: the page after {after!r} names itself as the next")
    return after


def _page_as(page: Page[Meeting], into: type[Struct]) -> Page[Meeting[Any]]:
    results = tuple(read_as(meeting, into) for meeting in page.results)
    return cast("Page[Meeting[Any]]", msgspec.structs.replace(page, results=results))

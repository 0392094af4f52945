"""The walk over all results of a search: also past the 10,000 that HubSpot pages through.

This module knows how to follow an order by its keys, so that no page depends on an offset. It must not know the
transport, the limiter, or how filters are made.

How it goes on from a page: with the same search once more, and a filter that begins where the page ended.

- By `hs_object_id` (the default): ids are unique and never change, so `hs_object_id GT last` is enough.
- By another property: its values repeat. All records of a page's last value are put back, and the next page begins
  with that value. A page that holds nothing but one value may be the start of thousands: those are walked by id (`EQ
  value`), and the next page begins beyond the value. Records without a value come last, by id.
- Where a property's order can not be followed (text, or a property whose type is not known), or no filter more fits
  in: by HubSpot's offsets, up to 10,000. Records that move meanwhile shift others over the edges of pages there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from operator import ge, gt, itemgetter, le, lt
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, UnexpectedResponse, printable
from ..models import Filter, Meeting, PlainProperties, SearchPage, read_as
from ..wire import Call, Quota, Request
from .filters import milliseconds
from .request import CEILING, ID, MAX_FILTERS, MAX_FILTERS_IN_GROUP, Plan, Sort

__all__ = ["Search"]

P = TypeVar("P")

Found = SearchPage[Meeting[PlainProperties]]
Results = Sequence[Meeting[PlainProperties]]
Number = int | Decimal

_found: Final = msgspec.json.Decoder(SearchPage[Meeting[PlainProperties]])
_LONGEST: Final = "9" * 20
"""Stands for any id or moment when room is measured."""


class Search(Generic[P]):
    """The results of a search: `async for` over it gives meetings, over `pages()` whole pages; any number of them.

        async for meeting in hubspot.meetings.search(where("hs_meeting_outcome").eq("SCHEDULED")): ...

    What is promised: every meeting that satisfies the filters and does not change while the walk lasts comes exactly
    once, in the order asked for (by id within equal values; without a value last). In the default order, by id, that
    holds also for meetings that change but go on satisfying the filters. In another order, one whose sort value changes
    meanwhile may come twice, or not at all when it moves to where the walk has been: to follow changes, sort by
    `"hs_lastmodifieddate"` ascending, where it moves ahead. Orders by text, and filters that leave no room for another
    one, are left to HubSpot's own paging, which promises less and ends at 10,000.

    HubSpot shows new and changed meetings to searches after some seconds, archived ones never, and without
    associations or histories. It allows five searches a second for the whole account; the client waits for its turn.

    Raises, while it is read: ConfigurationError, before the first meeting, when there are more than 10,000 and the
    filters or the order do not allow to go past them; UnexpectedResponse when the answers do not keep the order, since
    to go on would lose meetings.
    HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide
    """

    def __init__(
        self, call: Call, path: str, plan: Plan, into: type[Struct] | None = None, *, ceiling: int = CEILING
    ) -> None:
        self._call = call
        self._path = f"{path}/search"
        self._plan = plan
        self._into = into
        self._ceiling = ceiling
        self._first: Found | None = None
        self._total: int | None = None

    async def total(self) -> int:
        """How many meetings there are, as HubSpot last said.

        The first time this is one request; the next iteration uses its answer as the first page.
        """
        if self._total is None:
            self._first = await self._send()
            self._total = self._first.total
        return self._total

    async def page(self, after: str | int | None = None) -> SearchPage[Meeting[P]]:
        """One page by HubSpot's own offsets, for paging by hand within the first 10,000.

        `after` is the last page's `page.after`. Raises: ConfigurationError beyond 10,000.
        """
        if after is None:
            return self._shown(await self._send())
        text = str(after)
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise ConfigurationError(f"after is the cursor of a search's page, a number, not {after!r}")
        if int(text) >= self._ceiling:
            raise ConfigurationError(
                f"HubSpot pages through {self._ceiling:,} results; `async for` over the search gives all of them"
            )
        return self._shown(await self._send(after=text))

    async def __aiter__(self) -> AsyncIterator[Meeting[P]]:
        async for page in self.pages():
            for meeting in page.results:
                yield meeting
            del page  # here and below: what is read next takes its memory, which is warm yet

    async def pages(self) -> AsyncIterator[SearchPage[Meeting[P]]]:
        """Page after page, each with the `total` of the beginning. Pages are of any size up to `limit`, and have no
        cursor; to go on another day in the default order, add `& where("hs_object_id").gt(last_id)`."""
        first = self._first if self._first is not None else await self._send()
        total = first.total
        self._first, self._total = None, total
        walk = self._walk(first)
        del first
        async for results in walk:
            if results:
                yield self._shown(SearchPage(total=total, results=tuple(results)))
            del results

    def _shown(self, page: Found) -> SearchPage[Meeting[P]]:
        if self._into is None:
            return cast("SearchPage[Meeting[P]]", page)
        results = tuple(read_as(meeting, self._into) for meeting in page.results)
        return cast("SearchPage[Meeting[P]]", msgspec.structs.replace(cast("Any", page), results=results))

    async def _send(self, *more: Filter, sort: Sort | None = None, after: str | None = None) -> Found:
        limit = min(self._plan.limit, self._ceiling - int(after or 0))
        body = self._plan.body(more=more, sort=sort, limit=limit, after=after)
        return await self._call(Request(method="POST", path=self._path, body=body, decoder=_found, quota=Quota.SEARCH))

    # ---- which way to go

    def _walk(self, first: Found) -> AsyncIterator[Results]:
        order = self._plan.order
        obstacle = _obstacle(self._plan)
        if obstacle is None:
            return self._by_id(first, order) if order.property_name == ID else self._by_value(first, order)
        if first.after is not None and first.total > self._ceiling:
            raise ConfigurationError(
                f"the search finds {first.total:,} meetings; past {self._ceiling:,} it has to be walked key by key, "
                f"and {obstacle}. Or split the search, for example by hs_createdate"
            )
        return self._by_offset(first)

    async def _by_offset(self, page: Found) -> AsyncIterator[Results]:
        after: str | None = None
        seen: set[str] = set()
        fetched = 0
        while True:
            fetched += len(page.results)
            yield [meeting for meeting in page.results if meeting.id not in seen]
            seen.update(meeting.id for meeting in page.results)
            if page.after is None:
                break
            before, after = after, page.after
            if not after.isdigit() or not int(before or 0) < int(after) < self._ceiling:
                raise UnexpectedResponse(f"the search does not go on: {printable(after)[:40]!r} follows {before!r}")
            page = await self._send(after=after)
        if len(seen) < min(fetched, page.total):
            # What came twice took the place of another one.
            raise UnexpectedResponse(
                f"the results moved between HubSpot's pages: {len(seen):,} of {page.total:,} meetings came, some "
                "twice. Search again, or leave the order out"
            )

    async def _by_id(self, page: Found, order: Sort, *kept: Filter) -> AsyncIterator[Results]:
        """From `page` on by id, through all that satisfies the filters `kept`."""
        last = ""
        while True:
            ids = [meeting.id for meeting in page.results]
            _need_order([last, *ids] if last else ids, order)
            yield page.results
            if page.after is None:
                return
            _need_some(page)
            del page
            last = ids[-1]
            page = await self._send(*kept, Filter(ID, "LT" if order.descending else "GT", last), sort=order)

    async def _by_value(self, page: Found, order: Sort) -> AsyncIterator[Results]:
        """From `page` on by the values of a property, then what has no value."""
        name = order.property_name
        keys = _Keys(order)
        if page.after is None:
            yield keys.sorted(page.results, keys.of(page.results))
            return
        if None in keys.of(page.results):
            page = await self._send(Filter(name, "HAS_PROPERTY"))
        while True:
            numbers = keys.ordered(page.results)
            results = keys.sorted(page.results, numbers)
            if page.after is None:
                yield results
                break
            _need_some(page)
            del page
            last = numbers[-1]
            whole = results[: numbers.index(last)]
            text = f"{Decimal(last):f}"
            del results
            if whole:
                yield whole
                del whole
                page = await self._send(Filter(name, "LTE" if order.descending else "GTE", text))
            else:
                async for run in self._all(Filter(name, "EQ", text)):
                    yield run
                page = await self._send(Filter(name, "LT" if order.descending else "GT", text))
        async for rest in self._all(Filter(name, "NOT_HAS_PROPERTY")):
            yield rest

    async def _all(self, kept: Filter) -> AsyncIterator[Results]:
        order = Sort(ID)
        async for results in self._by_id(await self._send(kept, sort=order), order, kept):
            yield results


def _obstacle(plan: Plan) -> str | None:
    """Why this search can not be walked by its keys, or None."""
    order = plan.order
    by_id = Filter(ID, "GT", _LONGEST)
    if order.property_name == ID:
        more: tuple[Filter, ...] = (by_id,)
    elif order.kind is None:
        return (
            f"it is not known how the values of {order.property_name!r} grow. Where they are numbers or moments, say "
            f"ascending({order.property_name!r}, type='number') or type='datetime'; a text can not be followed. Leave "
            "the order out, or sort what you get"
        )
    else:
        more = (Filter(order.property_name, "EQ", _LONGEST), by_id)
    if plan.room_for(more):
        return None
    advice = "" if len(more) == 1 else f"; leave the order out ({ID} needs one filter only)"
    return (
        f"that takes {len(more)} more filter(s) in each of its {len(plan.groups) or 1} group(s), beyond HubSpot's "
        f"{MAX_FILTERS_IN_GROUP} in a group, {MAX_FILTERS} in all and 3,000 characters. Use fewer filters{advice}"
    )


def _need_some(page: Found) -> None:
    if not page.results:
        raise UnexpectedResponse(f"the search does not go on: of {page.total:,} meetings HubSpot sent an empty page")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(_LONGEST)):
        raise UnexpectedResponse(f"the search found a meeting with the id {printable(text)[:40]!r}, which is no number")
    return int(text)


def _need_order(ids: list[str], order: Sort) -> None:
    """Raises: UnexpectedResponse for ids that are not in order, or no numbers."""
    # Numbers of as many digits compare as their texts do, which is cheaper than to read them.
    alike = len(set(map(len, ids))) == 1 and "".join(ids).encode("ascii", "replace").isdigit()
    numbers: list[Any] = ids if alike else [*map(_number, ids)]
    if not _each_once(numbers, order):
        precedes = gt if order.descending else lt
        before, after = next(pair for pair in pairwise(numbers) if not precedes(*pair))
        raise UnexpectedResponse(f"the search does not keep the order: id {after} follows {before}")


def _each_once(numbers: Sequence[Any], order: Sort) -> bool:
    """Whether numbers are in order, and none comes twice."""
    return all(map(gt if order.descending else lt, numbers, numbers[1:]))


class _Keys:
    """The values of the property that a search is sorted by, as numbers that grow the way HubSpot sorts them."""

    def __init__(self, order: Sort) -> None:
        self._order = order
        self._name = order.property_name
        self._moments = order.kind == "datetime"
        self._last: Number | None = None

    def of(self, results: Results) -> list[Number | None]:
        """The number of each meeting's value; None without one."""
        name, read = self._name, _moment_ms if self._moments else _decimal
        numbers: list[Number | None] = []
        for meeting in results:
            text = meeting.properties.get(name) or ""
            try:
                numbers.append(read(text) if text else None)
            except (ValueError, ArithmeticError):
                raise UnexpectedResponse(
                    f"meeting {meeting.id} has {printable(text)[:40]!r} as {name}, which is no "
                    f"{'moment' if self._moments else 'number'}: the search can not be walked in this order"
                ) from None
        return numbers

    def ordered(self, results: Results) -> list[Number]:
        """The same. Raises: UnexpectedResponse for results that are not in the order asked for, or behind the walk."""
        precedes = ge if self._order.descending else le
        numbers: list[Number] = []
        for meeting, number in zip(results, self.of(results), strict=True):
            if number is None or (self._last is not None and not precedes(self._last, number)):
                raise UnexpectedResponse(
                    f"the search does not keep the order: meeting {meeting.id} comes too late with "
                    f"{meeting.properties.get(self._name)!r} as {self._name}. It may have just changed; search again"
                )
            self._last = number
            numbers.append(number)
        return numbers

    def sorted(self, results: Results, numbers: Sequence[Number | None]) -> Results:
        """By value, then id; what has no value last."""
        if None not in numbers and _each_once(numbers, self._order):
            return results
        ids = [_number(meeting.id) for meeting in results]
        places = sorted(range(len(ids)), key=ids.__getitem__)
        valued = [(number, place) for place in places if (number := numbers[place]) is not None]
        valued.sort(key=itemgetter(0), reverse=self._order.descending)  # equal ones stay as they are
        without = [place for place in places if numbers[place] is None]
        return [results[place] for place in (*(place for _, place in valued), *without)]


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _moment_ms(text: str) -> int:
    """Unix milliseconds of a moment or date, written in ISO 8601 or as Unix milliseconds."""
    if text.lstrip("-").isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return milliseconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))

"""Finding the records that satisfy a search without reading all of them.

Equality and ranges are places in a sorted index, queries and words are looked up in an index of words; whatever is
left is asked of the records in the narrowest range only. A search with nothing left to ask reads no record but those
of its page.

Must not know requests.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from .behaviour import Behaviour
from .crm import Crm
from .records import Record
from .search_filters import (
    ASSOCIATIONS,
    Field,
    Key,
    Predicate,
    associated_ids,
    field_of,
    predicate,
    query_starts,
    query_words,
    token_patterns,
    token_words,
)
from .search_index import SearchIndex, SortedIndex, Span
from .search_request import FilterInput, Search
from .search_words import WordIndex

__all__ = ["Finder"]

DEFAULT_SORT = "hs_createdate"
_KEPT_RESULTS = 8
_RANGES = ("EQ", "IN", "LT", "LTE", "GT", "GTE", "BETWEEN", "HAS_PROPERTY")

_encode = msgspec.json.Encoder().encode


class _Plan(NamedTuple):
    """How to find what one group of filters holds for."""

    source: SortedIndex | None
    spans: list[Span]
    """Where in the index they are; without an index, anywhere."""
    ids: set[int] | None
    """Those that associations, words and the query leave, all of them seen by search."""
    conditions: list[Predicate]
    """What is left to ask of each record."""


class Finder:
    """Finds records of one object type."""

    def __init__(self, crm: Crm, behaviour: Behaviour, *, seed: int = 0) -> None:
        self._crm = crm
        self._behaviour = behaviour
        self.index = SearchIndex(
            crm.store,
            delay_ms=round(behaviour.search_delay_s * 1000),
            jitter_ms=round(behaviour.search_jitter_s * 1000),
            rng=random.Random(f"search index {seed}"),
        )
        # The pages of one search follow each other: its result is kept while search sees nothing new.
        self._kept: OrderedDict[tuple[int, int, bytes], list[int]] = OrderedDict()

    def find(self, wanted: Search, now_ms: int) -> tuple[int, list[Record]]:
        """The number of all results, and the records of the page. Raises: Refusal for filters that make no sense."""
        self.index.see(now_ms)
        order = self.index.sorted_by(field_of(self._crm.book, wanted.sort or DEFAULT_SORT))
        queried = self._queried(wanted.query)
        plans = [self._plan(group, queried) for group in wanted.groups]
        if queried is not None and not plans:
            plans = [_Plan(None, [], queried, [])]
        total, ids = self._in_order(order, plans, wanted) or self._page_of_all(order, plans, wanted)
        records = (self.index.record(id_) for id_ in ids)
        return total, [record for record in records if record is not None]

    def _in_order(self, order: SortedIndex, plans: list[_Plan], wanted: Search) -> tuple[int, Sequence[int]] | None:
        """The page, if the results are one piece of the index they are sorted by."""
        if len(plans) > 1:
            return None
        if not plans:
            return self._page_of_everything(order, wanted)
        plan = plans[0]
        if plan.source is not order or plan.ids is not None or plan.conditions or len(plan.spans) > 1:
            return None
        start, stop = plan.spans[0] if plan.spans else (0, 0)
        return stop - start, _slice(order, start, stop, wanted)

    def _page_of_everything(self, order: SortedIndex, wanted: Search) -> tuple[int, Sequence[int]]:
        """A page of all records, those without a value behind the others."""
        valued = len(order.entries)
        page = list(_slice(order, 0, valued, wanted))
        if len(page) < wanted.limit and order.without:
            skipped = max(0, wanted.offset - valued)
            page += sorted(order.without)[skipped : skipped + wanted.limit - len(page)]
        return valued + len(order.without), page

    def _page_of_all(self, order: SortedIndex, plans: list[_Plan], wanted: Search) -> tuple[int, Sequence[int]]:
        """The page out of the whole result."""
        asked = _encode((wanted.groups, wanted.query, wanted.sort, wanted.descending))
        key = (self.index.version, self._crm.account.associations.version, asked)
        found = self._kept.pop(key, None)
        if found is None:
            found = self._all(order, plans, wanted)
        self._kept[key] = found
        if len(self._kept) > _KEPT_RESULTS:
            self._kept.popitem(last=False)
        return len(found), found[wanted.offset : wanted.offset + wanted.limit]

    def _all(self, order: SortedIndex, plans: list[_Plan], wanted: Search) -> list[int]:
        """All results in the order asked for."""
        if len(plans) == 1 and plans[0].source is order and plans[0].ids is not None and not plans[0].conditions:
            return order.walk(plans[0].spans, plans[0].ids, descending=wanted.descending)
        found: set[int] = set()
        for plan in plans:
            found.update(self._satisfying(order, plan))
        return order.sort(found, descending=wanted.descending)

    def _satisfying(self, order: SortedIndex, plan: _Plan) -> Iterable[int]:
        """The ids one group holds for."""
        ids = plan.ids
        if plan.source is not None:
            if ids is None:
                ids = {id_ for start, stop in plan.spans for _, id_ in plan.source.entries[start:stop]}
            else:
                ids = plan.source.within(plan.spans, ids)
        candidates: Iterable[int] = chain(order.keys, order.without) if ids is None else ids
        return self._filtered(candidates, plan.conditions) if plan.conditions else candidates

    def _filtered(self, candidates: Iterable[int], conditions: list[Predicate]) -> Iterable[int]:
        for id_ in candidates:
            record = self.index.record(id_)
            if record is not None:
                values = record.properties()
                if all(holds(record, values) for holds in conditions):
                    yield id_

    def _queried(self, query: str | None) -> set[int] | None:
        """The ids a query holds for; None for all."""
        starts = query_starts(query or "")
        if not starts:
            return None
        plural = self._crm.type.plural
        # No property goes by the empty name.
        words = self.index.words("", lambda record: query_words(plural, record.properties()))
        return words.having([start + "*" for start in starts])

    def _worded(self, field: Field) -> WordIndex:
        """The index of a property's words."""
        return self.index.words(field.name, lambda record: token_words(field, record, record.properties()))

    def _plan(self, group: Sequence[FilterInput], queried: set[int] | None) -> _Plan:
        """Which index leaves the fewest records to ask, and what to ask of them."""
        crm = self._crm
        ids = queried
        conditions: dict[str, list[Predicate]] = {}
        ranges: dict[str, tuple[SortedIndex, list[Span]]] = {}
        rest: list[Predicate] = []
        for given in group:
            name = given.property_name
            if name.startswith(ASSOCIATIONS):
                tied = associated_ids(crm.account.associations, crm.type.plural, given)
                ids = _both(ids, {id_ for id_ in tied if self.index.record(id_) is not None})
                continue
            asked = predicate(crm.book, given, negation_matches_empty=self._behaviour.negation_matches_empty)
            field = field_of(crm.book, name)
            if given.operator == "CONTAINS_TOKEN" and (patterns := token_patterns(field, given.value)):
                ids = _both(ids, self._worded(field).having(patterns))
                continue
            if not field.ordered or given.operator not in _RANGES:
                rest.append(asked)
                continue
            conditions.setdefault(name, []).append(asked)
            index = self.index.sorted_by(field)
            spans = _spans(index, field, given)
            ranges[name] = (index, _common(ranges[name][1], spans) if name in ranges else spans)
        if not ranges:
            return _Plan(None, [], ids, rest)
        best = min(ranges, key=lambda name: sum(stop - start for start, stop in ranges[name][1]))
        for name, asked_of in conditions.items():
            if name != best:
                rest += asked_of
        return _Plan(*ranges[best], ids, rest)


def _spans(index: SortedIndex, field: Field, given: FilterInput) -> list[Span]:
    """The places a condition on a number or a moment holds for, in order and apart from each other."""
    operator = given.operator
    if operator == "HAS_PROPERTY":
        spans = [index.span(None, None)]
    elif operator == "IN":
        operands: set[Any] = {field.operand(raw, exact=True) for raw in given.values or ()}
        keys: list[Key] = sorted(operands)
        spans = [index.span((key, True), (key, True)) for key in keys]
    else:
        key: Key = field.operand(given.value)
        if operator == "BETWEEN":
            spans = [index.span((key, True), (field.operand(given.high_value), True))]
        elif operator == "EQ":
            spans = [index.span((key, True), (key, True))]
        elif operator in ("LT", "LTE"):
            spans = [index.span(None, (key, operator == "LTE"))]
        else:
            spans = [index.span((key, operator == "GTE"), None)]
    return [span for span in spans if span[0] < span[1]]


def _both(some: set[int] | None, others: set[int]) -> set[int]:
    """What two sets have in common; None is everything."""
    return others if some is None else some & others


def _common(some: list[Span], others: list[Span]) -> list[Span]:
    """What two lists of spans have in common."""
    both = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return [span for span in both if span[0] < span[1]]


def _slice(order: SortedIndex, start: int, stop: int, wanted: Search) -> Sequence[int]:
    """A page of a piece of an index, from its end when descending."""
    first, last = wanted.offset, min(wanted.offset + wanted.limit, stop - start)
    if first >= last:
        return []
    if wanted.descending:
        return [id_ for _, id_ in reversed(order.entries[stop - last : stop - first])]
    return [id_ for _, id_ in order.entries[start + first : start + last]]

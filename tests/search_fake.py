"""A HubSpot that only searches: naive, strict about the limits, and free in all that HubSpot does not promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from hubspot_meetings_async.models import Filter, Meeting, SearchBody, SearchPage, SortRule
from hubspot_meetings_async.wire import Quota, Replay, Request, Trail

Record = Mapping[str, str | None]
Key = Decimal | str

_body = msgspec.json.Decoder(SearchBody)


def key(text: str) -> Key:
    """Numbers compare as numbers, everything else as text."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text.lower()


def holds(record: Record, condition: Filter) -> bool:
    """What one filter says of one record."""
    text = record.get(condition.property_name) or None
    operator = condition.operator
    if operator.endswith("HAS_PROPERTY"):
        return (text is not None) == (operator == "HAS_PROPERTY")
    if text is None:
        return False
    value = key(text)
    if operator in ("IN", "NOT_IN"):
        return (value in [key(str(each)) for each in condition.values or ()]) == (operator == "IN")
    bound = key(str(condition.value))
    if operator == "BETWEEN":
        return bound <= value <= key(str(condition.high_value))  # type: ignore[operator]
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "EQ": lambda a, b: a == b,
        "NEQ": lambda a, b: a != b,
        "LT": lambda a, b: a < b,
        "LTE": lambda a, b: a <= b,
        "GT": lambda a, b: a > b,
        "GTE": lambda a, b: a >= b,
    }
    return tests[operator](value, bound)


def satisfies(record: Record, groups: Sequence[Sequence[Filter]]) -> bool:
    """Whether one of the groups holds whole; without groups, everything does."""
    return not groups or any(all(holds(record, condition) for condition in group) for group in groups)


class FakeHubSpot:
    """A `Call` over records in memory.

    Records with equal sort values come in another order in every answer, unless it is `steady`. `missing_first` says
    where records without a sort value come. `before` is called ahead of every answer and may change `records`.
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        ceiling: int = 10_000,
        missing_first: bool = False,
        seed: int = 0,
        steady: bool = False,
        before: Callable[[FakeHubSpot], None] | None = None,
    ) -> None:
        self.records = {str(record["hs_object_id"]): dict(record) for record in records}
        self.ceiling = ceiling
        self.missing_first = missing_first
        self.bodies: list[SearchBody] = []
        self._rng = random.Random(seed)
        self._steady = steady
        self._before = before

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        assert (request.method, request.path) == ("POST", "/crm/v3/objects/meetings/search")
        assert (request.quota, request.replay) == (Quota.SEARCH, Replay.ALWAYS)
        assert request.body is not None
        assert len(request.body.decode()) <= 3_000
        body = _body.decode(request.body)
        self.bodies.append(body)
        if self._before is not None:
            self._before(self)
        groups = [group.filters for group in body.filter_groups]
        assert len(groups) <= 5
        assert all(1 <= len(group) <= 6 for group in groups)
        assert sum(map(len, groups)) <= 18
        limit, offset = body.limit or 10, int(body.after or 0)
        assert 1 <= limit <= 200
        assert offset + limit <= self.ceiling, "HubSpot answers 400 beyond its ceiling"
        found = self._sorted([r for r in self.records.values() if satisfies(r, groups)], body)
        following = {"next": {"after": str(offset + limit)}} if offset + limit < len(found) else None
        page = {"total": len(found), "results": [_shown(r, body) for r in found[offset:][:limit]], "paging": following}
        return msgspec.convert(page, SearchPage[Meeting])

    def _sorted(self, found: list[dict[str, str | None]], body: SearchBody) -> list[dict[str, str | None]]:
        (rule,) = body.sorts
        assert isinstance(rule, SortRule)
        name = rule.property_name
        if not self._steady:
            self._rng.shuffle(found)
        valued = [(key(text), n, record) for n, record in enumerate(found) if (text := record.get(name))]
        valued.sort(key=lambda item: item[0], reverse=rule.direction == "DESCENDING")
        missing = [record for record in found if not record.get(name)]
        ordered = [record for _, _, record in valued]
        return missing + ordered if self.missing_first else ordered + missing


def _shown(record: Record, body: SearchBody) -> dict[str, object]:
    names = {"hs_object_id", "hs_createdate", "hs_lastmodifieddate", *body.properties}
    return {"id": record["hs_object_id"], "properties": {name: record[name] for name in names if name in record}}

"""Which result belongs to which record, where all is as it should be.

This module knows the most common answer: one result for each record, told apart by trace id, by id or unique value, or
by one property whose values are all different. Whatever is not as plain, `settling.py` looks at closer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ..entries import Entry, Lot, Telling, keys_of, trace_ids_of

__all__ = ["one_each", "telling"]


class Result(Protocol):
    """What is needed of a result."""

    @property
    def id(self) -> str: ...

    @property
    def object_write_trace_id(self) -> str | None: ...


T = TypeVar("T", bound=Result)


def telling(entries: Sequence[Entry], id_property: str | None) -> Telling | None:
    """Ids, the unique property, or any property that no two of the entries wrote the same value to; or nothing."""
    if isinstance(entries, Lot):
        return entries.tells
    if not entries:
        return None
    if (keys := keys_of(entries)) is not None:
        return Telling(id_property, keys) if len({*keys}) == len(entries) else None
    sent = [entry.sent or {} for entry in entries]
    for name in sent[0]:
        try:
            values = [properties[name] for properties in sent]
        except KeyError:
            continue
        distinct = {*values}
        if len(distinct) == len(values) and None not in distinct:
            return Telling(name, values)
    return None


def one_each(
    entries: Sequence[Entry],
    results: Sequence[T],
    tells: Telling,
    told: Callable[[str, Sequence[T]], Sequence[str | None]],
) -> tuple[Sequence[T], list[str]] | None:
    """The result of each entry and its id, in the order of the entries; None where any is missing, twice or unknown.

    `told` gives the values of a property of the results.
    """
    if len(results) != len(entries):
        return None
    wanted = tells.values
    if results[0].object_write_trace_id is not None:
        wanted = trace_ids_of(entries)
        if len({*wanted}) != len(wanted):
            return None
        given: Sequence[str | None] = [result.object_write_trace_id for result in results]
    elif tells.name is None:
        given = [result.id for result in results]
    else:
        given = told(tells.name, results)
    found = results
    if given != wanted:  # they came in another order
        by_name = dict(zip(given, results, strict=True))
        try:
            found = [by_name[value] for value in wanted]
        except KeyError:
            return None
    ids = [result.id for result in found]
    # An id twice, or another one than was asked for, is for those who look closer.
    if len({*ids}) != len(ids) or (tells.name is None and ids != tells.values):
        return None
    return found, ids

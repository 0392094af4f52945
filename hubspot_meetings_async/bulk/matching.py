"""Which result belongs to which record, where all is as it should be.

This module knows the most common answer: one result for each record, told apart by trace id, by id or unique value, or
by one property whose values are all different. Whatever is not as plain, `settling.py` looks at closer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

from ..inputs import Entry

__all__ = ["one_each", "telling_property"]


class Result(Protocol):
    """What is needed of a result."""

    @property
    def id(self) -> str: ...

    @property
    def object_write_trace_id(self) -> str | None: ...


T = TypeVar("T", bound=Result)


def one_each(
    entries: Sequence[Entry],
    results: Sequence[T],
    telling: str | None,
    told: Callable[[str, Sequence[T]], Sequence[str | None]],
) -> list[T] | None:
    """The result of each entry, in the order of the entries; None where anything is missing, twice, or unknown.

    `telling` is the property that tells them apart where trace ids do not, None for ids; `told` gives the values of a
    property of the results.
    """
    if not entries or len(results) != len(entries):
        return None
    keyed = entries[0].key is not None
    wanted: Sequence[Any]
    given: Sequence[str | None]
    if results[0].object_write_trace_id is not None:
        wanted = [entry.trace_id for entry in entries]
        given = [result.object_write_trace_id for result in results]
    elif keyed:
        wanted = [entry.key for entry in entries]
        given = [result.id for result in results] if telling is None else told(telling, results)
    elif telling is not None:
        wanted = [cast("Mapping[str, Any]", entry.sent)[telling] for entry in entries]
        given = told(telling, results)
    else:
        return None
    by_name = dict(zip(given, results, strict=False))
    try:
        found = [by_name[value] for value in wanted]
    except KeyError:
        return None
    # A value twice on either side, or an id twice, is for those who look closer.
    if len(by_name) != len(entries) or len({*wanted}) != len(entries) or len({r.id for r in found}) != len(entries):
        return None
    if keyed and telling is None and [result.id for result in found] != [entry.key for entry in entries]:
        return None
    return found


def telling_property(entries: Sequence[Entry], id_property: str | None) -> str | None:
    """What tells the results of these entries apart: their unique property, or one whose values all differ.

    None where that is the id, or where nothing does.
    """
    if entries[0].key is not None:
        return id_property
    for name in entries[0].sent or ():
        try:
            values = {cast("Mapping[str, Any]", entry.sent)[name] for entry in entries}
        except KeyError:
            continue
        if len(values) == len(entries) and None not in values:
            return name
    return None

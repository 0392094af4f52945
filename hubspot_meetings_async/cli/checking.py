"""What was read back against what was pushed: value by value, moments by their instant.

This module knows when two values are the same. It must not know files or HubSpot's calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from ..bulk.columns import TIME_PROPERTIES

__all__ = ["Check", "Difference", "same"]

_DIFFERENCES_KEPT = 5


class Difference(msgspec.Struct, frozen=True):
    """A value that did not come back as it was pushed."""

    key: str
    name: str
    pushed: str
    found: str | None


class Check(msgspec.Struct, kw_only=True):
    """The comparison so far. `expected` maps keys to properties; what was found is taken out of `missing`."""

    expected: Mapping[str, Mapping[str, str]]
    missing: set[str]
    found: int = 0
    twice: int = 0
    unknown: int = 0
    values: int = 0
    different: int = 0
    differences: list[Difference] = []

    @classmethod
    def of(cls, expected: Mapping[str, Mapping[str, str]]) -> Check:
        """A check that expects these records."""
        return cls(expected=expected, missing=set(expected))

    @property
    def adds_up(self) -> bool:
        """Whether everything expected was found, once, with the same values, and nothing else."""
        return not (self.missing or self.twice or self.unknown or self.different)

    def add(self, key: str | None, found: Mapping[str, str | None]) -> None:
        """Compare one record that was read back."""
        expected = self.expected.get(key) if key is not None else None
        if key is None or expected is None:
            self.unknown += 1
            return
        if key not in self.missing:
            self.twice += 1
            return
        self.missing.remove(key)
        self.found += 1
        wrong = [
            Difference(key, name, pushed, found.get(name))
            for name, pushed in expected.items()
            if not same(name, pushed, found.get(name))
        ]
        self.values += len(expected)
        self.different += len(wrong)
        self.differences += wrong[: _DIFFERENCES_KEPT - len(self.differences)]


def same(name: str, pushed: str, found: str | None) -> bool:
    """Whether a value came back: dates and times in whatever spelling, everything else to the letter."""
    if found is None or name not in TIME_PROPERTIES:
        return pushed == found
    try:
        return datetime.fromisoformat(pushed) == datetime.fromisoformat(found)
    except ValueError:
        return False

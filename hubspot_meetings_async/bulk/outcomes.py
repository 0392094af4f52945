"""What became of a record, and of a run.

This module knows the outcomes and how they add up. It must not know I/O, tasks, or how answers travel.
`settling.py` derives outcomes from answers; everybody else only reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Generic

from msgspec import Struct, structs

from ..errors import HubSpotError
from ..models import Meeting, PlainProperties

__all__ = ["Ambiguous", "Archived", "Created", "NotSent", "Outcome", "Read", "Rejected", "Report", "Updated"]

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

R = TypeVar("R")
M = TypeVar("M", default=Meeting[PlainProperties])


class _Settled(Struct, Generic[R], frozen=True):
    record: R
    ordinal: int


class Created(_Settled[R], Generic[R, M], frozen=True):
    """HubSpot made a new meeting of this record. `ordinal` counts the records of the source from 0."""

    meeting: M


class Updated(_Settled[R], Generic[R, M], frozen=True):
    """HubSpot wrote this record's properties to a meeting that existed."""

    meeting: M


class Archived(_Settled[R], Generic[R], frozen=True):
    """The meeting with this `id` is in the recycling bin now (HubSpot does not tell whether it existed)."""

    id: str


class Read(_Settled[R], Generic[R, M], frozen=True):
    """The meeting that was asked for."""

    meeting: M


class Rejected(_Settled[R], Generic[R], frozen=True):
    """This record was refused, by HubSpot or before it was sent (`InvalidRecord`); nothing was done for it."""

    error: HubSpotError


class Ambiguous(_Settled[R], Generic[R], frozen=True):
    """This record left, and no trustworthy answer names it. It may have been done; it was not repeated.

    `why`: `timeout`, `reset`, `5xx`, `locked`, `unreadable`, `missing_in_answer`, `not_told_apart`, `cancelled` or
    `stopped`.
    `error` is what was seen, where something was. `ids` are meetings of the answer that may be this record.
    """

    why: str
    error: HubSpotError | None = None
    ids: tuple[str, ...] = ()


class NotSent(_Settled[R], Generic[R], frozen=True):
    """Surely nothing was done for this record, and it was not refused: it can be given to a new run.

    `why`: `cancelled`, `stopped` (the run ended early, `error` says what for) or `unavailable` (retries ran out).
    """

    why: str
    error: HubSpotError | None = None


Outcome = Created[R, M] | Updated[R, M] | Archived[R] | Read[R, M] | Rejected[R] | Ambiguous[R] | NotSent[R]
"""The one thing that became of a record."""

_COUNTERS = {
    Created: "created",
    Updated: "updated",
    Archived: "archived",
    Read: "read",
    Rejected: "rejected",
    Ambiguous: "ambiguous",
    NotSent: "not_sent",
}


class Report(Struct, kw_only=True):
    """The account of a run: once it has ended, however, `pulled == done + rejected + ambiguous + not_sent`.

    Counts of records: `pulled` (taken from the source), `created`, `updated`, `archived`, `read`, `rejected`,
    `ambiguous`, `not_sent`. Counts of requests: `requests` (attempts that went out), `retries` (of them, repeats),
    `rate_limited` (429 answers), `splits` (batches cut in two after a refusal). `bytes_sent` and `bytes_received` are
    bodies without headers. `seconds` is the time since the run began. `quota_use` is the share of HubSpot's limit that
    the requests between the first and the last one took (1.0 = all of it), None without a limit or within its first
    window.
    `problems` keeps the first 100 outcomes that are rejected, ambiguous or not sent.
    """

    operation: str
    pulled: int = 0
    created: int = 0
    updated: int = 0
    archived: int = 0
    read: int = 0
    rejected: int = 0
    ambiguous: int = 0
    not_sent: int = 0
    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    splits: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    quota_use: float | None = None
    problems: tuple[Rejected[Any] | Ambiguous[Any] | NotSent[Any], ...] = ()

    @property
    def done(self) -> int:
        """Records that HubSpot carried out."""
        return self.created + self.updated + self.archived + self.read

    @property
    def settled(self) -> int:
        """Records whose outcome is known by now."""
        return self.done + self.rejected + self.ambiguous + self.not_sent

    @property
    def adds_up(self) -> bool:
        """Whether every record taken from the source has its outcome: True at the end of every run."""
        return self.pulled == self.settled

    @property
    def records_per_second(self) -> float:
        """Records settled per second so far."""
        return self.settled / self.seconds if self.seconds > 0 else 0.0

    def count(self, outcomes: Iterable[Outcome[Any, Any]]) -> None:
        """Add outcomes to the account."""
        tally: dict[type, int] = {}
        for outcome in outcomes:
            kind = type(outcome)
            tally[kind] = tally.get(kind, 0) + 1
            if isinstance(outcome, (Rejected, Ambiguous, NotSent)) and len(self.problems) < _MOST_PROBLEMS:
                self.problems += (outcome,)
        for kind, number in tally.items():
            name = _COUNTERS[kind]
            setattr(self, name, getattr(self, name) + number)

    def snapshot(self) -> Report:
        """A copy that later counting leaves alone."""
        return structs.replace(self)

    def __str__(self) -> str:
        words = [f"{self.pulled:,} pulled"]
        words += [
            f"{getattr(self, name):,} {name.replace('_', ' ')}" for name in _COUNTERS.values() if getattr(self, name)
        ]
        words += [f"{self.requests:,} requests", f"{self.retries:,} retries", f"{self.rate_limited:,} × 429"]
        words.append(f"{self.seconds:.1f} s ({self.records_per_second:,.0f} records/s)")
        if self.quota_use is not None:
            words.append(f"quota use {self.quota_use:.1%}")
        return f"bulk {self.operation}: " + ", ".join(words)


_MOST_PROBLEMS = 100

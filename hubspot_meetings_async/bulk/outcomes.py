"""What became of a record, and of a run.

This module knows the outcomes and how they add up. It must not know I/O, tasks, or how answers travel.
`settling.py` derives outcomes from answers; everybody else only reads them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Generic

from msgspec import Struct, structs

from ..errors import HubSpotError
from ..models import Meeting, PlainProperties
from .late import WithMeeting, decoded_late

__all__ = [
    "COUNTERS",
    "Ambiguous",
    "Archived",
    "Created",
    "Difference",
    "NotSent",
    "Outcome",
    "Read",
    "Rejected",
    "Report",
    "Updated",
]

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

R = TypeVar("R")
M = TypeVar("M", default=Meeting[PlainProperties])


class _Known(Struct, frozen=True, kw_only=True):
    journaled: bool = True


class _Settled(_Known, Generic[R], frozen=True):
    record: R
    ordinal: int


class Difference(Struct, frozen=True):
    """A property that HubSpot holds another value of than was `sent`."""

    sent: Any
    stored: str | None


class _Written(_Settled[R], Generic[R], frozen=True, kw_only=True):
    differs: Mapping[str, Difference] | None = None


class Created(WithMeeting, _Written[R], Generic[R, M], frozen=True):
    """There is a meeting of this record now. `ordinal` counts the records of the source from 0.

    `id` is the meeting's id. `meeting` is decoded when it is first looked at, with those of its whole batch; until
    then, outcomes that are kept hold the bytes of their batch's answer together.

    `new`: True: HubSpot's answer says that it made it. None: the answer was lost, and the meeting found by its key.
    False: it was found, and had been there before the run began: somebody else's, or an earlier run's.

    `differs` (after `verify="values"`): the properties whose stored value is another one than was sent; None where
    nobody looked. `journaled` is False where the journal could not be written any more: a resumed run will not know of
    this outcome.
    """

    meeting: M
    new: bool | None = True


class Updated(WithMeeting, _Written[R], Generic[R, M], frozen=True):
    """HubSpot wrote this record's properties to a meeting that existed. All else as for `Created`."""

    meeting: M


class Archived(_Settled[R], Generic[R], frozen=True):
    """The meeting with this `id` is in the recycling bin now (HubSpot does not tell whether it existed)."""

    id: str


class Read(WithMeeting, _Settled[R], Generic[R, M], frozen=True):
    """The meeting that was asked for."""

    meeting: M


for _kind in (Created, Updated, Read):
    decoded_late(_kind)


class Rejected(_Settled[R], Generic[R], frozen=True):
    """This record was refused, by HubSpot or before it was sent (`InvalidRecord`); nothing was done for it."""

    error: HubSpotError


class Ambiguous(_Settled[R], Generic[R], frozen=True):
    """This record left, and no trustworthy answer names it. It may have been done; it was not repeated.

    `why`: `timeout`, `reset`, `5xx`, `locked`, `unreadable`, `missing_in_answer`, `not_told_apart`, `cancelled`,
    `stopped`, or `crash` (a resumed run found it sent and without an answer).
    `error` is what was seen, where something was. `ids` are meetings of the answer that may be this record.
    """

    why: str
    error: HubSpotError | None = None
    ids: tuple[str, ...] = ()


class NotSent(_Settled[R], Generic[R], frozen=True):
    """Surely nothing was done for this record, and it was not refused: it can be given to a new run.

    `why`: `cancelled`, `stopped` (the run ended early, `error` says what for), `unavailable` (retries ran out),
    `deadline` (its `delivery_timeout_s` was over) or `daily_limit`.
    """

    why: str
    error: HubSpotError | None = None


Outcome = Created[R, M] | Updated[R, M] | Archived[R] | Read[R, M] | Rejected[R] | Ambiguous[R] | NotSent[R]
"""The one thing that became of a record."""

COUNTERS: dict[type, str] = {
    Created: "created",
    Updated: "updated",
    Archived: "archived",
    Read: "read",
    Rejected: "rejected",
    Ambiguous: "ambiguous",
    NotSent: "not_sent",
}
"""The name of the counter of each kind of outcome, in a `Report` and elsewhere."""


_ALSO = {
    "found": "of them found by key",
    "settled_before": "settled before",
    "unjournaled": "not journaled",
    "differing": "stored otherwise",
    "repaired": "repaired",
    "unverified": "not verified",
}


class Report(Struct, kw_only=True):
    """The account of a run: once it has ended, however, `pulled == done + rejected + ambiguous + not_sent`.

    Counts of records: `pulled` (taken from the source), `created`, `updated`, `archived`, `read`, `rejected`,
    `ambiguous`, `not_sent`. Counts of requests: `requests` (attempts that went out), `retries` (of them, repeats),
    `rate_limited` (429 answers), `splits` (batches cut in two after a refusal). `bytes_sent` and `bytes_received` are
    bodies without headers. Of the created ones, `found` had their answer lost, or were there, and were found by their
    key. `settled_before` are records that the journal of an earlier run knows to be settled: they were passed over, and
    are not in `pulled`. `unjournaled` outcomes could not be written to the journal. After `verify=`, `differing`
    records were stored otherwise than sent, `repaired` ones sent again for it, and `unverified` ones could not be
    looked at. `seconds` is the time since the run began. `quota_use` is the share of HubSpot's limit that
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
    found: int = 0
    settled_before: int = 0
    unjournaled: int = 0
    differing: int = 0
    repaired: int = 0
    unverified: int = 0
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

    def count(self, outcomes: Iterable[Outcome[Any, Any]], *, alike: type | None = None) -> None:
        """Add outcomes to the account. `alike` is their type, where all are done, in one way and by HubSpot's word."""
        outcomes = outcomes if isinstance(outcomes, list) else list(outcomes)
        if alike is not None:
            name = COUNTERS[alike]
            setattr(self, name, getattr(self, name) + len(outcomes))
            return
        kinds = {*map(type, outcomes)}
        # Nearly always one: to count is a matter of hundreds of records a second then, not of each.
        tally = dict.fromkeys(kinds, len(outcomes)) if len(kinds) == 1 else Counter(map(type, outcomes))
        for kind, number in tally.items():
            name = COUNTERS[kind]
            setattr(self, name, getattr(self, name) + number)
        if Created in tally:
            created = outcomes if len(kinds) == 1 else [o for o in outcomes if type(o) is Created]
            self.found += tally[Created] - [*map(_new, created)].count(True)
        if len(self.problems) < _MOST_PROBLEMS and not tally.keys() <= _FINE:
            problems = [o for o in outcomes if isinstance(o, (Rejected, Ambiguous, NotSent))]
            self.problems += tuple(problems[: _MOST_PROBLEMS - len(self.problems)])

    def snapshot(self) -> Report:
        """A copy that later counting leaves alone."""
        return structs.replace(self)

    def __str__(self) -> str:
        words = [f"{self.pulled:,} pulled"]
        words += [
            f"{getattr(self, name):,} {name.replace('_', ' ')}" for name in COUNTERS.values() if getattr(self, name)
        ]
        words += [f"{getattr(self, name):,} {word}" for name, word in _ALSO.items() if getattr(self, name)]
        words += [f"{self.requests:,} requests", f"{self.retries:,} retries", f"{self.rate_limited:,} × 429"]
        words.append(f"{self.seconds:.1f} s ({self.records_per_second:,.0f} records/s)")
        if self.quota_use is not None:
            words.append(f"quota use {self.quota_use:.1%}")
        return f"bulk {self.operation}: " + ", ".join(words)


_MOST_PROBLEMS = 100
_new = attrgetter("new")
_FINE = {Created, Updated, Archived, Read}

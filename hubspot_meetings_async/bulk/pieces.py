"""A batch on its way, and the parts it falls into.

This module knows what is remembered of a batch between one request and the next. It must not know await, HTTP, or what
is done about failures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from ..entries import Entry
from ..errors import HubSpotError
from ..wire import Trail
from .batches import Batch

__all__ = ["Flight", "Piece"]


class Piece(Struct, eq=False):
    """A batch, or a part of one.

    `ask`: the next step is to look for its keys, not to send it. `tries` counts failures that left it open, `silent`
    answers that did not name these records. `doubtful`: it may have been done already. `crashed`: in an earlier run of
    the job, whose end nobody saw. `refusals` are what HubSpot said about single records, by ordinal, before it was
    looked for them. `split`: what is sent next is sent in halves. `alone`: it stands by itself since it was on the way
    at several crashes; `lethal`: it was on the way by itself at one, and is not sent again. `intended`: the journal
    knows that it is on its way. `apart`: `error` was said of more records than these. `patient`: look for it only when
    nothing of it can be on its way any more. `success` is the count of successes of the run when it first failed;
    `error` its last failure.
    """

    batch: Batch
    ask: bool = False
    tries: int = 0
    silent: int = 0
    doubtful: bool = False
    crashed: bool = False
    lethal: bool = False
    split: bool = False
    alone: bool = False
    intended: bool = False
    apart: bool = False
    patient: bool = False
    success: int = 0
    error: HubSpotError | None = None
    refusals: dict[int, HubSpotError] = {}

    @property
    def entries(self) -> Sequence[Entry]:
        """The records in it."""
        return self.batch.entries

    def of(self, entries: Sequence[Entry], *, ask: bool = False) -> Piece:
        """What is left of it: some of its records, with all that is remembered."""
        return structs.replace(self, batch=self.batch.only(entries), ask=ask)

    def halves(self) -> tuple[Piece, Piece]:
        """It as two."""
        first, second = self.batch.halves()
        return self.of(first.entries, ask=self.ask), self.of(second.entries, ask=self.ask)


class Flight:
    """A batch between the cutter and its outcomes: the pieces not settled yet; the first is the one that is out."""

    __slots__ = ("deadline_at", "number", "pieces", "queued", "trail")

    def __init__(self, number: int, pieces: Iterable[Piece], *, deadline_at: float) -> None:
        self.number = number
        self.pieces = deque(pieces)
        self.trail = Trail()
        self.deadline_at = deadline_at
        self.queued = False
        """Whether a worker holds it and its request has not left yet."""

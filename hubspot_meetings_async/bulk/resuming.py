"""Going on with a job: which records of the source an earlier run has settled, and which it left in doubt.

This module knows how a record of the source is known again. It must not know files, tasks, HTTP, or how a record is
sent.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ..entries import Entry
from ..errors import JournalMismatchError
from .journal.rows import AMBIGUOUS, IN_DOUBT, Past, Resume, digest

__all__ = ["Resumption", "Standing"]

_SUSPECT_CRASHES: Final = 3
"""So often may a record be on its way when the process dies; from then on it is sent by itself."""


class Standing(Enum):
    """How a record of the source stands in the journal."""

    FRESH = "fresh"
    DOUBT = "doubt"
    SETTLED = "settled"


class Resumption:
    """Compares a source with what the journal knows.

    `hold`: a record that was left ambiguous stays so. `until`: ordinals below are known to the journal, and checked
    before anything is sent.
    """

    def __init__(self, past: Past, *, resume: Resume, hold: bool) -> None:
        self._past = past
        self._hold = hold
        self._by_key = resume == "key"
        self._codes = past.codes
        self.until = 0 if self._by_key else past.next_ordinal

    def standing(self, ordinal: int, entry: Entry | None) -> Standing:
        """How this record stands; None for one that can not be sent as it is.

        One that is known by its key gets the ordinal that it has in the journal. Raises: JournalMismatchError.
        """
        if self._by_key:
            known = self._past.keys.pop(hash(entry.key), None) if entry is not None else None
            if entry is None or known is None or self._past.digests[known] != digest(entry):
                return Standing.FRESH
            entry.ordinal = ordinal = known
        elif ordinal >= self.until:
            return Standing.FRESH
        else:
            self._need_same(ordinal, entry)
        code = self._codes[ordinal]
        if not code:
            return Standing.FRESH
        if code == ord(IN_DOUBT) or (code == ord(AMBIGUOUS) and not self._hold):
            return Standing.DOUBT
        return Standing.SETTLED

    def crashes(self, entry: Entry) -> tuple[bool, bool]:
        """Whether a record in doubt is to be sent by itself from now on, and whether it has killed a run that way."""
        return self._past.crashes[entry.ordinal] >= _SUSPECT_CRASHES, entry.ordinal in self._past.alone

    def need_all(self, records: int) -> None:
        """The source ended after so many records. Raises: JournalMismatchError when the journal knows of more."""
        if records < self.until:
            raise JournalMismatchError(
                f"the source ended after {records:,} records, and this journal knows of {self.until:,}: it belongs to "
                "another source. Nothing was sent."
            )

    def _need_same(self, ordinal: int, entry: Entry | None) -> None:
        known = self._past.digests[ordinal]
        if known and (entry is None or digest(entry) != known):
            raise JournalMismatchError(
                f"record {ordinal:,} of the source is not the one that this journal knows: it belongs to another "
                "source, or the source gives its records in another order now (then, if they have keys, pass "
                "resume='key'). Nothing was sent."
            )

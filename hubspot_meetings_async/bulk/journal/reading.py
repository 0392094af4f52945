"""A journal as it lies there, for those who want to know and not to go on: what became of every record.

This module knows where in the file the last word on a record stands. It must not know tasks, HTTP, or sources.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from ...errors import JournalError
from .claim import told
from .database import Database
from .rows import ACK, END, INTENT, SESSION, UNDONE, Ack, End, Intent, Session, unpack

__all__ = ["OUTCOMES", "Known", "OutcomeName", "Reading", "reading"]

OutcomeName = Literal["created", "updated", "archived", "rejected", "ambiguous", "in_doubt", "not_sent"]
"""What a journal knows of a record. `in_doubt`: it left, and the run ended before its answer; the next run settles it.
`not_sent`: a run came across it and did not send it. Records that no run has come to are in no journal."""

OUTCOMES: Final[tuple[OutcomeName, ...]] = get_args(OutcomeName)

_NAMES: Final[dict[int, OutcomeName]] = dict(zip(map(ord, "cuax?i\0"), OUTCOMES, strict=True))
_CODES: Final = {name: code for code, name in _NAMES.items()}
_ROWS_AT_HAND: Final = 512

_intents = msgspec.msgpack.Decoder(Intent)
_acks = msgspec.msgpack.Decoder(Ack)
_sessions = msgspec.msgpack.Decoder(Session)
_ends = msgspec.msgpack.Decoder(End)


class Known(NamedTuple):
    """What a journal knows of a record. `ordinal` is its place in the source, from 0.

    `key`: its id or unique value, None for creates without one. `id` is the meeting's, where it was created, updated or
    archived. `reason` says why it was rejected or left ambiguous.
    """

    ordinal: int
    outcome: OutcomeName
    key: str | None
    id: str | None
    reason: str | None


class _Existing(Database):
    """A journal that must be there."""

    def _fill(self, meta: Mapping[str, str]) -> None:
        raise JournalError(
            f"{self.path} holds nothing: the run that made it ended before it began, and sent nothing; remove the file"
        )

    def row(self, seq: int) -> tuple[int, bytes]:
        """`(kind, data)` of one row. Raises: JournalError."""
        try:
            with self._using:
                found = self._connection.execute("SELECT kind, data FROM log WHERE seq = ?", (seq,)).fetchone()
        except sqlite3.Error as error:
            raise told(self.path, "read", error) from error
        kind, data = found
        return kind, data


class Reading:
    """What a journal says; 9 bytes of memory a record. Use it while `reading` lasts.

    `meta` is what the first run wrote about the job. `sessions` are its runs, in order. `records` is how many the
    source gave in all; None: the last run has not come to its end, or left records unsent.
    """

    def __init__(self, database: _Existing) -> None:
        self._database = database
        self.meta: Mapping[str, str] = database.meta
        self.sessions: list[Session] = []
        self.records: int | None = None
        self._codes = bytearray()
        # For each record the number of the row that says its last word, and of the one that names its key (0: none).
        self._told = array("I")
        self._named = array("I")
        self._row = lru_cache(_ROWS_AT_HAND)(self._decoded)
        for seq, (kind, data) in enumerate(database.rows(), 1):
            if kind == INTENT:
                intent = _intents.decode(data)
                ordinals = unpack(intent.ordinals)
                self._note(ordinals, b"i" * len(ordinals), seq, seq if intent.keys is not None else 0)
            elif kind == ACK:
                ack = _acks.decode(data)
                self._note(unpack(ack.ordinals), ack.codes.replace(UNDONE, "\0").encode("ascii"), seq, None)
            elif kind == SESSION:
                self.sessions.append(_sessions.decode(data))
                self.records = None
            elif kind == END:
                self.records = _ends.decode(data).records

    def __len__(self) -> int:
        """How many records of the source the journal knows of: all ordinals are below."""
        return len(self._codes)

    def tally(self) -> dict[OutcomeName, int]:
        """How many records have each outcome; those that none has are left out."""
        return {name: count for code, name in _NAMES.items() if (count := self._codes.count(code))}

    def of(self, outcomes: Collection[OutcomeName] = OUTCOMES) -> Iterator[Known]:
        """The records with one of these outcomes, each once, in the order of the source. Raises: JournalError."""
        wanted = {_CODES[name] for name in outcomes}
        for ordinal, code in enumerate(self._codes):
            if code not in wanted:
                continue
            outcome = _NAMES[code]
            named = self._named[ordinal]
            key = self._row(named)[ordinal] if named else None
            detail = self._row(self._told[ordinal])[ordinal] if outcome not in ("in_doubt", "not_sent") else None
            if outcome in ("rejected", "ambiguous"):
                yield Known(ordinal, outcome, key, None, detail)
            else:
                yield Known(ordinal, outcome, key, key if outcome == "archived" else detail, None)

    def _note(self, ordinals: Sequence[int], codes: bytes, told: int, named: int | None) -> None:
        missing = (ordinals[-1] if isinstance(ordinals, range) else max(ordinals)) + 1 - len(self._codes)
        if missing > 0:
            self._codes.extend(bytes(missing))
            self._told.extend([0] * missing)
            self._named.extend([0] * missing)
        if isinstance(ordinals, range):
            here = slice(ordinals.start, ordinals.stop)
            self._codes[here] = codes
            self._told[here] = array("I", [told]) * len(ordinals)
            if named is not None:
                self._named[here] = array("I", [named]) * len(ordinals)
            return
        for ordinal, code in zip(ordinals, codes, strict=True):
            self._codes[ordinal] = code
            self._told[ordinal] = told
            if named is not None:
                self._named[ordinal] = named

    def _decoded(self, seq: int) -> dict[int, str | None]:
        """The keys of an intent, or the details of an ack, by ordinal."""
        kind, data = self._database.row(seq)
        if kind == INTENT:
            intent = _intents.decode(data)
            return dict(zip(unpack(intent.ordinals), intent.keys or (), strict=True))
        ack = _acks.decode(data)
        return dict(zip(unpack(ack.ordinals), ack.details, strict=True))


@contextmanager
def reading(path: str | os.PathLike[str]) -> Generator[Reading]:
    """Open a journal to read it, and close it again. No row is written, and nothing asked of HubSpot; blocks.

    The file is ours alone meanwhile. One that a run left without closing it is tidied up as the next run would.

    Raises: OSError when there is no file; JournalLockedError when a run has it open; JournalDamagedError,
    JournalVersionError or JournalError, with the file as it was, when it can not be read.
    """
    text: str = os.path.abspath(os.fspath(path))
    os.stat(text)  # a missing one would be made
    database = _Existing(text, {}, power=True)
    try:
        yield Reading(database)
    except JournalError:
        database.leave()
        raise
    finally:
        database.close()

"""What a journal's rows say, and what they tell of a job when they are read again.

This module knows the rows: intents, acknowledgements, sessions. It must not know files, tasks, or HTTP.

    session     a run has begun: where its records begin to count
    intent      these records are about to leave (written and durable before their first byte)
    ack         what became of these records
    note        HubSpot's clock when the job began
    end         the source was read to its end, and every record of it is settled

A record with an intent and without an ack is in doubt: it may have been done.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from ...entries import Entry

__all__ = [
    "ACK",
    "AMBIGUOUS",
    "END",
    "INTENT",
    "IN_DOUBT",
    "NOTE",
    "SESSION",
    "UNDONE",
    "Ack",
    "End",
    "Intent",
    "Note",
    "Past",
    "Resume",
    "Session",
    "Settled",
    "digest",
    "pack",
    "records",
    "unpack",
]

Resume = Literal["ordinal", "key"]
"""How a resumed run knows the records of its source again: by their place in it (the source gives the same records in
the same order), or by their keys (in any order; the journal's keys are held in memory)."""

INTENT: Final = 0
ACK: Final = 1
NOTE: Final = 2
END: Final = 3
SESSION: Final = 4

IN_DOUBT: Final = "i"
AMBIGUOUS: Final = "?"
UNDONE: Final = "-"
"""Codes of a record beside those of its outcomes: it has an intent; it was left ambiguous; its intent came to
nothing."""


class Intent(Struct, array_like=True):
    """`digests` are 4 bytes a record, in order; `keys` the ids or unique values, None for creates without a key."""

    ordinals: list[int]
    keys: list[str] | None
    digests: bytes
    alone: bool = False


class Ack(Struct, array_like=True):
    """`codes` has a letter a record: c(reated), u(pdated), a(rchived), x (rejected), ? (ambiguous), - (not sent).

    `details`: ids of meetings, reasons, or why it is ambiguous.
    """

    ordinals: list[int]
    codes: str
    details: list[str | None]


class Note(Struct, array_like=True):
    """HubSpot's clock when the job began, as Unix seconds."""

    hubspot_began_at: float


class End(Struct, array_like=True):
    """How many records the source gave in all."""

    records: int


class Session(Struct, array_like=True):
    """A run of the job: its number from 1, and the ordinal of the first record that its source gives."""

    number: int
    first_ordinal: int
    began_at: float
    resume: Resume = "ordinal"


def pack(ordinals: Sequence[int]) -> list[int]:
    """Ordinals as they are written: a range as its start and its negative length."""
    first, count = ordinals[0], len(ordinals)
    # A batch may hold records out of order: those that waited for one of the same id, or a source in another order.
    if count > 1 and ordinals[-1] - first == count - 1 and list(ordinals) == list(range(first, first + count)):
        return [first, -count]
    return list(ordinals)


def unpack(packed: Sequence[int]) -> Sequence[int]:
    """The ordinals of `pack`."""
    if len(packed) == 2 and packed[1] < 0:
        return range(packed[0], packed[0] - packed[1])
    return packed


def digest(entry: Entry) -> int:
    """What a resumed run knows a record by: 32 bits of its key, or of all it holds."""
    return zlib.crc32(entry.content if entry.key is None else entry.key.encode("utf-8", "surrogatepass"))


_intents = msgspec.msgpack.Decoder(Intent)
_acks = msgspec.msgpack.Decoder(Ack)
_notes = msgspec.msgpack.Decoder(Note)
_sessions = msgspec.msgpack.Decoder(Session)
_ends = msgspec.msgpack.Decoder(End)


class Settled(NamedTuple):
    """A record of a journal: its code (see `Ack`; `i`: it left, and nothing is known of it), key and detail."""

    ordinal: int
    code: str
    key: str | None
    detail: str | None


class Past:
    """What earlier runs of a job left behind, for the run that goes on.

    `codes` has a byte a record (0: nothing is known). `crashes` counts, for records in doubt, the runs that sent them
    and died before they saw what became of them; `alone` are those that stood by themselves the last time.
    `next_ordinal` is beyond all that is known.
    """

    def __init__(self) -> None:
        self.codes = bytearray()
        self.digests = array("I")
        self.crashes: Counter[int] = Counter()
        self.alone: set[int] = set()
        self.sessions = 0
        self.began_at: float | None = None
        self.hubspot_began_at: float | None = None
        self.records: int | None = None
        self.keys: dict[int, int] = {}
        """Ordinals by the hash of their key, which takes half the memory of the key; `digests` tell two of one hash
        apart."""

    @property
    def next_ordinal(self) -> int:
        """The first ordinal that no row names."""
        return len(self.codes)

    @classmethod
    def read(cls, rows: Iterable[tuple[int, bytes]], *, with_keys: bool = False) -> Past:
        """Read a journal. `with_keys` also keeps the ordinal of each key: some 120 bytes a record."""
        past = cls()
        for kind, data in rows:
            if kind == INTENT:
                past._intent(_intents.decode(data), with_keys=with_keys)
            elif kind == ACK:
                past._ack(_acks.decode(data))
            elif kind == SESSION:
                session = _sessions.decode(data)
                past.sessions = session.number
                past.began_at = session.began_at if past.began_at is None else past.began_at
                past.records = None
            elif kind == NOTE and past.hubspot_began_at is None:
                past.hubspot_began_at = _notes.decode(data).hubspot_began_at
            elif kind == END:
                past.records = _ends.decode(data).records
        past._crashed(range(past.next_ordinal))
        return past

    def tally(self) -> dict[str, int]:
        """How many records have each code."""
        return {code: count for code in "cuax?i" if (count := self.codes.count(ord(code)))}

    def _intent(self, intent: Intent, *, with_keys: bool) -> None:
        ordinals = unpack(intent.ordinals)
        self._reach(ordinals)
        self._crashed(ordinals)
        digests = array("I", intent.digests)
        if isinstance(ordinals, range):
            self.codes[ordinals.start : ordinals.stop] = b"i" * len(ordinals)
            self.digests[ordinals.start : ordinals.stop] = digests
        else:
            for ordinal, known in zip(ordinals, digests, strict=True):
                self.codes[ordinal] = ord(IN_DOUBT)
                self.digests[ordinal] = known
        if with_keys and intent.keys is not None:
            self.keys.update(zip(map(hash, intent.keys), ordinals, strict=True))
        if intent.alone:
            self.alone.update(ordinals)
        else:
            self.alone.difference_update(ordinals)

    def _ack(self, ack: Ack) -> None:
        ordinals = unpack(ack.ordinals)
        self._reach(ordinals)
        codes = ack.codes.replace(UNDONE, "\0").encode("ascii")
        if isinstance(ordinals, range):
            self.codes[ordinals.start : ordinals.stop] = codes
        else:
            for ordinal, code in zip(ordinals, codes, strict=True):
                self.codes[ordinal] = code
        if self.crashes or self.alone:
            for ordinal, why in zip(ordinals, ack.details, strict=True):
                if why != "crash":
                    # The run lived to see what became of it.
                    self.crashes.pop(ordinal, None)
                    self.alone.discard(ordinal)

    def _crashed(self, ordinals: Sequence[int]) -> None:
        """Of these, a run has seen no end: those with an intent were on their way when it died."""
        if isinstance(ordinals, range):
            at = self.codes.find(b"i", ordinals.start, ordinals.stop)
            while at >= 0:
                self.crashes[at] += 1
                at = self.codes.find(b"i", at + 1, ordinals.stop)
        else:
            self.crashes.update(ordinal for ordinal in ordinals if self.codes[ordinal] == ord(IN_DOUBT))

    def _reach(self, ordinals: Sequence[int]) -> None:
        missing = (ordinals[-1] if isinstance(ordinals, range) else max(ordinals)) + 1 - len(self.codes)
        if missing > 0:
            self.codes.extend(bytes(missing))
            self.digests.extend([0] * missing)


def records(rows: Iterable[tuple[int, bytes]]) -> Iterator[Settled]:
    """Every record that the rows name, once, with the last that is known of it; in order of ordinals."""
    latest: dict[int, Settled] = {}
    for kind, data in rows:
        if kind == INTENT:
            intent = _intents.decode(data)
            keys: Sequence[str | None] = intent.keys or [None] * (len(intent.digests) // 4)
            for ordinal, key in zip(unpack(intent.ordinals), keys, strict=True):
                latest[ordinal] = Settled(ordinal, IN_DOUBT, key, None)
        elif kind == ACK:
            ack = _acks.decode(data)
            for ordinal, code, detail in zip(unpack(ack.ordinals), ack.codes, ack.details, strict=True):
                known = latest.get(ordinal)
                latest[ordinal] = Settled(ordinal, code, known.key if known is not None else None, detail)
    yield from (latest[ordinal] for ordinal in sorted(latest))

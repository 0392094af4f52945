"""The journal of a run: what must be durable before a batch leaves, and before its outcomes are told.

This module knows when which row is written, and which job a journal belongs to. It must not know HTTP, tasks, or how
rows are kept.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio.to_thread
import msgspec
from msgspec import Struct

from ...entries import Entry
from ...errors import ConfigurationError, HubSpotError, JournalMismatchError, RequestRejected
from ..outcomes import Ambiguous, Archived, Created, NotSent, Outcome, Rejected, Updated
from .rows import ACK, END, INTENT, NOTE, SESSION, UNDONE, Ack, End, Intent, Note, Past, Resume, Session, digest, pack

if TYPE_CHECKING:
    from .store import Durability, Store

__all__ = ["Job", "Journal", "JournalFile", "JournalPlace", "Resume", "journal_file"]

_encode: Final = msgspec.msgpack.Encoder().encode


class Job(Struct, frozen=True, kw_only=True):
    """What a journal belongs to. `portal` is the account, None where it could not be asked for."""

    operation: str
    mode: str
    key_property: str = ""
    host: str
    portal: str | None = None

    def meta(self) -> dict[str, str]:
        """As the journal keeps it."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}

    def need(self, meta: Mapping[str, str]) -> None:
        """Raises: JournalMismatchError when a journal's `meta` is of another job."""
        mine = self.meta()
        checked = ["operation", "mode", "key_property"]
        checked.append("portal" if "portal" in mine and "portal" in meta else "host")
        for name in checked:
            if mine.get(name, "") != meta.get(name, ""):
                raise JournalMismatchError(
                    f"this journal is of a job whose {name.replace('_', ' ')} is {meta.get(name, 'not set')!r}, and "
                    f"this run's is {mine.get(name, 'not set')!r}; nothing was sent. Each job has a journal of its own."
                )


class JournalPlace(Protocol):
    """Where a run finds its journal."""

    async def open(self, job: Job) -> Journal:
        """The journal of this job, new or to go on with. Raises: JournalError or one of its kinds."""
        ...


class JournalFile(Struct, frozen=True, kw_only=True):
    """Where a run keeps its journal, and how. `about` is kept with it, for people and for the command line."""

    path: str
    durability: Durability = "power"
    resume: Resume = "ordinal"
    about: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if self.durability not in ("power", "process", "none"):
            raise ConfigurationError(f"durability is power, process or none, not {self.durability!r}")
        if self.resume not in ("ordinal", "key"):
            raise ConfigurationError(f"resume is ordinal or key, not {self.resume!r}")

    async def open(self, job: Job) -> Journal:
        """Open or create it. Raises: JournalError or one of its kinds."""
        from .store import memory_store, open_store  # SQLite's import is for those who keep a journal

        meta = {**self.about, **job.meta()}

        def opened() -> tuple[Store, Past]:
            if self.durability == "none":
                return memory_store(meta), Past()
            store: Store = open_store(self.path, meta=meta, durability=self.durability)
            return store, Past.read(store.rows(), with_keys=self.resume == "key")

        store, past = await anyio.to_thread.run_sync(opened)
        try:
            if store.resumed:
                job.need(store.meta)
            return Journal(store, past, resume=self.resume)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await store.aclose()
            raise


class Journal:
    """Writes what a run does, in time. `past` is what earlier runs of the same job did."""

    def __init__(self, store: Store, past: Past, *, resume: Resume) -> None:
        self._store = store
        self._intended: set[int] = set()
        # Only the first run can tell when the job began; a later one's clock would call the first one's work foreign.
        self._noted = past.sessions > 0
        self.past = past
        self.resume: Resume = resume
        self.first_ordinal = 0 if resume == "ordinal" else past.next_ordinal

    async def begin(self) -> None:
        """A run begins. Raises: JournalError."""
        session = Session(self.past.sessions + 1, self.first_ordinal, time.time(), self.resume)
        await self._store.append(SESSION, _encode(session))

    async def intend(self, entries: Sequence[Entry], *, alone: bool) -> None:
        """These are about to leave; returns when that is durable. Raises: JournalError."""
        await self._intent(entries, alone=alone)

    def reopen(self, entries: Sequence[Entry]) -> None:
        """These were settled and will leave again. Taken at once, ahead of what follows. Raises: JournalError."""
        _ = self._intent(entries, alone=False)

    def _intent(self, entries: Sequence[Entry], *, alone: bool) -> Awaitable[None]:
        ordinals = [entry.ordinal for entry in entries]
        keys = None if entries[0].key is None else [entry.key or "" for entry in entries]
        digests = array("I", [digest(entry) for entry in entries]).tobytes()
        self._intended.update(ordinals)
        return self._store.append(INTENT, _encode(Intent(pack(ordinals), keys, digests, alone)))

    def ack(self, outcomes: Iterable[Outcome[Any, Any]]) -> Awaitable[None] | None:
        """These are settled. Taken at once; await what is returned for when it is durable. Raises: JournalError."""
        ordinals: list[int] = []
        codes: list[str] = []
        details: list[str | None] = []
        for outcome in sorted(outcomes, key=_ordinal):
            code, detail = _row(outcome)
            # A record that never left is left to the next run, but if an intent stands, that is taken back.
            if code != UNDONE or outcome.ordinal in self._intended:
                ordinals.append(outcome.ordinal)
                codes.append(code)
                details.append(detail)
        if not ordinals:
            return None
        self._intended.difference_update(ordinals)
        return self._store.append(ACK, _encode(Ack(pack(ordinals), "".join(codes), details)))

    def note(self, hubspot_began_at: float) -> None:
        """HubSpot's clock when the job began; kept once, with the next row."""
        if not self._noted:
            self._noted = True
            _ = self._store.append(NOTE, _encode(Note(hubspot_began_at)))

    def end(self, records: int) -> Awaitable[None]:
        """The source was read to its end, and all its records are settled."""
        return self._store.append(END, _encode(End(records)))

    def check(self) -> None:
        """Raises: JournalError when something could not be written."""
        self._store.check()

    async def aclose(self) -> None:
        """Write everything down and close the file. Raises: JournalError."""
        await self._store.aclose()


def _ordinal(outcome: Outcome[Any, Any]) -> int:
    return outcome.ordinal


def _row(outcome: Outcome[Any, Any]) -> tuple[str, str | None]:
    match outcome:
        case Created():
            return "c", outcome.id
        case Updated():
            return "u", outcome.id
        case Archived():
            return "a", None
        case Rejected(error=error):
            return "x", _reason(error)
        case Ambiguous(why=why):
            return "?", why
        case NotSent():
            return UNDONE, None
        case _:
            raise ConfigurationError("a read has no journal: reading again does no harm")


def _reason(error: HubSpotError) -> str:
    correlation_id = error.correlation_id if isinstance(error, RequestRejected) else None
    return f"{error.message} (correlation id {correlation_id})" if correlation_id else error.message


def journal_file(
    path: str | os.PathLike[str], *, durability: Durability, resume: Resume, about: Mapping[str, str] | None = None
) -> JournalFile:
    """A `JournalFile` from what a caller gave. Raises: ConfigurationError."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = ""
    if not text:
        raise ConfigurationError(f"journal= is the path of a file, not {path!r}")
    return JournalFile(path=text, durability=durability, resume=resume, about=about or {})

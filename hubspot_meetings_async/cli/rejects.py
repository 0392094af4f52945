"""The rejects file: every record that was not done, why, and in a form that can be pushed again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import msgspec

from ..bulk.lines import Broken
from ..bulk.outcomes import Ambiguous, NotSent, Rejected
from ..bulk.sources import Happening
from ..errors import ConfigurationError, printable
from ..inputs import Record

__all__ = ["Rejects", "free_name", "place_of"]

Place = tuple[int | None, str | None]


class _Record(msgspec.Struct, omit_defaults=True):
    """HubSpot's input shape."""

    id: str | int | None = None
    properties: Any = None
    associations: Any = ()


class _Line(msgspec.Struct, kw_only=True):
    line: int | None
    occurrence: str | msgspec.UnsetType = msgspec.UNSET
    outcome: str
    reason: str
    correlation_id: str | None = None
    record: _Record | None = None
    text: str | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


def free_name(source: str) -> Path:
    """Where the rejects of `source` go by default: beside it, and never over the rejects of an earlier run."""
    stem = "" if source == "-" else f"{source}."
    path = Path(f"{stem}rejects.jsonl")
    number = 1
    while path.exists():
        number += 1
        path = Path(f"{stem}rejects-{number}.jsonl")
    return path


class Rejects:
    """Writes the file when the first reject comes, readable for its owner only: it holds people's data.

    `going_on`: an earlier run of the same job may have begun it; what it has is not written again. `lines` are the
    lines of the source that are in it, with the occurrence where one line stands for several. `trouble` says why it
    could not be written; the run goes on, since stopping it would not make them fewer. Any thread may write: broken
    rows come from where the source is read.

    Raises: ConfigurationError when there is such a file of something else; OSError when it can not be read.
    """

    def __init__(self, path: Path, *, going_on: bool = False) -> None:
        self.lines: set[Place] = set()
        if path.is_file() and path.stat().st_size:
            if not going_on:
                raise ConfigurationError(f"{path} exists already; name another file with --rejects, or remove it")
            self.lines = _lines_in(path)
        self.path = path
        self.written = 0
        self.trouble: OSError | None = None
        self._file: BinaryIO | None = None
        self._writing = Lock()

    def broken(self, item: Broken) -> None:
        """Write down a row that is no record."""
        self._write(_Line(line=item.line, outcome="broken", reason=item.reason, text=item.text))

    def outcome(self, outcome: Rejected[Record] | Ambiguous[Record] | NotSent[Record]) -> None:
        """Write down what became of a record that was not done."""
        error = outcome.error
        words = [] if isinstance(outcome, Rejected) else [outcome.why]
        words += [str(error)] if error is not None else []
        if isinstance(outcome, Ambiguous) and outcome.ids:
            words.append(f"may be meeting {', '.join(outcome.ids)}")
        self.record(
            outcome.record,
            {Rejected: "rejected", Ambiguous: "ambiguous", NotSent: "not_sent"}[type(outcome)],
            ": ".join(words),
            getattr(error, "correlation_id", None),
        )

    def record(self, record: Record, outcome: str, reason: str, correlation_id: str | None = None) -> None:
        """Write down a record."""
        line, occurrence = place_of(record)
        kept = _Record(id=record.id, properties=record.properties, associations=tuple(record.associations))
        self._write(
            _Line(
                line=line,
                occurrence=occurrence or msgspec.UNSET,
                outcome=outcome,
                reason=printable(reason),
                correlation_id=printable(correlation_id) if correlation_id else None,
                record=kept,
            )
        )

    def _write(self, line: _Line) -> None:
        with self._writing:
            self._add(line)

    def _add(self, line: _Line) -> None:
        if self.trouble is not None or (line.line, line.occurrence or None) in self.lines:
            return
        try:
            if self._file is None:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self._file = os.fdopen(descriptor, "wb")
            self._file.write(_encode(line) + b"\n")
            # At once: what was written stays written, however this process ends.
            self._file.flush()
        except OSError as error:
            self.trouble = error
        else:
            self.written += 1

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()


def place_of(record: Record) -> Place:
    """Where a record comes from: its line, and which occurrence of a repeating event it is."""
    return (record.ref.line, record.ref.occurrence) if isinstance(record.ref, Happening) else (record.ref, None)


class _Place(msgspec.Struct):
    line: int | None = None
    occurrence: str | None = None


_place = msgspec.json.Decoder(_Place)


def _lines_in(path: Path) -> set[Place]:
    """Which lines of the source a rejects file holds; a last one that was cut off in the middle is taken out."""
    lines: set[Place] = set()
    whole_bytes = 0
    with path.open("r+b") as file:
        for text in file:
            if not text.endswith(b"\n"):
                file.truncate(whole_bytes)
                break
            whole_bytes += len(text)
            with suppress(msgspec.MsgspecError):  # somebody has written into it
                place = _place.decode(text)
                if place.line is not None:
                    lines.add((place.line, place.occurrence))
    return lines

"""`hubspot-meetings export`: every record that a journal knows, a line each, and what became of it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Generator, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from ..bulk.journal.reading import OUTCOMES, OutcomeName, Reading, reading
from ..bulk.lines import Broken
from ..bulk.sources import line_of
from ..errors import ConfigurationError, JournalError
from .exits import BROKEN_OFF, DONE, USAGE, told
from .terminal import say
from .wanted import Wanted

__all__ = ["export"]


class ExportFormat(StrEnum):
    """What `--format` takes."""

    jsonl = "jsonl"
    csv = "csv"


class _Line(msgspec.Struct):
    """A record: its place in the source from 0, its line there if it is known, and what became of it."""

    ordinal: int
    line: int | None
    outcome: OutcomeName
    key: str | None
    id: str | None
    reason: str | None


def export(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="FILE.journal, or what --journal named.")],
    only: Annotated[
        str | None,
        typer.Option(metavar="OUTCOMES", help=f"Some of these, with commas: {', '.join(OUTCOMES)}."),
    ] = None,
    format: Annotated[ExportFormat, typer.Option(help="How it is written.")] = ExportFormat.jsonl,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file; otherwise standard output.")
    ] = None,
) -> None:
    """List the records of a push, and what became of each.

    Each line has its ordinal (its place in the source, from 0), the line where it stands (if the source is as it was),
    its key or id, the outcome, the id of its meeting, and why it was rejected or is ambiguous. Needs no token and no
    network. Records that no run has come to are in no journal; the source has them.
    """
    try:
        wanted = _outcomes(only)
        with reading(journal) as found, _opened(output) as file:
            lines = _lines(found, wanted)
            written = _write_csv(file, lines) if format is ExportFormat.csv else _write_jsonl(file, lines)
            ended = found.records is not None
    except BrokenPipeError:
        # Whoever reads has seen enough. The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(DONE) from None
    except (ConfigurationError, OSError) as error:
        say(f"hubspot-meetings export: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    except JournalError as error:
        say(f"hubspot-meetings export: {told(error)}", style="red")
        raise typer.Exit(BROKEN_OFF) from None
    more = "" if ended else " The push has not come to its end: the source may have more."
    say(f"{written:,} records.{more}")


def _outcomes(only: str | None) -> list[OutcomeName]:
    if only is None:
        return list(OUTCOMES)
    names = [name.strip() for name in only.split(",")]
    chosen: list[OutcomeName] = [name for name in OUTCOMES if name in names]
    if len(chosen) != len(set(names)):
        raise ConfigurationError(f"--only takes {', '.join(OUTCOMES)}, with commas between them, not {only!r}")
    return chosen


@contextlib.contextmanager
def _opened(output: Path | None) -> Generator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{output} exists already; name another file with -o, or remove it") from None
    with os.fdopen(descriptor, "wb") as file:
        yield file


def _lines(found: Reading, outcomes: list[OutcomeName]) -> Iterator[_Line]:
    with contextlib.closing(_places(Wanted.of(found.meta))) as places:
        at, line = -1, None
        for known in found.of(outcomes):
            while at < known.ordinal:
                at, line = at + 1, next(places)
            yield _Line(known.ordinal, line, known.outcome, known.key, known.id, known.reason)


def _places(wanted: Wanted | None) -> Generator[int | None]:
    """The line of each record of the source, in order; None without end where that is not known (any more)."""
    if wanted is not None and not wanted.piped and Path(wanted.file).exists() and wanted.changed() is None:
        # One that can be read in part only (a packed one that was cut off) tells in part.
        with contextlib.suppress(OSError), wanted.source(quiet=True) as source:
            for item in source:
                if not isinstance(item, Broken) and line_of(item) >= wanted.from_line:
                    yield line_of(item)
    while True:
        yield None


def _write_jsonl(file: BinaryIO, lines: Iterator[_Line]) -> int:
    encode = msgspec.json.Encoder().encode
    written = 0
    for line in lines:
        file.write(encode(line) + b"\n")
        written += 1
    return written


def _write_csv(file: BinaryIO, lines: Iterator[_Line]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(_Line.__struct_fields__)
        written = 0
        for line in lines:
            writer.writerow(msgspec.structs.astuple(line))
            written += 1
        return written
    finally:
        text.detach()

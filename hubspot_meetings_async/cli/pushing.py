"""One run from a source to HubSpot: every row ends in the account, and in the rejects file if it was not done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from ..bulk.engine import Run
from ..bulk.lines import Broken
from ..bulk.outcomes import Ambiguous, NotSent, Outcome, Rejected, Report
from ..bulk.sources import Source
from ..client import MeetingsClient
from ..inputs import Record
from .feeding import Piped
from .interruption import Interruption
from .progress import Meter, Reading
from .rejects import Rejects

__all__ = ["Account", "Items", "Start", "line_count", "push"]

Items = Iterable[Record] | Iterator[Record] | AsyncIterator[Record]
Start = Callable[[MeetingsClient, Items], Run[Record]]
"""Begins the run: one of the calls of `client.bulk`."""


class Account(msgspec.Struct, kw_only=True):
    """What became of every row of a source.

    `lines` read; of the rows on them `blank` had no content, `broken` were no records, `skipped` were not wanted, and
    the rest are in `report`. `began_at` and `ended_at` are when the run began and when the source had no more, on the
    loop's clock; None for `ended_at` says that it was not read to its end. `signal` and `failure` say what broke the
    run off.
    """

    report: Report
    lines: int = 0
    blank: int = 0
    broken: int = 0
    skipped: int = 0
    began_at: float = 0.0
    ended_at: float | None = None
    signal: int | None = None
    failure: BaseException | None = None

    @property
    def left(self) -> int:
        """Rows that were not done."""
        return self.broken + self.report.rejected + self.report.ambiguous + self.report.not_sent


class _Rows:
    """Hands the records of a source to the engine, and keeps what is none."""

    def __init__(self, source: Source, rejects: Rejects, *, from_line: int, account: Account) -> None:
        self._source = source
        self._rejects = rejects
        self._from_line = from_line
        self._account = account
        self._piped: Piped | None = None

    def plain(self) -> Iterator[Record]:
        """Read here and now, as a file on a disk allows."""
        for item in self._source:
            if self._wanted(item) and isinstance(item, Record):
                yield item
        self._account.ended_at = asyncio.get_running_loop().time()

    async def piped(self) -> AsyncIterator[Record]:
        """Read in a thread, as whoever waits for somebody's typing must."""
        self._piped = Piped(iter(self._source))
        async for item in self._piped:
            if self._wanted(item) and isinstance(item, Record):
                yield item
        self._account.ended_at = asyncio.get_running_loop().time()

    def _wanted(self, item: Record | Broken) -> bool:
        line = item.line if isinstance(item, Broken) else item.ref
        if line < self._from_line:
            self._account.skipped += 1
            return False
        if isinstance(item, Broken):
            self._account.broken += 1
            self._rejects.broken(item)
        return True

    def leftover(self) -> int:
        """Write down what was read from a pipe and not taken; returns how many records that were."""
        records = 0
        for item in self._piped.left() if self._piped is not None else ():
            if self._wanted(item) and isinstance(item, Record):
                self._rejects.record(item, "not_sent", "stopped before its turn")
                records += 1
        return records


async def push(
    client: MeetingsClient,
    start: Start,
    source: Source,
    rejects: Rejects,
    *,
    label: str,
    console: Console,
    from_line: int = 1,
    total_lines: int | None = None,
    bar: bool = True,
    lines: bool = False,
) -> Account:
    """Push a source to its end, to Ctrl-C, or to what makes going on useless; the account tells which.

    `total_lines` of the source, where they are known, let the progress bar tell the time left. `bar` and `lines` say
    how progress may be shown: as a bar on a terminal, as lines elsewhere.
    """
    account = Account(report=Report(operation=""), began_at=asyncio.get_running_loop().time())
    rows = _Rows(source, rejects, from_line=from_line, account=account)
    with Interruption() as interruption:
        run = start(client, rows.piped() if total_lines is None else rows.plain())

        def reading() -> Reading:
            quota = client.quota
            return Reading(
                report=run.report,
                total=_total(source, total_lines, from_line, account),
                quota_in_use=quota.in_use,
                quota_limit=quota.limit,
            )

        try:
            with Meter(label, console, reading, bar=bar, lines=lines):
                async with run:
                    async for outcome in run:
                        _keep(rejects, outcome)
        except Exception as error:  # noqa: BLE001 - whatever ended the run, its account is printed
            account.failure = error
        finally:
            for outcome in run.unread:
                _keep(rejects, outcome)
            account.report = run.report
            unsent = rows.leftover()
            account.report.pulled += unsent
            account.report.not_sent += unsent
    account.signal = interruption.signal
    account.lines, account.blank = source.line, source.blank
    return account


def _keep(rejects: Rejects, outcome: Outcome[Record]) -> None:
    if isinstance(outcome, (Rejected, Ambiguous, NotSent)):
        rejects.outcome(outcome)


def _total(source: Source, total_lines: int | None, from_line: int, account: Account) -> int | None:
    """Records the source will have given, as far as its lines tell: some are blank, some records take several."""
    if total_lines is None or source.line <= from_line:
        return None
    records = source.rows - account.broken - account.skipped
    share = records / (source.line - from_line + 1)
    return records if account.ended_at is not None else max(records, round((total_lines - from_line + 1) * share))


def line_count(path: Path) -> int | None:
    """How many lines a file has; None for what is no plain file (a pipe, a packed file)."""
    if not path.is_file() or path.suffix == ".gz":
        return None
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            lines += block.count(b"\n")
            last = block
    return lines + (not last.endswith(b"\n"))

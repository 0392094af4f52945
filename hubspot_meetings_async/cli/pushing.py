"""One run from a source to HubSpot: every row ends in the account, and in the rejects file if it was not done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from ..bulk.engine import Run
from ..bulk.journal.reading import Known, OutcomeName, Reading
from ..bulk.lines import Broken
from ..bulk.outcomes import Ambiguous, NotSent, Outcome, Rejected, Report
from ..bulk.sources import Source, line_of
from ..calendars import AttendeeReport, Attendees
from ..client import MeetingsClient
from ..errors import JournalMismatchError
from ..inputs import Record
from .feeding import Piped
from .interruption import GRACE_S, Interruption
from .progress import Meter
from .progress import Reading as Gauge
from .rejects import Rejects, place_of

__all__ = ["Account", "Earlier", "Items", "Start", "line_count", "push"]

Items = Iterable[Record] | Iterator[Record] | AsyncIterator[Record]
Start = Callable[[MeetingsClient, Items], Run[Record]]
"""Begins the run: one of the calls of `client.bulk`."""


class Earlier(msgspec.Struct, kw_only=True):
    """What the journal knew before this run. `final` are the records not done that no run tries again, by ordinal."""

    tally: dict[OutcomeName, int]
    final: dict[int, Known]

    @classmethod
    def of(cls, journal: Reading) -> Earlier:
        """Read it off."""
        final: list[OutcomeName] = ["rejected"]
        if journal.meta.get("mode") == "hold":
            final.append("ambiguous")
        return cls(tally=journal.tally(), final={known.ordinal: known for known in journal.of(final)})


class Account(msgspec.Struct, kw_only=True):
    """What became of every row of a source.

    `lines` read; of the rows on them `blank` had no content, `broken` were no records, `skipped` were not wanted, and
    the rest are in `report`. `left_before` are records that earlier runs with the same journal settled and did not do,
    by outcome. `began_at` and `ended_at` are when the run began and when the source had no more, on the clock of
    `time.monotonic()`; None for `ended_at` says that it was not read to its end. `signal` and `failure` say what broke
    the run off. `attendees`: what became of a calendar's people; None where nobody was looked for.
    """

    report: Report
    left_before: Counter[OutcomeName] = msgspec.field(default_factory=Counter[OutcomeName])
    lines: int = 0
    blank: int = 0
    broken: int = 0
    skipped: int = 0
    began_at: float = 0.0
    ended_at: float | None = None
    signal: int | None = None
    failure: BaseException | None = None
    attendees: AttendeeReport | None = None

    @property
    def left(self) -> int:
        """Rows that were not done, by this run or an earlier one."""
        report = self.report
        failed = self.attendees.failed if self.attendees is not None else 0
        return self.left_before.total() + self.broken + report.rejected + report.ambiguous + report.not_sent + failed


class _Rows:
    """Hands the records of a source to the engine, and keeps what is none. It may be read in a thread."""

    def __init__(
        self,
        source: Source,
        rejects: Rejects,
        *,
        from_line: int,
        account: Account,
        final: Mapping[int, Known],
        attendees: Attendees | None = None,
    ) -> None:
        self._source = source
        self._rejects = rejects
        self._from_line = from_line
        self._account = account
        self._final = final
        self._attendees = attendees
        self._given = 0
        self._owed: list[tuple[Record, Known]] = []
        self._piped: Piped | None = None

    def plain(self) -> Iterator[Record]:
        """Read one after the other, as a file on a disk allows."""
        for item in self._source:
            if self._wanted(item) and isinstance(item, Record):
                yield self._counted(item)
        self._account.ended_at = time.monotonic()

    async def piped(self) -> AsyncIterator[Record]:
        """Read in a thread, as whoever waits for somebody's typing must."""
        self._piped = Piped(iter(self._source))
        async for item in self._piped:
            if self._wanted(item) and isinstance(item, Record):
                yield self._counted(item)
        self._account.ended_at = time.monotonic()

    def _counted(self, record: Record) -> Record:
        """Count it as the engine will, and see whether an earlier run died before it could name it as not done."""
        known = self._final.get(self._given)
        if known is not None:
            self._account.left_before[known.outcome] += 1
            if place_of(record) not in self._rejects.lines:
                self._owed.append((record, known))
        self._given += 1
        return record if self._attendees is None else self._attendees.expect(record)

    def _wanted(self, item: Record | Broken) -> bool:
        if line_of(item) < self._from_line:
            self._account.skipped += 1
            return False
        if isinstance(item, Broken):
            self._account.broken += 1
            self._rejects.broken(item)
        return True

    def leftover(self, *, named: bool) -> int:
        """Count what was read from a pipe and not taken; `named`: and write it down."""
        records = 0
        for item in self._piped.left() if self._piped is not None else ():
            if self._wanted(item) and isinstance(item, Record):
                if named:
                    self._rejects.record(item, "not_sent", "stopped before its turn")
                records += 1
        return records

    def pay(self) -> None:
        """Write down what earlier runs did not come to write down."""
        for record, known in self._owed:
            self._rejects.record(record, known.outcome, known.reason or "")


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
    earlier: Earlier | None = None,
    again: Collection[type] = (),
    prepare: Callable[[], Awaitable[None]] | None = None,
    attendees: Attendees | None = None,
) -> Account:
    """Push a source to its end, to Ctrl-C, or to what makes going on useless; the account tells which.

    `total_lines` of the source, where they are known, let the progress bar tell the time left. `bar` and `lines` say
    how progress may be shown: as a bar on a terminal, as lines elsewhere. `again` are outcomes that are no rejects,
    since the next run of the job tries those records again. `prepare` is awaited before anything is sent; `attendees`
    are linked as the records get done, and at the end.
    """
    account = Account(report=Report(operation=""), began_at=time.monotonic())
    final = earlier.final if earlier is not None else {}
    rows = _Rows(source, rejects, from_line=from_line, account=account, final=final, attendees=attendees)
    run = start(client, rows.piped() if total_lines is None else rows.plain())

    def stop() -> None:
        run.stop()
        console.print(
            f"Stopping: what is under way is finished first, {GRACE_S:g} s at most. Ctrl-C again ends at once.",
            style="yellow",
            soft_wrap=not console.is_terminal,
        )

    def gauge() -> Gauge:
        quota = client.quota
        return Gauge(
            report=run.report,
            total=_total(source, total_lines, from_line, account),
            ended=account.ended_at is not None,
            quota_in_use=quota.in_use,
            quota_limit=quota.limit,
        )

    def keep(outcome: Outcome[Record]) -> None:
        if isinstance(outcome, (Rejected, Ambiguous, NotSent)) and type(outcome) not in again:
            rejects.outcome(outcome)

    with Interruption() as interruption:
        try:
            if prepare is not None:
                await prepare()
            with Meter(label, console, gauge, bar=bar, lines=lines):
                async with run:
                    interruption.stop = stop
                    async for outcome in run:
                        keep(outcome)
                        if attendees is not None:
                            await attendees.note(outcome)
            if attendees is not None and interruption.signal is None:
                account.attendees = await attendees.link()
        except Exception as error:  # noqa: BLE001 - whatever ended the run, its account is printed
            account.failure = error
        finally:
            for outcome in run.unread:
                keep(outcome)
            account.report = run.report
            unsent = rows.leftover(named=NotSent not in again)
            account.report.pulled += unsent
            account.report.not_sent += unsent
            if not isinstance(account.failure, JournalMismatchError):
                rows.pay()
    account.signal = interruption.signal
    account.lines, account.blank = source.line, source.blank
    return account


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

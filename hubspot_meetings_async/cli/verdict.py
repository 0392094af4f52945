"""What the demo found: figures, whether they add up, and the table that says so."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .checking import Check
from .dataset import KEY
from .pushing import Account
from .witness import Stats

__all__ = ["Verdict", "show"]


class Verdict(msgspec.Struct, kw_only=True):
    """Everything the demo knows at its end. `lines` are records of the file, `meetings` the different ones of them."""

    meetings: int
    seed: int
    lines: int
    pushed: Account
    back: Account
    check: Check
    stats: Stats
    duplicates: int
    quota_use: float | None
    quota_refused: float | None = None
    """The part of `quota_use` that went to requests which a fault answered 429."""

    @property
    def signal(self) -> int | None:
        """The signal that stopped it, if one did."""
        return self.pushed.signal if self.pushed.signal is not None else self.back.signal

    @property
    def failures(self) -> list[BaseException]:
        """What broke a run off."""
        return [account.failure for account in (self.pushed, self.back) if account.failure is not None]

    @property
    def pushed_all(self) -> bool:
        """Whether every record of the file was done."""
        report = self.pushed.report
        return report.adds_up and report.done == report.pulled == self.lines and self.pushed.left == 0

    @property
    def stored_once(self) -> bool:
        """Whether HubSpot has every meeting once, by its own count."""
        return self.stats.records.stored == self.meetings and self.duplicates == 0

    @property
    def kept_the_quota(self) -> bool:
        """Whether no request was refused but by an injected fault."""
        return self.stats.rate_limited.genuine == 0

    @property
    def adds_up(self) -> bool:
        """Whether all of it adds up."""
        return self.pushed_all and self.check.adds_up and self.stored_once and self.kept_the_quota

    def figures(self) -> dict[str, Any]:
        """The figures, for programs."""
        push, back, stats = self.pushed.report, self.back.report, self.stats
        return {
            "adds_up": self.adds_up,
            "meetings": self.meetings,
            "seed": self.seed,
            "pulled": push.pulled,
            "created": push.created,
            "updated": push.updated,
            "rejected": push.rejected,
            "ambiguous": push.ambiguous,
            "not_sent": push.not_sent,
            "read_back": self.check.found,
            "values_compared": self.check.values,
            "values_different": self.check.different,
            "lost": len(self.check.missing),
            "duplicated": self.duplicates + self.check.twice,
            "stored": stats.records.stored,
            "requests": stats.requests,
            "retries": push.retries + back.retries,
            "rate_limited": {"genuine": stats.rate_limited.genuine, "injected": stats.rate_limited.injected},
            "faults": stats.faults,
            "limit": stats.limit,
            "most_in_window": stats.most_in_window,
            "quota_use": self.quota_use,
            "quota_refused": self.quota_refused,
            "seconds": {"push": push.seconds, "read_back": back.seconds},
            "differences": self.check.differences,
        }


def show(verdict: Verdict, console: Console) -> None:
    """Print the account, a line a question, and the answer to all of them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=2, justify="right")
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for fine, name, words in _lines(verdict):
        mark = Text("") if fine is None else Text("ok", "green") if fine else Text("!!", "bold red")
        table.add_row(mark, name, words)
    console.print()
    console.print(table)
    for one in verdict.check.differences:
        console.print(f"     {one.key} {one.name}: pushed {one.pushed!r}, found {one.found!r}", markup=False)
    console.print()
    if verdict.signal is not None or verdict.failures:
        console.print("It did not come to its end; nothing can be said about the rest.", style="bold yellow")
    elif verdict.adds_up:
        console.print("Everything adds up.", style="bold green")
    else:
        console.print("It does not add up.", style="bold red")


def _lines(verdict: Verdict) -> list[tuple[bool | None, str, str]]:
    push, back, check, stats = verdict.pushed.report, verdict.back.report, verdict.check, verdict.stats
    limited = stats.rate_limited
    again = verdict.lines - verdict.meetings
    faults = " · ".join(f"{name} × {number}" for name, number in sorted(stats.faults.items())) or "none"
    rate = (push.settled + back.settled) / max(push.seconds + back.seconds, 0.001)
    pushed = (
        f"{push.pulled:,} records = {push.created:,} created + {push.updated:,} updated + {push.rejected:,} rejected "
        f"+ {push.ambiguous:,} ambiguous + {push.not_sent:,} not sent"
    )
    # What HubSpot created and did not get to say so was found there when it was sent again.
    unheard = stats.records.created - push.created
    updates = f"{again:,} meetings moved to another day"
    if unheard > 0:
        updates += f"; {unheard:,} had been created by requests whose answers were lost"
    read_back = (
        f"{check.found:,} meetings, {check.values:,} values compared: {len(check.missing):,} lost, "
        f"{check.different:,} different, {check.twice + check.unknown:,} too many"
    )
    if not back.pulled:
        read_back = "not begun"
    stored = f"{stats.records.stored:,} meetings stored, {verdict.duplicates:,} duplicates of a {KEY}"
    use = "run too short to tell" if verdict.quota_use is None else f"{verdict.quota_use:.1%} used in steady state"
    if verdict.quota_refused:
        use += f" ({verdict.quota_refused:.1%} by requests that a fault answered 429)"
    time = (
        f"{push.seconds + back.seconds:.1f} s (push {push.seconds:.1f}, read back {back.seconds:.1f}), "
        f"{rate:,.0f} records/s in {stats.requests:,} requests"
    )
    return [
        (verdict.pushed_all, "pushed", pushed),
        (None, "  the updates", updates),
        (check.adds_up, "read back", read_back),
        (verdict.stored_once, "HubSpot says", stored),
        (verdict.kept_the_quota, "429s", f"{limited.genuine:,} because of the quota, {limited.injected:,} injected"),
        (None, "faults injected", f"{faults}; survived by {push.retries + back.retries:,} retries"),
        (
            None,
            "quota",
            f"{use}; at most {stats.most_in_window:,} of {stats.limit:,} requests in any {stats.window_s:g} s",
        ),
        (None, "time", time),
    ]

"""A run while it goes on: a bar on a terminal; elsewhere nothing, or a line now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from ..bulk.outcomes import Report

__all__ = ["Meter", "Reading"]

_EVERY_S = 0.1
_LINES_EVERY_S = 3.0


class Reading(msgspec.Struct):
    """What the meter shows: the account so far, how many records there will be, and the state of the quota.

    `ended`: the source has no more.
    """

    report: Report
    total: int | None = None
    ended: bool = True
    quota_in_use: int = 0
    quota_limit: int = 0

    @property
    def settled(self) -> int:
        """Records whose outcome is known, now or from an earlier run."""
        return self.report.settled + self.report.settled_before


class _Bar(Progress):
    """A bar with a line of figures under it, which stays readable on 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.figures, style="dim", no_wrap=True, overflow="ellipsis")


class Meter:
    """Shows `reading()` ten times a second while the block lasts, from within the event loop.

    On a terminal it is a bar. Elsewhere it is silent, or, with `lines`, says a line every three seconds.
    """

    def __init__(
        self, label: str, console: Console, reading: Callable[[], Reading], *, bar: bool = True, lines: bool = False
    ) -> None:
        self._label = label
        self._console = console
        self._reading = reading
        self._lines = lines and not console.is_terminal
        self._said_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._bar = _Bar(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            console=console,
            auto_refresh=False,
            disable=not (bar and console.is_terminal),
            expand=True,
        )
        self._task = self._bar.add_task(label, total=None)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._said_at = self._loop.time()
        self._bar.start()
        self._tick()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        reading = self._reading()
        if error is None and reading.ended:
            reading.total = reading.settled
        self._show(reading)
        self._bar.stop()

    def _tick(self) -> None:
        reading = self._reading()
        self._show(reading)
        if self._lines and self._loop.time() - self._said_at >= _LINES_EVERY_S:
            self._said_at = self._loop.time()
            of = f" of {reading.total:,}" if reading.total else ""
            self._console.print(f"{self._label}: {reading.settled:,}{of}, {figures(reading)}", soft_wrap=True)
        self._timer = self._loop.call_later(_EVERY_S, self._tick)

    def _show(self, reading: Reading) -> None:
        if self._bar.disable:
            return
        self._bar.figures = figures(reading)
        self._bar.update(self._task, completed=reading.settled, total=reading.total)
        self._bar.refresh()


def figures(reading: Reading) -> str:
    """The figures of one moment, in a line."""
    report = reading.report
    left = _seconds_left(reading)
    words = [_clock(report.seconds) + (f", {_clock(left)} left" if left is not None else "")]
    words.append(f"{report.records_per_second:,.0f} records/s")
    if reading.quota_limit:
        words.append(f"quota {reading.quota_in_use}/{reading.quota_limit}")
    words.append(f"{report.retries:,} {'retry' if report.retries == 1 else 'retries'}")
    words.append(f"{report.rate_limited:,} × 429")
    return " · ".join(words)


def _seconds_left(reading: Reading) -> float | None:
    speed = reading.report.records_per_second
    if reading.total is None or speed <= 0 or reading.report.seconds < 1:
        return None
    return max(reading.total - reading.settled, 0) / speed


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

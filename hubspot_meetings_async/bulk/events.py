"""What the client tells about a run: one frozen Struct for each thing that happens to it.

This module knows what is told of a run, and the log lines of it. It must not know who listens, tasks, HTTP, or how a
run works. No event holds a token, a body or a record.

A bulk run is told as `RunStarted`, a `BatchSettled` for each group of records that got their outcomes together,
`RunPaused` and `RunResumed` where it waits for HubSpot to take calls again (`wait_for_reset`), and `RunEnded`. A
micro-batch is told as a run of one batch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct, structs

from ..errors import HubSpotError
from ..telemetry import listener
from .outcomes import COUNTERS, Outcome, Report

__all__ = [
    "BatchSettled",
    "OnRunEvent",
    "RunEnded",
    "RunEvent",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "RunWatch",
    "watch",
]

Kind = Literal["bulk", "micro_batch"]

_log: Final = logging.getLogger("hubspot_meetings_async")

_LEVELS: Final[Mapping[Kind, int]] = {"bulk": logging.INFO, "micro_batch": logging.DEBUG}
"""There are as many micro-batches as requests: what is worth a line of a bulk run is detail there."""


class _OfARun(Struct, frozen=True, kw_only=True):
    """`run_id` tells runs apart, here, in attempts and in log lines; `Run.id` is the same. `at_ns` is Unix time."""

    run_id: str
    kind: Kind
    operation: str
    at_ns: int


class RunStarted(_OfARun, frozen=True, kw_only=True):
    """A run began. `resumed`: it goes on with the journal of an earlier one."""

    resumed: bool = False


class BatchSettled(_OfARun, frozen=True, kw_only=True):
    """Records got their outcomes together. `records` counts them: `{"created": 99, "rejected": 1}`."""

    records: Mapping[str, int]


class RunPaused(_OfARun, frozen=True, kw_only=True):
    """A run sleeps for `wait_s` seconds, since HubSpot takes no calls until then; `error` is what it said."""

    error: HubSpotError
    wait_s: float


class RunResumed(_OfARun, frozen=True, kw_only=True):
    """A run that slept tries again."""


class RunEnded(_OfARun, frozen=True, kw_only=True):
    """A run is over. `report` is its account without the `problems`, which hold records.

    `error` is what ended it early, where something did: HubSpot's refusal, an error of the source or of your own block,
    a cancellation.
    """

    report: Report
    error: BaseException | None = None


RunEvent = RunStarted | BatchSettled | RunPaused | RunResumed | RunEnded
"""One thing that happened to a run."""

OnRunEvent = Callable[[RunEvent], None]
"""Called in the event loop; it must not block. What it raises is logged, and changes nothing."""


class RunWatch:
    """Tells of one run."""

    def __init__(self, on: OnRunEvent | None, *, run_id: str, kind: Kind, operation: str) -> None:
        self._on = None if on is None else listener(on)
        self._run_id = run_id
        self._kind: Kind = kind
        self._operation = operation
        self._paused = False
        self._level = _LEVELS[kind]

    def started(self, *, resumed: bool = False) -> None:
        """It has begun; nothing was sent yet."""
        self._say(self._level, "%s %s began%s", " where an earlier one ended" if resumed else "")
        self._tell(RunStarted, resumed=resumed)

    def settled(self, outcomes: Iterable[Outcome[Any, Any]]) -> None:
        """These have their outcomes."""
        if self._on is not None:
            tally = Counter(map(type, outcomes))
            self._tell(BatchSettled, records={COUNTERS[kind]: number for kind, number in tally.items()})

    def paused(self, error: HubSpotError, wait_s: float) -> None:
        """It sleeps; said once for all of its batches."""
        if not self._paused:
            self._paused = True
            self._say(logging.WARNING, "%s %s sleeps for %.0f s: %s", wait_s, str(error))
            self._tell(RunPaused, error=error, wait_s=wait_s)

    def resumed(self) -> None:
        """It is awake, if it slept."""
        if self._paused:
            self._paused = False
            self._say(logging.INFO, "%s %s goes on")
            self._tell(RunResumed)

    def ended(self, report: Report, error: BaseException | None) -> None:
        """It is over."""
        why = "" if error is None else f", ended by {type(error).__name__}"
        # As words: a handler that keeps the arguments of a line would keep the report's problems, with their records.
        self._say(self._level, "%s %s ended: %s%s", str(report), why)
        self._tell(RunEnded, report=structs.replace(report, problems=()), error=error)

    def _say(self, level: int, words: str, *more: object) -> None:
        _log.log(
            level,
            words,
            self._kind.replace("_", "-"),
            self._operation,
            *more,
            extra={"run_id": self._run_id, "operation": self._operation},
        )

    def _tell(self, kind: Callable[..., RunEvent], **details: Any) -> None:
        if self._on is not None:
            self._on(
                kind(run_id=self._run_id, kind=self._kind, operation=self._operation, at_ns=time.time_ns(), **details)
            )


def watch(on: OnRunEvent | None, *, run_id: str, kind: Kind, operation: str) -> RunWatch | None:
    """Who tells of a run; None when nobody would hear it."""
    if on is None and not _log.isEnabledFor(_LEVELS[kind]):
        return None
    return RunWatch(on, run_id=run_id, kind=kind, operation=operation)

"""Ctrl-C: the first ends the run in good order, within five seconds; the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

__all__ = ["GRACE_S", "Interruption"]

GRACE_S: Final = 5.0
"""Seconds that what is under way has to finish. Whoever stops a service kills it after ten, mostly."""

_SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """While the block lasts, SIGINT or SIGTERM ends it; `signal` is its number afterwards.

    The current task is cancelled, at once or, once `stop` is set, if calling that has not ended the block within
    `GRACE_S`.
    """

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._task = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.signal is not None and isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return True
        return False

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
                sys.stderr.flush()
            os._exit(128 + number)
        self.signal = number
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self.stop is None or self._task is None:
            self._cancel()
        else:
            self.stop()
            self._loop.call_later(GRACE_S, self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:  # the block may have ended meanwhile
            self._task.cancel()

"""How long a caller has: a deadline that every call awaited in a block shares.

This module knows moments on the loop's clock, and the context of a task. It must not know calls, or what they wait for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from ..errors import ConfigurationError
from ..settings import need_seconds

__all__ = ["Deadline", "deadline_at", "forget_deadline"]

_deadline_at: Final[ContextVar[float]] = ContextVar("hubspot_meetings_async_deadline", default=math.inf)


deadline_at: Final[Callable[[], float]] = _deadline_at.get
"""When the calls of this context must be done, on the loop's clock; infinity where nobody said."""


def forget_deadline() -> None:
    """Nothing bounds the running task from here on, nor those it starts: it works for others too."""
    _deadline_at.set(math.inf)


class Deadline:
    """Every call awaited in this `with` block, and in tasks started in it, has to be done within `seconds` from here.

    Of a micro-batch: every call made in it.

    Within another one the earlier end counts. Nothing is cancelled but calls of this library.
    """

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: float) -> None:
        need_seconds("a deadline", seconds)
        self._seconds = seconds
        self._before: Token[float] | None = None

    def __enter__(self) -> Self:
        if self._before is not None:
            raise ConfigurationError("a deadline is for one block; call hubspot.deadline(…) again for another")
        try:
            now = asyncio.get_running_loop().time()
        except RuntimeError:
            raise ConfigurationError("a deadline is for calls, which are awaited: enter it in a coroutine") from None
        self._before = _deadline_at.set(min(now + self._seconds, _deadline_at.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            try:
                _deadline_at.reset(self._before)
            except ValueError:
                # A generator that is thrown away ends in another context, whose deadline is not this one.
                return

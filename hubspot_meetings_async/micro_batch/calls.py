"""What a call hands to its task: a future that may be used wherever a coroutine may.

This module knows the protocols of asyncio. It must not know queues, batches, or what becomes of a call.

`asyncio.gather` takes a future as it is, and makes a task around each coroutine, which costs as much as all else of a
call in a batch. `create_task` and its like take coroutines only, and so each call is one of these, too.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from msgspec import Struct

from ..models import Meeting, read_as

__all__ = ["Call", "CallInto", "awaited", "failed"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Call(asyncio.Future[T], Coroutine[Any, Any, T]):
    """What a call gives: await it, gather it, make a task of it. It is on its way already.

    `since` is when it was made, on the loop's clock; `on_cancel` hears when nobody waits for it any more.
    """

    __slots__ = ("_iterator", "on_cancel", "since")

    _iterator: Generator[Any, None, T]
    on_cancel: Callable[[Call[Any]], None]
    since: float

    def cancel(self, msg: Any | None = None) -> bool:
        """Wait no longer; what has not been sent will not be."""
        if not super().cancel(msg):
            return False
        self.on_cancel(self)
        return True

    # ---- as a coroutine, for a task that was made of it

    def send(self, value: None, /) -> Any:
        """The next step."""
        return self._steps().send(value)

    def throw(self, *error: Any) -> Any:
        """The task is cancelled, maybe before its first step; or the call has failed."""
        self.cancel()
        return self._steps().throw(*error)

    def close(self) -> None:
        """Nobody will wait for it."""
        self.cancel()

    def _steps(self) -> Generator[Any, None, T]:
        try:
            return self._iterator
        except AttributeError:
            self._iterator = self.__await__()
            return self._iterator


class CallInto(Call[Any]):
    """A call for a meeting with its properties in a Struct of the caller's."""

    __slots__ = ("into",)

    def __init__(self, into: type[Struct], *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.into = into

    def set_result(self, result: Meeting[Any], /) -> None:
        """Tell the meeting; what does not fit is this caller's error alone."""
        try:
            fitting = read_as(result, self.into)
        except Exception as error:  # noqa: BLE001 - the Struct is the caller's, and so is what it raises
            self.set_exception(error)
        else:
            super().set_result(fitting)


def failed(error: Exception) -> Call[Any]:
    """A call that raises when it is awaited, as a coroutine would. Where no loop runs, it raises at once."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise error from None
    call: Call[Any] = Call(loop=loop)
    call.set_exception(error)
    return call


def awaited(function: F) -> F:
    """Mark a function that returns calls: who asks beforehand (background tasks of Starlette, mocks) takes it for an
    `async def`."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    setattr(function, "_is_coroutine", getattr(asyncio.coroutines, "_is_coroutine"))  # noqa: B009, B010 - as mocks do
    return function

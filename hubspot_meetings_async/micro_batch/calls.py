"""What a call hands to its task: a future that may be used wherever a coroutine may.

This module knows the protocols of asyncio. It must not know queues, batches, or what becomes of a call.

`asyncio.gather` takes a future as it is, and makes a task around each coroutine, which costs as much as all else of a
call in a batch. `create_task` and its like take coroutines only, and so each call is one of these, too. Who waits for
the calls of a batch is woken in one step of the loop, and not in a step for each.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Self, TypeVar

from msgspec import Struct

from ..models import Meeting, read_as

__all__ = ["Call", "CallInto", "awaited", "failed", "run_callbacks"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Call(asyncio.Future[T], Coroutine[Any, Any, T]):
    """What a call gives: await it, gather it, make a task of it. It is on its way already.

    `since` is when it was made, on the loop's clock; `on_cancel` hears when nobody waits for it any more. `callback`,
    in its `context`, is what follows when it is done, if that is one thing; asyncio has the callbacks of a call that
    stands `alone`.
    """

    __slots__ = ("alone", "callback", "context", "on_cancel", "since")

    alone: bool
    callback: Callable[[Any], object] | None
    context: Context
    on_cancel: Callable[[Call[Any]], None]
    since: float

    def cancel(self, msg: Any | None = None) -> bool:
        """Wait no longer; what has not been sent will not be."""
        if self.done():
            return super().cancel(msg)
        self.stand_alone()
        super().cancel(msg)
        self.on_cancel(self)
        return True

    def add_done_callback(self, fn: Callable[[Self], object], /, *, context: Context | None = None) -> None:
        """As of any future."""
        if context is None:
            context = copy_context()
        if self.done():
            super().add_done_callback(fn, context=context)
        elif self.callback is None and not self.alone:
            self.callback, self.context = fn, context
        else:
            self.stand_alone()
            super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Callable[[Self], object], /) -> int:
        """As of any future."""
        if not self.done():
            self.stand_alone()
        return super().remove_done_callback(fn)

    def stand_alone(self) -> None:
        """From here on its callbacks are asyncio's, which runs each in a step of its own."""
        self.alone = True
        if self.callback is not None:
            super().add_done_callback(self.callback, context=self.context)
            self.callback = None

    # ---- as a coroutine, for a task that was made of it

    def send(self, value: None, /) -> Any:
        """The next step: as `await` does it."""
        if self.done():
            raise StopIteration(self.result())
        self._asyncio_future_blocking = True
        return self

    def throw(self, error: Any, value: Any = None, _: Any = None, /) -> Any:
        """The task is cancelled, maybe before its first step; or the call has failed."""
        self.cancel()
        raise error if value is None else value

    def close(self) -> None:
        """Nobody will wait for it."""
        self.cancel()


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


def run_callbacks(calls: deque[Call[Any]]) -> None:
    """Wake who waits for these calls, which are done: in one step of the loop, as it would in one for each."""
    while calls:
        call = calls.popleft()
        if (callback := call.callback) is None:
            continue
        call.callback = None
        try:
            call.context.run(callback, call)
        except (SystemExit, KeyboardInterrupt):
            call.get_loop().call_soon(run_callbacks, calls)
            raise
        except BaseException as error:  # noqa: BLE001 - as the loop does
            about = {"message": f"Exception in callback {callback!r}", "exception": error, "future": call}
            call.get_loop().call_exception_handler(about)


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

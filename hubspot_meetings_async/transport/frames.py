"""Takes frames out of tracebacks, mostly those of other libraries: their local variables hold what must not be shown.

This module knows exceptions. It must not know what the secrets are.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

__all__ = ["leave_out"]


def leave_out(error: BaseException, *names: str) -> None:
    """Take the frames of these packages and modules out of the traceback of `error`, and out of those of its chain."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        links += [link.__cause__, link.__context__]
        kept: TracebackType | None = None
        for step in reversed(list(_steps(link.__traceback__))):
            module = step.tb_frame.f_globals.get("__name__", "")
            if module not in names and module.split(".")[0] not in names:
                kept = TracebackType(kept, step.tb_frame, step.tb_lasti, step.tb_lineno)
        link.__traceback__ = kept


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next

"""Secrets and personal data that must not be found anywhere, and everywhere to look for them."""

from __future__ import annotations

import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PERSONAL", "SECRETS", "Watch", "everything_told_by", "watching"]

TOKEN, CLIENT_SECRET, REFRESH, CODE = (f"{name}-c4n4ry-9f2e7" for name in ("pat-na1", "cl13nt", "r3fr3sh", "c0de"))
SECRETS = {"token": TOKEN, "client secret": CLIENT_SECRET, "refresh token": REFRESH, "code": CODE}
MARK = "c4n4ry"
"""In every secret."""
PERSONAL = "Anna-Example-has-a-cold"
"""A property's value."""


def everything_told_by(error: BaseException) -> str:
    """An error and all that hangs on it, as any tool would show it: words, members, tracebacks with local variables.

    Frames of tests are left out: the secrets are their own.
    """
    told: list[str] = []
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        told += [str(link), repr(link), repr(vars(link)), repr(link.args), f"{link:}", "%s %r" % (link, link)]  # noqa: UP031
        told += getattr(link, "__notes__", [])
        for frame, line in traceback.walk_tb(link.__traceback__):
            if "/tests/" not in frame.f_code.co_filename.replace("\\", "/"):
                told.append(f"{frame.f_code.co_filename}:{line} {frame.f_locals!r}")
        told.append("".join(traceback.TracebackException.from_exception(link, lookup_lines=False).format()))
        try:
            told.append(repr(pickle.dumps(link)))
        except Exception as refused:  # noqa: BLE001 - whatever can not be pickled tells nothing
            told.append(repr(refused))
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions
        links += [link.__cause__, link.__context__]
    return "\n".join(told)


class Watch:
    """What was logged and warned about."""

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []
        self.warnings: list[warnings.WarningMessage] = []

    def text(self) -> str:
        """All of it, tracebacks of records included."""
        formatter = logging.Formatter("%(levelname)s %(name)s %(message)s %(args)s")
        return "\n".join([*map(formatter.format, self.records), *(str(seen.message) for seen in self.warnings)])


@contextmanager
def watching() -> Iterator[Watch]:
    """Every log line at DEBUG, of every logger, and every warning."""
    watch = Watch()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            watch.records.append(record)

    root, handler = logging.getLogger(), Keep(level=logging.DEBUG)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            yield watch
        finally:
            watch.warnings += seen
            root.removeHandler(handler)
            root.setLevel(level)

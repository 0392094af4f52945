"""The body of an answer: whole, decompressed, and no larger than it may be.

This module knows content codings and bounds. It must not know JSON, or what comes in bodies.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import aiohttp

from ..errors import UnexpectedResponse, printable

__all__ = ["WHOLE_BYTES", "body_of"]

WHOLE_BYTES = 2**24
"""A body that announces no more than this is taken when it is there as a whole. The connection that it comes over must
be made for that (`read_bufsize`): aiohttp stops reading at twice its buffer, until somebody takes something out."""

_CODINGS = frozenset({"", "identity", "gzip"})
_DIGITS = 12
"""No length that counts here has more."""


async def body_of(status: int, headers: Mapping[str, str], content: aiohttp.StreamReader, cap: int) -> bytes:
    """All of it, at most `cap` bytes after decompression.

    Raises: UnexpectedResponse for a body that is larger, cut, or coded in a way that was not asked for; the connection
    is to be closed then.
    """
    coding = headers.get("Content-Encoding", "").lower()
    if coding not in _CODINGS:
        raise UnexpectedResponse(f"the answer is {printable(coding)}-encoded, which was not asked for", status=status)
    gzipped = coding == "gzip"
    if not content.is_eof():
        if _announced(headers) > min(cap, WHOLE_BYTES):
            body = _Body(status, cap, gzipped=gzipped)
            async for chunk in content.iter_any():
                body.add(chunk)
            return body.whole()
        # aiohttp delivers no byte more than was announced: it need not be watched while it comes. Who waits for the end
        # wakes up once. Behind a failure no end comes; the reading raises it.
        if content.exception() is None:
            await content.wait_eof()
    whole = content.read_nowait()
    if not gzipped and len(whole) <= cap:
        return whole
    body = _Body(status, cap, gzipped=gzipped)
    body.add(whole)
    return body.whole()


def _announced(headers: Mapping[str, str]) -> float:
    length = headers.get("Content-Length", "")
    if len(length) <= _DIGITS and length.isdecimal() and "Transfer-Encoding" not in headers:
        return int(length)
    return float("inf")


class _Body:
    """What has come of a body."""

    __slots__ = ("_cap", "_inflate", "_parts", "_received", "_size", "_status")

    def __init__(self, status: int, cap: int, *, gzipped: bool) -> None:
        self._status = status
        self._cap = cap
        self._inflate = zlib.decompressobj(wbits=31) if gzipped else None
        self._parts: list[bytes] = []
        self._received = self._size = 0

    def add(self, chunk: bytes) -> None:
        """One more piece."""
        inflate = self._inflate
        self._received += len(chunk)
        if inflate is not None:
            try:
                chunk = inflate.decompress(chunk, self._cap + 1 - self._size)
            except zlib.error:
                raise self._wrong("the answer says gzip, and is not") from None
            if inflate.unused_data:
                # Whatever comes behind the end is kept by zlib without a bound, and would be lost on the reader.
                raise self._wrong("the gzip answer goes on behind its end")
        self._size += len(chunk)
        if self._size > self._cap:
            raise self._wrong(f"the answer is larger than {self._cap:,} bytes; it was cut off")
        self._parts.append(chunk)

    def whole(self) -> bytes:
        """All pieces."""
        if self._inflate is not None and self._received and not self._inflate.eof:
            raise self._wrong("the gzip answer ends midway")
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _wrong(self, words: str) -> UnexpectedResponse:
        return UnexpectedResponse(words, status=self._status)

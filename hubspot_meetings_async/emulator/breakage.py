"""Answers that arrive spoiled: in drops, cut off, badly packed, too large. What `BROKEN_KINDS` of faults do to them.

Knows HTTP and sockets. Must not know which requests are struck, nor what the answer says.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Iterator, Mapping

from aiohttp import web

from .faults import Fault

__all__ = ["PAGE", "send_spoiled"]

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to use this network.</body></html>\n"
"""What a network in between answers instead of HubSpot."""
_PIECE = 64 * 1024


async def send_spoiled(
    request: web.Request, status: int, body: bytes, headers: Mapping[str, str], fault: Fault, closing: asyncio.Event
) -> web.StreamResponse:
    """Send an answer the way the fault wants it. A client that goes away ends it quietly."""
    kind = fault.kind
    if kind == "wrong_type":
        return web.Response(status=status, body=body, headers={**headers, "Content-Type": fault.content_type})
    if kind in ("bad_gzip", "cut_gzip"):
        packed = gzip.compress(body, mtime=0)
        sent = body if kind == "bad_gzip" else packed[: len(packed) // 2]
        return web.Response(status=status, body=sent, headers={**headers, "Content-Encoding": "gzip"})
    response = web.StreamResponse(status=status, headers=headers)
    if kind in ("drip", "cut"):
        response.content_length = len(body)
    elif kind == "gzip_bomb":
        response.headers["Content-Encoding"] = "gzip"
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if kind in ("cut", "cut_chunked"):
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
        elif kind == "drip":
            await _drip(response, body, fault, closing)
        else:
            for piece in _packed(_padded(body, fault)) if kind == "gzip_bomb" else _padded(body, fault):
                if closing.is_set():
                    break
                await response.write(piece)
    return response


async def _drip(response: web.StreamResponse, body: bytes, fault: Fault, closing: asyncio.Event) -> None:
    for start in range(0, len(body), fault.piece_bytes):
        if start:
            try:
                await asyncio.wait_for(closing.wait(), fault.pause_s)
            except TimeoutError:
                pass
            else:
                return
        await response.write(body[start : start + fault.piece_bytes])


def _padded(body: bytes, fault: Fault) -> Iterator[bytes]:
    """The body, and as much white space behind it as the size demands: it stays what it is, if JSON."""
    yield body
    left = fault.size_bytes - len(body)
    space = b" " * _PIECE
    while left > 0:
        yield space[:left]
        left -= _PIECE


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()

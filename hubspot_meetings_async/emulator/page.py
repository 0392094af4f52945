"""The page at `/`: one document without any other, and the headers that keep it to itself.

Knows the file `page.html`, whose script asks `/__emulator/live`. Must not know what is shown.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from aiohttp import web

__all__ = ["front_page"]


def front_page() -> web.Response:
    """The page. It may load nothing, run no script and take no style but its own, and call only this emulator."""
    document, policy = _document()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return web.Response(body=document, content_type="text/html", charset="utf-8", headers=headers)


@cache
def _document() -> tuple[bytes, str]:
    document = Path(__file__).with_name("page.html").read_bytes()
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src {_hash(document, b'script')}; style-src {_hash(document, b'style')}"
    )
    return document, policy


def _hash(document: bytes, tag: bytes) -> str:
    found = re.search(b"<%b>(.*?)</%b>" % (tag, tag), document, re.DOTALL)
    if found is None:
        raise ValueError(f"page.html has no <{tag.decode()}>")
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"

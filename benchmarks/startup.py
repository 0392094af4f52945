"""CPU of a process that imports a client and makes one: what a command line or a serverless function pays.

Every line is a Python process of its own, in turn, round after round; the figure is user and system time of the whole
process, and above a process that imports msgspec and asyncio. Byte code is kept, as an installed package's is: in a
folder of its own, so that neither stale files nor settings of the environment make Python compile the sources.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .contestants import CONTESTANTS
from .figures import Table, median

__all__ = ["measure"]

BASE = "msgspec, asyncio"
_SDK = "import hubspot_sdk; hubspot_sdk.AsyncHubSpot(access_token='t').crm.objects.meetings.batch"
_CLIENT = "import hubspot; hubspot.Client.create(access_token='t').crm.objects.meetings.batch_api"

SOURCES = {
    BASE: ("", "import msgspec, asyncio"),
    "this library": ("ours", "from hubspot_meetings_async import MeetingsClient; MeetingsClient('t')"),
    "aiohttp": (BASE, "import aiohttp"),
    "hubspot-api-client": ("api-client", _CLIENT),
    "hubspot-sdk": ("sdk, httpx", _SDK),
}


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    del full
    rounds = 5 if quick else 11
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as byte_code:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": byte_code}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(rounds + 1):  # the first writes the byte code
            for name, (needs, source) in SOURCES.items():
                if needs not in CONTESTANTS or CONTESTANTS[needs].missing() is None:
                    took.setdefault(name, []).append(_cpu_ms(source, environment))
    table = Table(f"Import and first client (median of {rounds})", ("imports", "ms CPU", "above the first line"))
    base = median(took[BASE][1:])
    for name, values in took.items():
        # Of pairs within a round.
        above = median(a - b for a, b in zip(values[1:], took[BASE][1:], strict=True))
        table.add(name, median(values[1:]), above if name != BASE else base - base)
    yield table


def _cpu_ms(source: str, environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", source], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000

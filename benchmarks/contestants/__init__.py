"""Who takes part. Each contestant does the same works in the way its own documentation shows.

A contestant is an async context manager made with the server's address, whose coroutines are the works:
`create`, `upsert`, `read` (count, in_flight), `export`, `search`, `single`, `micro` (count) and `decode` (body, times).
A work that it does not have is left out of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

__all__ = ["CONTESTANTS", "FLOOR", "OURS", "Contestant"]

FLOOR, OURS = "floor", "ours"


class Contestant(NamedTuple):
    """`where` is module and class; `slow` ones get fewer records; `needs` are distributions."""

    where: str
    says: str
    needs: tuple[str, ...] = ()
    slow: bool = False
    uvloop: bool = False

    def missing(self) -> str | None:
        """The first distribution it needs that is not installed."""
        needs = (*self.needs, "uvloop") if self.uvloop else self.needs
        for name in needs:
            try:
                version(name)
            except PackageNotFoundError:
                return name
        return None

    def make(self) -> Callable[[str], Any]:
        """Its class; imports what it stands for."""
        module, _, name = self.where.partition(":")
        made: Callable[[str], Any] = getattr(import_module(f"{__name__}.{module}"), name)
        return made


_SDK = ("hubspot-sdk",)
_CLIENT = ("hubspot-api-client",)

CONTESTANTS: dict[str, Contestant] = {
    FLOOR: Contestant("loops:Floor", "aiohttp sends constant bytes and decodes nothing"),
    "floor, uvloop": Contestant("loops:Floor", "the same on uvloop", uvloop=True),
    OURS: Contestant("ours:Outcomes", "this library: async for over every record's typed outcome"),
    "ours, uvloop": Contestant("ours:Outcomes", "the same on uvloop", uvloop=True),
    "ours, report": Contestant("ours:Reports", "this library: await hubspot.bulk…, the account at the end"),
    "msgspec loop": Contestant("loops:Msgspec", "aiohttp and msgspec by hand: no outcomes, no retries, no limiter"),
    "naive": Contestant("loops:Naive", "aiohttp and the json module, as one writes it in an afternoon"),
    "api-client": Contestant("official_client:Serial", "hubspot-api-client, one call after the other", _CLIENT, True),
    "api-client, 16 threads": Contestant("official_client:Threads", "hubspot-api-client, 16 threads", _CLIENT, True),
    "sdk, httpx": Contestant("official_sdk:Httpx", "hubspot-sdk (pre-release), asyncio on httpx", _SDK, True),
    "sdk, aiohttp": Contestant(
        "official_sdk:Aiohttp", "hubspot-sdk, its aiohttp option", (*_SDK, "httpx-aiohttp"), True
    ),
}

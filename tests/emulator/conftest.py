"""An emulator on a real port, and a plain aiohttp session: never the library's own client."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator


@pytest.fixture
async def hubspot() -> AsyncIterator[Emulator]:
    """An emulator without limits."""
    async with Emulator(limit=None) as emulator:
        yield emulator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a token. Connections are not kept, since some tests break them on purpose."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer token-a"}) as session:
        yield session

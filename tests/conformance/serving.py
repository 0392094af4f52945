"""An emulator in a thread of its own, for clients that block. It imports the emulator only, never the library."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hubspot_meetings_async.emulator import Emulator

__all__ = ["serving"]


@contextmanager
def serving(emulator: Emulator) -> Iterator[Emulator]:
    """Run an emulator until the block ends. Between two requests its account may be changed from the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulator")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result(timeout=10)
        try:
            yield emulator
        finally:
            asyncio.run_coroutine_threadsafe(emulator.close(), loop).result(timeout=10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()

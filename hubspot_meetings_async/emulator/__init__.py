"""A local HubSpot for tests, demos and benchmarks. It shares no code with the client.

async with Emulator(limit=190) as hubspot:
    ...  # any client of HubSpot's meetings API against hubspot.url
"""

from .behaviour import Behaviour
from .clock import Clock, ManualClock, SystemClock
from .counts import AppUse, RateLimited, RecordCounts, RequestEntry, Stats
from .faults import Fault, FaultRule, Faults
from .portal import LedgerEntry, Portal
from .quota import Quota
from .server import Emulator

__all__ = [
    "AppUse",
    "Behaviour",
    "Clock",
    "Emulator",
    "Fault",
    "FaultRule",
    "Faults",
    "LedgerEntry",
    "ManualClock",
    "Portal",
    "Quota",
    "RateLimited",
    "RecordCounts",
    "RequestEntry",
    "Stats",
    "SystemClock",
]

"""A local HubSpot for tests, demos and benchmarks. It shares no code with the client.

async with Emulator(limit=190) as hubspot:
    ...  # any client of HubSpot's meetings API against hubspot.url
"""

from .behaviour import Behaviour
from .clock import Clock, ManualClock, SystemClock
from .counts import AppUse, RateLimited, RecordCounts, RequestEntry, Stats
from .faults import Fault, FaultRule, Faults
from .latency import LogNormal
from .portal import LedgerEntry, Portal
from .quota import Quota
from .scheduler_links import Booking, Consent, FormField, FormOption
from .server import Emulator

__all__ = [
    "AppUse",
    "Behaviour",
    "Booking",
    "Clock",
    "Consent",
    "Emulator",
    "Fault",
    "FaultRule",
    "Faults",
    "FormField",
    "FormOption",
    "LedgerEntry",
    "LogNormal",
    "ManualClock",
    "Portal",
    "Quota",
    "RateLimited",
    "RecordCounts",
    "RequestEntry",
    "Stats",
    "SystemClock",
]

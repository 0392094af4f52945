"""A local HubSpot for tests, demos and benchmarks. It shares no code with the client.

async with Emulator(limit=190) as hubspot:
    ...  # any client of HubSpot's meetings API against hubspot.url
"""

from .behaviour import Behaviour
from .clock import Clock, ManualClock, SystemClock
from .counts import AppUse, RateLimited, RecordCounts, RequestEntry, Stats
from .faults import Fault, FaultRule, Faults
from .fixtures import AROUND_MS, populate
from .keeping import DataFileError
from .latency import LogNormal
from .portal import LedgerEntry, Portal
from .quota import Quota
from .scheduler_links import Booking, Consent, FormField, FormOption
from .sent import SentRequest
from .server import Emulator
from .threaded import TOKEN, ThreadedEmulator

__all__ = [
    "AROUND_MS",
    "TOKEN",
    "AppUse",
    "Behaviour",
    "Booking",
    "Clock",
    "Consent",
    "DataFileError",
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
    "SentRequest",
    "Stats",
    "SystemClock",
    "ThreadedEmulator",
    "populate",
]

"""Keeps within HubSpot's rate limits: `QuotaGate`, its two lanes, and the limits HubSpot publishes."""

from .gate import QuotaGate, search_gate, slot_at_once
from .protocol import Lane, Limiter, NoLimit, QuotaStats, Slot
from .published import ENTERPRISE, FREE, OAUTH, PROFESSIONAL, STARTER, Limits

__all__ = [
    "ENTERPRISE",
    "FREE",
    "OAUTH",
    "PROFESSIONAL",
    "STARTER",
    "Lane",
    "Limiter",
    "Limits",
    "NoLimit",
    "QuotaGate",
    "QuotaStats",
    "Slot",
    "search_gate",
    "slot_at_once",
]

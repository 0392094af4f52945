"""The way to HubSpot and back: `AiohttpTransport`, and what the caller needs of any transport."""

from .protocol import Timeouts, Transport
from .session import AiohttpTransport, SharedSession

__all__ = ["AiohttpTransport", "SharedSession", "Timeouts", "Transport"]

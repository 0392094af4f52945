"""Asyncio-first client and bulk engine for HubSpot's Meetings APIs."""

__all__ = ["__version__"]

__version__ = "0.1.0"

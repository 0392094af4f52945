"""Sync: what changed in an account since last time, and all of it at once."""

from .change import Change, Lot
from .cursor import SyncCursor
from .doors import ExportMethod, Sync
from .feed import Changes, Export

__all__ = ["Change", "Changes", "Export", "ExportMethod", "Lot", "Sync", "SyncCursor"]

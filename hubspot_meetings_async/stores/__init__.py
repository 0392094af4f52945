"""Copies of an account's meetings: in SQLite, PostgreSQL, JSONL, CSV and Parquet, kept in step.

async with MeetingsClient("pat-na1-…") as hubspot, SQLiteStore("meetings.db") as store:
    await pull(hubspot, store, associations=["contacts"])
"""

from .columns import Column, Kept, Selection
from .opening import store_at
from .parquet import ParquetStore
from .postgres import PostgresStore
from .pulling import Pulled, pull, watch
from .sheets import CSVStore, JSONLStore
from .sqlite import SQLiteStore
from .store import Store, Written

__all__ = [
    "CSVStore",
    "Column",
    "JSONLStore",
    "Kept",
    "ParquetStore",
    "PostgresStore",
    "Pulled",
    "SQLiteStore",
    "Selection",
    "Store",
    "Written",
    "pull",
    "store_at",
    "watch",
]

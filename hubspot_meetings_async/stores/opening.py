"""Which store an address means.

This module knows endings and schemes. It must not know what stores do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError, printable
from .parquet import ParquetStore
from .postgres import PostgresStore
from .sheets import CSVStore, JSONLStore
from .sqlite import SQLiteStore
from .store import Store

__all__ = ["store_at"]

_BY_ENDING: Final[Mapping[str, Callable[[str], Store]]] = {
    ".jsonl": JSONLStore,
    ".ndjson": JSONLStore,
    ".csv": CSVStore,
    ".parquet": ParquetStore,
    ".db": SQLiteStore,
    ".sqlite": SQLiteStore,
    ".sqlite3": SQLiteStore,
}

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def store_at(place: str | os.PathLike[str]) -> Store:
    """The store for a file, by its ending, or for an address that begins with `postgresql://`.

    Raises: ConfigurationError for any other.
    """
    text = os.fspath(place)
    if scheme := _SCHEME.match(text):
        if scheme[1].lower() in ("postgresql", "postgres"):
            return PostgresStore(text)
        raise ConfigurationError(f"a copy can not be kept at {scheme[1]}://; of databases, postgresql:// is known")
    store = _BY_ENDING.get(Path(text).suffix.lower())
    if store is None:
        raise ConfigurationError(
            f"{printable(text)} does not say what it is: a copy ends in .jsonl, .csv, .parquet or .db, or begins with "
            "postgresql://"
        )
    return store(text)

"""Places for copies: files of each kind, and a PostgreSQL server that is started once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubspot_meetings_async.stores import CSVStore, JSONLStore, ParquetStore, PostgresStore, SQLiteStore, Store

from .server import Postgres, binaries

Place = Callable[[], Store]
"""The same copy each time it is called, as another process would open it."""

_schemas = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server; tests are kept apart by schemas."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (initdb and postgres on PATH or in /usr/lib/postgresql)")
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def schema(postgres: Postgres) -> str:
    """The address of a schema that nobody else uses."""
    return postgres.url(f"s{next(_schemas)}")


@pytest.fixture(params=["jsonl", "csv", "parquet", "db", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a copy, of each kind in turn."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("schema")
        return lambda: PostgresStore(url)
    path = tmp_path / f"meetings.{request.param}"
    kinds: dict[str, Callable[[Path], Store]] = {
        "jsonl": JSONLStore,
        "csv": CSVStore,
        "parquet": ParquetStore,
        "db": SQLiteStore,
    }
    return lambda: kinds[request.param](path)

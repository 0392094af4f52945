"""Which store an address means, and which is none; no message tells a password."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hubspot_meetings_async import ConfigurationError
from hubspot_meetings_async.stores import (
    CSVStore,
    JSONLStore,
    ParquetStore,
    PostgresStore,
    SQLiteStore,
    store_at,
)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("m.jsonl", JSONLStore),
        ("a.b/M.NDJSON", JSONLStore),
        ("m.csv", CSVStore),
        (Path("m.parquet"), ParquetStore),
        ("m.db", SQLiteStore),
        ("m.sqlite", SQLiteStore),
        ("m.sqlite3", SQLiteStore),
        ("postgresql://h/d", PostgresStore),
        ("postgres://h/d", PostgresStore),
    ],
)
def test_an_address_says_what_it_is(place: str | Path, kind: type) -> None:
    assert type(store_at(place)) is kind


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("m.xlsx", r"m\.xlsx does not say what it is: a copy ends in \.jsonl, \.csv, \.parquet or \.db"),
        ("m", "does not say what it is"),
        ("-", "does not say what it is"),
        ("mysql://sync:canary@h/d", r"can not be kept at mysql://; of databases, postgresql:// is known"),
        ("postgresql://sync:can@ary@h/d", "can not be read; in a password, @ is written as %40"),
        ("postgresql://sync:can/ary@h/d", "can not be read"),
        ("postgresql://sync:can#ary@h/d", "can not be read"),
        ("postgresql://sync:123?canary@h/d", "can not be read"),
        ("postgresql://[canary/d", "can not be read"),
    ],
)
def test_one_that_is_none_is_told_without_its_password(place: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        store_at(place)
    assert "canary" not in str(caught.value)
    assert "ary" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://sync:canary@db.example.com:5433/crm", "postgresql://sync@db.example.com:5433/crm"),
        (
            "postgresql://sync:c%40n@a,b:5433/crm?schema=acme&sslmode=require",
            "postgresql://sync@a,b:5433/crm?schema=acme",
        ),
        ("postgresql:///crm?host=/run/pg&password=canary", "postgresql:///run/pg/crm"),
        ("postgres://[::1]:5432/crm", "postgresql://[::1]:5432/crm"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, shown: str) -> None:
    assert str(store_at(url)) == shown


@pytest.mark.parametrize(("package", "place"), [("pyarrow", "m.parquet"), ("asyncpg", "postgresql://h/d")])
def test_a_missing_extra_is_named(package: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    extra = "parquet" if package == "pyarrow" else "postgres"
    with pytest.raises(ConfigurationError, match=rf"{package} is missing\): pip install .*\[{extra}\]"):
        store_at(place)


@pytest.mark.parametrize("ending", ["jsonl", "db"])
class TestPlaces:
    async def test_a_directory(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / f"m.{ending}").mkdir()
        await refused(tmp_path / f"m.{ending}", "is a directory; name a file in it")

    async def test_no_directory(self, tmp_path: Path, ending: str) -> None:
        await refused(tmp_path / "none" / f"m.{ending}", "there is no directory .*none; make it first")

    async def test_a_file_as_a_directory(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / "file").write_text("")
        await refused(tmp_path / "file" / f"m.{ending}", "can not be a copy|is no directory")

    async def test_no_plain_file(self, tmp_path: Path, ending: str) -> None:
        os.mkfifo(tmp_path / f"m.{ending}")
        await refused(tmp_path / f"m.{ending}", "is no plain file")

    async def test_a_name_that_is_too_long(self, tmp_path: Path, ending: str) -> None:
        await refused(tmp_path / f"{'m' * 300}.{ending}", "can not be a copy: File name too long")

    async def test_no_permission(self, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tests may run as root, who has every permission: the system's answer is made up."""
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        await refused(tmp_path / f"m.{ending}", "may not be written by this user")
        assert os.listdir(tmp_path) == []

    async def test_a_file_of_others(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / f"m.{ending}").write_text("theirs")
        await refused(tmp_path / f"m.{ending}", "no copy that a pull made.*; name another file, or move this one away")
        assert os.listdir(tmp_path) == [f"m.{ending}"]
        assert (tmp_path / f"m.{ending}").read_text() == "theirs"

    async def test_a_new_copy_that_nothing_came_into_leaves_nothing(self, tmp_path: Path, ending: str) -> None:
        async with store_at(tmp_path / f"m.{ending}"):
            pass
        assert os.listdir(tmp_path) == []


async def refused(place: Path, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        async with store_at(place):
            pass

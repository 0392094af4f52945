"""Copies in plain files: whole at any moment, written anew only when there is something new, and nobody else's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubspot_meetings_async import ConfigurationError, StoreError
from hubspot_meetings_async.stores import CSVStore, JSONLStore, ParquetStore

from .samples import kept_for, rows_of, version


async def filled(path: Path, *titles: str) -> None:
    """A copy with meetings of these titles, put in its place."""
    async with CSVStore(path) as store:
        if store.kept is None:
            await store.keep(kept_for(), cursor=None)
        changes = [version(number, len(titles), title=title) for number, title in enumerate(titles, 1)]
        await store.write(changes, f"c{len(titles)}")
        await store.publish()


async def titles(path: Path) -> list[str]:
    return [row["hs_meeting_title"] for row in (await rows_of(CSVStore(path))).values()]


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_mtime_ns


async def test_what_is_written_shows_when_it_is_published(tmp_path: Path) -> None:
    """Until then the file is as it was; a process that dies in between leaves a file that the next one writes."""
    await filled(tmp_path / "m.csv", "a")
    async with CSVStore(tmp_path / "m.csv") as store:
        await store.write([version(2, title="b")], "c2")
    assert await titles(tmp_path / "m.csv") == ["a"]
    async with CSVStore(tmp_path / "m.csv") as store:
        assert store.cursor == "c2"
        await store.publish()
    assert await titles(tmp_path / "m.csv") == ["a", "b"]
    assert sorted(os.listdir(tmp_path)) == ["m.csv", "m.csv.copy"]


async def test_without_news_the_file_is_not_written(tmp_path: Path) -> None:
    await filled(tmp_path / "m.csv", "a")
    before = identity(tmp_path / "m.csv")
    async with CSVStore(tmp_path / "m.csv") as store:
        await store.write([], "c2")
        await store.write([version(1, -5, title="older")], "c3")
        await store.publish()
    assert identity(tmp_path / "m.csv") == before


async def test_a_file_that_is_gone_is_written_again(tmp_path: Path) -> None:
    await filled(tmp_path / "m.csv", "a", "b")
    (tmp_path / "m.csv").unlink()
    async with CSVStore(tmp_path / "m.csv") as store:
        await store.publish()
    assert await titles(tmp_path / "m.csv") == ["a", "b"]


async def test_a_crash_before_the_file_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is still there and ours; so is the new one, if the crash came right after."""
    await filled(tmp_path / "m.csv", "a")
    replace = os.replace

    def crash(source: Path, target: Path) -> None:
        raise RuntimeError("died here")

    def crash_after(source: Path, target: Path) -> None:
        replace(source, target)
        raise RuntimeError("died here")

    for number, death in enumerate((crash, crash_after), 2):
        with monkeypatch.context() as dying:
            dying.setattr(os, "replace", death)
            with pytest.raises(RuntimeError, match="died here"):
                await filled(tmp_path / "m.csv", *("abc"[:number]))
        assert await titles(tmp_path / "m.csv") == (["a"] if death is crash else ["a", "b", "c"])
        async with CSVStore(tmp_path / "m.csv") as store:
            await store.publish()
        assert await titles(tmp_path / "m.csv") == list("abc"[:number])


async def test_one_that_is_left_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """Ctrl-C while a large file is written."""
    await filled(tmp_path / "m.csv", "a")
    async with CSVStore(tmp_path / "m.csv") as store:
        await store.write([version(2, title="b")], "c2")
        working = store._open
        steps = store._steps(working)
        assert next(steps) == 2
        steps.close()
    assert await titles(tmp_path / "m.csv") == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["m.csv", "m.csv.copy"]


async def test_a_file_that_another_program_changed_is_not_replaced(tmp_path: Path) -> None:
    await filled(tmp_path / "m.csv", "a")
    (tmp_path / "m.csv").write_text("mine\n")
    with pytest.raises(ConfigurationError, match=r"was changed by another program.*move it away and pull again"):
        await filled(tmp_path / "m.csv", "a", "b")
    (tmp_path / "m.csv").rename(tmp_path / "moved")
    await filled(tmp_path / "m.csv", "a", "b")
    assert await titles(tmp_path / "m.csv") == ["a", "b"]


async def test_a_file_that_came_while_a_pull_ran_is_not_replaced(tmp_path: Path) -> None:
    async with CSVStore(tmp_path / "m.csv") as store:
        await store.keep(kept_for(), cursor=None)
        (tmp_path / "m.csv").write_text("mine\n")
        with pytest.raises(ConfigurationError, match="was changed by another program"):
            await store.publish()
    assert (tmp_path / "m.csv").read_text() == "mine\n"


async def test_a_full_disk_is_told_and_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(tmp_path / "m.csv", "a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"No space left on device.*make room and pull again"):
            await filled(tmp_path / "m.csv", "a", "b")
    assert await titles(tmp_path / "m.csv") == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["m.csv", "m.csv.copy"]


async def test_a_new_copy_is_its_owners_and_keeps_the_mode_it_was_given(tmp_path: Path) -> None:
    await filled(tmp_path / "m.csv", "a")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "m.csv", (tmp_path / "m.csv.copy"))} == {0o600}
    (tmp_path / "m.csv").chmod(0o640)
    await filled(tmp_path / "m.csv", "a", "b")
    assert stat.S_IMODE((tmp_path / "m.csv").stat().st_mode) == 0o640


async def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    (tmp_path / "m.csv").symlink_to(real)
    await filled(tmp_path / "m.csv", "a")
    assert (tmp_path / "m.csv").is_symlink()
    assert await titles(real) == ["a"]


async def test_the_working_file_of_another_kind_of_copy_will_do(tmp_path: Path) -> None:
    """It holds whole meetings: what they are written as is decided when they are written."""
    await filled(tmp_path / "m.csv", "a")
    other = tmp_path / "m.jsonl"
    (tmp_path / "m.csv.copy").rename(f"{other}.copy")
    async with JSONLStore(other) as store:
        await store.publish()
        assert list(await rows_of(store)) == [1]


async def test_an_empty_account_is_an_empty_file(tmp_path: Path) -> None:
    async with CSVStore(tmp_path / "m.csv") as table, ParquetStore(tmp_path / "m.parquet") as groups:
        for store in (table, groups):
            await store.keep(kept_for(), cursor=None)
            await store.publish()
            assert await rows_of(store) == {}
    assert (tmp_path / "m.csv").read_text().startswith("id,created_at,updated_at,archived,archived_at,")


async def test_many_meetings_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("hubspot_meetings_async.stores.working._LINES_AT_ONCE", 3)
    monkeypatch.setattr("hubspot_meetings_async.stores.parquet._ROWS_IN_GROUP", 5)
    async with ParquetStore(tmp_path / "m.parquet") as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(number) for number in range(20)], "c1")
        await store.publish()
        assert list(await rows_of(store)) == list(range(20))
    file = parquet.ParquetFile(tmp_path / "m.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)] == [6, 6, 6, 2]
    assert b'"portal":"1234567"' in file.schema_arrow.metadata[b"hubspot_meetings_async"]
    file.close()

"""Files that are not as a run left them, or not a run's at all: what is refused, untouched, and what is taken."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from hubspot_meetings_async.bulk.journal import claim, database
from hubspot_meetings_async.bulk.journal.store import Durability, Store, open_store
from hubspot_meetings_async.errors import (
    JournalDamagedError,
    JournalError,
    JournalLockedError,
    JournalVersionError,
)

ROWS = [(0, (b"row %d;" % number).ljust(2_000, b".")) for number in range(10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal's path in a folder of its own."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder / "job.journal"


def opened(path: Path, durability: Durability = "power") -> Store:
    return open_store(path, meta={}, durability=durability)


def wal(path: Path) -> Path:
    return Path(f"{path}-wal")


def contents(path: Path) -> dict[str, bytes | str]:
    """Every file of the folder, byte for byte; links by where they lead."""
    return {
        name: os.readlink(path.parent / name)
        if (path.parent / name).is_symlink()
        else (path.parent / name).read_bytes()
        for name in os.listdir(path.parent)
    }


def crashed(path: Path) -> None:
    """A journal with ten rows, each a transaction, whose run died."""

    async def run() -> None:
        store = opened(path)
        for row in ROWS:
            await store.append(*row)
        store.abandon()

    asyncio.run(run())


def ended(path: Path) -> None:
    """A journal with ten rows whose run ended in order."""
    crashed(path)
    asyncio.run(opened(path).aclose())


def read(path: Path) -> list[tuple[int, bytes]]:
    """What the next run finds. It also writes a row, and the one after it must find that too."""

    async def run() -> list[tuple[int, bytes]]:
        store = opened(path)
        rows = list(store.rows())
        await store.append(7, b"more")
        await store.aclose()
        store = opened(path)
        assert list(store.rows()) == [*rows, (7, b"more")]
        await store.aclose()
        return rows

    return asyncio.run(run())


def refused(path: Path, error: type[JournalError], match: str) -> None:
    """The journal is not opened, twice, and no file is changed, made or removed."""
    before = contents(path)
    for _ in range(2):
        with pytest.raises(error, match=match) as caught:
            opened(path)
        assert type(caught.value) is error
        assert str(path) in str(caught.value)
    assert contents(path) == before


class TestTornTail:
    @pytest.mark.parametrize(("cut_bytes", "least"), [(1, 9), (100, 9), (4_096, 9), (9_000, 7)])
    def test_drops_the_last_commits_whole(self, path: Path, cut_bytes: int, least: int) -> None:
        """A `-wal` file cut short costs the rows of the commits it cuts, and no other."""
        crashed(path)
        os.truncate(wal(path), wal(path).stat().st_size - cut_bytes)
        rows = read(path)
        assert rows == ROWS[: len(rows)]
        assert least <= len(rows) < len(ROWS)

    def test_of_garbage_drops_the_last_commit_whole(self, path: Path) -> None:
        """64 bytes that the disk never got right: the checksum tells."""
        crashed(path)
        with wal(path).open("r+b") as file:
            file.seek(-64, os.SEEK_END)
            file.write(bytes(range(64)))
        assert read(path) == ROWS[:-1]

    def test_with_garbage_behind_it_is_whole(self, path: Path) -> None:
        """A commit that was only begun when the power went is not one."""
        crashed(path)
        with wal(path).open("ab") as file:
            file.write(bytes(range(64)))
        assert read(path) == ROWS


class TestMissingPart:
    def test_a_crashed_journal_without_its_wal_file_is_refused(self, path: Path) -> None:
        """SQLite would take it for an empty journal, and everything would be sent again."""
        crashed(path)
        wal(path).unlink()
        refused(path, JournalDamagedError, "are missing; put that file back")

    def test_a_crashed_journal_of_a_run_without_syncs_too(self, path: Path) -> None:
        """The mark is in the main file with `process` as with `power`."""
        store = opened(path, "process")
        store.abandon()
        wal(path).unlink()
        refused(path, JournalDamagedError, "are missing; put that file back")

    def test_put_back_it_is_whole(self, path: Path) -> None:
        """The refusal did no harm."""
        crashed(path)
        kept = wal(path).read_bytes()
        wal(path).unlink()
        refused(path, JournalDamagedError, "are missing")
        wal(path).write_bytes(kept)
        assert read(path) == ROWS

    def test_a_wal_file_without_its_journal_is_refused(self, path: Path) -> None:
        """SQLite would remove it and start anew."""
        crashed(path)
        path.unlink()
        refused(path, JournalDamagedError, "is gone, but .*-wal")

    def test_a_wal_file_with_an_empty_journal_is_refused(self, path: Path) -> None:
        """SQLite would remove it and start anew."""
        crashed(path)
        os.truncate(path, 0)
        refused(path, JournalDamagedError, "is empty, but .*-wal")

    def test_a_journal_that_ended_needs_no_wal_file(self, path: Path) -> None:
        """Its rows are all in the main file."""
        ended(path)
        assert list(contents(path)) == [path.name]
        assert read(path) == ROWS

    def test_a_row_that_is_missing_is_noticed(self, path: Path) -> None:
        """Rows are numbered without a gap; one that somebody deleted, first, last but one or in between, is no ack."""
        for seq in (1, 5, 9):
            ended(path)
            connection = sqlite3.connect(path)
            connection.execute("DELETE FROM log WHERE seq = ?", (seq,))
            connection.commit()
            connection.close()
            store = opened(path)
            with pytest.raises(JournalDamagedError, match="lacks rows"):
                list(store.rows())
            asyncio.run(store.aclose())
            path.unlink()

    @pytest.mark.parametrize("table", ["log", "meta"])
    def test_a_table_that_is_missing_is_noticed(self, path: Path, table: str) -> None:
        """The header alone makes no journal."""
        ended(path)
        connection = sqlite3.connect(path)
        connection.execute(f"DROP TABLE {table}")
        connection.close()
        refused(path, JournalDamagedError, "lost its tables")

    @pytest.mark.parametrize("table", ["log", "meta"])
    def test_a_table_that_is_missing_in_the_wal_file_is_noticed(self, path: Path, table: str) -> None:
        """There too, and the `-wal` file is not played back for it."""
        crashed(path)
        connection = sqlite3.connect(path)
        connection.execute(f"DROP TABLE {table}")
        copies = contents(path)
        connection.close()
        for name, content in copies.items():
            assert isinstance(content, bytes)
            path.with_name(name).write_bytes(content)
        path.with_name(f"{path.name}-shm").unlink()
        refused(path, JournalDamagedError, "lost its tables")

    def test_a_main_file_that_is_broken_inside_is_noticed(self, path: Path) -> None:
        """Pages of zeros where rows were."""
        ended(path)
        with path.open("r+b") as file:
            file.seek(4_096)
            file.write(bytes(path.stat().st_size - 4_096))
        refused(path, JournalDamagedError, "could not be opened: database disk image is malformed")


class TestForeignFile:
    @pytest.mark.parametrize(
        "content",
        [b"x", b"a list of meetings\n" * 1_000, bytes(4_096), b"SQLite format 3\0", os.urandom(16_384)],
        ids=["byte", "text", "zeros", "magic", "noise"],
    )
    def test_that_is_no_database_is_refused(self, path: Path, content: bytes) -> None:
        """And stays as it was, without a file beside it."""
        path.write_bytes(content)
        refused(path, JournalDamagedError, "is no journal of this library")

    @pytest.mark.parametrize("mode", ["WAL", "DELETE"])
    def test_that_is_another_programs_database_is_refused(self, path: Path, mode: str) -> None:
        """Also one with the same tables, and one whose `-wal` file waits to be played back."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("CREATE TABLE meta (k, v)")
        connection.execute("CREATE TABLE log (seq, kind, data, body)")
        copies = contents(path)
        connection.close()
        for name, content in copies.items():
            assert isinstance(content, bytes)
            path.with_name(name).write_bytes(content)
        refused(path, JournalDamagedError, "is no journal of this library")

    @pytest.mark.parametrize("make", [crashed, ended])
    def test_of_a_newer_format_is_refused(self, path: Path, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether its run crashed or ended: this library would not know what its rows mean."""
        with monkeypatch.context() as newer:
            for module in (claim, database):
                newer.setattr(module, "FORMAT", 2)
            assert callable(make)
            make(path)
        refused(path, JournalVersionError, "has format 2, this library knows up to 1; update the library")

    def test_of_no_format_is_refused(self, path: Path) -> None:
        """Ours by its name, but nothing wrote it."""
        ended(path)
        with path.open("r+b") as file:
            file.seek(60)
            file.write(bytes(4))
        refused(path, JournalDamagedError, "lost its format")


class TestCreation:
    def test_of_an_empty_file_is_gone_on_with(self, path: Path) -> None:
        """A process that died right after it made the file left nothing to lose."""
        path.touch()
        store = opened(path)
        assert not store.resumed
        asyncio.run(store.aclose())
        assert read(path) == []

    def test_cut_off_in_the_middle_is_gone_on_with(self, path: Path) -> None:
        """Half the pages are written, and SQLite's rollback file says that there were none before."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE meta (k, v)")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [("k", "v" * 4_000)] * 10)
        halfway = contents(path)
        connection.execute("ROLLBACK")
        connection.close()
        for name, content in halfway.items():
            assert isinstance(content, bytes)
            path.with_name(name).write_bytes(content)
        assert set(halfway) == {path.name, f"{path.name}-journal"}
        with path.open("r+b") as file:
            file.write(bytes(4_096))
        store = opened(path)
        assert not store.resumed
        asyncio.run(store.aclose())
        assert read(path) == []

    def test_beside_another_files_rollback_file_is_refused(self, path: Path) -> None:
        """SQLite would play it back into the new journal."""
        path.with_name(f"{path.name}-journal").write_bytes(b"of another time")
        refused(path, JournalDamagedError, "is gone, but .*-journal")

    @pytest.mark.parametrize("durability", ["power", "process"])
    def test_is_for_the_owner_only(self, path: Path, durability: Durability) -> None:
        """Both files hold keys and, spooled, payloads: nobody else can read them, whatever the umask."""
        before = os.umask(0)
        try:
            store = opened(path, durability)
            modes = {name: (path.parent / name).stat().st_mode & 0o777 for name in contents(path)}
        finally:
            os.umask(before)
        assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600}
        store.abandon()
        assert wal(path).stat().st_mode & 0o777 == 0o600

    def test_in_a_missing_folder_is_refused(self, path: Path) -> None:
        """The folder is named; none is made."""
        with pytest.raises(JournalError, match=f"there is no folder {path.parent / 'missing'}; make it first"):
            opened(path.parent / "missing" / "job.journal")
        assert contents(path) == {}

    def test_in_a_file_is_refused(self, path: Path) -> None:
        """A folder that is a file is no folder."""
        path.write_bytes(b"a file")
        with pytest.raises(JournalError, match=f"there is no folder {path}"):
            opened(path / "job.journal")

    def test_of_a_folder_is_refused(self, path: Path) -> None:
        """The folder's name where the file's should be."""
        with pytest.raises(JournalError, match="is not a file; name a file"):
            opened(path.parent)

    @pytest.mark.skipif(sys.platform != "linux", reason="a folder that takes no files is known of Linux only")
    def test_where_nothing_may_be_made_is_refused(self) -> None:
        """Not even by root: the system's own folder takes no files. The message says where."""
        with pytest.raises(JournalError, match=r"must be allowed to make and write files in /sys$"):
            opened(Path("/sys/job.journal"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write in every folder")
    def test_in_a_folder_that_may_not_be_written_is_refused(self, path: Path) -> None:
        """Nor opened: without a `-wal` file beside it nothing is safe."""
        ended(path)
        path.parent.chmod(0o500)
        try:
            for name in (path.name, "other.journal"):
                with pytest.raises(JournalError, match=f"must be allowed to make and write files in {path.parent}"):
                    opened(path.with_name(name))
        finally:
            path.parent.chmod(0o700)
        assert read(path) == ROWS


class TestPermissions:
    def test_of_a_file_that_others_can_read_are_told(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """They may be meant, so they stay; a warning says what would close the file to others."""
        ended(path)
        path.chmod(0o644)
        with caplog.at_level(logging.WARNING, "hubspot_meetings_async"):
            assert read(path) == ROWS
        assert "(mode 0644); `chmod 600` it" in caplog.text
        assert path.stat().st_mode & 0o777 == 0o644

    def test_of_our_own_making_are_no_warning(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """0600 is silent."""
        ended(path)
        assert read(path) == ROWS
        assert caplog.text == ""


class TestLinks:
    @pytest.mark.parametrize("exists", [True, False])
    def test_are_not_followed(self, path: Path, tmp_path: Path, exists: bool) -> None:
        """A link somebody planted leads to no write elsewhere, whether its target is there or not."""
        target = tmp_path / "target"
        if exists:
            ended(target)
        before = target.read_bytes() if exists else None
        path.symlink_to(target)
        refused(path, JournalError, "is a symbolic link, which is never followed")
        assert (target.read_bytes() if target.exists() else None) == before

    def test_in_the_place_of_the_wal_file_are_not_followed(self, path: Path, tmp_path: Path) -> None:
        """SQLite refuses them too, and the journal is well again without."""
        target = tmp_path / "target"
        target.write_bytes(b"not ours")
        ended(path)
        wal(path).symlink_to(target)
        with pytest.raises(JournalError, match=str(path)):
            opened(path)
        assert target.read_bytes() == b"not ours"
        wal(path).unlink()
        assert read(path) == ROWS

    def test_of_the_folder_are(self, path: Path, tmp_path: Path) -> None:
        """Where the folder is kept is its owner's business."""
        (tmp_path / "link").symlink_to(path.parent)
        ended(tmp_path / "link" / path.name)
        assert read(path) == ROWS


class TestLock:
    @pytest.mark.parametrize("durability", ["power", "process"])
    async def test_a_second_opener_in_this_process_fails(self, path: Path, durability: Durability) -> None:
        """At once, by any name of the file, and the first is unharmed and keeps its lock."""
        first = opened(path, durability)
        os.link(path, path.with_name("other.name"))
        (path.parent / "link").symlink_to(path.parent)
        for name in (path, path.with_name("other.name"), path.parent / "link" / path.name):
            with pytest.raises(JournalLockedError, match="is open in another run"):
                opened(name)
        await first.append(*ROWS[0])
        await first.aclose()
        path.with_name("other.name").unlink()
        (path.parent / "link").unlink()
        store = opened(path, durability)
        assert list(store.rows()) == ROWS[:1]
        await store.aclose()

    def test_a_refused_file_is_not_locked_for_ever(self, path: Path) -> None:
        """Once it is mended it opens, in the same process."""
        crashed(path)
        kept = wal(path).read_bytes()
        wal(path).unlink()
        refused(path, JournalDamagedError, "missing")
        wal(path).write_bytes(kept)
        assert read(path) == ROWS


@pytest.mark.parametrize("durability", ["power", "process"])
class TestTakenAway:
    @pytest.mark.parametrize("replaced", [False, True])
    async def test_the_journal_while_it_runs_is_noticed(
        self, path: Path, durability: Durability, replaced: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write looks again when the last look is some seconds ago; from then on no row is taken."""
        store = opened(path, durability)
        await store.append(*ROWS[0])
        os.rename(path, path.with_name("moved"))
        if replaced:
            shutil.copyfile(path.with_name("moved"), path)
        # So long as the last look is fresh, nothing is noticed: a look at each write is not what is promised.
        await store.append(*ROWS[1])
        before = contents(path)
        monkeypatch.setattr(database, "LOOK_S", 0.0)
        for _ in range(2):
            with pytest.raises(JournalError, match="was removed or replaced while the run had it open"):
                await store.append(*ROWS[2])
        with pytest.raises(JournalError, match="was removed or replaced"):
            await store.aclose()
        assert contents(path) == before
        os.replace(path.with_name("moved"), path)
        store = opened(path, durability)
        assert list(store.rows()) == ROWS[:2]
        await store.aclose()

    @pytest.mark.parametrize("replaced", [False, True])
    async def test_the_wal_file_while_it_runs_is_noticed(
        self, path: Path, durability: Durability, replaced: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No row is taken any more, and none that was safe is lost: they are in the journal when the error is told."""
        store = opened(path, durability)
        await store.append(*ROWS[0])
        os.unlink(wal(path))
        if replaced:
            shutil.copyfile(path, wal(path))
        await store.append(*ROWS[1])
        monkeypatch.setattr(database, "LOOK_S", 0.0)
        for _ in range(2):
            with pytest.raises(JournalError, match="-wal was removed or replaced while the run had the journal open"):
                await store.append(*ROWS[2])
        with pytest.raises(JournalError, match="-wal was removed or replaced"):
            await store.aclose()
        assert list(contents(path)) == [path.name]
        store = opened(path, durability)
        assert list(store.rows()) == ROWS[:2]
        await store.aclose()

    async def test_both_files_are_not_made_again(self, path: Path, durability: Durability) -> None:
        """Who removed them to start anew can."""
        store = opened(path, durability)
        await store.append(*ROWS[0])
        os.unlink(path)
        os.unlink(wal(path))
        with pytest.raises(JournalError, match="was removed or replaced"):
            await store.aclose()
        assert contents(path) == {}

    async def test_the_journal_is_noticed_at_the_close_too(self, path: Path, durability: Durability) -> None:
        """Also by a run that wrote nothing for a while."""
        store = opened(path, durability)
        await store.append(*ROWS[0])
        os.unlink(path)
        with pytest.raises(JournalError, match="was removed or replaced"):
            await store.aclose()
        refused(path, JournalDamagedError, "is gone, but .*-wal")

    async def test_the_wal_file_at_the_close_does_no_harm(self, path: Path, durability: Durability) -> None:
        """What it held is brought into the journal all the same."""
        store = opened(path, durability)
        await store.append(*ROWS[0])
        os.unlink(wal(path))
        await store.aclose()
        store = opened(path, durability)
        assert list(store.rows()) == ROWS[:1]
        await store.aclose()

"""The store against what only happens to whole processes: `kill -9`, full and failing disks, locks, forks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async.bulk.journal.store import Durability, Store, open_store
from hubspot_meetings_async.errors import JournalError, JournalLockedError
from tests.bulk.journal.store_child import row

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60
ON_DISK = ("power", "process")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and forks of POSIX")


def started(scene: str, *arguments: object, shim: Path | None = None) -> subprocess.Popen[bytes]:
    """The scene in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bulk.journal.store_child", scene, *map(str, arguments)]
    environment = {**os.environ, **({"LD_PRELOAD": str(shim)} if shim else {})}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def played(scene: str, *arguments: object, shim: Path | None = None) -> Any:
    """What the scene printed at its end."""
    child = started(scene, *arguments, shim=shim)
    try:
        out, err = child.communicate(timeout=PATIENCE_S)
    finally:
        child.kill()
    assert (child.returncode, err) == (0, b"")
    return json.loads(out)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.journal"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands between SQLite and the disk."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the shim needs a C compiler and LD_PRELOAD of Linux")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("store_shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=PATIENCE_S)
    return library


def mounted(tool: str, *arguments: object) -> bool:
    """Whether `mount` or `umount` did as it was told."""
    found = shutil.which(tool)
    command = [found or "", *map(str, arguments)]
    return bool(found) and not subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE_S).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder):
        pytest.skip("a file system can be mounted by root only, and not in every container")
    yield folder
    assert mounted("umount", folder)


def opened(path: Path, durability: Durability = "power") -> Store:
    return open_store(path, meta={}, durability=durability)


def rows_at(path: Path) -> list[bytes]:
    store = opened(path)
    try:
        return [data for _, data in store.rows()]
    finally:
        asyncio.run(store.aclose())


class TestKill:
    @pytest.mark.parametrize("durability", ON_DISK)
    def test_9_loses_no_row_that_was_safe(self, path: Path, durability: Durability) -> None:
        """All rows whose wait was over are there, in order and whole; at most the one under way may be there too."""
        child = started("fill", path, durability)
        assert child.stdout is not None
        try:
            # Past the 1,000 pages after which SQLite empties the -wal file by itself.
            for line in child.stdout:
                if int(line) == 3_000:
                    break
            child.send_signal(signal.SIGKILL)
            safe = 3_001 + child.stdout.read().count(b"\n")
        finally:
            child.kill()
            child.communicate(timeout=PATIENCE_S)
        assert child.returncode == -signal.SIGKILL
        found = rows_at(path)
        assert found == [row(number) for number in range(len(found))]
        assert safe <= len(found) <= safe + 1

    def test_9_at_each_change_of_a_file_is_survived(self, path: Path, shim: Path) -> None:
        """Made, written, closed, opened, written, closed: wherever it is cut off, the next run opens it and finds all.

        A crash never looks like damage, not even in the middle of making the file.
        """
        cuts = played("killed_everywhere", path.parent, shim=shim)
        assert len(cuts) > 60
        for cut in cuts:
            assert cut["error"] is None, cut
            assert all(cut["rows"]), cut
            assert cut["safe"] <= len(cut["rows"]) == cut["after"], cut
            # Before the first row nothing says which job it was: the next opener is the first.
            assert cut["job"] == "killed", cut
        assert {len(cut["rows"]) for cut in cuts} == set(range(7))


class TestOrderlyEnd:
    @pytest.mark.parametrize("durability", ON_DISK)
    def test_of_a_program_that_forgot_to_close(self, path: Path, durability: Durability) -> None:
        """The interpreter frees the connection, and SQLite must not take the chance to tidy up: it is like a crash."""
        assert played("exit_open", path, durability) == 10
        assert Path(f"{path}-wal").exists()
        assert rows_at(path) == [row(number) for number in range(10)]

    @pytest.mark.parametrize("durability", ON_DISK)
    def test_of_a_forked_child_does_the_parent_no_harm(self, path: Path, durability: Durability) -> None:
        """The child is refused, and the parent's files are where they were when it has ended."""
        seen = played("forked", path, durability)
        assert seen["wal"]
        (said,) = seen["said"]
        assert "was opened before this process was forked; open another here" in said
        assert rows_at(path) == [row(0)]


class TestLock:
    def test_a_second_process_fails_at_once(self, path: Path) -> None:
        """And the first is unharmed: it writes on and closes."""
        child = started("hold", path)
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"open\n"
            before = path.read_bytes()
            for _ in range(2):
                with pytest.raises(JournalLockedError, match=f"{path} is open in another run"):
                    opened(path)
            assert path.read_bytes() == before
            out, err = child.communicate(b"\n", timeout=PATIENCE_S)
        finally:
            child.kill()
        assert (json.loads(out), err) == ("closed", b"")
        assert rows_at(path) == [row(1)]

    def test_is_told_before_damage(self, path: Path) -> None:
        """What another process has open may look damaged for a moment: it is not judged."""
        child = started("hold", path)
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"open\n"
            wal = Path(f"{path}-wal")
            wal.rename(path.with_name("moved"))
            with pytest.raises(JournalLockedError):
                opened(path)
            path.with_name("moved").rename(wal)
            out, err = child.communicate(b"\n", timeout=PATIENCE_S)
        finally:
            child.kill()
        assert (json.loads(out), err) == ("closed", b"")
        assert rows_at(path) == [row(1)]

    def test_outlives_a_second_opener_in_its_process(self, path: Path) -> None:
        """To open and close a file once more drops a process's lock on it, so that is not done, not even to look."""
        store = opened(path)
        with pytest.raises(JournalLockedError):
            opened(path)
        assert played("knock", path) == "JournalLockedError"
        asyncio.run(store.aclose())
        assert played("knock", path) == "opened"

    def test_dies_with_its_process(self, path: Path) -> None:
        """No stale lock keeps the next run out."""
        child = started("hold", path)
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        child.kill()
        child.communicate(timeout=PATIENCE_S)
        assert rows_at(path) == []


class TestFullDisk:
    def test_a_limit_on_the_size_of_files(self, path: Path) -> None:
        """The row is refused, so is every later one; what was safe stays, and with more room the job goes on."""
        seen = played("too_large", path)
        assert seen["safe"] > 10
        assert seen["found"]
        assert len(seen["errors"]) == 3
        for said, cause in seen["errors"]:
            assert "could not be written" in said
            assert "quota and limits on file size" in said
            assert cause == "OperationalError"
        assert rows_at(path)[-1] == b"last"

    def test_is_named_as_such(self, small_disk: Path) -> None:
        """With what to do; freed of some of its load, the same process opens the journal and goes on."""
        path = small_disk / "job.journal"
        seen = played("full", path)
        assert seen["safe"] > 10
        assert seen["found"]
        assert len(seen["errors"]) == 2
        for said in seen["errors"]:
            assert f"the disk is full; free space in {small_disk}" in said
        assert rows_at(path)[-1] == b"last"

    def test_before_the_first_row(self, small_disk: Path) -> None:
        """A journal that can not be made is told before anything is sent; with room, its empty file is gone on with."""
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        with pytest.raises(JournalError, match="the disk is full"):
            opened(small_disk / "job.journal")
        ballast.unlink()
        assert rows_at(small_disk / "job.journal") == []

    def test_read_only(self, small_disk: Path) -> None:
        """The folder is named, whether the journal is there or not, and nothing of it changes."""
        path = small_disk / "job.journal"
        opened(path).abandon()
        before = {name: (small_disk / name).read_bytes() for name in os.listdir(small_disk)}
        assert mounted("mount", "-o", "remount,ro", small_disk)
        for name in (path, small_disk / "other.journal"):
            with pytest.raises(JournalError, match=f"must be allowed to make and write files in {small_disk}"):
                opened(name)
        assert {name: (small_disk / name).read_bytes() for name in os.listdir(small_disk)} == before
        assert mounted("mount", "-o", "remount,rw", small_disk)
        assert rows_at(path) == []


class TestSyncs:
    def test_come_before_a_row_is_called_safe(self, path: Path, shim: Path) -> None:
        """A row whose wait is over lay in the `-wal` file when a sync of it began, and that sync has returned."""
        seen = played("synced_first", path, shim=shim)
        assert len(seen) == 20
        for one in seen:
            assert one["syncs"] >= 1
            assert 0 < one["at"] < one["synced_bytes"]

    def test_that_fail_are_not_tried_again(self, path: Path, shim: Path) -> None:
        """A second sync could succeed for data the first one lost: the run is told, and nothing is synced any more."""
        seen = played("sync_fails", path, shim=shim)
        assert seen["syncs"] == 1
        assert len(seen["errors"]) == 6
        for said, cause in seen["errors"]:
            assert "could not be written" in said
            assert cause == "SQLITE_IOERR_FSYNC"
        found = rows_at(path)
        assert found == [row(number) for number in range(len(found))]
        assert len(found) >= 3

    def test_that_are_slow_make_larger_groups(self, path: Path, shim: Path) -> None:
        """With 50 ms a sync, 200 rows of 20 workers share a few syncs, in order, and the loop runs on."""
        seen = played("slow_syncs", path, shim=shim)
        assert (seen["rows"], seen["in_order"]) == (200, True)
        assert 10 <= seen["syncs"] <= 40
        # Half a second of syncs at least; a loop that waited for them would turn about once for each.
        assert seen["turns"] > 3 * seen["syncs"]

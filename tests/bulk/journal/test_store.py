"""What an open store promises: order, when a row is safe, what a failure says, and how it is let go of."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import anyio
import pytest

from hubspot_meetings_async.bulk.journal import store as store_module
from hubspot_meetings_async.bulk.journal.database import MOST_ROWS, Database, Row
from hubspot_meetings_async.bulk.journal.store import Durability, memory_store, open_store
from hubspot_meetings_async.errors import ConfigurationError, JournalError, JournalLockedError

META = {"operation": "create", "portal": "62515"}
ON_DISK: tuple[Durability, ...] = ("power", "process")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.journal"


class Opened(Protocol):
    """A store on a file, whose awaitables are known to be futures here."""

    path: str
    resumed: bool
    meta: Mapping[str, str]

    def rows(self) -> Iterator[tuple[int, bytes]]: ...

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> asyncio.Future[None]: ...

    def check(self) -> None: ...

    async def aclose(self) -> None: ...

    def abandon(self) -> None: ...


def opened(path: Path, durability: Durability = "power") -> Opened:
    return cast("Opened", open_store(path, meta=META, durability=durability))


def database(store: object) -> Database:
    return cast("Database", store._database)  # type: ignore[attr-defined]  # looked into on purpose


def on_disk(path: Path) -> list[bytes]:
    """The rows another process would find now: read from copies, as the file itself is locked."""
    copy = path.with_name("copy")
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
    connection = sqlite3.connect(copy)
    try:
        return [data for (data,) in connection.execute("SELECT data FROM log ORDER BY seq")]
    finally:
        connection.close()
        copy.unlink()


def wal(path: Path) -> bytes:
    return Path(f"{path}-wal").read_bytes()


async def kept(path: Path, durability: Durability = "power") -> list[tuple[int, bytes]]:
    """The rows the next run finds."""
    store = opened(path, durability)
    try:
        return list(store.rows())
    finally:
        await store.aclose()


async def turn(times: int = 20) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize("durability", ON_DISK)
class TestRows:
    async def test_come_back_in_the_order_they_were_taken(self, path: Path, durability: Durability) -> None:
        """Rows of several runs are one sequence, whoever was waiting for what."""
        for session in range(3):
            store = opened(path, durability)
            rows = [(kind, b"%d %d" % (session, kind), b"body" if kind % 3 else None) for kind in range(700)]
            await asyncio.gather(*[store.append(*row) for row in rows])
            await store.aclose()
        expected = [(kind, b"%d %d" % (session, kind)) for session in range(3) for kind in range(700)]
        assert await kept(path, durability) == expected

    async def test_of_this_run_are_not_among_those_of_earlier_ones(self, path: Path, durability: Durability) -> None:
        """`rows` is what was there when the file was opened, also when it is read later."""
        store = opened(path, durability)
        await store.append(0, b"first")
        assert list(store.rows()) == []
        await store.aclose()
        store = opened(path, durability)
        reading = store.rows()
        await store.append(0, b"second")
        assert list(reading) == [(0, b"first")]
        await store.aclose()

    async def test_more_than_a_page_of_them(self, path: Path, durability: Durability) -> None:
        """They are read page by page, without a gap at the seams."""
        store = opened(path, durability)
        await asyncio.gather(*[store.append(number % 4, b"%d" % number) for number in range(1_100)])
        await store.aclose()
        assert await kept(path, durability) == [(number % 4, b"%d" % number) for number in range(1_100)]

    async def test_meta_is_what_the_first_opener_said(self, path: Path, durability: Durability) -> None:
        """A later opener's meta is not written; `resumed` tells the first from the others."""
        first = opened(path, durability)
        assert (first.resumed, first.meta, first.path) == (False, {**META, "format": "1"}, str(path))
        await first.aclose()
        second = open_store(path, meta={"operation": "update"}, durability=durability)
        assert (second.resumed, second.meta) == (True, {**META, "format": "1"})
        await second.aclose()

    async def test_the_body_is_kept_in_the_file(self, path: Path, durability: Durability) -> None:
        """What a run spools can be had with any tool for SQLite once the journal is closed."""
        store = opened(path, durability)
        await store.append(0, b"lean")
        await store.append(0, b"spooled", b"the whole request")
        await store.aclose()
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT data, body FROM log").fetchall() == [
            (b"lean", None),
            (b"spooled", b"the whole request"),
        ]
        connection.close()

    async def test_a_row_is_on_disk_when_its_wait_is_over(self, path: Path, durability: Durability) -> None:
        """And it is its own row that is, not only those before it."""
        store = opened(path, durability)
        for number in range(5):
            await store.append(0, b"%d" % number)
            assert on_disk(path) == [b"%d" % earlier for earlier in range(number + 1)]
        await store.aclose()

    async def test_abandoned_they_are_found_as_after_a_crash(self, path: Path, durability: Durability) -> None:
        """What was safe is there, the `-wal` file is where it was, and the journal opens again at once."""
        store = opened(path, durability)
        await store.append(0, b"safe")
        before = wal(path)
        store.abandon()
        store.abandon()
        assert wal(path) == before != b""
        assert await kept(path, durability) == [(0, b"safe")]

    async def test_abandoned_before_the_first_row(self, path: Path, durability: Durability) -> None:
        """An empty `-wal` file stays too: without one the next opener would have to call the journal damaged."""
        opened(path, durability).abandon()
        assert wal(path) == b""
        assert await kept(path, durability) == []

    async def test_nobody_holds_it_any_more(self, path: Path, durability: Durability) -> None:
        """A store that is dropped without a close is as one that crashed: no lock, no thread, no file is left open."""
        store = opened(path, durability)
        await store.append(0, b"safe")
        threads = threading.active_count() - (durability == "power")
        del store
        gc.collect()
        assert threading.active_count() == threads
        assert await kept(path, durability) == [(0, b"safe")]

    async def test_after_the_end_nothing_is_taken(self, path: Path, durability: Durability) -> None:
        """A closed or abandoned store refuses rows instead of losing them."""
        store = opened(path, durability)
        await store.aclose()
        with pytest.raises(JournalError, match="is closed"):
            store.append(0, b"late")
        store.check()
        store = opened(path, durability)
        store.abandon()
        with pytest.raises(JournalError):
            store.append(0, b"late")
        assert await kept(path, durability) == []


@pytest.mark.parametrize("durability", ON_DISK)
class TestClosing:
    async def test_leaves_one_whole_file(self, path: Path, durability: Durability) -> None:
        """Rows that still wait are written, and the main file alone is the journal."""
        store = opened(path, durability)
        waiting = [store.append(0, b"%d" % number) for number in range(500)]
        await store.aclose()
        await asyncio.gather(*waiting)
        assert os.listdir(path.parent) == [path.name]
        assert len(await kept(path, durability)) == 500

    async def test_twice_is_once(self, path: Path, durability: Durability) -> None:
        """A second close, at once or later, does nothing; nor does it touch the next run's journal."""
        store = opened(path, durability)
        await asyncio.gather(store.aclose(), store.aclose())
        successor = opened(path, durability)
        await store.aclose()
        store.abandon()
        await successor.append(0, b"safe")
        with pytest.raises(JournalLockedError):
            opened(path, durability)
        await successor.aclose()

    async def test_is_not_cancelled_by_its_scope(self, path: Path, durability: Durability) -> None:
        """In a cancelled scope the file is closed all the same, before the scope is left."""
        store = opened(path, durability)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.aclose()
        assert os.listdir(path.parent) == [path.name]

    async def test_goes_on_when_its_task_is_cancelled(self, path: Path, durability: Durability) -> None:
        """The task is let go at once; the rows are kept."""
        store = opened(path, durability)
        waiting = store.append(0, b"kept")
        with database(store)._using:
            closing = asyncio.ensure_future(store.aclose())
            await turn()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
        await waiting
        await store.aclose()
        assert await kept(path, durability) == [(0, b"kept")]

    async def test_is_bounded(self, path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that does not answer does not keep a program from ending."""
        store = opened(path, durability)
        monkeypatch.setattr(store_module, "CLOSE_S", 0.05)
        with database(store)._using, pytest.raises(JournalError, match="could not be closed within"):
            await store.aclose()
        monkeypatch.undo()
        await store.aclose()


class TestGroups:
    async def test_many_rows_are_few_transactions(self, path: Path) -> None:
        """What waits while the disk is busy is written at once: one statement, one transaction, one sync."""
        store = opened(path)
        # As in the smallest builds of SQLite.
        database(store)._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        statements: list[str] = []
        database(store)._connection.set_trace_callback(statements.append)
        with database(store)._using:
            waiting = [store.append(0, b"%d" % number) for number in range(3 * MOST_ROWS)]
            await turn()
            assert not any(one.done() for one in waiting)
        await asyncio.gather(*waiting)
        inserts = [statement for statement in statements if statement.startswith("INSERT")]
        # The thread took what was there when it woke up, at least one row, and then as much as one statement holds.
        assert len(inserts) <= 1 + 3
        assert len(statements) == len(inserts)
        await store.aclose()
        assert [data for _, data in await kept(path)] == [b"%d" % number for number in range(3 * MOST_ROWS)]

    async def test_a_row_is_not_safe_before_its_transaction(self, path: Path) -> None:
        """As long as the thread has not written it, the wait goes on, and another process would not find it."""
        store = opened(path)
        await store.append(0, b"first")
        with database(store)._using:
            waiting = store.append(0, b"second")
            await turn()
            assert not waiting.done()
            assert on_disk(path) == [b"first"]
        await waiting
        assert on_disk(path) == [b"first", b"second"]
        await store.aclose()

    async def test_a_row_is_taken_when_append_is_called(self, path: Path) -> None:
        """The order is that of the calls, and to cancel the wait, or never to wait, takes no row back."""
        store = opened(path)

        async def wait(row: bytes) -> None:
            await store.append(0, row)

        with database(store)._using:
            tasks = [asyncio.ensure_future(wait(b"%d" % number)) for number in range(3)]
            await turn()
            tasks[1].cancel()
            unwaited = store.append(0, b"3")
            await turn()
            assert tasks[1].cancelled()
        await store.append(0, b"4")
        assert unwaited.done()
        await asyncio.gather(tasks[0], tasks[2])
        await store.aclose()
        assert [data for _, data in await kept(path)] == [b"0", b"1", b"2", b"3", b"4"]

    async def test_the_loop_goes_on_while_the_disk_is_busy(self, path: Path) -> None:
        """Neither to append nor to wait blocks the loop."""
        store = opened(path)
        with database(store)._using:
            waiting = [store.append(0, b"%d" % number) for number in range(100)]
            turns = 0
            for _ in range(1_000):
                await asyncio.sleep(0)
                turns += 1
            assert turns == 1_000
        await asyncio.gather(*waiting)
        await store.aclose()

    async def test_abandoned_rows_that_wait_are_dropped(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever waits for them hears of it; what the thread had begun may be kept, and is then kept whole."""
        monkeypatch.setattr(store_module, "LEAVE_S", 0.0)
        store = opened(path)
        with database(store)._using:
            begun = [store.append(0, b"%d" % number) for number in range(MOST_ROWS)]
            waiting = [store.append(0, b"dropped") for _ in range(MOST_ROWS)]
            store.abandon()
        ended = await asyncio.gather(*begun, *waiting, return_exceptions=True)
        assert all(isinstance(error, JournalError) for error in ended[MOST_ROWS:])
        written = [data for _, data in await kept(path)]
        assert written == [b"%d" % number for number, error in enumerate(ended[:MOST_ROWS]) if error is None]


class Torn(BaseException):
    """What no handler of `Exception` catches."""


@pytest.mark.parametrize("error", [MemoryError("no memory"), SystemExit(3), Torn("torn")], ids=lambda error: str(error))
class TestDeadWriter:
    async def test_is_told_to_all_and_hangs_nobody(
        self, path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows that wait, later rows, `check` and `aclose` all say so; what was safe stays, and the journal opens."""
        store = opened(path)
        await store.append(0, b"safe")

        def die(rows: Sequence[Row]) -> None:
            raise error

        with database(store)._using:
            monkeypatch.setattr(database(store), "write", die)
            waiting = [store.append(0, b"lost") for _ in range(2 * MOST_ROWS)]
        for ended in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(ended, JournalError)
            assert ended.__cause__ is error
        with pytest.raises(JournalError, match="no writer any more"):
            store.append(0, b"later")
        with pytest.raises(JournalError, match="no writer any more"):
            store.check()
        with pytest.raises(JournalError, match="no writer any more"):
            await store.aclose()
        await store.aclose()
        assert await kept(path) == [(0, b"safe")]

    async def test_a_row_put_while_it_died_is_told_too(
        self, path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look at the failure and the queue the thread may end: that row's wait ends as well."""
        store = opened(path)
        writer = store._writer  # type: ignore[attr-defined]  # the moment can not be had from outside
        queue = writer.queue

        def die(rows: Sequence[Row]) -> None:
            raise error

        class Dying:
            """The thread takes another row, dies of it, and has told all that waited when this one is put."""

            get, empty = queue.get, queue.empty

            def put(self, item: object) -> None:
                queue.put(((0, b"deadly", None), asyncio.get_running_loop().create_future()))
                writer.thread.join()
                queue.put(item)

        monkeypatch.setattr(database(store), "write", die)
        monkeypatch.setattr(writer, "queue", Dying())
        waiting = store.append(0, b"too late")
        with pytest.raises(JournalError):
            await asyncio.wait_for(waiting, 10)
        monkeypatch.undo()
        with pytest.raises(JournalError):
            await store.aclose()


@pytest.mark.parametrize("durability", ON_DISK)
class TestFailedWrite:
    async def test_is_final(self, path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch) -> None:
        """One failed write and no row is taken any more, even if the disk would take it again."""
        store = opened(path, durability)
        await store.append(0, b"safe")
        database(store)._connection.execute("PRAGMA query_only=1")
        row = store.append(0, b"refused")
        with pytest.raises(JournalError, match=path.name) as caught:
            await row
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        for act in (store.check, lambda: store.append(0, b"later")):
            with pytest.raises(JournalError, match=path.name):
                act()
        # Let go of at once, not only at the close, which then does nothing to it.
        successor = opened(path, durability)
        with pytest.raises(JournalError, match=path.name):
            await store.aclose()
        await store.aclose()
        await successor.append(1, b"on")
        await successor.aclose()
        assert await kept(path, durability) == [(0, b"safe"), (1, b"on")]

    async def test_that_nobody_waits_for_is_told_by_the_next(self, path: Path, durability: Durability) -> None:
        """A note is not waited for; its failure is heard at the next row and is no noise in the log of the loop."""
        store = opened(path, durability)
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        database(store)._connection.execute("PRAGMA query_only=1")
        with contextlib.suppress(JournalError):
            for _ in range(1_000):
                store.append(0, b"note")
                await asyncio.sleep(0.001)
        with pytest.raises(JournalError):
            store.check()
        with pytest.raises(JournalError):
            await store.aclose()
        # The failure remembers where it was raised, and with that the row's future.
        del store
        gc.collect()
        assert complaints == []

    async def test_while_it_closes_is_told(self, path: Path, durability: Durability) -> None:
        """A journal that could not be marked as clean says so, and is found as after a crash."""
        store = opened(path, durability)
        await store.append(0, b"safe")
        database(store)._connection.execute("PRAGMA query_only=1")
        with pytest.raises(JournalError, match="could not be closed"):
            await store.aclose()
        assert await kept(path, durability) == [(0, b"safe")]


class TestLoops:
    def test_one_that_is_gone_without_a_close(self, path: Path) -> None:
        """The rows taken are written even so, and the thread goes on until the store is let go of."""
        store = opened(path)

        async def run() -> None:
            for number in range(10):
                store.append(0, b"%d" % number)

        asyncio.run(run())
        asyncio.run(store.aclose())
        assert [data for _, data in asyncio.run(kept(path))] == [b"%d" % number for number in range(10)]


class TestThreads:
    async def test_when_there_are_no_more_nothing_is_left_open(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The journal is told as not to be had, and opens when there is a thread again."""
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", refuse_to_start)
            with pytest.raises(JournalError, match="needs a thread to write it, and got none: can't start"):
                opened(path)
        gc.collect()
        assert await kept(path) == []


def refuse_to_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestMemory:
    async def test_takes_all_and_keeps_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has a store's ways, and no file."""
        monkeypatch.chdir(tmp_path)
        for store in (memory_store(META), open_store("job.journal", meta=META, durability="none")):
            assert (store.path, store.resumed, store.meta) == (None, False, {**META, "format": "1"})
            for number in range(10):
                waiting: Awaitable[None] = store.append(0, b"%d" % number)
                await waiting
            store.check()
            assert list(store.rows()) == []
            await store.aclose()
            await store.aclose()
            store.abandon()
            with pytest.raises(JournalError, match="closed"):
                store.append(0, b"late")
        assert os.listdir(tmp_path) == []


class TestArguments:
    @pytest.mark.parametrize("durability", ["", "POWER", "fsync"])
    def test_an_unknown_durability_is_refused(self, path: Path, durability: str) -> None:
        """Before a file is made."""
        with pytest.raises(ConfigurationError, match="'power', 'process' or 'none'"):
            open_store(path, meta={}, durability=durability)  # type: ignore[arg-type]  # what a user may write
        assert not path.exists()

    @pytest.mark.parametrize("durability", ["power", "process", "none"])
    def test_the_format_is_not_the_callers(self, path: Path, durability: Durability) -> None:
        """A meta that says `format` would hide the store's own."""
        with pytest.raises(ConfigurationError, match="format"):
            open_store(path, meta={"format": "7"}, durability=durability)
        assert not path.exists()

    async def test_a_relative_path_is_of_the_folder_at_opening(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A later change of folder moves nothing; odd names are names."""
        monkeypatch.chdir(tmp_path)
        name = "a job #1?mode=memory&x=%41 ü.journal"
        store = open_store(name, meta={})
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        monkeypatch.setattr(database(store), "_looked_at", float("-inf"))
        await store.append(0, b"row")
        await store.aclose()
        assert sorted(os.listdir(tmp_path)) == sorted([name, "elsewhere"])

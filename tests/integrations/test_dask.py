"""Bulk runs on a cluster of worker processes: nothing is lost or doubled, whoever dies."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from distributed import Client, KilledWorker, LocalCluster, Status
from redis.asyncio import Redis

from benchmarks.redis_server import RedisServer
from examples.many_accounts.main import accounts, backfill, files, main
from hubspot_meetings_async import (
    PROFESSIONAL,
    ConfigurationError,
    JournalMismatchError,
    MeetingsClient,
    QuotaGate,
    Unauthorized,
)
from hubspot_meetings_async.emulator import Emulator, Fault, FaultRule, ThreadedEmulator
from hubspot_meetings_async.integrations.dask import Job, JobReport, Share, run_partitions
from hubspot_meetings_async.integrations.redis import RedisQuota

KEY = "booking_ref"
TOKENS = {"acme": "pat-na1-c4n4ryac-me", "bolt": "pat-eu1-c4n4rybo-lt", "gone": "pat-na1-c4n4rygo-ne"}
"""What the workers' environment holds."""
SLOW_S = 0.03


def variable(account: str) -> str:
    return f"TOKEN_OF_{account.upper()}"


def connect(urls: Mapping[str, str], share: Share) -> MeetingsClient:
    """On the worker: the token is found there."""
    token = os.environ[variable(share.account)]
    return MeetingsClient(token, base_url=urls[share.account], limiter=share.limiter(PROFESSIONAL))


def connect_and_note(notes: Path, urls: Mapping[str, str], share: Share) -> MeetingsClient:
    """Says what part it was given."""
    limit = share.limiter(PROFESSIONAL).stats().limit
    (notes / secrets.token_hex(8)).write_text(f"{share.account} {limit} of {limit * share.of}")
    return connect(urls, share)


@asynccontextmanager
async def connect_by_redis(redis: str, urls: Mapping[str, str], share: Share) -> AsyncIterator[MeetingsClient]:
    token = os.environ[variable(share.account)]
    async with (
        RedisQuota(redis, account=share.account) as quota,
        MeetingsClient(token, base_url=urls[share.account], limiter=quota) as hubspot,
    ):
        yield hubspot


def some_records(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {KEY: f"r{number}"}


def late_records(mark: Path) -> Iterator[dict[str, str]]:
    """Not there at the first call."""
    if not mark.exists():
        mark.touch()
        raise OSError("the storage is not mounted yet")
    return some_records(50)


# Dask's own classes say of few things what they take.
start_cluster = cast("Callable[..., LocalCluster]", LocalCluster)
new_client = cast("Callable[..., Client]", Client)


def two_workers() -> LocalCluster:
    return start_cluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=50,
    )


def joined(cluster: LocalCluster, *, asynchronous: bool) -> Client:
    return new_client(cluster.scheduler_address, asynchronous=asynchronous, set_as_default=False)


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, ThreadedEmulator]]:
    """The accounts of the example, in the environment."""
    with accounts(2) as hubspots:
        yield hubspots


@pytest.fixture(scope="module")
def cluster(example: dict[str, ThreadedEmulator]) -> Iterator[LocalCluster]:
    """Two worker processes, which inherit the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for account, token in TOKENS.items():
            patch.setenv(variable(account), token)
        with two_workers() as running:
            yield running


@pytest.fixture
async def dask(cluster: LocalCluster) -> AsyncIterator[Client]:
    """A client on the test's loop."""
    async with joined(cluster, asynchronous=True) as client:
        await client.wait_for_workers(2)
        yield client


@pytest.fixture
def hubspots() -> Iterator[dict[str, ThreadedEmulator]]:
    """An account each for acme and bolt."""
    with (
        ThreadedEmulator(Emulator(tokens=[TOKENS["acme"]], service_latency_s=SLOW_S)) as acme,
        ThreadedEmulator(Emulator(tokens=[TOKENS["bolt"]], service_latency_s=SLOW_S)) as bolt,
    ):
        for hubspot in (acme, bolt):
            hubspot.call(lambda emulator: emulator.portal.add_property(KEY, unique=True))
        yield {"acme": acme, "bolt": bolt, "gone": acme}


def urls(hubspots: Mapping[str, ThreadedEmulator]) -> dict[str, str]:
    return {account: hubspot.url for account, hubspot in hubspots.items()}


def partition(folder: Path, name: str, numbers: range) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({KEY: f"r{number}", "hs_meeting_title": name}) + "\n" for number in numbers))
    return path


def job(folder: Path, account: str, source: Any, *, name: str = "a", **more: Any) -> Job:
    given: dict[str, Any] = {"operation": "create", "key_property": KEY, "options": {"workers": 1}} | more
    source = str(source) if isinstance(source, Path) else source
    return Job(account=account, source=source, journal=str(folder / f"{account}-{name}.journal"), **given)


def refs(hubspot: ThreadedEmulator) -> list[str]:
    return sorted(meeting[KEY] for meeting in hubspot.created_meetings())


def expected(*ranges: range) -> list[str]:
    return sorted(f"r{number}" for numbers in ranges for number in numbers)


def accounted(report: JobReport) -> int:
    assert report.error is None
    assert report.report is not None
    return report.report.done + report.report.settled_before


def add_fault(rule: FaultRule, emulator: Emulator) -> None:
    emulator.faults.add(rule)


def kill_one(cluster: LocalCluster, rng: random.Random) -> bool:
    """One of its processes; False when none has quite begun, since Dask gives up for good what dies before that."""
    begun = [
        nanny.pid for nanny in cluster.workers.values() if nanny.process and nanny.process.status == Status.running
    ]
    if begun:
        os.kill(rng.choice(begun), signal.SIGKILL)
    return bool(begun)


async def test_accounts_and_files(dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path) -> None:
    """Each file goes to its account, once; reports come in the jobs' order, with the rows that are no records."""
    odd = partition(tmp_path, "odd", range(200, 210))
    odd.write_text(odd.read_text() + "no record\n")
    jobs = [
        job(tmp_path, "acme", partition(tmp_path, "one", range(200)), name="one"),
        job(tmp_path, "bolt", partition(tmp_path, "two", range(150)), name="two"),
        job(tmp_path, "acme", odd, name="odd"),
    ]
    seen: list[JobReport] = []
    reports = await run_partitions(dask, jobs, connect=partial(connect, urls(hubspots)), on_done=seen.append)
    assert [report.job for report in reports] == jobs
    assert [accounted(report) for report in reports] == [200, 150, 10]
    assert [report.whole for report in reports] == [True, True, False]
    assert [(row.line, row.text) for row in reports[2].broken] == [(11, "no record")]
    assert reports[2].broken_rows == 1
    assert len(seen) == 3
    assert refs(hubspots["acme"]) == expected(range(210))
    assert refs(hubspots["bolt"]) == expected(range(150))


async def test_jobs_of_one_account_have_equal_parts(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """As many as run at the same time; alone, a job has the whole."""
    jobs = [job(tmp_path, "acme", partition(tmp_path, name, range(9)), name=name, options={}) for name in ("x", "y")]
    jobs.append(job(tmp_path, "bolt", partition(tmp_path, "z", range(9))))
    notes = tmp_path / "notes"
    notes.mkdir()
    await run_partitions(dask, jobs, connect=partial(connect_and_note, notes, urls(hubspots)), at_once=2)
    assert sorted(note.read_text() for note in notes.iterdir()) == [
        "acme 95 of 190",
        "acme 95 of 190",
        "bolt 190 of 190",
    ]


async def test_jobs_of_one_account_share_its_quota_by_redis(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path, redis_server: RedisServer
) -> None:
    """Whatever limiter `connect` gives its client."""
    jobs = [
        job(tmp_path, "acme", partition(tmp_path, f"{part}", range(part * 500, part * 500 + 500)), name=str(part))
        for part in range(2)
    ]
    ask = partial(connect_by_redis, redis_server.url, urls(hubspots))
    reports = await run_partitions(dask, jobs, connect=ask, at_once=2)
    assert [accounted(report) for report in reports] == [500, 500]
    hubspots["acme"].assert_within_limits()
    async with Redis.from_url(redis_server.url) as redis:
        state = await redis.keys("{hubspot:acme:*}:state")
    assert state


@pytest.mark.soak
async def test_all_of_the_quota_is_used_by_jobs_that_share_it(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path, redis_server: RedisServer
) -> None:
    """Two jobs, one much longer than the other; none of their calls is refused."""
    hubspots["acme"].set_limits(limit=50)
    jobs = [
        job(tmp_path, "acme", partition(tmp_path, "long", range(15_000)), name="long", options={}),
        job(tmp_path, "acme", partition(tmp_path, "short", range(15_000, 18_000)), name="short", options={}),
    ]
    ask = partial(connect_by_redis, redis_server.url, urls(hubspots))
    began = anyio.current_time()
    reports = await run_partitions(dask, jobs, connect=ask, at_once=2)
    took_s = anyio.current_time() - began
    assert [accounted(report) for report in reports] == [15_000, 3_000]
    hubspots["acme"].assert_within_limits()
    # 180 calls at 5 a second are 36 s; with equal parts, the long job alone would take 60.
    assert took_s < 50


@pytest.mark.parametrize("operation", ["update", "upsert", "archive"])
async def test_every_kind_of_job(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path, operation: str
) -> None:
    """Updates and upserts by key, archives by id."""
    made = [hubspots["acme"].add_object("meetings", properties={KEY: f"r{n}"}) for n in range(3)]
    source = tmp_path / "a.jsonl"
    rows = [
        {"id": name} if operation == "archive" else {KEY: f"r{n}", "hs_meeting_title": "new"}
        for n, name in enumerate(made)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    key = None if operation == "archive" else KEY
    (report,) = await run_partitions(
        dask,
        [job(tmp_path, "acme", source, operation=operation, key_property=key)],
        connect=partial(connect, urls(hubspots)),
    )
    assert accounted(report) == 3
    meetings = hubspots["acme"].meetings(archived=operation == "archive")
    assert [meeting.get("hs_meeting_title") for meeting in meetings] == [None if key is None else "new"] * 3


async def test_a_killed_worker_loses_and_doubles_nothing(
    cluster: LocalCluster, dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """SIGKILL in the midst of a run: another worker goes on with its journal."""
    jobs = [
        job(tmp_path, account, partition(tmp_path, account, range(1_500)), options={"workers": 2})
        for account in ("acme", "bolt")
    ]
    reports: list[JobReport] = []

    async def run() -> None:
        reports.extend(await run_partitions(dask, jobs, connect=partial(connect, urls(hubspots))))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for hubspot in (hubspots["acme"], hubspots["bolt"]):
            await anyio.to_thread.run_sync(hubspot.wait_for_requests, 6)
        assert kill_one(cluster, random.Random(1))
    assert [accounted(report) for report in reports] == [1_500, 1_500]
    assert [report.whole for report in reports] == [True, True]
    # One went on where another had ended.
    assert sorted(report.report.settled_before > 0 for report in reports if report.report) == [False, True]
    for account in ("acme", "bolt"):
        assert refs(hubspots[account]) == expected(range(1_500))


async def test_what_may_pass_is_tried_again(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """Here a source that is not there at first."""
    late = job(tmp_path, "acme", partial(late_records, tmp_path / "mounted"))
    (report,) = await run_partitions(dask, [late], connect=partial(connect, urls(hubspots)))
    assert accounted(report) == 50


async def test_a_job_that_fails_spoils_no_other(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """A refused token is final; so is a source that is always missing, once it was tried as often as was said."""
    jobs = [
        job(tmp_path, "gone", partition(tmp_path, "gone", range(10))),
        job(tmp_path, "acme", tmp_path / "missing.jsonl", name="missing"),
        job(tmp_path, "acme", partition(tmp_path, "one", range(10)), name="one"),
    ]
    refused, missing, fine = await run_partitions(dask, jobs, connect=partial(connect, urls(hubspots)), retries=1)
    assert isinstance(refused.error, Unauthorized)
    assert isinstance(missing.error, FileNotFoundError)
    assert (refused.whole, missing.whole, fine.whole) == (False, False, True)
    assert all(token not in repr((refused, missing, fine)) for token in TOKENS.values())


async def test_cancelled_jobs_stop_and_can_go_on(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """The worker hears that nobody wants it, lets go of the journal, and the next call does what is left."""
    long = job(tmp_path, "acme", partial(some_records, 3_000))
    ask = partial(run_partitions, dask, [long], connect=partial(connect, urls(hubspots)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.to_thread.run_sync(hubspots["acme"].wait_for_requests, 5)
        tasks.cancel_scope.cancel()
    (report,) = await ask()
    assert accounted(report) == 3_000
    assert report.report is not None
    assert 0 < report.report.settled_before < 3_000
    assert refs(hubspots["acme"]) == expected(range(3_000))


async def test_a_journal_of_another_job_is_told(
    dask: Client, hubspots: dict[str, ThreadedEmulator], tmp_path: Path
) -> None:
    """Two files with one journal would mix up what is done: refused at once here, and on the worker later."""
    ask = partial(run_partitions, dask, connect=partial(connect, urls(hubspots)))
    one, two = (
        job(tmp_path, "acme", partition(tmp_path, name, range(at, at + 9))) for name, at in (("x", 0), ("y", 50))
    )
    with pytest.raises(ConfigurationError, match="a journal of its own"):
        await ask([one, two])
    assert accounted((await ask([one]))[0]) == 9
    assert isinstance((await ask([two]))[0].error, JournalMismatchError)


class Deadly:
    """Stands in for a cluster that gives up on a job so often, since all its workers died of it."""

    asynchronous = True

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.keys: list[str] = []

    def submit(self, work: object, asked: Job, *_: object, key: str, **__: object) -> Deadly:
        self.keys.append(key)
        self._report = JobReport(job=asked)
        return self

    def __await__(self) -> Generator[Any, None, JobReport]:
        yield from anyio.lowlevel.checkpoint().__await__()
        if len(self.keys) <= self.deaths:
            raise KilledWorker(self.keys[-1], cast("Any", None), 3)
        return self._report

    def release(self) -> None:
        pass


@pytest.mark.parametrize(("deaths", "error"), [(2, None), (3, KilledWorker)])
async def test_a_job_outlives_so_many_rounds_of_dead_workers(
    tmp_path: Path, deaths: int, error: type[Exception] | None
) -> None:
    """As often as `retries` says; each round is a task of its own for Dask."""
    dask = Deadly(deaths)
    asked = job(tmp_path, "acme", list)
    (report,) = await run_partitions(cast("Client", dask), [asked], connect=partial(connect, {}), retries=2)
    assert (type(report.error) if report.error else None, report.job) == (error, asked)
    assert len(set(dask.keys)) == 3


class TestWhatTravels:
    async def test_no_token_does(self, dask: Client, tmp_path: Path) -> None:
        """One in a variable, an argument, a record or a name is refused before anything leaves, and not repeated."""
        token = TOKENS["acme"]

        @asynccontextmanager
        async def with_variable(share: Share) -> AsyncIterator[MeetingsClient]:
            async with MeetingsClient(token) as hubspot:
                yield hubspot

        fine = job(tmp_path, "acme", lambda: [{KEY: "1"}])
        tries: list[tuple[Any, Job]] = [
            (with_variable, fine),
            (partial(connect, {"acme": token}), fine),
            (partial(connect, {}), job(tmp_path, "acme", lambda: [{KEY: token}])),
        ]
        for given, asked in tries:
            with pytest.raises(ConfigurationError, match="find the token there") as caught:
                await run_partitions(dask, [asked], connect=given)
            assert token not in f"{caught.value!r}"
        with pytest.raises(ConfigurationError, match="not the token") as caught:
            job(tmp_path, token, list)
        assert token not in f"{caught.value!r}"

    async def test_secrets_and_connections_do_not(self, dask: Client, tmp_path: Path) -> None:
        """What can not be pickled is told as such."""
        held = MeetingsClient("token")
        with pytest.raises(ConfigurationError, match=r"connect can not travel"):
            await run_partitions(dask, [job(tmp_path, "acme", list)], connect=lambda _: held)

    def test_reports_come_back_whole(self, tmp_path: Path) -> None:
        """A report with its job and error is pickled on the worker and read here."""
        error = Unauthorized("401", status=401, category="EXPIRED")
        report = JobReport(job=job(tmp_path, "acme", tmp_path / "a.jsonl"), error=error)
        back: JobReport = pickle.loads(pickle.dumps(report))  # noqa: S301 - our own
        assert (back.job, vars(back.error)) == (report.job, vars(error))


class TestExample:
    """`examples/many_accounts`."""

    async def test_every_meeting_is_there_once(
        self,
        cluster: LocalCluster,
        example: dict[str, ThreadedEmulator],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Its accounts, its files, its way to connect; a line for each job."""
        jobs = [asked for account in example for asked in files(tmp_path, account, 2, 150)]
        reports = await backfill(cluster.scheduler_address, jobs, at_once=1)
        assert [report.whole for report in reports] == [True] * 4
        assert [len(hubspot.created_meetings()) for hubspot in example.values()] == [300, 300]
        assert capsys.readouterr().out.count("bulk create: 150 pulled, 150 created") == 4

    @pytest.mark.soak
    def test_as_its_readme_starts_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A worker is killed; the program itself compares with the accounts, and leaves nothing behind."""
        before = dict(os.environ)
        main(["--accounts", "3", "--files", "2", "--records", "2000", "--kill"])
        *lines, last = capsys.readouterr().out.splitlines()
        assert last == "6 jobs, 6 of them whole; 12,000 meetings, none twice"
        assert "settled before" in "".join(lines)
        assert {name for name in os.environ if name not in before and "TOKEN" in name} == set()


class TestWords:
    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"account": ""}, "name by which"),
            ({"operation": "read"}, "operation is"),
            ({"operation": "upsert", "key_property": None}, "key_property"),
            ({"operation": "archive"}, "takes no key_property"),
            ({"journal": "a.journal"}, "relative path"),
            ({"source": "a.jsonl"}, "relative path"),
        ],
    )
    def test_a_job_that_makes_no_sense(self, wrong: dict[str, Any], why: str) -> None:
        """Is refused where it is made."""
        given = {"account": "a", "source": "/a.jsonl", "operation": "create", "journal": "/a", "key_property": KEY}
        with pytest.raises(ConfigurationError, match=why):
            Job(**given | wrong)

    async def test_what_run_partitions_refuses(self, cluster: LocalCluster, dask: Client, tmp_path: Path) -> None:
        """A client that blocks, and numbers that make no sense."""
        given = partial(connect, {})
        with joined(cluster, asynchronous=False) as blocking, pytest.raises(ConfigurationError, match="asynchronous"):
            await run_partitions(blocking, [], connect=given)
        with pytest.raises(ConfigurationError, match="at_once"):
            await run_partitions(dask, [], connect=given, at_once=0)

    def test_without_dask_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not only which module is missing."""
        monkeypatch.setitem(sys.modules, "distributed", None)
        monkeypatch.delitem(sys.modules, run_partitions.__module__)
        with pytest.raises(ImportError, match=r"hubspot-meetings-async\[dask\]"):
            importlib.import_module(run_partitions.__module__)

    def test_a_share_is_a_part_of_the_limit(self) -> None:
        """And stays one whatever HubSpot's headers say; alone, it is the whole, which they correct."""
        assert Share(account="a").limiter(PROFESSIONAL).stats().limit == 190
        parts = [Share(account="a", of=3).limiter(PROFESSIONAL) for _ in range(3)]
        assert [type(part) for part in parts] == [QuotaGate] * 3
        assert sum(part.stats().limit for part in parts) <= 190


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
async def test_workers_are_killed_again_and_again(
    hubspots: dict[str, ThreadedEmulator],
    tmp_path: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """At random moments; HubSpot loses answers meanwhile."""
    rng = random.Random(f"{os.environ.get('SOAK_SEED', '1')} {seed}")
    trouble = [
        FaultRule(fault=Fault(status=502, applied=True), operation="meetings.batch_create", rate=0.05),
        FaultRule(fault=Fault(kind="reset", applied=True), operation="meetings.batch_create", rate=0.05),
        FaultRule(fault=Fault(status=503), operation="meetings.batch_*", rate=0.05),
    ]
    for account in ("acme", "bolt"):
        for rule in trouble:
            hubspots[account].call(partial(add_fault, rule))
    jobs = [
        job(
            tmp_path,
            account,
            partition(tmp_path, f"{account}{part}", range(part * 10_000, part * 10_000 + 6_000)),
            name=str(part),
            options={"workers": 2},
        )
        for account in ("acme", "bolt")
        for part in range(2)
    ]
    reports: list[JobReport] = []
    kills = 0

    async def run() -> None:
        ask = partial(run_partitions, dask, jobs, connect=partial(connect, urls(hubspots)), at_once=2, retries=8)
        reports.extend(await ask())
        tasks.cancel_scope.cancel()

    for account, token in TOKENS.items():
        monkeypatch.setenv(variable(account), token)
    with two_workers() as cluster:
        async with joined(cluster, asynchronous=True) as dask, anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            due = 10
            while True:
                # By what was done, not by time: on a busy machine a worker may need long to begin.
                await anyio.sleep(0.05)
                requests = sum(hubspots[account].stats().requests for account in ("acme", "bolt"))
                if requests >= due and kill_one(cluster, rng):
                    kills += 1
                    due = requests + rng.randrange(5, 60)
    record_property("dask: workers killed while 24,000 records were created", kills)
    assert kills >= 4
    assert [accounted(report) for report in reports] == [6_000] * 4
    for account in ("acme", "bolt"):
        assert refs(hubspots[account]) == expected(range(6_000), range(10_000, 16_000))

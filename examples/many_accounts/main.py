"""Meetings of many accounts, from many files, on several worker processes.

    python -m examples.many_accounts.main --accounts 3 --files 2 --records 2000 --kill

Each account is a HubSpot emulator here, started by the program itself. What is yours in the real thing: `connect`, and
the list of jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
from distributed import Client, LocalCluster

from hubspot_meetings_async import PROFESSIONAL, MeetingsClient
from hubspot_meetings_async.emulator import Emulator, ThreadedEmulator
from hubspot_meetings_async.integrations.dask import Job, JobReport, Share, run_partitions

KEY = "booking_ref"

# Dask's classes do not say what they take.
start_cluster = cast("Callable[..., LocalCluster]", LocalCluster)
new_client = cast("Callable[..., Client]", Client)


@asynccontextmanager
async def connect(share: Share) -> AsyncIterator[MeetingsClient]:
    """A client of one account, made on the worker that runs its job: tokens are found there, and never travel.

    With REDIS_URL set, all processes share the account's quota by it; else each job keeps to an equal part.
    """
    name = share.account.upper()
    token, url = os.environ[f"HUBSPOT_TOKEN_{name}"], os.environ[f"HUBSPOT_URL_{name}"]
    if redis := os.environ.get("REDIS_URL"):
        from hubspot_meetings_async.integrations.redis import RedisQuota

        async with (
            RedisQuota(redis, account=share.account) as quota,
            MeetingsClient(token, base_url=url, limiter=quota) as hubspot,
        ):
            yield hubspot
    else:
        async with MeetingsClient(token, base_url=url, limiter=share.limiter(PROFESSIONAL)) as hubspot:
            yield hubspot


async def backfill(
    cluster: str, jobs: list[Job], *, at_once: int, kill_when: Callable[[], object] | None = None
) -> list[JobReport]:
    """Run the jobs on the cluster; to show what happens then, a worker is killed when `kill_when` returns."""
    reports: list[JobReport] = []
    async with new_client(cluster, asynchronous=True) as dask, anyio.create_task_group() as beside:
        if kill_when is not None:
            beside.start_soon(kill_the_worker_of, jobs[0].account, dask, kill_when)
        reports += await run_partitions(dask, jobs, connect=connect, at_once=at_once, on_done=tell)
    return reports


async def kill_the_worker_of(account: str, dask: Any, when: Callable[[], object]) -> None:
    """Without a word, as a machine that fails."""
    await anyio.to_thread.run_sync(when)
    at_work, pids = await dask.processing(), await dask.run(os.getpid)
    os.kill(next(pids[worker] for worker, keys in at_work.items() if account in str(keys)), signal.SIGKILL)


def tell(done: JobReport) -> None:
    """One line for each job, as it ends."""
    print(f"{done.job.account:8} {Path(done.job.journal).stem:20} {done.error or done.report}")


@contextmanager
def accounts(number: int) -> Iterator[dict[str, ThreadedEmulator]]:
    """Stand-ins for HubSpot, and the environment that the workers inherit."""
    with ExitStack() as stack:
        hubspots: dict[str, ThreadedEmulator] = {}
        for name in (f"account{n}" for n in range(number)):
            token = f"token-of-{name}"
            hubspot = stack.enter_context(ThreadedEmulator(Emulator(tokens=[token], service_latency_s=0.05)))
            hubspot.add_property(KEY, unique=True)
            for variable, value in (("TOKEN", token), ("URL", hubspot.url)):
                os.environ[f"HUBSPOT_{variable}_{name.upper()}"] = value
                stack.callback(os.environ.pop, f"HUBSPOT_{variable}_{name.upper()}")
            hubspots[name] = hubspot
        yield hubspots


def files(folder: Path, account: str, number: int, records: int) -> list[Job]:
    """An export of the account, in several files: a job for each."""
    jobs: list[Job] = []
    for part in range(number):
        source = folder / f"{account}-{part}.jsonl"
        rows = ({KEY: f"{account}-{part}-{row}", "hs_meeting_title": f"Meeting {row}"} for row in range(records))
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        jobs.append(
            Job(
                account=account,
                source=str(source),
                operation="create",
                key_property=KEY,
                journal=str(source.with_suffix(".journal")),
            )
        )
    return jobs


def main(arguments: list[str] | None = None) -> None:
    """Start the accounts and a cluster of two processes, run all jobs, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=3)
    parser.add_argument("--files", type=int, default=2, help="files an account")
    parser.add_argument("--records", type=int, default=2_000, help="records a file")
    parser.add_argument("--at-once", type=int, default=1, help="jobs of one account at the same time")
    parser.add_argument("--kill", action="store_true", help="kill a worker in the midst of a file")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, accounts(given.accounts) as hubspots:
        jobs = [job for name in hubspots for job in files(Path(folder), name, given.files, given.records)]
        with start_cluster(
            n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster:
            midst = partial(next(iter(hubspots.values())).wait_for_requests, given.records // 200)
            reports = asyncio.run(
                backfill(
                    cluster.scheduler_address,
                    jobs,
                    at_once=given.at_once,
                    kill_when=midst if given.kill else None,
                )
            )
        for hubspot in hubspots.values():
            hubspot.assert_no_duplicates(KEY)
        there = sum(len(hubspot.created_meetings()) for hubspot in hubspots.values())
    print(f"{len(jobs)} jobs, {sum(report.whole for report in reports)} of them whole; {there:,} meetings, none twice")


if __name__ == "__main__":
    main()

"""A HubSpot on a local port, and clients of it, for every test above the transport."""

import gc
import os
from collections.abc import AsyncIterator

import pytest

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.meetings.resource import API_VERSIONS

SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002, locked_s=0.0)
"""Retries without the waiting, for tests that run in real time."""


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An account without limits, with a unique property `booking_ref`."""
    async with Emulator(limit=None) as running:
        running.portal.add_property("booking_ref", unique=True)
        yield running


@pytest.fixture(params=API_VERSIONS)
def api_version(request: pytest.FixtureRequest) -> str:
    """Each version of the API in turn."""
    return str(request.param)


@pytest.fixture
async def client(emulator: Emulator, api_version: str) -> AsyncIterator[MeetingsClient]:
    """A client of the account, in each version of the API."""
    async with MeetingsClient(
        "token", base_url=emulator.url, api_version=api_version, limiter=NoLimit(), retry=SWIFT
    ) as client:
        yield client


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than processors: some tests wait, for a window of the quota or for another process."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist's own hook reads it
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What pytest knows of ten thousand tests lasts to the end: the garbage collector need not look through it."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests measured (`record_property`), also those that other processes ran."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")

"""pytest plugin: a HubSpot account of its own for every test that asks for the fixture `hubspot_emulator`.

This module knows pytest, and what a test may ask for. It must not know the client. pytest imports it in every run: it
imports nothing heavy (aiohttp, the emulator) before a test asks for the fixture.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .emulator import ThreadedEmulator

__all__ = ["hubspot_emulator", "hubspot_emulator_options", "hubspot_environment"]

_LOOPBACK = "127.0.0.1,localhost"
_running: pytest.StashKey[ThreadedEmulator] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "hubspot(limit=…, unique_properties=[…], seed=…, …): the account that `hubspot_emulator` gives this test; "
        "takes what `hubspot_meetings_async.emulator.Emulator` takes.",
    )


@pytest.fixture
def hubspot_emulator_options() -> dict[str, Any]:
    """Words of `@pytest.mark.hubspot(…)` that hold for all tests; override this fixture in a conftest.py."""
    return {}


@pytest.fixture
def hubspot_emulator(
    request: pytest.FixtureRequest, hubspot_emulator_options: dict[str, Any]
) -> Iterator[ThreadedEmulator]:
    """A HubSpot account on a port of its own, new and empty: `.url`, `.token`, faults, and what was sent."""
    words = dict(hubspot_emulator_options)
    for marker in reversed(list(request.node.iter_markers("hubspot"))):
        if marker.args:
            pytest.fail("@pytest.mark.hubspot takes words only, such as limit=100", pytrace=False)
        words.update(marker.kwargs)
    try:
        emulator = _emulator(words)
    except (TypeError, ValueError) as error:
        pytest.fail(f"@pytest.mark.hubspot: {error}", pytrace=False)
    with emulator as running:
        request.node.stash[_running] = running
        yield running


@pytest.fixture
def hubspot_environment(hubspot_emulator: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Point `MeetingsClient.from_env()` and subprocesses to this test's account, past any proxy; what was set."""
    environment = hubspot_emulator.environment
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (os.environ.get(name), _LOOPBACK)))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what it had sent, unless its message says so already."""
    report = yield
    running = item.stash.get(_running, None)
    if report.failed and running is not None and call.when != "teardown":
        told = running.report()
        if told.partition("\n")[0] not in report.longreprtext:
            report.sections.append(("HubSpot emulator", told))
    return report


def _emulator(words: dict[str, Any]) -> ThreadedEmulator:
    """The account these words describe. Raises: ValueError that names the word."""
    from .emulator import TOKEN, Emulator, ThreadedEmulator

    known = [*inspect.signature(Emulator).parameters, "token", "unique_properties"]
    foreign = [word for word in words if word not in known]
    if foreign:
        raise ValueError(f"unknown: {', '.join(foreign)}; it takes {', '.join(known)}")
    token = words.pop("token", TOKEN)
    unique = words.pop("unique_properties", ())
    if isinstance(unique, str):
        raise ValueError(f"unique_properties takes a list of names, not one string: {unique!r}")
    options: dict[str, Any] = {"tokens": [token], "keep_bodies": True, **words}
    emulator = Emulator(**options)
    for name in unique:
        emulator.portal.add_property(name, unique=True)
    return ThreadedEmulator(emulator, token=token)

"""What the simulation found, each as a test of its own."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio

from hubspot_meetings_async.bulk.engine import Options, Run
from hubspot_meetings_async.bulk.operation import Operation
from hubspot_meetings_async.inputs import Inputs

from ..bulk.fake_hubspot import FakeHubSpot
from ..virtual_time import run_virtual


def run_of(operation: Operation, records: Any, **options: Any) -> Run[Any]:
    return Run(operation, records, options=Options(**{"read_in_thread": False, **options}), rng=random.Random(1))


def test_a_batch_that_waits_for_a_worker_when_a_slow_source_ends_is_sent() -> None:
    """The source ends while an unfilled batch waits for the one worker: the batch is not forgotten (keyed, seed 8)."""

    async def records() -> AsyncIterator[dict[str, str]]:
        for mark in ("a", "b"):
            yield {"n": mark}
            await anyio.sleep(2)

    async def scenario(rng: random.Random) -> int:
        fake = FakeHubSpot(rng, latency_s=30)
        operation = Operation(name="create", inputs=Inputs.create(), send=fake.create)
        with anyio.fail_after(600):
            report = await run_of(operation, records(), workers=1)
        return report.created

    assert run_virtual(scenario) == 2

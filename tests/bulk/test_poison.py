"""A record that makes HubSpot fail is told from one that was only unlucky; on a virtual clock."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from hubspot_meetings_async.bulk.engine import Options, Run
from hubspot_meetings_async.bulk.operation import Operation
from hubspot_meetings_async.bulk.outcomes import Report
from hubspot_meetings_async.errors import HubSpotUnavailable
from hubspot_meetings_async.inputs import Inputs
from hubspot_meetings_async.wire import Trail

from ..virtual_time import run_virtual
from .fake_hubspot import FakeHubSpot


def written(failures: float) -> Report:
    """Five batches of upserts; the last one has two records, and fails so often while the first of them is in it."""
    reports: list[Report] = []

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        left = failures

        async def send(body: bytes, trail: Trail) -> Any:
            nonlocal left
            if b'"m400"' in body and left > 0:
                left -= 1
                raise HubSpotUnavailable("bad gateway", status=502)
            return await fake.upsert(body, trail)

        operation = Operation(name="upsert", inputs=Inputs.upsert(id_property="n"), send=send, id_property="n")
        records = [{"n": f"m{number}", "title": "Review"} for number in range(402)]
        reports.append(await Run(operation, records, options=Options(), rng=rng))

    run_virtual(scenario, 1)
    return reports[0]


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_two_failures_of_a_record_alone_are_bad_luck(alone: int) -> None:
    """The five of the batch it was in before are not held against it."""
    report = written(5 + alone)
    assert (report.created, report.ambiguous) == (402, 0)


def test_a_third_is_not() -> None:
    """It is given up by name, and the record beside it is created."""
    report = written(math.inf)
    assert (report.created, report.ambiguous) == (401, 1)

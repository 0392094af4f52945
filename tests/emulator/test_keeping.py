"""An account in a data file survives its emulator: closed in order or killed, and whatever was done to it."""

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async.emulator import DataFileError, Emulator, ManualClock, SystemClock
from tests.emulator.account import MEETINGS

CONTACTS = "/crm/v3/objects/contacts"
MAYA = "maya.lindqvist/intro"


class Http:
    """Plain requests, one after the other, from a thread of their own where a loop runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(
        self, method: str, path: str, body: Any = None, *, form: str = "", bearer: str = "t"
    ) -> tuple[int, Any]:
        data = form.encode() if form else None if body is None else json.dumps(body).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return status, json.loads(text) if text else None


@contextmanager
def emulator(data: Path, *options: str, end: signal.Signals = signal.SIGTERM) -> Iterator[tuple[Http, int]]:
    """An emulator's process with this data file, ended by a signal."""
    words = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--limit", "off", "--data", str(data), *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("HubSpot emulator on "), line
        yield Http(line.split()[-1]), process.pid
    finally:
        process.send_signal(end)
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


def look(http: Http) -> dict[str, Any]:
    """Everything a client and the admin API can see of the account."""
    seen: dict[str, Any] = {}
    names = "hs_meeting_title,external_key,hs_meeting_outcome,hs_merged_object_ids"
    for path in (
        f"{MEETINGS}?limit=50&propertiesWithHistory={names}&associations=contacts,deals",
        f"{MEETINGS}?limit=100&archived=true&properties={names}",
        f"{CONTACTS}?limit=100&properties=email,firstname&associations=meetings",
        "/crm/v3/properties/meetings",
        "/crm/v3/properties/contacts",
        "/crm/v4/associations/meetings/contacts/labels",
        "/scheduler/v3/meetings/meeting-links",
        "/__emulator/users",
        "/__emulator/meeting-links",
        "/__emulator/bookings",
        "/__emulator/duplicates?property=hs_meeting_title",
    ):
        status, seen[path] = http("GET", path)
        assert status == 200, (path, seen[path])
    link = MAYA.replace("/", "%2F")
    _, page = http("GET", f"/scheduler/v3/meetings/meeting-links/book/{link}?timezone=UTC")
    seen["busy"] = page["allUsersBusyTimes"]
    return seen


def fill(http: Http) -> None:
    """Do one of everything that leaves something behind, and much of the usual."""
    rng = random.Random(5)
    post = "POST"
    assert http(post, "/__emulator/properties", {"name": "external_key", "unique": True})[0] == 200
    given = {"name": "mood", "label": "Mood", "type": "enumeration", "fieldType": "select", "groupName": "engagement"}
    options = [{"label": "Good", "value": "good", "displayOrder": 0}]
    assert http(post, "/crm/v3/properties/meetings", given | {"options": options})[0] == 201
    label = {"name": "host", "label": "Host", "inverseLabel": "Hosted"}
    assert http(post, "/crm/v4/associations/meetings/contacts/labels", label)[0] == 200
    contacts = [
        http(post, CONTACTS, {"properties": {"email": f"c{n}@example.com", "firstname": "Ö"}})[1]["id"]
        for n in range(5)
    ]
    inputs = [{"properties": {"hs_meeting_title": f"M {n % 20}", "external_key": f"k{n}"}} for n in range(40)]
    meetings = [made["id"] for made in http(post, f"{MEETINGS}/batch/create", {"inputs": inputs})[1]["results"]]
    for _ in range(60):
        one, what = rng.choice(meetings), rng.randrange(4)
        if what == 0:
            http("PATCH", f"{MEETINGS}/{one}", {"properties": {"hs_meeting_title": f"Renamed {rng.random()}"}})
        elif what == 1:
            http("PUT", f"/crm/v4/objects/meetings/{one}/associations/default/contacts/{rng.choice(contacts)}")
        elif what == 2:
            http("DELETE", f"/crm/v4/objects/meetings/{one}/associations/contacts/{rng.choice(contacts)}")
        elif rng.random() < 0.3:
            http("DELETE", f"{MEETINGS}/{one}")
    live = [found["id"] for found in http("GET", f"{MEETINGS}?limit=100")[1]["results"]]
    labelled = [{"associationCategory": "USER_DEFINED", "associationTypeId": 1}]
    path = f"/crm/v4/objects/meetings/{live[0]}/associations/contacts/{contacts[0]}"
    assert http("PUT", path, labelled)[0] == 201
    merge = {"primaryObjectId": live[1], "objectIdToMerge": live[2]}
    assert http(post, "/crm/objects/2026-09/meetings/merge", merge)[0] == 200
    assert http(post, "/crm/objects/2026-09/meetings/gdpr-delete", {"objectId": live[-1]})[0] == 204
    link = MAYA.replace("/", "%2F")
    _, page = http(
        "GET", f"/scheduler/v3/meetings/meeting-links/book/availability-page/{link}?timezone=UTC&monthOffset=1"
    )
    duration, offered = next(iter(page["linkAvailability"]["linkAvailabilityByDuration"].items()))
    person = {"slug": MAYA, "firstName": "Ada", "lastName": "L", "email": "ada@example.com", "duration": int(duration)}
    start = offered["availabilities"][0]["startMillisUtc"]
    status, booked = http(post, "/scheduler/v3/meetings/meeting-links/book", person | {"startTime": start})
    assert status == 200, booked
    assert http("PATCH", f"/scheduler/v3/meetings/meeting-links/{link}", {"paymentLinkId": "77"})[0] == 200


def test_everything_survives_an_orderly_end(tmp_path: Path) -> None:
    """What requests, admin calls and the command line left behind reads the same after a restart."""
    data = tmp_path / "account.sqlite"
    options = ("--unique-property", "ref", "--oauth-app", "app:secret", "--daily-limit", "1000")
    with emulator(data, *options) as (http, _):
        fill(http)
        tokens = http("POST", "/__emulator/oauth/issue", {"client_id": "app"})[1]
        before = look(http)
        stats = http("GET", "/__emulator/stats")[1]
    with emulator(data, *options) as (http, _):
        assert http("GET", "/__emulator/stats")[1]["daily_used"] == stats["daily_used"] > 50
        assert look(http) == before
        assert http("GET", f"{MEETINGS}?limit=1", bearer=tokens["access_token"])[0] == 200
        form = f"grant_type=refresh_token&client_id=app&client_secret=secret&refresh_token={tokens['refresh_token']}"
        status, refreshed = http("POST", "/oauth/v1/token", form=form)
        assert status == 200
        assert refreshed["access_token"] != tokens["access_token"]
        # Unique values are still taken, merged-away ids still lead on, ids go on where they stopped.
        taken = look(http)[f"{CONTACTS}?limit=100&properties=email,firstname&associations=meetings"]["results"][0]
        assert http("POST", CONTACTS, {"properties": {"email": taken["properties"]["email"]}})[0] == 409
        ids = [int(entry["id"]) for entry in http("GET", "/__emulator/ledger")[1]["objects"]]
        assert int(http("POST", MEETINGS, {"properties": {}})[1]["id"]) > max(ids)


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Killed again and again in the middle of requests, the account has every batch that was answered, and any other
    batch whole or not at all."""
    data = tmp_path / "account.sqlite"
    answered: set[str] = set()
    inputs = [{"properties": {"hs_meeting_title": f"Meeting {n}"}} for n in range(25)]

    def write(http: Http, enough: threading.Event) -> None:
        for turn in itertools.count():
            if turn == 8:
                enough.set()
            try:
                made = http("POST", f"{MEETINGS}/batch/create", {"inputs": inputs})[1]["results"]
            except (OSError, HTTPException):
                return
            answered.update(result["id"] for result in made)

    for _ in range(3):
        with ThreadPoolExecutor(3) as pool:
            with emulator(data, end=signal.SIGKILL) as (http, _):
                enough = threading.Event()
                writers = [pool.submit(write, http, enough) for _ in range(3)]
                assert enough.wait(60)
            for writer in writers:
                writer.result()
    with emulator(data) as (http, _):
        ledger = http("GET", "/__emulator/ledger?property=hs_meeting_title")[1]["objects"]
    assert answered <= {entry["id"] for entry in ledger}
    assert len(answered) >= 3 * 8 * 25
    counts = Counter(entry["value"] for entry in ledger)
    assert len(counts) == 25
    assert len(set(counts.values())) == 1


async def test_the_moved_clock_and_the_unfinished_dance_survive(tmp_path: Path) -> None:
    data = tmp_path / "account.sqlite"
    async with Emulator(data=data) as hubspot:
        app = hubspot.portal.add_app("app", "secret")
        code = hubspot.portal.authorize("app", "https://example.com/back")
        hubspot.advance(400)
        hubspot.advance(86_400)
        assert not hubspot.portal.issue_tokens("app").access.expired(hubspot.portal.clock.wall_ms())
    clock = SystemClock()
    async with Emulator(data=data, clock=clock) as hubspot:
        assert clock.ahead_ms == 86_800_000
        again = hubspot.portal.keyring.app("app")
        assert again == app
        assert hubspot.portal.keyring.codes[code].app is again


async def test_an_emptied_account_is_empty_after_a_restart(tmp_path: Path) -> None:
    """A reset is kept too: records, ties, labels and custom properties are gone, and ids start anew."""
    data = tmp_path / "account.sqlite"
    async with Emulator(data=data) as hubspot:
        hubspot.portal.add_property("ref", unique=True)
        hubspot.portal.add_label("meetings", "contacts", "Host")
        first = hubspot.portal.add_object("meetings", properties={"ref": "1"})
        hubspot.portal.add_object("contacts", properties={"email": "ada@example.com"})
    async with Emulator(data=data) as hubspot:
        assert hubspot.portal.meetings.find("1", "ref") is not None
        hubspot.reset()
    async with Emulator(data=data) as hubspot:
        assert list(hubspot.portal.objects("meetings", archived="both")) == []
        assert list(hubspot.portal.objects("contacts", archived="both")) == []
        assert hubspot.portal.associations.labels == []
        assert "ref" not in hubspot.portal.meetings.book
        assert hubspot.portal.add_object("meetings") == first
    with sqlite3.connect(data) as connection:
        rooms = {room for (room,) in connection.execute("SELECT DISTINCT room FROM documents")}
    connection.close()
    assert not any(room.startswith("definitions/") for room in rooms), "a fresh account's own definitions"


async def test_event_ids_and_tokens_do_not_come_twice(tmp_path: Path) -> None:
    """The same seed goes on in another way after a restart."""
    data = tmp_path / "account.sqlite"
    seen: list[str] = []
    for run in range(3):
        async with Emulator(data=data, seed=1) as hubspot:
            if run == 0:
                hubspot.portal.add_app("app", "secret")
            seen += [hubspot.portal.scheduler.event_id(), hubspot.portal.issue_tokens("app").access.value]
    assert len(set(seen)) == len(seen) == 6


async def test_without_a_file_nothing_is_watched() -> None:
    async with Emulator(clock=ManualClock()) as hubspot:
        assert hubspot.portal.meetings.store.changed is None
        assert hubspot.portal.associations.changed is None


class TestWrongFiles:
    def test_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("Dear diary, " * 100)
        with pytest.raises(DataFileError, match=r"notes\.txt is no emulator data; name another file"):
            Emulator(data=path)
        assert path.read_text().startswith("Dear diary")

    def test_somebody_elses_database(self, tmp_path: Path) -> None:
        path = tmp_path / "other.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE bills (total INTEGER)")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(DataFileError, match="SQLite file of something else"):
            Emulator(data=path)
        assert path.read_bytes() == before

    async def test_a_newer_format(self, tmp_path: Path) -> None:
        path = tmp_path / "account.sqlite"
        async with Emulator(data=path):
            pass
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(DataFileError, match=r"newer emulator \(format 99, this one reads up to 1\); update"):
            Emulator(data=path)

    async def test_a_file_with_holes(self, tmp_path: Path) -> None:
        path = tmp_path / "account.sqlite"
        async with Emulator(data=path, meetings=300):
            pass
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xff" * (size - 3 * 8192))
        with pytest.raises(DataFileError, match=r"cannot use the data file .*malformed"):
            Emulator(data=path)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE documents SET body = '{\"email\": 5}' WHERE room = 'users'",
            "DELETE FROM documents WHERE room = 'account'",
            "DELETE FROM documents WHERE room = 'users'",
            "UPDATE records SET body = x'00'",
            "UPDATE ties SET kinds = 'x'",
            "UPDATE documents SET body = 'many' WHERE room = 'next_ids'",
        ],
    )
    async def test_somebody_changed_it(self, tmp_path: Path, change: str) -> None:
        """Rows that make no sense are named, and the file is free for somebody who can mend it."""
        path = tmp_path / "account.sqlite"
        async with Emulator(data=path, meetings=20):
            pass
        with sqlite3.connect(path) as connection:
            connection.execute(change)
        connection.close()
        for _ in range(2):
            with pytest.raises(DataFileError, match=r"is damaged, or from a version that kept things differently"):
                Emulator(data=path)

    async def test_another_emulator_has_it(self, tmp_path: Path) -> None:
        path = tmp_path / "account.sqlite"
        async with Emulator(data=path):
            with pytest.raises(DataFileError, match=r"another emulator has the data file .* open; stop it"):
                Emulator(data=path)
        async with Emulator(data=path):
            pass

    def test_another_process_has_it(self, tmp_path: Path) -> None:
        path = tmp_path / "account.sqlite"
        words = [sys.executable, "-m", "hubspot_meetings_async.emulator", "--data", str(path)]
        with emulator(path):
            second = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.startswith("another emulator has the data file")
        assert second.stderr.count("\n") == 1

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataFileError, match="cannot open the data file"):
            Emulator(data=tmp_path / "missing" / "account.sqlite")

    async def test_one_start_per_file(self, tmp_path: Path) -> None:
        hubspot = Emulator(data=tmp_path / "account.sqlite")
        async with hubspot:
            pass
        with pytest.raises(RuntimeError, match="starts once; make a new one"):
            await hubspot.start()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs limits on the size of files, set from outside")
def test_a_full_disk_is_told_and_made_good(tmp_path: Path) -> None:
    """While nothing can be written every answer says so; with room again everything so far is written."""
    import resource

    data = tmp_path / "account.sqlite"
    with emulator(data, end=signal.SIGKILL) as (http, pid):
        assert http("POST", MEETINGS, {"properties": {"hs_meeting_title": "before"}})[0] == 201
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
        status, answer = http("POST", MEETINGS, {"properties": {"hs_meeting_title": "while"}})
        assert status == 500
        assert f"cannot write to the data file {data}" in answer["message"]
        status, answer = http("POST", "/__emulator/objects", {"type": "contacts"})
        assert (status, "cannot write" in answer["message"]) == (500, True)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert http("POST", MEETINGS, {"properties": {"hs_meeting_title": "after"}})[0] == 201
    with emulator(data) as (http, _):
        found = http("GET", f"{MEETINGS}?properties=hs_meeting_title")[1]["results"]
        assert [record["properties"]["hs_meeting_title"] for record in found] == ["before", "while", "after"]
        assert len(http("GET", CONTACTS)[1]["results"]) == 1

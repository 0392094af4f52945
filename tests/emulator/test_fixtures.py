"""Made-up accounts: the same for a seed on every day, with times and outcomes that make sense."""

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest

from hubspot_meetings_async.emulator import AROUND_MS, Emulator, ManualClock, Portal, populate
from hubspot_meetings_async.emulator.__main__ import main
from hubspot_meetings_async.emulator.kept_rooms import documents, encoded
from hubspot_meetings_async.emulator.times import parse_ms

ENDED = {"COMPLETED", "NO_SHOW", "CANCELED", "RESCHEDULED"}


def account(*, seed: int = 1, meetings: int = 2_000, wall_ms: int = AROUND_MS, around_ms: int = AROUND_MS) -> Portal:
    portal = Portal(clock=ManualClock(wall_ms=wall_ms))
    populate(portal, seed=seed, meetings=meetings, around_ms=around_ms)
    return portal


def everything(portal: Portal) -> str:
    """A digest of all records with their moments, all ties, users and made-up pages."""
    digest = hashlib.sha256()
    for crm in portal.crms:
        for record in crm.store:
            own = (record.id, record.properties(), record.created_ms, record.updated_ms, record.history)
            ties = [portal.associations.ends(crm.type.plural, record.id, other.type.plural) for other in portal.crms]
            digest.update(msgspec.json.encode([own, [list(ends) for ends in ties]]))
    for room, key, value in documents(portal):
        if room in ("users", "links") and key not in ("maya.lindqvist/intro", "sales/demo"):
            digest.update(encoded(value).encode())
    return digest.hexdigest()


def test_the_same_seed_makes_the_same_account_on_every_day() -> None:
    """To the last character, whatever the emulator's clock says; another seed or moment makes another."""
    first = everything(account())
    assert everything(account(wall_ms=AROUND_MS + 400 * 86_400_000)) == first
    assert everything(account(seed=2)) != first
    assert everything(account(around_ms=AROUND_MS + 86_400_000)) != first


def test_this_version_makes_this_account() -> None:
    """Tests of users may count on what they find: changing the recipe is a change they will notice."""
    portal = account(meetings=200)
    titles = [shown["hs_meeting_title"] for shown in portal.objects()]
    assert (titles[0], titles[-1]) == ("Onboarding Harbour Logistics, session 1", "Follow-up with Hiro Ito")
    assert Counter(shown["hs_meeting_outcome"] for shown in portal.objects()) == {
        "COMPLETED": 115,
        "CANCELED": 8,
        "NO_SHOW": 8,
        "RESCHEDULED": 5,
        "SCHEDULED": 64,
    }


def test_there_are_as_many_as_asked_for() -> None:
    portal = Portal(clock=ManualClock())
    populate(portal, meetings=1_234, contacts=99)
    sizes = {crm.type.plural: len(crm.store) for crm in portal.crms if len(crm.store)}
    assert sizes.pop("meetings") == 1_234
    assert sizes.pop("contacts") == 99
    assert sizes.keys() == {"companies", "deals"}
    assert (portal.meetings.store.created, portal.meetings.store.updated) == (0, 0), "not the work of requests"


def test_outcomes_follow_the_date() -> None:
    """What ended is completed, missed, canceled or moved; what lies ahead is scheduled and was never changed."""
    portal = account()
    outcomes: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for record in portal.meetings.store:
        values = record.properties()
        over = parse_ms(values["hs_meeting_end_time"]) <= AROUND_MS
        outcomes[over][values["hs_meeting_outcome"]] += 1
        assert record.created_ms <= record.updated_ms <= AROUND_MS
        assert record.created_ms < parse_ms(values["hs_meeting_start_time"])
        assert (record.history is not None) is over
    assert set(outcomes[True]) == ENDED
    assert set(outcomes[False]) == {"SCHEDULED"}
    assert outcomes[True]["COMPLETED"] > outcomes[True].total() * 0.7
    assert outcomes[False].total() > 200


def test_meetings_are_in_local_business_hours_and_keep_them_through_changes_of_the_clocks() -> None:
    portal = account()
    zones = {user.owner_id: ZoneInfo(user.timezone) for user in portal.scheduler.users}
    assert len(zones) >= 10
    local_times: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
    offsets: dict[tuple[str, str, str], set[int]] = {}
    for values in portal.objects():
        owner, title = values["hubspot_owner_id"], values["hs_meeting_title"]
        start = datetime.fromtimestamp(parse_ms(values["hs_meeting_start_time"]) / 1000, tz=UTC)
        local = start.astimezone(zones[owner])
        assert local.weekday() < 5
        assert (9, 0) <= (local.hour, local.minute) < (17, 0)
        assert local.minute in (0, 30)
        if title.startswith("1:1"):
            series = owner, title, values["hs_meeting_location"] + values.get("hs_meeting_external_url", "")
            local_times.setdefault(series, set()).add((local.hour, local.minute))
            offset = local.utcoffset()
            assert offset is not None
            offsets.setdefault(series, set()).add(round(offset.total_seconds()))
    crossing = [series for series, found in offsets.items() if len(found) > 1]
    assert crossing, "no series crosses a change of the clocks"
    steady = [series for series in crossing if len(local_times[series]) == 1]
    assert len(steady) >= len(crossing) // 2, "only times that were taken may move"


def test_meetings_are_tied_to_the_customers_they_name() -> None:
    """Meetings with customers have contacts of one company, and the company; meetings among colleagues none."""
    portal = account(meetings=500)
    book = portal.associations
    tied = 0
    for record in portal.meetings.store:
        values = record.properties()
        companies = list(book.ends("meetings", record.id, "companies"))
        contacts = list(book.ends("meetings", record.id, "contacts"))
        if "hs_attendee_owner_ids" in values:
            assert (companies, contacts) == ([], [])
            continue
        tied += 1
        company = portal.crm("companies").find(str(companies[0]))
        assert company is not None
        found = [portal.crm("contacts").find(str(contact)) for contact in contacts]
        assert {contact.value("company") for contact in found if contact} == {company.value("name")}
        assert values["hs_guest_emails"].split(";") == [contact.value("email") for contact in found if contact]
    assert tied > 200
    assert book.ends("companies", 1, "meetings")


def test_what_lies_ahead_is_taken_in_calendars() -> None:
    """The scheduling pages of the team offer no time in which their user has a meeting."""
    portal = account()
    link = portal.scheduler.link("hanna.bruckner/intro")
    assert link is not None
    ahead = [
        (parse_ms(values["hs_meeting_start_time"]), parse_ms(values["hs_meeting_end_time"]))
        for values in portal.objects()
        if values["hubspot_owner_id"] == link.organizer.owner_id
    ]
    month_ms = 28 * 86_400_000
    ahead = [span for span in ahead if AROUND_MS < span[0] < AROUND_MS + month_ms]
    starts = list(link.starts(30 * 60_000, AROUND_MS, AROUND_MS, AROUND_MS + month_ms))
    assert ahead
    assert starts
    assert not [at for at in starts for start, end in ahead if at < end and start < at + 30 * 60_000]


async def test_the_emulator_starts_with_it_and_a_data_file_keeps_it(tmp_path: Path) -> None:
    data = tmp_path / "account.sqlite"
    async with Emulator(seed=1, meetings=100, contacts=10, data=data) as hubspot:
        first = everything(hubspot.portal)
    async with Emulator(seed=1, meetings=100, contacts=10, data=data) as hubspot:
        assert len(hubspot.portal.meetings.store) == 100
        assert everything(hubspot.portal) == first


async def test_the_admin_api_makes_it_anew_after_a_reset(http: aiohttp.ClientSession) -> None:
    """For test suites in other languages: each test begins with the same account."""
    async with Emulator(seed=3, meetings=50, contacts=10, clock=ManualClock()) as hubspot:
        admin = hubspot.url + "/__emulator/"
        first = everything(hubspot.portal)
        await http.post(admin + "reset", json={})
        assert len(hubspot.portal.meetings.store) == 0
        async with http.post(admin + "populate", json={"seed": 3, "meetings": 50, "contacts": 10}) as response:
            made = await response.json()
        assert (made["meetings"], made["contacts"]) == (50, 10)
        assert everything(hubspot.portal) == first
        async with http.post(admin + "populate", json={"meetings": -1}) as response:
            assert response.status == 400
            assert "0 or more meetings" in (await response.json())["message"]


@pytest.mark.parametrize(("meetings", "contacts"), [(-1, None), (10, 0), (10, -5)])
def test_impossible_accounts_are_refused(meetings: int, contacts: int | None) -> None:
    with pytest.raises(ValueError, match="0 or more meetings and at least 1 contact"):
        populate(Portal(), meetings=meetings, contacts=contacts)


def test_no_account_is_made_up_twice() -> None:
    """It would have the same people twice; records of one's own are added afterwards."""
    portal = account(meetings=10)
    with pytest.raises(ValueError, match="has records already; reset it first"):
        populate(portal, meetings=10)
    portal.reset()
    populate(portal, meetings=10)
    assert portal.duplicates_by("email", object_type="contacts") == {}


@pytest.mark.parametrize("words", [["--around", "soon"], ["--around", "2026-11-21"], ["--meetings", "-5"]])
def test_the_command_line_refuses_what_it_can_not_make(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--meetings", "5", *words])
    assert ended.value.code == 2
    assert "2027-01-04T09:00:00Z" in (error := capsys.readouterr().err) or "not -5" in error

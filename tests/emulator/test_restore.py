"""Out of the recycling bin: what a restored record is again, and when search sees it."""

from typing import Any

import pytest

from hubspot_meetings_async.emulator import ManualClock
from tests.emulator.account import MEETINGS, Account, ids


def found(account: Account) -> Any:
    status, answer = account.post(f"{MEETINGS}/search", {})
    assert status == 200
    return ids(answer)


def listed(account: Account, *, archived: bool) -> Any:
    return ids(account.get(f"{MEETINGS}?archived={'true' if archived else 'false'}")[1])


def archived_one(account: Account) -> str:
    kept, gone = account.create(hs_meeting_title="Stays"), account.create(hs_meeting_title="Goes")
    account.clock.advance(60)
    assert account.send("DELETE", f"{MEETINGS}/{gone}")[0] == 204
    assert listed(account, archived=False) == [kept]
    account.clock.advance(60)
    return gone


class TestRestore:
    def test_brings_back_what_was_archived(self) -> None:
        """In lists and reads at once, in its place, with its values."""
        account = Account()
        gone = archived_one(account)
        account.portal.restore(gone)
        assert listed(account, archived=True) == []
        assert gone in listed(account, archived=False)
        assert (
            account.get(f"{MEETINGS}/{gone}?properties=hs_meeting_title")[1]["properties"]["hs_meeting_title"] == "Goes"
        )
        assert account.send("DELETE", f"{MEETINGS}/{gone}")[0] == 204
        assert listed(account, archived=True) == [gone]

    def test_search_sees_it_after_the_delay(self) -> None:
        account = Account(search_delay_s=5)
        gone = archived_one(account)
        account.portal.restore(gone)
        assert gone not in found(account)
        account.clock.advance(5)
        assert gone in found(account)

    @pytest.mark.parametrize("modifies", [True, False])
    def test_is_a_change_or_is_none(self, modifies: bool) -> None:
        """HubSpot's documents do not say whether it is: both readings can be had."""
        account = Account(restore_modifies=modifies)
        gone = archived_one(account)
        account.portal.restore(gone)
        record = account.get(f"{MEETINGS}/{gone}")[1]
        assert (record["updatedAt"] > record["createdAt"]) is modifies

    def test_needs_an_archived_record(self) -> None:
        account = Account()
        with pytest.raises(ValueError, match="not archived"):
            account.portal.restore(account.create())

    def test_needs_its_unique_values(self) -> None:
        """Archiving sets them free; once taken, they are taken."""
        account = Account()
        account.portal.add_property("booking_ref", unique=True)
        gone, other = account.create(booking_ref="b-1"), account.create(booking_ref="b-2")
        account.send("DELETE", f"{MEETINGS}/{gone}")
        account.send("PATCH", f"{MEETINGS}/{other}", {"properties": {"booking_ref": "b-1"}})
        with pytest.raises(ValueError, match="already exists"):
            account.portal.restore(gone)
        account.send("PATCH", f"{MEETINGS}/{other}", {"properties": {"booking_ref": "b-2"}})
        account.portal.restore(gone)
        assert account.get(f"{MEETINGS}/b-1?idProperty=booking_ref")[1]["id"] == gone


def test_search_may_see_later_writes_first() -> None:
    """With jitter each write has a delay of its own, from `search_delay_s` up to `search_jitter_s` more."""
    account = Account(search_delay_s=5, search_jitter_s=20)
    created = [account.create() for _ in range(40)]
    account.clock.advance(4.9)
    assert found(account) == []
    order: list[str] = []
    while len(order) < len(created):
        account.clock.advance(0.5)
        status, answer = account.post(f"{MEETINGS}/search", {"limit": 100})
        assert status == 200
        order += [id_ for id_ in ids(answer) if id_ not in order]
    assert order != created
    assert sorted(order) == created
    assert account.clock.wall_ms() - ManualClock().wall_ms() <= 25_500

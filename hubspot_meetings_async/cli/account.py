"""The account of a push, as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from ..calendars import AttendeeReport
from ..errors import JournalError, JournalMismatchError
from .exits import BROKEN_OFF, DONE, SOME_LEFT, advice, code_of, told
from .pushing import Account
from .rejects import Rejects
from .terminal import command, near, say

__all__ = ["Rest", "as_json", "exit_code", "show"]


_SHOWN = 10
# A shorter run starts on an empty window and says nothing about how well the quota is used.
_QUOTA_WINDOW_S = 10


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What there is left to do: the command that does it, and the journal that knows of it, both as one types them.

    `removed`: a journal that is of no more use. `from_line`: where a push without a journal can go on. `holds`:
    ambiguous records are not tried again.
    """

    journal: str | None = None
    removed: str | None = None
    finish: str | None = None
    from_line: int | None = None
    holds: bool = False


def exit_code(account: Account, rejects: Rejects) -> int:
    """The exit code that tells this account."""
    if account.signal is not None:
        return 128 + account.signal
    if account.failure is not None:
        return code_of(account.failure)
    if rejects.trouble is not None:
        return BROKEN_OFF
    return SOME_LEFT if account.left else DONE


def show(account: Account, rejects: Rejects, console: Console, *, title: str, rest: Rest) -> None:
    """Print what became of every row, and what to do about those that were not done."""
    say(title, style="bold")
    console.print(_table(account))
    report = account.report
    say(
        f"  {_number(report.requests, 'request', 'requests')}, {_number(report.retries, 'retry', 'retries')}, "
        f"{report.rate_limited:,} × 429 · {report.seconds:.1f} s, {report.records_per_second:,.0f} records/s"
        + (
            f" · quota use {report.quota_use:.1%}"
            if report.quota_use is not None and report.seconds > _QUOTA_WINDOW_S
            else ""
        )
    )
    if account.signal is not None:
        say(f"Stopped by you after line {account.lines:,}.", style="bold yellow")
    if account.failure is not None:
        say(f"Broken off: {told(account.failure)}", style="bold red")
        hint = advice(account.failure)
        if hint is not None:
            say(hint)
        if type(account.failure) is JournalError and rest.journal is None:
            say("Name another place for the journal with --journal, or do without: --no-journal.")
    _show_left(account, rejects, rest)


def _show_left(account: Account, rejects: Rejects, rest: Rest) -> None:
    report = account.report
    if rejects.written or rejects.lines:
        say(f"What was not done is in {near(rejects.path)}, with the reasons. Mended, that file can be pushed.")
    if account.attendees is not None and account.attendees.without_contact:
        known = account.attendees.without_contact
        more = f" and {len(known) - _SHOWN:,} more (--json names all)" if len(known) > _SHOWN else ""
        say(f"No contact has the address {', '.join(known[:_SHOWN])}{more}. Those attendees were left out.")
    if rejects.trouble is not None:
        say(f"The rejects could not be written: {rejects.trouble}", style="bold red")
    if report.ambiguous:
        again = "Look them up before you push them again." if rest.holds else "Doing it again is safe."
        say(f"Ambiguous: HubSpot may have done these. {again}", style="yellow")
    if rest.finish is not None:
        say("Nothing is lost; what is left is done by", style="bold")
        say(f"    {rest.finish}", style="bold")
    elif account.ended_at is None and not isinstance(account.failure, JournalMismatchError):
        hint = f" To go on there, push again with --from-line {rest.from_line}" if rest.from_line else ""
        say(f"Lines after {account.lines:,} were not read.{hint}" if account.lines else "Nothing was sent.")
    elif not report.pulled and not account.broken and not report.settled_before:
        say("The source holds no records.", style="yellow")
    if rest.removed is not None:
        say(f"The push is finished, and {rest.removed} removed; name one with --journal to keep it.", style="dim")
    elif rest.journal is not None and rest.finish is None:
        say(f"Every record and what became of it: {command('export', rest.journal)}")


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _table(account: Account) -> Table:
    report = account.report
    people = account.attendees or AttendeeReport()
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = [
        ("lines read", account.lines, ""),
        ("blank", account.blank, "dim"),
        ("skipped", account.skipped, "dim"),
        ("broken", account.broken, "red"),
        ("settled before", report.settled_before, "dim"),
        ("  rejected", account.left_before["rejected"], "red"),
        ("  ambiguous", account.left_before["ambiguous"], "yellow"),
        ("records", report.pulled, "bold"),
        ("  created", report.created, "green"),
        ("  updated", report.updated, "green"),
        ("  archived", report.archived, "green"),
        ("  rejected", report.rejected, "red"),
        ("  ambiguous", report.ambiguous, "yellow"),
        ("  not sent", report.not_sent, "yellow"),
        ("stored otherwise", report.differing, "yellow"),
        ("  sent again for it", report.repaired, "dim"),
        ("not verified", report.unverified, "yellow"),
        ("not in the journal", report.unjournaled, "red"),
        ("attendees linked", people.linked, "green"),
        ("  links refused", people.failed, "red"),
        ("addresses without a contact", len(people.without_contact), "yellow"),
    ]
    for name, number, style in rows:
        if number or name in ("lines read", "records"):
            table.add_row(name, f"{number:,}", style=style)
    if not report.adds_up:
        table.add_row("the account does not add up: please report this", "", style="bold red")
    return table


def _people(report: AttendeeReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    refused = [f"meeting {one.from_id}, contact {one.to_id}: {told(one.error)}" for one in report.failures]
    return {
        "linked": report.linked,
        "failed": report.failed,
        "failures": refused,
        "without_contact": report.without_contact,
    }


def as_json(account: Account, rejects: Rejects, rest: Rest, code: int) -> bytes:
    """The account as one JSON object."""
    report: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(account.report, problems=()))
    del report["problems"]
    value = {
        "exit_code": code,
        "lines": account.lines,
        "blank": account.blank,
        "skipped": account.skipped,
        "broken": account.broken,
        "source_ended": account.ended_at is not None,
        "adds_up": account.report.adds_up,
        "rejects": near(rejects.path) if rejects.written or rejects.lines else None,
        "journal": rest.journal,
        "finish": rest.finish,
        "failure": told(account.failure) if account.failure is not None else None,
        "attendees": _people(account.attendees),
        **report,
    }
    return msgspec.json.encode(value)

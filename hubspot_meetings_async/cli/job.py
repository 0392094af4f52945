"""One push from what was asked for to its account: new, or going on with a journal.

This module knows the order of things. It must not know arguments of the command line.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import msgspec

from ..bulk.journal.reading import reading
from ..bulk.outcomes import Ambiguous, NotSent
from ..errors import JournalDamagedError, JournalLockedError, JournalMismatchError, JournalVersionError
from .account import Rest, as_json, exit_code, show
from .exits import DONE, SOME_LEFT
from .pushing import Account, Earlier
from .pushing import push as push_source
from .rejects import Rejects, free_name
from .terminal import near, people, say, tally
from .wanted import Wanted

__all__ = ["Before", "carry_out", "look"]

_NOT_OURS = (JournalLockedError, JournalDamagedError, JournalVersionError, JournalMismatchError)


class Before(msgspec.Struct, frozen=True):
    """What a journal tells before a run goes on with it. `wanted`: the push it is of; None for a job that was none."""

    wanted: Wanted | None
    earlier: Earlier


def look(journal: Path) -> Before | None:
    """Look into a journal; None where there is none yet.

    Raises: ConfigurationError, OSError; JournalError when it is in use or can not be read.
    """
    if not journal.is_file() or not journal.stat().st_size:
        return None
    with reading(journal) as before:
        return Before(Wanted.of(before.meta), Earlier.of(before))


def carry_out(wanted: Wanted, journal: Path | None, before: Before | None, *, json: bool) -> int:
    """Push, print the account, and return the exit code. Does not return when a thread still waits for input.

    `before` is what the journal tells, where it is to be gone on with. Raises, with nothing sent: ConfigurationError;
    OSError when the source can not be read.
    """
    console = people()
    earlier = before.earlier if before is not None else None
    with wanted.source() as source:
        client = wanted.client()
        wanted = msgspec.structs.replace(wanted, rejects=os.path.abspath(wanted.rejects or free_name(wanted.file)))
        ours = before is not None and before.wanted is not None and before.wanted.rejects == wanted.rejects
        rejects = Rejects(Path(wanted.rejects or ""), going_on=ours)
        if journal is not None:
            _announce(wanted, journal, earlier)

        async def go() -> Account:
            async with client:
                return await push_source(
                    client,
                    lambda client, items: wanted.start(client, items, journal),
                    source,
                    rejects,
                    label=wanted.operation,
                    console=console,
                    from_line=wanted.from_line,
                    total_lines=wanted.as_it_was.lines,
                    # Whoever types the records would have the bar written over them.
                    bar=not wanted.piped or not sys.stdin.isatty(),
                    earlier=earlier,
                    again=_again(wanted, journal),
                    prepare=lambda: wanted.prepare(client),
                    attendees=wanted.attendees(client),
                )

        account = asyncio.run(go())
        rejects.close()
        code = exit_code(account, rejects)
        rest = _rest(wanted, journal, before, account, code)
        show(account, rejects, console, title=f"{_name(wanted)} → {wanted.base_url} ({wanted})", rest=rest)
        if json:
            sys.stdout.buffer.write(as_json(account, rejects, rest, code) + b"\n")
            sys.stdout.flush()
        if account.ended_at is None and wanted.as_it_was.lines is None:
            # No plain file: a thread may still wait for input; nobody can end that, and closing it would wait for it.
            sys.stderr.flush()
            os._exit(code)
    return code


def _name(wanted: Wanted) -> str:
    return "standard input" if wanted.piped else near(wanted.file)


def _announce(wanted: Wanted, journal: Path, earlier: Earlier | None) -> None:
    if earlier is None:
        hint = "" if wanted.piped else f" If this is cut off: {wanted.finished_by(near(journal))}"
        say(f"The journal is {near(journal)}.{hint}", style="dim")
    else:
        say(f"Going on with {near(journal)}: {tally(earlier.tally) or 'nothing was sent yet'}", style="dim")


def _again(wanted: Wanted, journal: Path | None) -> tuple[type, ...]:
    """Outcomes of records that a resumed run tries again: in the rejects file they would be pushed twice."""
    if journal is None:
        return ()
    return (NotSent,) if wanted.holds else (NotSent, Ambiguous)


def _rest(wanted: Wanted, journal: Path | None, before: Before | None, account: Account, code: int) -> Rest:
    """What there is left to do, and the journal that knows of it.

    One that nobody asked for is removed when its job is over and every record is done, or can be pushed again unharmed.
    """
    if journal is None or not journal.exists() or isinstance(account.failure, _NOT_OURS):
        return Rest(from_line=account.lines + 1 if journal is None and not wanted.piped else None, holds=wanted.holds)
    report = account.report
    open_end = account.signal is not None or account.failure is not None or account.ended_at is None
    if not (open_end or report.not_sent or (report.ambiguous and not wanted.holds)):
        if wanted.passing and (code == DONE or (code == SOME_LEFT and not wanted.holds)):
            journal.unlink()
            return Rest(removed=near(journal), holds=wanted.holds)
        return Rest(journal=near(journal), holds=wanted.holds)
    if wanted.piped or (before is not None and not (before.wanted or wanted).alike(wanted)):
        finish = f"the same command again, with --journal {shlex.quote(near(journal))}"
    else:
        finish = wanted.finished_by(near(journal))
    return Rest(journal=near(journal), finish=finish, holds=wanted.holds)

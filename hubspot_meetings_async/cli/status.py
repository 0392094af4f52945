"""`hubspot-meetings status`: what a journal tells of its job, and what to do next."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ..bulk.journal.reading import OutcomeName, Reading, reading
from ..errors import ConfigurationError, JournalError, printable
from .exits import BROKEN_OFF, DONE, SOME_LEFT, USAGE, told
from .terminal import command, data, near, say
from .wanted import Wanted

__all__ = ["status"]

_STYLES: dict[OutcomeName, str] = {
    "created": "green",
    "updated": "green",
    "archived": "green",
    "rejected": "red",
    "ambiguous": "yellow",
    "in_doubt": "yellow",
    "not_sent": "yellow",
}


def status(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="FILE.journal, or what --journal named.")],
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what a push has done, and what is left.

    And what to do next. Needs no token and no network. A journal that a push has open right now can not be read.
    """
    try:
        with reading(journal) as found:
            state = _State.of(journal, found)
    except (ConfigurationError, OSError) as error:
        say(f"hubspot-meetings status: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    except JournalError as error:
        say(f"hubspot-meetings status: {told(error)}", style="red")
        raise typer.Exit(BROKEN_OFF) from None
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(state) + b"\n")
        sys.stdout.flush()
    else:
        _show(state, data())
    raise typer.Exit(DONE if state.done else SOME_LEFT)


class _State(msgspec.Struct, kw_only=True):
    """What is told. `records`: of the source, None until it was read to its end and every record of it was settled.

    `not_read` is how many lines of the source no run has come to, as far as is known; blank ones count too.
    """

    journal: str
    job: str
    mode: str
    account: str | None
    host: str
    source: str | None
    runs: list[datetime]
    records: int | None
    outcomes: dict[OutcomeName, int]
    why_ambiguous: dict[str, int]
    not_read: int | None
    done: bool
    finished: bool
    next: str

    @classmethod
    def of(cls, journal: Path, found: Reading) -> _State:
        meta = found.meta
        wanted = Wanted.of(meta)
        counts = found.tally()
        holds = meta.get("mode") == "hold"
        open_ = counts.get("in_doubt", 0) + counts.get("not_sent", 0) + (0 if holds else counts.get("ambiguous", 0))
        finished = found.records is not None and not open_
        lines = wanted.as_it_was.lines if wanted is not None else None
        by = f" by {meta['key_property']}" if meta.get("key_property") else ""
        return cls(
            journal=near(journal),
            job=f"{meta.get('operation', 'unknown')}{by}",
            mode=meta.get("mode", "unknown"),
            account=meta.get("portal"),
            host=wanted.base_url if wanted is not None else meta.get("host", "unknown"),
            source=_source(wanted),
            runs=[datetime.fromtimestamp(session.began_at, UTC) for session in found.sessions],
            records=found.records,
            outcomes=counts,
            why_ambiguous=dict(Counter(known.reason or "unknown" for known in found.of(["ambiguous"]))),
            not_read=max(0, lines - len(found)) if wanted and lines is not None and found.records is None else None,
            done=finished and not (counts.get("rejected") or counts.get("ambiguous")),
            finished=finished,
            next=_next(near(journal), wanted, counts, finished=finished),
        )


def _source(wanted: Wanted | None) -> str | None:
    if wanted is None:
        return None
    return "standard input" if wanted.piped else near(wanted.file)


def _next(journal: str, wanted: Wanted | None, counts: dict[OutcomeName, int], *, finished: bool) -> str:
    if finished:
        left = [name for name in ("rejected", "ambiguous") if counts.get(name)]
        return command("export", journal, "--only", ",".join(left)) if left else "nothing: every record is done"
    if wanted is None:
        return f"run the program that made it again, with the same records and journal={journal!r}"
    if wanted.piped:
        return f"pipe the same records into the same push again, with --journal {journal}"
    return wanted.finished_by(journal)


def _show(state: _State, console: Console) -> None:
    console.print(state.journal, style="bold", markup=False)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(state):
        facts.add_row(f"  {name}", printable(text))
    console.print(facts)
    console.print()
    figures = Table.grid(padding=(0, 2))
    figures.add_column(no_wrap=True)
    figures.add_column(justify="right", no_wrap=True)
    figures.add_column(style="dim")
    for name, number, words, style in _figures(state):
        figures.add_row(f"  {name}", f"{number:,}", words, style=style)
    console.print(figures)
    console.print()
    console.print("Next:", style="bold", end=" ")
    console.print(state.next, markup=False, soft_wrap=True)


def _facts(state: _State) -> list[tuple[str, str]]:
    account = f"account {state.account}, " if state.account else ""
    facts = [("job", f"{state.job} (lost answers: {state.mode})"), ("into", f"{account}{state.host}")]
    if state.source is not None:
        facts.insert(0, ("source", state.source))
    began = [run.astimezone().strftime("%Y-%m-%d %H:%M:%S") for run in state.runs]
    if began:
        facts.append(("runs", f"1, on {began[0]}" if len(began) == 1 else f"{len(began)}, {began[0]} … {began[-1]}"))
    facts.append(("state", "the whole source is settled" if state.finished else "not finished"))
    return facts


def _figures(state: _State) -> list[tuple[str, int, str, str]]:
    reasons = state.why_ambiguous
    why = ", ".join(f"{number:,} {reason}" if len(reasons) > 1 else reason for reason, number in reasons.items())
    unsent = ": resume names these, and does not send them again" if state.mode == "hold" else ""
    words: dict[OutcomeName, str] = {
        "ambiguous": f"HubSpot may have done these ({why})",
        "in_doubt": f"sent, and the run ended before the answer{unsent}",
        "not_sent": "taken from the source, not sent",
    }
    rows = [(name.replace("_", " "), n, words.get(name, ""), _STYLES[name]) for name, n in state.outcomes.items()]
    if state.not_read:
        rows.append(("not read yet", state.not_read, "lines of the source, more or less", ""))
    return rows or [("records", 0, "no run has come to any", "")]

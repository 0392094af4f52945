"""`hubspot-meetings resume`: finish a push that was cut off, with the options it was begun with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigurationError, JournalError
from .exits import BROKEN_OFF, USAGE, told
from .job import carry_out, look
from .terminal import near, say, warn
from .wanted import Wanted

__all__ = ["resume"]


def resume(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="FILE.journal, or what --journal named.")],
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="HUBSPOT_BASE_URL",
            help="Say it again if the push was neither to HubSpot nor to this machine: your token goes there.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the account as JSON to stdout.")] = False,
) -> None:
    """Finish a push that was cut off.

    Whatever cut it off: Ctrl-C, a crash, a power cut, a limit, a lost connection. The same source is read again with
    the same options. What is settled is passed over; what was under way when the
    push ended is looked for by its key, or, if it has none, named as ambiguous and not sent again; the rest is sent.

    The access token is read from HUBSPOT_ACCESS_TOKEN; it must be of the same account.
    """
    try:
        before = look(journal)
        if before is None:
            raise ConfigurationError(f"there is no journal {near(journal)}, or nothing in it")
        code = carry_out(_checked(before.wanted, journal, base_url), journal, before, json=json)
    except (ConfigurationError, OSError) as error:
        say(f"hubspot-meetings resume: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    except JournalError as error:
        say(f"hubspot-meetings resume: {told(error)}", style="red")
        raise typer.Exit(BROKEN_OFF) from None
    raise typer.Exit(code)


def _checked(wanted: Wanted | None, journal: Path, base_url: str | None) -> Wanted:
    """The push, if a command can finish it. Raises: ConfigurationError saying what can."""
    if wanted is None:
        raise ConfigurationError(
            f"{near(journal)} was made by a program, not by a push: run that again, with the same records and "
            f"journal={near(journal)!r}; it goes on where it stopped"
        )
    if wanted.piped:
        raise ConfigurationError(
            f"{near(journal)} is of a push from standard input, which can not be read again: pipe the same records "
            "into the same push command, with --journal; it goes on where it stopped"
        )
    if not wanted.at_home and base_url != wanted.base_url:
        # Whoever can slip somebody a journal must not get at the token with it.
        raise ConfigurationError(
            f"{near(journal)} is of a push to {wanted.base_url}, which is not HubSpot's own address: if your token may "
            f"go there, add --base-url {wanted.base_url}"
        )
    if not Path(wanted.file).exists():
        raise ConfigurationError(
            f"the source {wanted.file} is gone: put it back, or push it from where it is now, with the same options "
            f"and --journal {near(journal)}"
        )
    changed = wanted.changed()
    if changed is not None:
        warn(f"{near(wanted.file)} was changed since the push began: {changed}. It is refused if what was sent differs")
    return wanted

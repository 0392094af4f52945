"""The command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from ..version import __version__
from . import exits
from .book import book
from .demo import demo
from .doctor import doctor
from .emulator import emulator
from .export import export
from .get import get
from .links import links
from .pull import pull
from .push import push
from .quota import quota
from .resume import resume
from .search import search
from .slots import slots
from .status import status

__all__ = ["app"]

# Locals in a traceback could show the token.
app = typer.Typer(
    name="hubspot-meetings",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Meetings in and out of HubSpot: in bulk, at full quota, with every record accounted for; and one at a time.",
    epilog=exits.HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hubspot-meetings {__version__}")
        raise typer.Exit


@app.callback()
def _options(  # pyright: ignore[reportUnusedFunction]  (typer calls it)
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


app.command(epilog=exits.HELP)(push)
app.command(epilog=exits.HELP)(resume)
app.command(epilog=exits.HELP_PULL)(pull)
app.command(epilog=exits.HELP_JOURNAL)(status)
app.command(epilog=exits.HELP_JOURNAL)(export)
app.command(epilog=exits.HELP_QUESTION)(search)
app.command(epilog=exits.HELP_GET)(get)
app.command(epilog=exits.HELP_QUESTION)(links)
app.command(epilog=exits.HELP_QUESTION)(slots)
app.command(epilog=exits.HELP_BOOK)(book)
app.command(epilog=exits.HELP_QUESTION)(quota)
app.command(epilog=exits.HELP_DOCTOR)(doctor)
app.command(
    epilog="Exit codes: 0 everything adds up · 1 something does not · 2 wrong usage · 3 broken off · 130 Ctrl-C"
)(demo)
app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(emulator)

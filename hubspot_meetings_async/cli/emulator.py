"""`hubspot-meetings emulator`: a local HubSpot, with the options of `python -m hubspot_meetings_async.emulator`."""

from __future__ import annotations

import typer

__all__ = ["emulator"]


def emulator(context: typer.Context) -> None:
    """Run a local HubSpot for meetings: real rules and limits, faults on demand. --help lists its options."""
    from ..emulator.__main__ import main

    raise typer.Exit(main(context.args))

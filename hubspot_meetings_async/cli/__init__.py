"""The command `hubspot-meetings`. It needs the extra `cli`, and says so where that is missing."""

from __future__ import annotations

import logging
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; ends the process with the exit codes that `--help` lists."""
    try:
        import rich
        import typer

        del rich, typer
    except ImportError as error:
        sys.stderr.write(
            f"hubspot-meetings needs its command line packages ({error.name} is missing):\n"
            "    pip install 'hubspot-meetings-async[cli]'\n"
        )
        raise SystemExit(2) from None
    from .app import app

    logging.basicConfig(format="%(message)s")  # without it nobody would see the library's warnings
    app(prog_name="hubspot-meetings")

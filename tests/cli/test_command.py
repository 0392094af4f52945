"""The command as a whole: version, help, the emulator, and what it says when its packages are missing."""

from __future__ import annotations

import signal
from pathlib import Path

from hubspot_meetings_async import __version__

from .command import end, run, start


async def test_version(tmp_path: Path) -> None:
    assert await run("--version", cwd=tmp_path) == (0, f"hubspot-meetings {__version__}\n", "")


async def test_help(tmp_path: Path) -> None:
    done = await run("--help", cwd=tmp_path)
    assert done.code == 0
    assert all(name in done.out for name in ("push", "emulator", "demo", "Exit codes"))


async def test_missing_packages_are_named_with_the_way_to_install_them(tmp_path: Path) -> None:
    for missing in ("typer", "rich"):
        code = f"import sys; sys.modules[{missing!r}] = None; from hubspot_meetings_async.cli import main; main()"
        done = await end(await start("--help", cwd=tmp_path, code=code))
        assert (done.code, done.out) == (2, "")
        assert "pip install 'hubspot-meetings-async[cli]'" in done.err
        assert "Traceback" not in done.err


async def test_the_emulator_is_started_with_its_own_options(tmp_path: Path) -> None:
    process = await start("emulator", "--port", "0", "--limit", "5", "--fault", "0.5:503", cwd=tmp_path)
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line.startswith(b"HubSpot emulator on http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert (await end(process)).code == 0


async def test_the_emulators_help_and_errors_are_its_own(tmp_path: Path) -> None:
    done = await run("emulator", "--help", cwd=tmp_path)
    assert done.code == 0
    assert "--forward-latency" in done.out
    assert (await run("emulator", "--port", "99999999", cwd=tmp_path)).code == 2

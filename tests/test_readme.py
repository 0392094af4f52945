"""The README: every Python block runs as it stands, against the emulator, and every command it names exists."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hubspot_meetings_async.emulator import Emulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ ((?:.*\\\n)*.*)", README, flags=re.MULTILINE)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
async def test_a_block_runs(number: int, tmp_path: Path) -> None:
    """Copied into a file and run with a token in the environment, the block ends well and prints no traceback."""
    program = tmp_path / "block.py"
    program.write_text(BLOCKS[number], encoding="utf-8")
    async with Emulator() as emulator:
        emulator.portal.add_property("booking_ref", unique=True)
        emulator.portal.add_object("contacts", id="101")
        environment = {**os.environ, "HUBSPOT_ACCESS_TOKEN": "any-word", "HUBSPOT_BASE_URL": emulator.url}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            str(program),
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors == b""
    assert BLOCKS[number].count("print(") == 0 or output


def test_there_are_blocks() -> None:
    """The pattern above finds what it is meant to find."""
    assert len(BLOCKS) >= 3
    assert [block for block in BLOCKS if "asyncio.run(main())" not in block] == []


def test_the_commands_exist() -> None:
    """Each `make` target and each `hubspot-meetings` subcommand of the README is there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = [shlex.split(command.replace("\\\n", " "), comments=True) for command in COMMANDS]
    targets = {words[1] for words in named if words[0] == "make"}
    assert {"demo", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
    subcommands = {words[1] for words in named if words[0].endswith("hubspot-meetings")}
    for subcommand in subcommands:
        done = subprocess.run(
            [sys.executable, "-c", "from hubspot_meetings_async.cli import main; main()", subcommand, "--help"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

"""Every program and every command of every page runs as it stands, against the emulator."""

from __future__ import annotations

import io
import logging
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from typer.testing import CliRunner

from hubspot_meetings_async.cli.app import app
from hubspot_meetings_async.emulator import Emulator, ThreadedEmulator

from ..integrations.served import started
from .pages import DOCS, ROOT, Block, Command, blocks, commands, missing, pages

LANGUAGES = {"python", "console", "text"}
PAGES = pages()


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, hubspot: ThreadedEmulator, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.environment = environment
        self.hubspot = hubspot
        self.started = ExitStack()
        self.loop: BlockingPortal | None = None
        self.served: httpx.AsyncClient | None = None
        self.redis: subprocess.Popen[bytes] | None = None

    def python(self, name: str) -> str:
        """Run a program in this process, as `python NAME` would; returns what it printed."""
        out = io.StringIO()
        before = set(sys.modules)
        logger = logging.getLogger("hubspot_meetings_async")
        level = logger.level
        try:
            with redirect_stdout(out):
                runpy.run_path(str(self.folder / name), run_name="__main__")
        finally:
            logger.setLevel(level)
            for module in set(sys.modules) - before:
                if Path(getattr(sys.modules[module], "__file__", None) or "/").is_relative_to(self.folder):
                    del sys.modules[module]
        return out.getvalue()

    def killed(self, name: str) -> str:
        """Start a program, and end it by SIGKILL when HubSpot has some of its records and not all."""
        began = self.hubspot.stats().records.stored
        # Answers from the second batch on are late, so that it can not be over before.
        self.hubspot.delay_next(30, times=None, skip=1, operation="meetings.batch_create")
        process = subprocess.Popen([sys.executable, name], cwd=self.folder, stdout=subprocess.PIPE)
        try:
            while self.hubspot.stats().records.stored == began and process.poll() is None:
                time.sleep(0.005)
        finally:
            process.kill()
            process.communicate()
            self.hubspot.call(lambda emulator: emulator.faults.clear())
        assert process.returncode == -9
        return ""

    def command(self, command: Command) -> str:
        """Do what a line of a console says; returns what it wrote."""
        match command.words:
            case ["pip", "install", *wanted]:
                return self._installable(wanted)
            case ["export", *settings]:
                assert all(re.match(r"HUBSPOT_[A-Z_]+=", one) for one in settings)
                return ""
            case ["hubspot-meetings", "emulator", *options]:
                return self._known_to_the_emulator([one for one in options if one.startswith("--")])
            case ["hubspot-meetings", *words]:
                done = CliRunner().invoke(app, words)
                # Told by the page, or the answer of a command that asks how a job stands.
                ends_with = (1,) if "# ends with 1" in command.line else (0, 1) if words[0] == "status" else (0,)
                assert done.exit_code in ends_with, done.output
                return done.output
            case ["python", name]:
                return self.python(name)
            case ["python", name, "&", "sleep", _, "kill", "-9", "$!"]:
                return self.killed(name)
            case ["uvicorn", where]:
                module, _, variable = where.partition(":")
                service = runpy.run_path(str(self.folder / f"{module}.py"))[variable]
                self.loop = self.started.enter_context(start_blocking_portal())
                self.served = self.started.enter_context(self.loop.wrap_async_context_manager(started(service)))
                return ""
            case ["curl", *options, url] if self.served is not None and self.loop is not None:
                method = options[1] if options[:1] == ["-X"] else "GET"
                path = url.removeprefix("http://127.0.0.1:8000")
                answer: httpx.Response = self.loop.call(self.served.request, method, path)
                return answer.text
        raise AssertionError(f"nobody has tried this: {command.line}")

    def start_redis(self) -> None:
        """Start a Redis of their own, at the address that the page's program takes from the environment."""
        server = shutil.which("redis-server")
        if server is None:
            pytest.skip("there is no redis-server here")
        words = [server, "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--daemonize", "no"]
        self.redis = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.DEVNULL)
        self.environment.setenv("REDIS_URL", f"unix://{self.folder}/redis.sock")
        for _ in range(1_000):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.folder / "redis.sock")) == 0:
                    return
            time.sleep(0.01)

    def leave(self) -> None:
        """Stop what was started."""
        self.started.close()
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait()

    def _installable(self, wanted: list[str]) -> str:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        for one in wanted:
            found = re.fullmatch(r"hubspot-meetings-async\[(.+)\]", one)
            assert found is not None
            assert set(found[1].split(",")) <= extras.keys()
        return ""

    def _known_to_the_emulator(self, options: list[str]) -> str:
        from hubspot_meetings_async.emulator import __main__ as command

        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit):
            command.main(["--help"])
        assert [option for option in options if option not in out.getvalue()] == []
        return ""


@pytest.fixture
def reader(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """In a folder of their own, with an account that has a contact, a meeting and a unique property.

    Meetings that a page's command for the emulator asks for are there, too.
    """
    wanted = re.search(r"emulator .*--meetings (\d+) --seed (\d+)", page.read_text("utf-8"))
    meetings, seed = (int(wanted[1]), int(wanted[2])) if wanted is not None else (0, 0)
    with ThreadedEmulator(Emulator(limit=None, meetings=meetings, seed=seed)) as hubspot:
        hubspot.add_property("booking_ref", unique=True)
        hubspot.add_object("contacts", id="101", properties={"email": "grace@example.com"})
        hubspot.add_object("meetings", properties={"hs_meeting_title": "Before"})
        for name, value in hubspot.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        reader = Reader(tmp_path, hubspot, monkeypatch)
        yield reader
        reader.leave()


def do(reader: Reader, number: int, block: Block) -> None:
    if block.language == "console":
        for command in commands(block):
            written = reader.command(command)
            assert missing(command.shown, written) == [], f"$ {command.line}\n{written}"
        return
    name = block.name or f"block_{number}.py"
    if block.language == "python" or block.name:
        (reader.folder / name).write_text(block.text, encoding="utf-8")
    # A file with a name is run by a command of the page.
    if block.language == "python" and not block.name:
        written = reader.python(name)
        assert "print(" not in block.text or written, block.text


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(DOCS).as_posix() for page in PAGES])
def test_a_page_does_what_it_says(reader: Reader, page: Path) -> None:
    """From top to bottom: files are written, programs run, commands end well and write what the page shows."""
    if page.name == "shared-quota.md":
        reader.start_redis()
    for number, block in enumerate(blocks(page)):
        do(reader, number, block)


def test_there_are_pages() -> None:
    """The patterns above find what they are meant to find."""
    named = {page.stem for page in PAGES}
    assert {"index", "tutorial", "backfill", "resume", "fastapi", "calendars", "quota"} <= named
    for page in PAGES:
        found = blocks(page)
        assert {block.language for block in found} <= LANGUAGES, page
        ran = " ".join(block.text for block in found if block.language == "console")
        idle = [b.name for b in found if b.language == "python" and b.name and b.name.removesuffix(".py") not in ran]
        assert idle == [], f"{page.name}: no command of the page runs these"

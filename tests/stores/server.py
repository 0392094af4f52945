"""A PostgreSQL server of the tests' own: made, started, stopped and started again, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_SWIFT = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB"}


def binaries() -> Path | None:
    """Where the server's programs are; None where there are none."""
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    return next((place for place in [*places, *_PLACES] if (place / "postgres").exists()), None)


class Postgres:
    """A server; the address has a password in it, which no output may hold."""

    PASSWORD = "canary-pg-password"

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # PostgreSQL refuses to run as root, and another user may not look into the tests' own directories.
        self._user = _other_user() if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="hubspot-pg-"))
        if self._user is not None:
            os.chown(self._home, self._user, -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        (self._home / "pw").write_text(self.PASSWORD)
        words = ["--pgdata", "data", "--username", "sync", "--auth", "scram-sha-256", "--pwfile", "pw", "--no-sync"]
        words += ["--encoding", "UTF8", "--locale", "C"]
        self._run("initdb", *words)

    def url(self, schema: str = "") -> str:
        query = f"?schema={schema}" if schema else ""
        return f"postgresql://sync:{self.PASSWORD}@127.0.0.1:{self.port}/postgres{query}"

    def start(self) -> None:
        settings = [word for name, value in _SWIFT.items() for word in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    "data",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    f"{self.port}",
                    "-k",
                    "",
                    *settings,
                ],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
            )
        end_at = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end_at:
                raise RuntimeError((self._home / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, with every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home)

    def _answers(self) -> bool:
        words = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(words, check=False, timeout=30).returncode == 0

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
            cwd=self._home,
            capture_output=True,
            check=False,
            timeout=60,
            user=self._user,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise RuntimeError("no other user to run PostgreSQL as")

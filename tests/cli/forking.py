"""Starts of the command as forks of a process that has imported it, with asyncio's own `Process` to hold them by."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio import Future, get_running_loop
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

_LIMIT = 2**16


class _Child:
    """A forked process, with the members of a `Popen` that asyncio uses."""

    def __init__(self, job: Mapping[str, Any], stdout: int) -> None:
        # As asyncio does: the writing end of a pipe can not be watched on every system.
        stdin, ours = socket.socketpair()
        self.stdin: IO[bytes] = open(ours.detach(), "wb", buffering=0)  # noqa: SIM115
        self.stdout: IO[bytes] | None = None
        if stdout == PIPE:
            out, stdout = os.pipe()
            self.stdout = open(out, "rb", buffering=0)  # noqa: SIM115
        else:
            stdout = os.dup(stdout)
        err, stderr = os.pipe()
        self.stderr: IO[bytes] = open(err, "rb", buffering=0)  # noqa: SIM115
        self.status, status = os.pipe()
        self.returncode: int | None = None
        theirs = [stdin.detach(), stdout, stderr, status]
        self.pid = _ask(_zygote(), json.dumps(job).encode(), theirs)
        for fd in theirs:
            os.close(fd)

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _ask(zygote: socket.socket, message: bytes, fds: list[int]) -> int:
    socket.send_fds(zygote, [len(message).to_bytes(4)], fds)
    zygote.sendall(message)
    pid = zygote.recv(4, socket.MSG_WAITALL)
    assert pid, "the process that forks has ended; what it says is on stderr"
    return int.from_bytes(pid)


@functools.cache
def _zygote() -> socket.socket:
    """The process that forks; it lives as long as this one."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.zygote", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


class _Transport(BaseSubprocessTransport):
    """asyncio's transport of a subprocess, for one that was forked elsewhere."""

    def _start(self, *_: Any, **given: Any) -> None:
        child = _Child(given["job"], given["stdout"])
        self._proc = cast("subprocess.Popen[bytes]", child)
        self._loop.add_reader(child.status, self._ended, child.status)

    def _ended(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        told = os.read(fd, 64)
        os.close(fd)
        self._process_exited(int(told))


async def fork(code: str, words: tuple[str, ...], *, cwd: Path, environment: Mapping[str, str], out: int) -> Process:
    """`python -c code words…`, with pipes for its streams; `out` may be a file descriptor for its stdout."""
    loop = get_running_loop()
    protocol = SubprocessStreamProtocol(limit=_LIMIT, loop=loop)
    connected: Future[None] = loop.create_future()
    job = {"code": code, "words": words, "cwd": str(cwd), "environment": dict(environment)}
    transport = _Transport(loop, protocol, words, False, PIPE, out, PIPE, 0, waiter=connected, job=job)
    await connected
    return Process(transport, protocol, loop)

"""A process that has imported the command and forks for each start of it, so that hundreds of starts cost one import.

A forked start is a process of its own: its streams, working directory, environment, signals and end are those of one
that a shell starts. Run as `python -m tests.cli.zygote FD` by `command.py`, at the other end of the socket FD.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any

_HEAD = 4
"""Bytes that tell how long a job's JSON is."""


def job_of_a_child(channel: socket.socket) -> dict[str, Any]:
    """Fork for each job that comes, tell who asked its process id, and at its end its status.

    Returns in the children only; ends the process when nobody is at the other end any more.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([channel.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 512)
            _tell_ends(statuses)
        if channel.fileno() not in ready:
            continue
        head, fds, _, _ = socket.recv_fds(channel, _HEAD, 4)
        if not head:
            sys.exit()
        job: dict[str, Any] = json.loads(_exactly(channel, int.from_bytes(head)))
        *streams, status = fds
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for fd in {*fds, *statuses.values(), ended, wake, channel.detach()}:
                os.close(fd)
            return job
        for stream in streams:
            os.close(stream)
        statuses[pid] = status
        channel.sendall(pid.to_bytes(_HEAD))


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += channel.recv(length - len(data))
    return data


def _tell_ends(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        fd = statuses.pop(pid)
        os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(fd)


def open_streams() -> None:
    """Streams on the child's own pipes: those of the parent remember what its own were (whether they can seek)."""
    # They stay open to the end of the process.
    sys.stdin = open(0, encoding=sys.stdin.encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, newline="\n", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, sys.stderr.encoding, "backslashreplace", "\n", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    # What a push or a search imports only when it needs it, too.
    import aiohttp
    import rich.progress
    import rich.table

    import hubspot_meetings_async.cli.app

    del aiohttp, rich, hubspot_meetings_async
    gc.freeze()
    asked = job_of_a_child(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    open_streams()
    sys.argv = ["-c", *asked["words"]]
    exec(asked["code"], {"__name__": "__main__"})  # noqa: S102 - what `python -c` does

"""Starting `jibek up` from another process: in the background for good, or tied to the life of the one who starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.process import EXIT_REFUSED
from jibek.venue.children import CRASHES_MAX
from jibek.venue.folder import DataFolder
from jibek.venue.pdeathsig import kept


@dataclass(frozen=True)
class VenueOptions:
    """What `jibek up` is asked for."""

    data: Path
    venue: Path | None = None
    """The venue.toml; None for the default venue."""
    store: str | None = None
    """URL of the operator's own store; None for the embedded one."""
    host: str = "127.0.0.1"
    port: int = 9443
    engine: str = "compiled"
    crashes_max: int = CRASHES_MAX
    """Crashes of one process within a minute after which it stays down."""

    def command_line(self) -> list[str]:
        """The command that starts such a venue."""
        command = [sys.executable, "-m", "jibek", "up", "--data", str(self.data), "--engine", self.engine]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--venue", str(self.venue)] if self.venue else []
        command += ["--store", self.store] if self.store else []
        command += ["--crashes-max", str(self.crashes_max)]
        return command


class LaunchFailed(Exception):
    """The venue did not start; the text is what `jibek up` said."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass
class Launched:
    """A `jibek up` in a process and a session of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    _answer_fd: int
    _lifeline_fd: int | None
    """While it is open, and this process lives, a tied venue lives."""

    def wait_until_ready(self) -> None:
        """
        Raises:
            LaunchFailed: the venue could not be started.
        """
        with os.fdopen(self._answer_fd) as answer:
            line = answer.readline()
        if not line:
            raise LaunchFailed(f"`jibek up` has died; see {self.log}.", EXIT_REFUSED)
        message: dict[str, Any] = json.loads(line)
        if not message.get("ready"):
            raise LaunchFailed(message["error"], message["exit_code"])

    def stop(self) -> int:
        """Ends the venue in order, waits, and returns the exit code of its `jibek up`."""
        self.process.terminate()
        return self.process.wait()


def launch(options: VenueOptions, *, tied: bool) -> Launched:
    """Starts `jibek up`; `wait_until_ready` comes next. What it says goes to logs/up.log in the data folder.

    Args:
        tied: the venue is killed when this process ends, however it ends. Call it on the main thread then.
    """
    folder = DataFolder(options.data)
    folder.create()
    log = folder.logs / "up.log"
    answer_fd, word_fd = os.pipe()
    command = [*options.command_line(), "--ready-fd", str(word_fd)]
    inherited = [word_fd]
    lifeline_fd = None
    if tied:
        watched_fd, lifeline_fd = os.pipe()
        command = kept(watched_fd, command)
        inherited.append(watched_fd)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
            start_new_session=True,
        )
    for fd in inherited:
        os.close(fd)
    return Launched(process, log, answer_fd, lifeline_fd)

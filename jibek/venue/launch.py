"""Starting `jibek up` from another process: in the background for good, or tied to the life of that process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.journal import STORE_FILE_VARIABLE, STORE_VARIABLE
from engine.process import EXIT_REFUSED
from engine.process.private_files import PRIVATE_UMASK, open_private
from engine.process.watermarks import ACCEPT_STORE_END
from gateway.access import Access
from gateway.limits import CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, BanSettings
from jibek.venue.children import CRASHES_MAX
from jibek.venue.folder import DataFolder, FolderRefused
from jibek.venue.pdeathsig import wrapped

FORGET_SECRETS = "--forget-secrets"
"""Gives up the sealed secrets that no secret.key opens any more."""
GATEWAY_BOUNDS = {
    "connections_per_address_max": CONNECTIONS_PER_ADDRESS_MAX,
    "connections_max": CONNECTIONS_MAX,
    "failures_max": BanSettings().failures_max,
}
"""The bounds of the gateway that are options of `jibek up`, too, with their defaults."""


@dataclass(frozen=True)
class VenueOptions:
    """The options of `jibek up`."""

    data: Path
    venue: Path | None = None
    """The venue.toml; None for the default venue."""
    store: str | None = field(default=None, repr=False)
    """URL of the operator's own store, which may hold a password; None for the embedded one."""
    host: str = "127.0.0.1"
    port: int = 9443
    engine: str = "compiled"
    crashes_max: int = CRASHES_MAX
    """Crashes of one process within a minute after which it stays down."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: str | None = None
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    connections_per_address_max: int = GATEWAY_BOUNDS["connections_per_address_max"]
    connections_max: int = GATEWAY_BOUNDS["connections_max"]
    failures_max: int = GATEWAY_BOUNDS["failures_max"]
    store_memory_bytes: int | None = None
    """What the embedded store may use; None for its share of the machine's memory."""
    accept_store_end: bool = False
    """Whether to go on with a store for which the watermarks do not vouch."""
    forget_secrets: bool = False
    """Whether to give up the sealed secrets that secret.key does not open."""

    @property
    def access(self) -> Access:
        """How clients reach the gateway."""
        return Access(
            self.tls_cert,
            self.tls_key,
            self.trusted_proxies,
            self.proxy_header,
            self.allow_origins,
            self.allow_hosts,
        )

    def bounds(self) -> list[str]:
        """`GATEWAY_BOUNDS` as options of the gateway, which are those of `jibek up`."""
        return [part for name in GATEWAY_BOUNDS for part in (option_of(name), str(getattr(self, name)))]

    def command_line(self) -> list[str]:
        """The command that starts such a venue, without its secrets: every user may read it. `environment` has those."""
        command = [sys.executable, "-P", "-m", "jibek", "up", "--data", str(self.data), "--engine", self.engine]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--venue", str(self.venue)] if self.venue else []
        command += ["--crashes-max", str(self.crashes_max)]
        command += ["--store-memory", f"{self.store_memory_bytes}B"] if self.store_memory_bytes else []
        command += [ACCEPT_STORE_END] if self.accept_store_end else []
        command += [FORGET_SECRETS] if self.forget_secrets else []
        return command + self.bounds() + self.access.arguments()

    def environment(self) -> dict[str, str]:
        """The environment of that command: it names the store, or none, whatever this process's own names."""
        inherited = {
            name: text for name, text in os.environ.items() if name not in (STORE_VARIABLE, STORE_FILE_VARIABLE)
        }
        return inherited | ({STORE_VARIABLE: self.store} if self.store else {})


def option_of(name: str) -> str:
    """
    >>> option_of("failures_max")
    '--failures-max'
    """
    return f"--{name.replace('_', '-')}"


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
    _parent_fd: int | None
    """A tied venue lives as long as this is open and this process lives."""

    def wait_until_ready(self) -> list[str]:
        """Returns what `jibek up` warned of, one sentence each.

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
        return [str(warning) for warning in message.get("warnings", [])]

    def stop(self) -> int:
        """Stops the venue in order, waits, and returns the exit code of its `jibek up`."""
        self.process.terminate()
        return self.process.wait()


def launch(options: VenueOptions, *, tied: bool) -> Launched:
    """Starts `jibek up`; call `wait_until_ready` next. Its output goes to logs/up.log in the data folder.

    Args:
        tied: whether the venue is killed when this process ends, however it ends. If so, call it on the main thread.

    Raises:
        LaunchFailed: the data folder cannot be used.
    """
    folder = DataFolder(options.data)
    try:
        folder.create()
    except (FolderRefused, OSError) as error:
        raise LaunchFailed(str(error), EXIT_REFUSED) from None
    log = folder.logs / "up.log"
    answer_fd, ready_fd = os.pipe()
    command = [*options.command_line(), "--ready-fd", str(ready_fd)]
    inherited = [ready_fd]
    parent_fd = None
    if tied:
        watched_fd, parent_fd = os.pipe()
        command = wrapped(watched_fd, command)
        inherited.append(watched_fd)
    with os.fdopen(open_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
            env=options.environment(),
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    for fd in inherited:
        os.close(fd)
    return Launched(process, log, answer_fd, parent_fd)

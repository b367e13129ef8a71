"""A real store with the settings that Jibek demands, on a Unix socket. Its folder has a short name, as sockets need."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import redis

from engine.journal import Store, connect
from jibek.venue.store_server import server_binary
from tests.worlds.processes import wait_until


class StoreProcess:
    """A store that runs once constructed. After `kill`, `start` starts it again on the same data; `remove` ends it for good.

    Args:
        maxmemory: as the store's own setting has it, such as "512mb".
    """

    def __init__(self, maxmemory: str = "1gb") -> None:
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
        self.process = subprocess.Popen([server_binary(), *flags], stdout=subprocess.DEVNULL)
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

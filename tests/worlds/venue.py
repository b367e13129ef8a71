"""A whole venue by `jibek up` in a process of its own, and the `jibek` command on it.

The venue ends when the test process ends, even if that is killed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.journal import Store, connect
from jibek.venue.folder import DataFolder
from jibek.venue.launch import Launched, VenueOptions, launch
from jibek.venue.offsets import read_offsets as read_positions
from jibek.venue.state_file import read_state
from jibek.venue.temporary_venue import free_port
from tests.worlds.definition import world_venue_file
from tests.worlds.processes import WAIT_S, wait_until


class VenueProcess:
    """A venue on a data folder. `start` returns when it is ready; `end` may be called at any time, more than once."""

    def __init__(self, data: Path, **options: Any) -> None:
        """`options` are those of `VenueOptions`; without a `venue`, it is that of `tests.worlds.definition`."""
        if "venue" not in options:
            options["venue"] = world_venue_file(data.with_name(f"{data.name}-venue.toml"))
        self.options = VenueOptions(data, **{"port": free_port(), **options})
        self.data = data
        self.folder = DataFolder(data)
        self.launched: Launched | None = None

    def start(self) -> VenueProcess:
        self.launch().wait_until_ready()
        return self

    def launch(self) -> Launched:
        """Starts `jibek up` without waiting for it."""
        self.launched = launch(self.options, tied=True)
        return self.launched

    def said(self) -> str:
        """The log of `jibek up` on this data folder."""
        return (self.folder.logs / "up.log").read_text()

    # -- its processes

    def facts(self) -> dict[str, Any]:
        """What venue.json says."""
        return read_state(self.folder.venue_file)

    def pids(self) -> dict[str, int]:
        return dict(self.facts()["services"])

    def store(self) -> Store:
        return connect(self.facts()["store"])

    def kill(self, name: str) -> int:
        """Kills a process of the venue and returns its id; the supervisor will start it again."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_back(self, name: str, old_pid: int) -> None:
        """Waits until the service runs and is ready under a new process id."""

        def is_back() -> bool:
            facts = self.facts()
            return bool(facts["services"].get(name, old_pid) != old_pid and facts["states"][name] == "ready")

        wait_until(is_back, f"the {name} is back")

    def wait_until_settled(self) -> str:
        """Waits until events and ledger have caught up with the journal; their common entry id."""

        def settled_at() -> str:
            positions = read_positions(client)
            return str(positions[0].id) if len({position.id for position in positions}) == 1 else ""

        client = self.store()
        try:
            return str(wait_until(settled_at, "the ledger has caught up"))
        finally:
            client.close()

    # -- the command line

    def jibek(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `jibek …` on the data folder of this venue."""
        command = [sys.executable, "-m", "jibek", *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, input=input, timeout=WAIT_S, check=False)

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints.

        Raises:
            AssertionError: the command failed.
        """
        result = self.jibek(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    # -- ending

    def stop(self) -> int:
        """Stops the venue in order, and returns the exit code of `jibek up`."""
        assert self.launched is not None
        self.launched.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill_supervisor(self) -> None:
        """SIGKILL for `jibek up`; returns when all its children are gone, too."""
        os.kill(self.facts()["pid"], signal.SIGKILL)
        self.wait()
        wait_until(lambda: not self.folder.is_locked(), "the children have ended with their parent")

    def wait(self) -> int:
        assert self.launched is not None
        return self.launched.process.wait(WAIT_S)

    def end(self) -> None:
        if self.launched is not None and self.launched.process.poll() is None:
            self.stop()


def without_folder(text: str) -> str:
    """A sentence as it is on the default folder: no command in it names another."""
    return re.sub(r" --data [^ `]+", "", text)

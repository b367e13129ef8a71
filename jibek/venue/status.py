"""What `jibek status` shows, as one JSON value."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from engine.journal import Store
from jibek.commands.venue import SERVICES, urls
from jibek.console.output import VENUE_FILE, VenueAddress
from jibek.venue.offsets import read_positions


def read_status(address: VenueAddress, client: Store) -> dict[str, Any]:
    """Processes, positions and memory of a running venue.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    supervised = json.loads((address.data_dir / VENUE_FILE).read_text())
    memory = client.info("memory")
    return {
        "data": str(address.data_dir),
        "engine": address.engine,
        "urls": urls(address.host, address.port),
        "processes": _processes(address, supervised["states"], supervised["restarts"]),
        "positions": [
            {"name": position.name, "id": str(position.id), "lag_entries": position.lag_entries}
            for position in read_positions(client)
        ],
        "store": {"memory_bytes": memory["used_memory"], "memory_bytes_max": memory["maxmemory"]},
    }


def _processes(address: VenueAddress, states: dict[str, str], restarts: dict[str, int]) -> list[dict[str, Any]]:
    pids = {"up": address.pid} | {name: address.services[name] for name in SERVICES if name in address.services}
    sizes = resident_bytes(list(pids.values()))
    names = ["up", *(name for name in SERVICES if name in states)]
    return [
        {
            "name": name,
            "pid": pids.get(name),
            "memory_bytes": sizes.get(pids.get(name, 0)),
            "restarts": restarts.get(name, 0),
            "state": states.get(name, "ready"),
        }
        for name in names
    ]


def resident_bytes(pids: list[int]) -> dict[int, int]:
    """Process id -> resident memory, for those that are alive."""
    return _resident_from_proc(pids) if Path("/proc/self/statm").exists() else _resident_from_ps(pids)


def _resident_from_proc(pids: list[int]) -> dict[int, int]:
    sizes = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            sizes[pid] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return sizes


def _resident_from_ps(pids: list[int]) -> dict[int, int]:
    command = ["ps", "-o", "pid=,rss=", "-p", ",".join(map(str, pids))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {int(pid): int(kilobytes) * 1024 for pid, kilobytes in (line.split() for line in answer.splitlines())}

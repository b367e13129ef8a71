"""What `jibek status` shows, as one JSON value."""

from __future__ import annotations

from typing import Any

from engine.journal import Store
from jibek.venue.address import VenueAddress
from jibek.venue.offsets import read_offsets
from jibek.venue.processes import resident_bytes
from jibek.venue.services import PROCESS_NAMES, SUPERVISOR


def read_status(address: VenueAddress, client: Store) -> dict[str, Any]:
    """Processes, offsets and memory of a running venue.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    memory = client.info("memory")
    return {
        "data": str(address.data_dir),
        "engine": address.engine,
        "urls": address.urls,
        "processes": processes(address),
        "offsets": [
            {"name": offset.name, "id": str(offset.id), "lag_entries": offset.lag_entries}
            for offset in read_offsets(client)
        ],
        "store": {"memory_bytes": memory["used_memory"], "memory_bytes_max": memory["maxmemory"]},
    }


def processes(address: VenueAddress) -> list[dict[str, Any]]:
    """Each process with its id, memory, restarts and state: the supervisor first, the others in the order of their start."""
    pids = {SUPERVISOR: address.pid, **address.services}
    sizes = resident_bytes(pids.values())
    names = [SUPERVISOR, *(name for name in PROCESS_NAMES if name in address.states)]
    return [
        {
            "name": name,
            "pid": pids.get(name),
            "memory_bytes": sizes.get(pids.get(name, 0)),
            "restarts": address.restarts.get(name, 0),
            "state": address.states.get(name, "ready"),
        }
        for name in names
    ]

"""What `jibek status` shows, as one JSON value."""

from __future__ import annotations

from typing import Any

from engine.journal import Store
from gateway.limits import STORE_FULL_PERCENT
from jibek.venue.address import VenueAddress
from jibek.venue.offsets import read_offsets
from jibek.venue.processes import resident_bytes
from jibek.venue.services import PROCESS_NAMES, SUPERVISOR

GOOD = "good"


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
        "store": {
            "memory_bytes": memory["used_memory"],
            "memory_bytes_max": memory["maxmemory"],
            "state": store_state(memory["used_memory"], memory["maxmemory"]),
            "binary": address.store_binary,
        },
    }


def store_state(used_bytes: int, largest_bytes: int) -> str:
    """How full the store is.

    >>> store_state(79, 100), store_state(80, 100), store_state(100, 100), store_state(100, 0)
    ('good', 'filling', 'full', 'good')

    Args:
        largest_bytes: its memory limit; 0 for none.
    """
    if largest_bytes == 0 or used_bytes * 100 < largest_bytes * STORE_FULL_PERCENT:
        return GOOD
    return "filling" if used_bytes < largest_bytes else "full"


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

"""What `jibek status` shows, as one JSON value."""

from __future__ import annotations

import time
from typing import Any

import redis

from engine.journal import connect
from gateway.limits import STORE_FULL_PERCENT
from jibek.venue.address import VenueAddress
from jibek.venue.offsets import read_offsets
from jibek.venue.processes import resident_bytes
from jibek.venue.services import PROCESS_NAMES, SUPERVISOR
from jibek.venue.state_file import STALE_S, age_s

GOOD = "good"
SILENT = "silent"
STORE_TIMEOUT_S = 1.0
"""A store that does not answer within this is shown as silent: what else there is to see must not wait for it."""


def read_status(address: VenueAddress) -> dict[str, Any]:
    """Processes, offsets, memory and disk of a running venue. A store that does not answer is said to be silent; the rest is
    what `jibek up` knows.

    Raises:
        redis.ResponseError: the store refuses to say.
    """
    return {
        "data": str(address.data_dir),
        "engine": address.engine,
        "urls": address.urls,
        "processes": processes(address),
        "disk": address.disk,
        **_ask_store(address),
    }


def is_good(found: dict[str, Any]) -> bool:
    """Whether everything in a status is as it should be."""
    return found["store"]["state"] == GOOD and all(process["state"] == "ready" for process in found["processes"])


def _ask_store(address: VenueAddress) -> dict[str, Any]:
    """What the store says: its memory, and how far each part has come."""
    client = connect(address.store, timeout_s=STORE_TIMEOUT_S)
    try:
        memory = client.info("memory")
        offsets = [
            {"name": offset.name, "id": str(offset.id), "lag_entries": offset.lag_entries}
            for offset in read_offsets(client)
        ]
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        store = {"memory_bytes": None, "memory_bytes_max": None, "state": SILENT, "binary": address.store_binary}
        return {"offsets": [], "store": store}
    finally:
        client.close()
    used_bytes, largest_bytes = memory["used_memory"], memory["maxmemory"]
    return {
        "offsets": offsets,
        "store": {
            "memory_bytes": used_bytes,
            "memory_bytes_max": largest_bytes,
            "state": store_state(used_bytes, largest_bytes),
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
    states = {**address.states, SUPERVISOR: supervisor_state(address)}
    names = [SUPERVISOR, *(name for name in PROCESS_NAMES if name in address.states)]
    return [
        {
            "name": name,
            "pid": pids.get(name),
            "memory_bytes": sizes.get(pids.get(name, 0)),
            "restarts": address.restarts.get(name, 0),
            "state": states.get(name, "ready"),
        }
        for name in names
    ]


def supervisor_state(address: VenueAddress) -> str:
    """The state of `jibek up`. It writes down all the others three times a second: if it has stopped, theirs are as old."""
    state_age_s = age_s(address.written_s, time.monotonic())
    if state_age_s > STALE_S:
        return f"stopped answering {state_age_s:.0f} s ago; the states of the others are as old"
    return address.states.get(SUPERVISOR, "ready")

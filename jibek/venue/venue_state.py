"""The state of a running venue as `jibek up` knows it: each process in words, and what venue.json says.

The words are for people and for `jibek status`, which exits with 1 unless all of them are `ready`; docs/operations.md explains
each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from engine.process.disk import Disk
from jibek.venue.children import SILENT_S, Child
from jibek.venue.launch import VenueOptions
from jibek.venue.services import STORE, SUPERVISOR
from jibek.venue.store_binary import StoreBinary
from jibek.venue.store_watch import StoreWatch
from jibek.venue.surroundings import Surroundings

STATE_LENGTH_MAX = 1000
"""Characters of a state in venue.json."""
FOLLOWED_BY = {"engine": "events", "settlement": "ledger"}
"""Process -> what it writes, which must not stay behind what it reads."""


def states_of(
    children: Mapping[str, Child], watch: StoreWatch, surroundings: Surroundings, file_fault: str, now_s: float
) -> dict[str, str]:
    """The state of `jibek up` itself, of the store, and of each process.

    Args:
        file_fault: why venue.json cannot be written; empty if it can.
    """
    for name, followed in FOLLOWED_BY.items():
        if name in children:
            children[name].seen[followed] = watch.lags[followed].fault(now_s) if watch.is_serving else ""
    troubles = [text for text in (*surroundings.faults.values(), file_fault) if text]
    states = {SUPERVISOR: f"trouble: {'; '.join(troubles)}" if troubles else "ready"}
    silent_s = now_s - watch.answered_s
    store_fault = watch.fault if watch.is_serving else ""
    if STORE in children:
        children[STORE].seen["writes"] = store_fault
    elif silent_s > SILENT_S:
        states[STORE] = f"stopped answering {silent_s:.0f} s ago"
    else:
        states[STORE] = f"trouble: writes: {store_fault}" if store_fault else "ready"
    store_answers = silent_s <= SILENT_S
    for name, child in children.items():
        waits = name != STORE and not child.ready and not watch.is_serving
        child.seen["waits"] = f"the store {'is not ready yet' if store_answers else 'does not answer'}" if waits else ""
    return states | {name: child.state(now_s, store_answers=store_answers) for name, child in children.items()}


def facts_of(
    options: VenueOptions,
    store_url: str,
    children: Mapping[str, Child],
    states: Mapping[str, str],
    disk: Disk | None,
    store_binary: StoreBinary | None,
) -> dict[str, Any]:
    """What venue.json says."""
    certificate = options.access.tls_cert
    return {
        "pid": os.getpid(),
        "store": store_url,
        "host": options.host,
        "port": options.port,
        "certificate": None if certificate is None else str(certificate.absolute()),
        "engine": options.engine,
        "store_binary": None if store_binary is None else store_binary.facts(),
        "services": {name: child.pid for name, child in children.items() if child.is_running},
        "states": {name: state[:STATE_LENGTH_MAX] for name, state in states.items()},
        "restarts": {name: child.restarts for name, child in children.items()},
        "disk": None if disk is None else disk.facts(),
    }

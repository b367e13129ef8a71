"""The processes of a venue, each one row of a table.

To run one more process, add a row: the supervisor starts, watches and stops it, `jibek status` and `jibek logs` show it.
Two processes of one module are two rows with different names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from engine.journal import FIRST_GATEWAY
from jibek.venue.launch import VenueOptions

ENGINE = "engine"
GATEWAY = "gateway"
STORE = "store"
"""The embedded store. It is a server of its own kind (`store_server`); with `--store URL` a venue has none."""
SUPERVISOR = "up"
"""`jibek up` itself, as status and logs call it."""


class Service(NamedTuple):
    """A process of the venue that is a Python module and follows the store."""

    name: str
    module: str
    needs_definition: bool
    """Whether it starts only after the venue's definition is in the journal. The engine puts it there."""
    stop_rank: int
    """Services stop in ascending order, the store after all of them."""
    arguments: Callable[[VenueOptions], list[str]] = lambda options: []
    """What follows `--data FOLDER`."""

    def command_line(self, options: VenueOptions) -> list[str]:
        """The command that starts the service for such a venue."""
        return [
            *(sys.executable, "-P", "-m", self.module, "--data", str(options.data.absolute())),
            *self.arguments(options),
        ]


def _engine_arguments(options: VenueOptions) -> list[str]:
    return ["--engine", options.engine]


def _gateway_arguments(options: VenueOptions) -> list[str]:
    places = ["--host", options.host, "--port", str(options.port), "--gateway", str(FIRST_GATEWAY)]
    return places + options.bounds() + options.access.arguments()


# In the order in which they start. The gateway stops first, so that no order comes in any more; the settlement last, so
# that it settles what the engine still publishes.
#   name          module               needs_definition  stop_rank  arguments
SERVICES = (
    Service(ENGINE,       "engine.service",    False,            2,         _engine_arguments),
    Service("settlement", "ledger.settlement", True,             3),
    Service(GATEWAY,      "gateway.service",   True,             1,         _gateway_arguments),
)  # fmt: skip

PROCESS_NAMES = (STORE, *(service.name for service in SERVICES))
"""All processes that a supervisor may have, in the order in which they start."""
STOP_ORDER = (*(service.name for service in sorted(SERVICES, key=lambda service: service.stop_rank)), STORE)
LOG_NAMES = (*PROCESS_NAMES, SUPERVISOR)
"""The logs of a venue, `logs/NAME.log` each."""

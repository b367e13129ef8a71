"""What every process of the venue does in the same way."""

from engine.journal.store_url import STORE_VARIABLE
from engine.process.common import (
    EXIT_GOOD,
    EXIT_MISSED,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    PARENT_FD_VARIABLE,
    StopOverdue,
    StopRequest,
    add_store_argument,
    report_ready,
    set_up,
    stop_is_obeyed,
    stop_on_signals,
)

__all__ = [
    "EXIT_GOOD",
    "EXIT_MISSED",
    "EXIT_REFUSED",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "PARENT_FD_VARIABLE",
    "STORE_VARIABLE",
    "StopOverdue",
    "StopRequest",
    "add_store_argument",
    "report_ready",
    "set_up",
    "stop_is_obeyed",
    "stop_on_signals",
]

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
from engine.process.log_lines import LOG_FORMAT_VARIABLE, LOG_FORMATS, entry_is

__all__ = [
    "EXIT_GOOD",
    "EXIT_MISSED",
    "EXIT_REFUSED",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "LOG_FORMATS",
    "LOG_FORMAT_VARIABLE",
    "PARENT_FD_VARIABLE",
    "STORE_VARIABLE",
    "StopOverdue",
    "StopRequest",
    "add_store_argument",
    "entry_is",
    "report_ready",
    "set_up",
    "stop_is_obeyed",
    "stop_on_signals",
]

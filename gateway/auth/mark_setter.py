"""Asks the store whether a signature was used before, and marks it as used in the same call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from engine.journal import Mark, mark_used_call
from engine.journal.passing import is_not_ready
from engine.reasons import Reason
from gateway.dialect.rejects import Reject

Ask = Callable[[tuple[Any, ...], Callable[[Any], None]], None]
Marked = Callable[[str | None, Reject | None], None]
"""Takes the method for which the signature was used before (None: it was not), or how to refuse who waits for the answer."""


class MarkSetter:
    """Sets marks of signatures under which nothing is journalled.

    Args:
        ask: sends a call to the store; its answer, or a ConnectionError, is passed on later.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def set(self, mark: Mark, marked: Marked) -> None:
        """Calls `marked`, later. Without the store nothing is let through: the request is refused as unavailable, or as
        overloaded if the store is there and takes no writes at the moment."""
        self._ask(mark_used_call(mark), lambda reply: marked(*_read(reply)))


def _read(reply: Any) -> tuple[str | None, Reject | None]:
    if reply is None:
        return None, None
    if isinstance(reply, bytes):
        return reply.decode("ascii", "replace"), None
    is_passing = isinstance(reply, hiredis.ReplyError) and is_not_ready(str(reply))
    return None, Reject(Reason.OVERLOADED if is_passing else Reason.UNAVAILABLE)

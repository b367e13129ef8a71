"""What the clients saw, word for word: one side of the kill test. `history` is the other.

Nothing is interpreted here. A reply is kept as the venue sent it; a request that was sent and not answered before its
connection ended stays UNKNOWN, as does one that the venue itself calls unknown.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

CODE_UNKNOWN = -1007
"""The venue answers so when it does not know in time whether a request was executed."""

Reply = dict[str, Any]


class Outcome(StrEnum):
    """What a client knows of a request that it has sent."""

    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass
class Request:
    """One request that changes something, and what came of it.

    `params` are the parameters as sent, without what signs them. `result` is the venue's, a list for a cancel of all.
    """

    account: int
    method: str
    params: dict[str, str]
    outcome: Outcome = Outcome.UNKNOWN
    result: Any = None
    code: int = 0
    """The error code of a refusal."""

    def answered(self, reply: Reply) -> None:
        """Takes the venue's answer."""
        if reply["status"] == 200:
            self.outcome, self.result = Outcome.ACKNOWLEDGED, reply["result"]
            return
        self.code = reply["error"]["code"]
        self.outcome = Outcome.UNKNOWN if self.code == CODE_UNKNOWN else Outcome.REFUSED


@dataclass
class Stream:
    """The execution reports that one subscription brought, in their order."""

    account: int
    client: str
    """Who listened. A client that connects again begins a new stream, and must not hear anything twice."""
    reports: list[Reply] = field(default_factory=list)
    is_whole: bool = False
    """Whether the stream was heard to the very end of the trading."""


@dataclass
class LastLook:
    """What an account sees when all is over: all open orders, the last trades by symbol, all balances, and the orders
    that it asked about one by one."""

    account: int
    open_orders: list[Reply]
    trades: dict[str, list[Reply]]
    balances: list[Reply]
    orders: list[Reply]


@dataclass
class ClientLog:
    """Everything that the clients of a round asked for and saw."""

    placements: list[Request] = field(default_factory=list)
    cancels: list[Request] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    looks: list[tuple[int, Reply]] = field(default_factory=list)
    """Account, and an order as the venue showed it at some time in between."""
    last_looks: list[LastLook] = field(default_factory=list)
    silences: list[str] = field(default_factory=list)
    """Requests without an answer on a connection that stayed open: the venue owes one, even if it is only "unknown"."""

    def save(self, path: Path) -> None:
        """Writes it all down, for the person who looks into a failure."""
        path.write_text(json.dumps(asdict(self), indent=1))

"""What clients do that an operator may want to know: failed authentications, bans, connections that are turned away or ended.

Each is counted by kind, address and key. The first of a kind from an address with a key is a log line at once. What follows
is summed up once a minute: a line for each of those that occurred most, and one line for all others together. So an attack
is in the log when it begins, with what it is, and it cannot fill the log.

A key that the venue knows is named by its first eight characters. A key that it does not know is a text that a client has made
up, and could make up another with each request: such requests count for the address alone.

Cost: below 1 µs for one that is only counted; nothing for what a client does right.
"""

from __future__ import annotations

import enum
import heapq
import logging
from typing import NamedTuple

from engine.process.log_lines import shown_key
from gateway.limits import (
    INCIDENT_LINES_PER_MINUTE_MAX,
    INCIDENT_SUMMARIES_MAX,
    INCIDENTS_COUNTED_MAX,
)

MINUTE_MS = 60_000


class Incident(enum.Enum):
    """A kind, in the words of the log."""

    # Failed authentications.
    WRONG_SIGNATURE = "bad signature"
    UNKNOWN_KEY = "unknown key"
    MALFORMED_KEY = "malformed key"
    KEY_EXPIRED = "expired key"
    KEY_REVOKED = "revoked key"
    WRONG_NETWORK = "key used from a network that it is not for"
    NO_PERMISSION = "key without the permission"
    TOO_OLD = "timestamp too old"
    AHEAD_OF_TIME = "timestamp ahead of the venue's clock"
    SIGNATURE_USED = "signature used before"
    # Other failures.
    UNREADABLE = "unreadable message"
    OVER_WEIGHT = "request weight used up"
    RULE_BROKEN = "rule of HTTP or WebSocket broken"
    TOO_MANY_STREAM_REQUESTS = "too many requests on a stream connection"
    HANDSHAKE_FAILED = "TLS handshake failed"
    BANNED = "banned"
    # Connections that are turned away.
    BANNED_ADDRESS = "turned away: banned"
    NO_PLACE = "turned away: all connections are taken"
    TOO_MANY_OPEN = "turned away: too many open connections"
    TOO_MANY_NEW = "turned away: too many new connections"
    FOREIGN_PAGE = "turned away: foreign web page"
    # Connections that are ended.
    SLOW_READER = "connection ended: it reads too slowly"
    NO_PONG = "connection ended: no pong in time"
    NO_REQUEST = "connection ended: no request in time"
    IDLE = "connection ended: idle"
    """Ordinary clients over HTTP do that, so it is in the summaries alone."""
    SENDS_ON = "connection ended: it sends on after its end"


class Tally(NamedTuple):
    """How often an incident of one kind, address and key has occurred."""

    total: int
    unsaid: int
    """Since the last line about it."""
    minute: int
    """In which it occurred last."""


Counted = tuple[Incident, str, str]
"""Kind, address, and what is shown of the key; empty without one."""
_NEVER = Tally(0, 0, 0)


class Incidents:
    """Bounded by `INCIDENTS_COUNTED_MAX`: when there are more, those that did not occur in the last minute are forgotten; if
    that is not enough, the others are counted by kind alone.

    Args:
        log: of the process.
    """

    def __init__(self, log: logging.Logger | None = None, counted_max: int = INCIDENTS_COUNTED_MAX) -> None:
        self._log = log or logging.getLogger("gateway")
        self._counted_max = counted_max
        self._tallies: dict[Counted, Tally] = {}
        self._unsaid: dict[Counted, None] = {}
        """Those that occurred since the last line about them."""
        self._others: dict[Incident, int] = {}
        """How often what is not counted on its own occurred since the last summary."""
        self._lines_left = INCIDENT_LINES_PER_MINUTE_MAX
        self._minute = 0
        self._pruned_minute = -1

    def __len__(self) -> int:
        return len(self._tallies)

    def total(self, incident: Incident, address: str, key_id: str = "") -> int:
        """How often it has occurred, as far as that is remembered."""
        return self._tallies.get((incident, address, _shown(key_id)), _NEVER).total

    def note(
        self, incident: Incident, address: str, key_id: str = "", *, count: int = 1, unknown_key: str = ""
    ) -> None:
        """Counts an incident.

        Args:
            address: as limits count it (`gateway.wire.addresses.counted_as`); empty if none is known.
            key_id: of a key that the venue knows.
            count: how often it occurred.
            unknown_key: of a key that it does not know: shown with the first alone.
        """
        counted = incident, address, _shown(key_id)
        is_first = counted not in self._tallies and incident is not Incident.IDLE
        if is_first and self._has_room() and self._may_say():
            self._tallies[counted] = Tally(count, 0, self._minute)
            key = counted[2] or _shown(unknown_key)
            self._log.info("%s%s%s", incident.value, _from(address), _with(key), extra=_fields(counted, count, count))
        else:
            self._count(counted, count)

    def note_ban(self, address: str, seconds: int) -> None:
        """Counts a ban, and says what led to it."""
        if not self._may_say():
            self._count((Incident.BANNED, address, ""), 1)
            return
        causes = ", ".join(
            f"{incident.value} {tally.total:,}"
            for (incident, where, _), tally in self._tallies.items()
            if where == address and incident in _FAILURES
        )
        self._log.warning(
            "banned %s for %d s: it failed too often%s",
            address,
            seconds,
            f" ({causes})" if causes else "",
            extra={"fields": {"incident": Incident.BANNED.name, "address": address, "seconds": seconds}},
        )

    def _count(self, counted: Counted, count: int) -> None:
        """Counts what no line says now."""
        tally = self._tallies.get(counted)
        if tally is None and not self._has_room():
            self._others[counted[0]] = self._others.get(counted[0], 0) + count
            return
        total, unsaid, _ = tally or _NEVER
        self._tallies[counted] = Tally(total + count, unsaid + count, self._minute)
        self._unsaid[counted] = None

    def _may_say(self) -> bool:
        """Takes one of the lines of this minute, if there is one."""
        if self._lines_left <= 0:
            return False
        self._lines_left -= 1
        return True

    def on_time(self, now_ms: int) -> None:
        """Once a second: sums up the last minute when it is over."""
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._sum_up()
            self._minute = minute
            self._lines_left = INCIDENT_LINES_PER_MINUTE_MAX

    def close(self) -> None:
        """Sums up what no line has said yet."""
        self._sum_up()

    # -- lines

    def _sum_up(self) -> None:
        most = heapq.nlargest(INCIDENT_SUMMARIES_MAX, self._unsaid, key=lambda each: self._tallies[each].unsaid)
        for counted in most:
            incident, address, key = counted
            tally = self._tallies[counted]
            del self._unsaid[counted]
            self._log.info(
                "%s%s%s: %s more, %s in all",
                incident.value,
                _from(address),
                _with(key),
                f"{tally.unsaid:,}",
                f"{tally.total:,}",
                extra=_fields(counted, tally.unsaid, tally.total),
            )
            self._tallies[counted] = tally._replace(unsaid=0)
        for counted in self._unsaid:
            tally = self._tallies[counted]
            self._others[counted[0]] = self._others.get(counted[0], 0) + tally.unsaid
            self._tallies[counted] = tally._replace(unsaid=0)
        self._unsaid.clear()
        if self._others:
            counts = ", ".join(f"{kind.value} {count:,}" for kind, count in self._others.items())
            self._log.info(
                "from other addresses and with other keys: %s",
                counts,
                extra={"fields": {"others": {kind.name: count for kind, count in self._others.items()}}},
            )
            self._others.clear()

    def _has_room(self) -> bool:
        """Whether one more can be counted on its own."""
        if len(self._tallies) >= self._counted_max and self._pruned_minute != self._minute:
            self._pruned_minute = self._minute
            self._tallies = {
                counted: tally
                for counted, tally in self._tallies.items()
                if tally.minute >= self._minute - 1 or tally.unsaid
            }
        return len(self._tallies) < self._counted_max


_FAILURES = frozenset(
    (
        Incident.WRONG_SIGNATURE, Incident.UNKNOWN_KEY, Incident.MALFORMED_KEY, Incident.UNREADABLE,
        Incident.OVER_WEIGHT, Incident.RULE_BROKEN, Incident.TOO_MANY_STREAM_REQUESTS, Incident.HANDSHAKE_FAILED,
    )
)  # fmt: skip
"""What may lead to a ban."""


def _shown(key_id: str) -> str:
    return shown_key(key_id) if key_id else ""


def _from(address: str) -> str:
    return f" from {address}" if address else ""


def _with(key: str) -> str:
    return f", key {key}" if key else ""


def _fields(counted: Counted, count: int, total: int) -> dict[str, object]:
    """What the JSON line has besides."""
    incident, address, key = counted
    return {
        "fields": {
            "incident": incident.name,
            "address": address or None,
            "key": key or None,
            "count": count,
            "total": total,
        }
    }

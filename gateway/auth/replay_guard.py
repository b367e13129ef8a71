"""A signed order is carried out once, however often its frame is sent."""

from __future__ import annotations

from collections import OrderedDict

from engine.reasons import Reason
from gateway.dialect.constants import AHEAD_MS_MAX
from gateway.dialect.rejects import Rejected
from gateway.limits import REPLAYS_MAX

SignedName = tuple[str, bytes]
"""Key id and signature of a request."""


class ReplayGuard:
    """Remembers the signed orders of the last minute, so that a copied frame is not carried out twice.

    Bounded by `REPLAYS_MAX`; when it is full of signatures that still count, signed orders are refused as overloaded.

    A process that is started again knows nothing of what the one before it has taken. So it refuses what that one may
    have seen: whatever was signed before the last order of the earlier process, or, as clocks may run ahead, in the
    second after it. Gateways of different numbers do not know of each other: where a venue has several, an order with a
    client id is refused by the engine while the first one is open.
    """

    def __init__(self, size_max: int = REPLAYS_MAX) -> None:
        self._size_max = size_max
        self._seen: OrderedDict[SignedName, int] = OrderedDict()
        self._known_from_ms = 0

    def seen_by_another(self, time_us: int) -> None:
        """An earlier process of this gateway has taken orders until `time_us`, by the venue's clock."""
        self._known_from_ms = max(self._known_from_ms, time_us // 1000 + AHEAD_MS_MAX)

    def admit(self, name: SignedName, timestamp_ms: int, expires_ms: int, now_ms: int) -> None:
        """Notes a signed request by its name.

        Raises:
            Rejected: REPLAYED_REQUEST: it was noted before, and its window is still open; OUTSIDE_WINDOW: an earlier
                process may have taken it; OVERLOADED: no more can be remembered.
        """
        if timestamp_ms < self._known_from_ms:
            raise Rejected(Reason.OUTSIDE_WINDOW)
        if self._seen.get(name, -1) >= now_ms:
            raise Rejected(Reason.REPLAYED_REQUEST)
        while self._seen and (len(self._seen) >= self._size_max or next(iter(self._seen.values())) < now_ms):
            oldest, oldest_expires_ms = next(iter(self._seen.items()))
            if oldest_expires_ms >= now_ms:
                raise Rejected(Reason.OVERLOADED)
            del self._seen[oldest]
        self._seen[name] = expires_ms
        self._seen.move_to_end(name)

    def forget(self, name: SignedName) -> None:
        """The request was refused and nothing was done: its sender may send it again."""
        self._seen.pop(name, None)

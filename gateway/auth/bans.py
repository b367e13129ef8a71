"""Bans of addresses that keep failing.

A failure is what a working client does not do again and again: a wrong signature, an unknown key, a message that cannot be
read, a broken rule of the protocol, a request beyond the weight limit. What an honest client meets, such as a refused order or
an order that is gone, is none. An address that fails `BanSettings.failures_max` times within `FAILURES_INTERVAL_S` is banned for two
minutes; each further ban is twice as long, up to three days, until a day has passed without one.

An address is what limits count: `gateway.wire.addresses.counted_as`.

Cost: `until_ms` is one look into a dictionary, `failed` at most `failures_max` moves in an array. An address without a
failure takes no memory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable

from engine.reasons import Reason
from gateway.dialect.rejects import Rejected
from gateway.limits import (
    ADDRESSES_MAX,
    BAN_MEMORY_S,
    BAN_S_MAX,
    BAN_S_MIN,
    FAILURES_INTERVAL_S,
    BanSettings,
)

_INTERVAL_MS = FAILURES_INTERVAL_S * 1000
_BAN_MS_FIRST, _BAN_MS_LAST = BAN_S_MIN * 1000, BAN_S_MAX * 1000
_MEMORY_MS = BAN_MEMORY_S * 1000


class _Record:
    """What is known of an address that has failed."""

    __slots__ = ("failures_ms", "last_ban_ms", "until_ms")

    def __init__(self) -> None:
        self.failures_ms = array("q")
        """When it failed, within the last interval and since the last ban; ascending."""
        self.until_ms = 0
        """The end of its last ban."""
        self.last_ban_ms = 0
        """How long its last ban was; 0 if it had none."""

    def may_be_forgotten(self, now_ms: int) -> bool:
        """Whether it says nothing any more: a new record would do the same."""
        has_failures = bool(self.failures_ms) and now_ms - _INTERVAL_MS < self.failures_ms[-1] <= now_ms
        return not has_failures and now_ms >= self.until_ms + (_MEMORY_MS if self.last_ban_ms else 0)


class Bans:
    """Which addresses are banned, and until when.

    Bounded by `addresses_max`: when there are more, those with nothing to remember are forgotten, which happens once in an
    interval; if that is not enough, the failures of the addresses that are too many are not counted, so no address is banned
    for what others do.

    Args:
        note_ban: takes the address and the seconds of each ban; at most one in two minutes for an address.
    """

    def __init__(
        self,
        settings: BanSettings | None = None,
        addresses_max: int = ADDRESSES_MAX,
        note_ban: Callable[[str, int], None] = lambda address, seconds: None,
    ) -> None:
        self._note_ban = note_ban
        self._failures_max = (settings or BanSettings()).failures_max
        self._addresses_max = addresses_max
        self._records: dict[str, _Record] = {}
        self._pruned_ms = -_INTERVAL_MS
        self.last_end_ms = 0
        """When the last of all bans ends: from then on no address is banned. A cheap look before `until_ms`."""

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._records)

    def until_ms(self, address: str, now_ms: int) -> int:
        """When the ban of an address ends; 0 if it is not banned."""
        record = self._records.get(address)
        if record is None or now_ms >= record.until_ms:
            return 0
        # A ban from a clock that stood ahead, and was set back, is no longer than any other.
        record.until_ms = min(record.until_ms, now_ms + record.last_ban_ms)
        return record.until_ms

    def check(self, address: str, now_ms: int) -> None:
        """
        Raises:
            Rejected: BANNED, with the end of the ban in milliseconds.
        """
        until_ms = self.until_ms(address, now_ms)
        if until_ms:
            raise Rejected(Reason.BANNED, str(until_ms))

    def failed(self, address: str, now_ms: int, count: int = 1) -> None:
        """Counts failures of an address, at least one, and bans it if they are too many. What comes while it is banned
        does not count."""
        record = self._records.get(address) or self._new_record(address, now_ms)
        if record is None or self.until_ms(address, now_ms):
            return
        failures_ms = record.failures_ms
        if failures_ms and failures_ms[-1] > now_ms:
            # The clock was set back: when they happened is not known any more.
            del failures_ms[:]
        del failures_ms[: bisect_right(failures_ms, now_ms - _INTERVAL_MS)]
        failures_ms.extend([now_ms] * min(count, self._failures_max - len(failures_ms)))
        if len(failures_ms) >= self._failures_max:
            del failures_ms[:]
            is_first = not record.last_ban_ms or now_ms >= record.until_ms + _MEMORY_MS
            record.last_ban_ms = _BAN_MS_FIRST if is_first else min(2 * record.last_ban_ms, _BAN_MS_LAST)
            record.until_ms = now_ms + record.last_ban_ms
            self.last_end_ms = max(self.last_end_ms, record.until_ms)
            self._note_ban(address, record.last_ban_ms // 1000)

    def _new_record(self, address: str, now_ms: int) -> _Record | None:
        """A record for an address that has none; None if there is no room."""
        if len(self._records) >= self._addresses_max:
            if self._pruned_ms <= now_ms < self._pruned_ms + _INTERVAL_MS:
                return None
            self._pruned_ms = now_ms
            self._records = {
                each: record for each, record in self._records.items() if not record.may_be_forgotten(now_ms)
            }
            if len(self._records) >= self._addresses_max:
                return None
        record = self._records[address] = _Record()
        return record

"""How much a client may ask, by the tier of its account: request weight and connections by address, new orders by account."""

from __future__ import annotations

from engine.listing import Listing
from engine.reasons import Reason
from gateway.auth.usage import AddressUsage, OrderUsage, Usage
from gateway.dialect.rejects import Rejected
from gateway.limits import ADDRESSES_MAX, FREE_CONTROL_FRAMES_PER_S_MAX, RateLimitSettings
from gateway.view.accounts import Account
from gateway.wire.addresses import counted_as

SECOND_MS, TEN_SECONDS_MS, MINUTE_MS, FIVE_MINUTES_MS, DAY_MS = 1_000, 10_000, 60_000, 300_000, 86_400_000


class UsageByAddress:
    """What each address has used in intervals of this length.

    Bounded by `addresses_max`: when there are more, those of past intervals are forgotten, which happens once in an
    interval; where that is not enough, the addresses that are too many share one usage.
    """

    def __init__(self, interval_ms: int, addresses_max: int = ADDRESSES_MAX) -> None:
        self._interval_ms = interval_ms
        self._addresses_max = addresses_max
        self._usages: dict[str, AddressUsage] = {}
        self._others = AddressUsage()
        self._pruned = -1

    def of(self, ip: str, now_ms: int) -> AddressUsage:
        """The usage of an address, or of its /64 network. Cost: O(1), but O(addresses) once an interval while the table is
        full."""
        ip = counted_as(ip)
        usage = self._usages.get(ip)
        if usage is not None:
            return usage
        present = now_ms // self._interval_ms
        if len(self._usages) >= self._addresses_max and self._pruned != present:
            self._pruned = present
            self._usages = {ip: usage for ip, usage in self._usages.items() if usage.interval == present}
        if len(self._usages) >= self._addresses_max:
            return self._others
        usage = self._usages[ip] = AddressUsage()
        return usage


class RateLimits:
    """The dialect's limits: request weight by address, new orders by account. All intervals begin at whole multiples.

    What an address has used is counted by tier, and compared with the limit of the tier.
    """

    def __init__(self) -> None:
        self.tiers = [RateLimitSettings()]
        """By number, the tier `default` first. A new list with each change."""
        self._weights = UsageByAddress(MINUTE_MS)
        self._connections = UsageByAddress(FIVE_MINUTES_MS)
        self._orders: dict[int, OrderUsage] = {}

    @property
    def default(self) -> RateLimitSettings:
        """What holds before a caller has signed anything."""
        return self.tiers[0]

    def limits_of(self, account: Account | None) -> RateLimitSettings:
        """What holds for an account; for None the default. Cost: O(1)."""
        return self.tiers[0 if account is None else account.tier]

    def tiers_changed(self, listing: Listing) -> None:
        """Takes in the tiers as the events have them."""
        self.tiers = [RateLimitSettings.of(listing.effective_limits(tier)) for tier in listing.tiers]

    def weight_of(self, ip: str, now_ms: int) -> AddressUsage:
        """The request weight that an address has used in the present minute."""
        return self._weights.of(ip, now_ms)

    def orders_of(self, account: Account) -> OrderUsage:
        """The new orders of an account that count as unfilled."""
        usage = self._orders.get(account.number)
        if usage is None:
            usage = self._orders[account.number] = OrderUsage()
        return usage

    def has_weight(self, usage: AddressUsage, account: Account | None, weight: int, now_ms: int) -> bool:
        """Counts `weight`; False, and nothing is counted, where that passes the limit of the account."""
        # As `limits_of`, which every order would pay for with a call.
        settings = self.tiers[0 if account is None else account.tier]
        return usage.of(account).add(weight, now_ms // MINUTE_MS, settings.weight_per_minute)

    def add_weight(self, usage: AddressUsage, account: Account | None, weight: int, now_ms: int) -> None:
        """Counts `weight`. Raises Rejected where that passes the limit of the account."""
        if not self.has_weight(usage, account, weight, now_ms):
            raise Rejected(Reason.TOO_MANY_REQUESTS, str(self.limits_of(account).weight_per_minute))

    def add_connection(self, ip: str, now_ms: int) -> None:
        """Counts a new connection of an address. Raises Rejected where that is one too many."""
        limit = self.default.connections_per_5_min
        if not self._connections.of(ip, now_ms).add(1, now_ms // FIVE_MINUTES_MS, limit):
            raise Rejected(Reason.TOO_MANY_CONNECTIONS, str(limit), "5 MINUTE")

    def may_control(self, usage: Usage, now_ms: int, count: int = 1) -> bool:
        """Whether a stream connection may send so many more requests, pings and pongs in this second."""
        return usage.add(count, now_ms // SECOND_MS, self.default.stream_messages_per_s)

    def control_weight(self, usage: Usage, now_ms: int, count: int) -> int:
        """What so many further pings, pongs and fragments of a connection weigh: some in each second are free.

        Args:
            usage: of the connection, in the present second.
        """
        second, free = now_ms // SECOND_MS, FREE_CONTROL_FRAMES_PER_S_MAX
        before = usage.count if usage.interval == second else 0
        usage.add(count, second, before + count)
        return before + count - max(before, min(before + count, free))

    def add_order(self, account: Account, now_ms: int) -> None:
        """Counts a new order of an account. Raises Rejected where that is one too many."""
        settings = self.tiers[account.tier]
        too_many_in_s = self.orders_of(account).add(now_ms, settings.orders_per_10_s, settings.orders_per_day)
        if too_many_in_s == 10:
            raise Rejected(Reason.TOO_MANY_NEW_ORDERS, str(settings.orders_per_10_s), "10 SECOND")
        if too_many_in_s:
            raise Rejected(Reason.TOO_MANY_NEW_ORDERS, str(settings.orders_per_day), "1 DAY")

    def first_fill(self, account: Account) -> None:
        """An order of the account was filled for the first time: it does not count as unfilled any more."""
        usage = self._orders.get(account.number)
        if usage is not None:
            usage.first_fill()

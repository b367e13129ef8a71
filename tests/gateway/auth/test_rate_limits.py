from __future__ import annotations

from collections.abc import Callable

from gateway.auth.rate_limits import RateLimits, UsageByAddress
from gateway.dialect.rejects import Rejected
from gateway.limits import RateLimitSettings
from gateway.view.accounts import Account


def is_taken(judge: Callable[[], None]) -> bool:
    """Whether a judge lets something pass."""
    try:
        judge()
    except Rejected:
        return False
    return True


def test_addresses_that_are_too_many_share_one_count() -> None:
    usages = UsageByAddress(1000, addresses_max=2)
    for ip in "ab":
        usages.of(ip, 0).add(1, 0, 10)
    assert usages.of("c", 0) is usages.of("d", 0) is not usages.of("a", 0)
    assert usages.of("a", 999).count == 1
    usages.of("a", 1000).add(1, 1, 10)
    later = usages.of("c", 1000)
    assert later is usages.of("c", 1000) is not usages.of("d", 1000)
    assert usages.of("a", 1000).count == 1


def test_connections_are_limited_by_address() -> None:
    limits = RateLimits(RateLimitSettings(connections_per_5_min=1))
    outcomes = [
        is_taken(lambda ip=ip, now_ms=now_ms: limits.add_connection(ip, now_ms))  # type: ignore[misc]
        for ip, now_ms in [("a", 0), ("a", 1), ("b", 1), ("a", 300_000)]
    ]
    assert outcomes == [True, False, True, True]


def test_limits_start_again_with_each_interval() -> None:
    limits = RateLimits(RateLimitSettings(weight_per_minute=5, orders_per_10_s=1, orders_per_day=2))
    usage = limits.weight_of("a", 0)
    assert is_taken(lambda: limits.add_weight(usage, 5, 59_999))
    assert not is_taken(lambda: limits.add_weight(usage, 1, 59_999))
    assert is_taken(lambda: limits.add_weight(usage, 1, 60_000))
    account = Account(1)
    times_ms = (0, 1, 10_000, 20_000)
    outcomes = [is_taken(lambda now_ms=now_ms: limits.add_order(account, now_ms)) for now_ms in times_ms]  # type: ignore[misc]
    assert outcomes == [True, False, True, False]
    limits.first_fill(account)
    assert is_taken(lambda: limits.add_order(account, 30_000))

"""What is counted, for whom, and against the limits of which tier."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.listing import Listing
from engine.records import DEFAULT_LIMITS, TierLimits
from gateway.auth.rate_limits import RateLimits, UsageByAddress
from gateway.auth.usage import Usage
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


def limits_of(**numbers: int) -> RateLimits:
    """Limits whose tier `default` has these numbers, and whose tier 1 has only more orders."""
    listing = Listing(tiers={"default": DEFAULT_LIMITS._replace(**numbers), "maker": TierLimits(orders_per_10_s=3)})
    limits = RateLimits()
    limits.tiers_changed(listing)
    return limits


def test_without_a_word_from_the_operator_the_limits_are_the_specifications() -> None:
    assert RateLimits().default == RateLimitSettings(
        weight_per_minute=6_000,
        orders_per_10_s=50,
        orders_per_day=160_000,
        subscriptions_max=10,
        connections_per_5_min=300,
        stream_messages_per_s=5,
    )


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
    limits = limits_of(connections_per_5_min=1)
    outcomes = [
        is_taken(lambda ip=ip, now_ms=now_ms: limits.add_connection(ip, now_ms))  # type: ignore[misc]
        for ip, now_ms in [("a", 0), ("a", 1), ("b", 1), ("a", 300_000)]
    ]
    assert outcomes == [True, False, True, True]


@pytest.mark.parametrize(
    ("frames", "weights"),
    [
        ([(0, 5)], [0]),
        ([(0, 6)], [1]),
        ([(0, 1)] * 7, [0, 0, 0, 0, 0, 1, 1]),
        ([(0, 3), (500, 3), (999, 3), (1000, 3)], [0, 1, 3, 0]),
        ([(0, 500_000), (1000, 5)], [499_995, 0]),
    ],
)
def test_some_control_frames_in_each_second_weigh_nothing(frames: list[tuple[int, int]], weights: list[int]) -> None:
    limits, usage = RateLimits(), Usage()
    assert [limits.control_weight(usage, now_ms, count) for now_ms, count in frames] == weights


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(one: str, other: str, is_one: bool) -> None:
    limits = RateLimits()
    assert (limits.weight_of(one, 0) is limits.weight_of(other, 0)) is is_one


def test_limits_start_again_with_each_interval() -> None:
    limits = limits_of(weight_per_minute=5, orders_per_10_s=1, orders_per_day=2)
    usage = limits.weight_of("a", 0)
    assert is_taken(lambda: limits.add_weight(usage, None, 5, 59_999))
    assert not is_taken(lambda: limits.add_weight(usage, None, 1, 59_999))
    assert is_taken(lambda: limits.add_weight(usage, None, 1, 60_000))
    account = Account(1)
    times_ms = (0, 1, 10_000, 20_000)
    outcomes = [is_taken(lambda now_ms=now_ms: limits.add_order(account, now_ms)) for now_ms in times_ms]  # type: ignore[misc]
    assert outcomes == [True, False, True, False]
    limits.first_fill(account)
    assert is_taken(lambda: limits.add_order(account, 30_000))


def test_an_order_that_is_refused_is_not_counted() -> None:
    limits, account = limits_of(orders_per_10_s=2, orders_per_day=1), Account(1)
    assert [is_taken(lambda: limits.add_order(account, 0)) for _ in range(4)] == [True, False, False, False]
    assert limits.orders_of(account).counts(0) == (1, 1)


def test_counts_are_those_of_the_present_intervals() -> None:
    limits, account = limits_of(), Account(1)
    for now_ms in (0, 1, 10_000):
        limits.add_order(account, now_ms)
    orders = limits.orders_of(account)
    assert [orders.counts(now_ms) for now_ms in (19_999, 20_000, 86_399_999, 86_400_000)] == [
        (1, 3),
        (0, 3),
        (0, 3),
        (0, 0),
    ]


def test_a_tier_has_the_numbers_of_the_default_where_it_has_none() -> None:
    limits, account = limits_of(orders_per_10_s=1, orders_per_day=4), Account(1)
    account.tier = 1
    assert limits.limits_of(account) == limits.default._replace(orders_per_10_s=3)
    assert limits.limits_of(None) is limits.default
    assert [is_taken(lambda: limits.add_order(account, 0)) for _ in range(4)] == [True, True, True, False]
    # What was counted in one tier counts in the next.
    account.tier = 0
    assert not is_taken(lambda: limits.add_order(account, 9_999))
    assert [is_taken(lambda: limits.add_order(account, 10_000)) for _ in range(2)] == [True, False]
    assert not is_taken(lambda: limits.add_order(account, 20_000)), "four orders a day"

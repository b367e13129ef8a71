"""When a refused request may be sent again."""

from __future__ import annotations

import pytest

from engine.listing import Listing
from engine.reasons import Reason
from engine.records import DEFAULT_LIMITS
from gateway.auth.rate_limits import RateLimits
from gateway.dialect.rejects import Reject, Rejected
from gateway.handlers.answers import retry_after
from gateway.handlers.http import http_refusal

NOW_MS = 1_800_000_061_500
"""A minute and a half second into five minutes."""


@pytest.mark.parametrize(
    ("reject", "wait_ms"),
    [
        (Reject(Reason.TOO_MANY_REQUESTS, ("6000",)), 58_500),
        (Reject(Reason.TOO_MANY_NEW_ORDERS, ("50", "10 SECOND")), 8_500),
        (Reject(Reason.TOO_MANY_CONNECTIONS, ("300", "5 MINUTE")), 238_500),
        (Reject(Reason.BANNED, (str(NOW_MS + 120_000),)), 120_000),
        (Reject(Reason.TOO_MANY_OPEN_CONNECTIONS, ("1024",)), None),
        (Reject(Reason.INVALID_JSON), None),
    ],
)
def test_a_limit_of_time_says_when_it_ends(reject: Reject, wait_ms: int | None) -> None:
    expected = None if wait_ms is None else {"serverTime": NOW_MS, "retryAfter": NOW_MS + wait_ms}
    assert retry_after(reject, NOW_MS) == expected
    headers = http_refusal(reject, expected).headers
    assert headers == (() if wait_ms is None else (("Retry-After", str(wait_ms // 1000 + 1)),))


def test_an_address_that_waits_as_long_as_it_is_told_may_connect_again() -> None:
    limits = RateLimits()
    limits.tiers_changed(Listing(tiers={"default": DEFAULT_LIMITS._replace(connections_per_5_min=1)}))
    limits.add_connection("192.0.2.1", NOW_MS)
    with pytest.raises(Rejected) as refused:
        limits.add_connection("192.0.2.1", NOW_MS)
    told = retry_after(refused.value.reject, NOW_MS)
    assert told is not None
    with pytest.raises(Rejected):
        limits.add_connection("192.0.2.1", told["retryAfter"] - 1)
    limits.add_connection("192.0.2.1", told["retryAfter"])

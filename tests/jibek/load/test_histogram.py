"""The histogram of latencies: its quantiles are never too small and hardly too large."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from jibek.load.histogram import LATENCY_US_MAX, Histogram, bucket_of, upper_edge_us


@given(st.lists(st.integers(0, LATENCY_US_MAX), min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_a_quantile_is_never_too_small_and_hardly_too_large(latencies: list[int], share: float) -> None:
    histogram = Histogram()
    for latency in latencies:
        histogram.record(latency)
    exact = sorted(latencies)[max(0, math.ceil(share * len(latencies)) - 1)]
    assert exact <= histogram.quantile_us(share) <= exact + exact // 128
    assert histogram.largest_us == max(latencies)
    assert histogram.count == len(latencies)


@given(st.integers(0, LATENCY_US_MAX))
def test_every_latency_is_in_the_bucket_that_ends_above_it(latency: int) -> None:
    bucket = bucket_of(latency)
    assert upper_edge_us(bucket - 1) < latency <= upper_edge_us(bucket)


def test_an_endless_latency_is_counted_as_the_largest() -> None:
    histogram = Histogram()
    histogram.record(1 << 40)
    assert (histogram.count, histogram.largest_us) == (1, 1 << 40)
    assert histogram.quantile_us(1.0) == LATENCY_US_MAX


def test_a_quantile_of_an_empty_histogram_is_zero() -> None:
    assert Histogram().quantile_us(0.5) == 0

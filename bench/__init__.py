"""Benchmarks: one question each, with a baseline that runs in the same rounds.

`jibek bench NAME` runs one; docs/performance.md says what the figures mean.
"""

"""Benchmarks: one question each, with a baseline beside it that runs in the same rounds.

`jibek bench NAME` runs one; docs/performance.md says what the figures mean.
"""

"""Benchmarks: one question each, with a baseline beside it that runs in the same rounds.

`jibek bench book` and `jibek bench core` run them; docs/performance.md says what the figures mean.
"""

"""Replay of recorded order flow."""

"""The reference engine: the exchange state machine in plain Python, and the specification of the compiled core."""

from engine.reference.core import Core

__all__ = ["Core"]

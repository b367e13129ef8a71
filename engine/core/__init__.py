"""The compiled exchange core: the state machine of `engine.reference`, byte for byte, in C structs."""

from engine.core.core import Core

__all__ = ["Core"]

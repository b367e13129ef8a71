"""What the service needs of a core, and the two cores to choose from."""

from __future__ import annotations

from typing import Protocol


class ExchangeCore(Protocol):
    """What the service needs of a core; `engine.core.Core` and `engine.reference.Core` are two."""

    @property
    def time_us(self) -> int:
        """The venue's time: the largest stamp so far."""

    @property
    def accepted_difference_us(self) -> int:
        """How far an operator has accepted that the store's clock is ahead of the machine's; negative: behind."""

    @property
    def accepted_time_us(self) -> int:
        """The venue's time when an operator accepted it last; 0: never."""

    @property
    def accepted_store_us(self) -> int:
        """What the store's clock showed then."""

    @property
    def venue_state(self) -> int: ...

    @property
    def next_deadline_us(self) -> int | None:
        """When it wants a TIME_TICK, in the time of the stamps; its own time while its agenda holds work; None: never."""

    def execute(self, time_us: int, batch: bytes) -> bytes: ...

    def state_hash(self) -> bytes: ...


def make_core(name: str) -> ExchangeCore:
    """The core named `compiled` or `reference`."""
    if name == "reference":
        from engine.reference import Core as ReferenceCore

        return ReferenceCore()
    from engine.core import Core

    return Core()

"""A session without a client, for tests of the code behind it."""

from __future__ import annotations

from typing import Any

from gateway.auth.sessions import Session
from gateway.auth.usage import AddressUsage
from gateway.wire.output import LongMessage


class NoConnection:
    """A wire that leads nowhere."""

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def is_behind(self) -> bool:
        return False

    def has_ended(self) -> bool:
        return False

    def abort(self) -> None: ...

    def is_slice_over(self) -> bool:
        return False

    def hold(self) -> None: ...

    def go_on(self) -> None: ...

    def send_long(self, message: LongMessage) -> None: ...

    def trust(self) -> None: ...


def silent_session(**options: Any) -> Session:
    """A session whose replies are not read."""
    return Session(NoConnection(), AddressUsage(), **options)

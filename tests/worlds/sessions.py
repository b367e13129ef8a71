"""A session without a client, for tests of the code behind it."""

from __future__ import annotations

from typing import Any

from gateway.auth.rate_limits import Usage
from gateway.auth.sessions import Session


class NoConnection:
    """A wire that leads nowhere."""

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def is_behind(self) -> bool:
        return False

    def has_ended(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def silent_session(**options: Any) -> Session:
    """A session whose replies are not read."""
    return Session(NoConnection(), Usage(), **options)

from typing import Any

from engine.journal import Mark

class PendingCommand:
    caller: Any
    account: Any
    id_text: str
    command: bytes
    response: str
    shows_rate_limits: bool
    expires_ms: int
    reduces: bool
    blob: bytes
    queued_s: float
    passes_full_store: bool
    is_rated: bool
    is_told_unknown: bool
    waiting_since_s: float
    refusals: int
    refusals_due: int
    mark: Mark | None
    def __init__(
        self,
        caller: Any,
        account: Any,
        id_text: str,
        command: bytes,
        response: str,
        shows_rate_limits: bool,
        *,
        expires_ms: int = 0,
        reduces: bool = False,
        blob: bytes = b"",
        mark: Mark | None = None,
    ) -> None: ...
    def end(self) -> bool: ...

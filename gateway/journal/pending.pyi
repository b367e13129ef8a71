from typing import Any

class PendingCommand:
    caller: Any
    account: Any
    id_text: str
    command: bytes
    response: str
    shows_rate_limits: bool
    timestamp_ms: int
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
    signed_name: tuple[str, bytes] | None
    def __init__(
        self,
        caller: Any,
        account: Any,
        id_text: str,
        command: bytes,
        response: str,
        shows_rate_limits: bool,
        *,
        timestamp_ms: int = 0,
        expires_ms: int = 0,
        reduces: bool = False,
        blob: bytes = b"",
        signed_name: tuple[str, bytes] | None = None,
    ) -> None: ...
    def end(self) -> bool: ...

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

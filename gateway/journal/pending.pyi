from typing import Any

from gateway.auth.replay_guard import SignedUse

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
    use: SignedUse | None
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
        use: SignedUse | None = None,
    ) -> None: ...

from collections.abc import Mapping

from gateway.auth.sessions import Session, SignedName
from gateway.dialect.numbers import MarketNumbers
from gateway.view.accounts import Account, Order
from gateway.wire.connection import Event

class Ask:
    session: Session
    account: Account
    id_text: str
    command: bytes
    context: str
    shows_rate_limits: bool
    expires_ms: int
    reduces: bool
    blob: bytes
    queued_s: float
    signed_name: SignedName | None
    def __init__(
        self,
        session: Session,
        account: Account,
        id_text: str,
        command: bytes,
        context: str,
        shows_rate_limits: bool,
        expires_ms: int,
        reduces: bool = False,
        blob: bytes = b"",
    ) -> None: ...

class SignedAsk(Ask):
    key_id: str
    signature: str
    payload: str
    timestamp_ms: int
    def give_account(self, account: Account) -> None: ...

def take_texts(data: bytes, length_max: int, messages: list[Event]) -> int: ...
def read_order(
    message: bytes, markets: Mapping[str, MarketNumbers], session: Session, account: Account, now_ms: int
) -> Ask | None: ...
def read_signed_order(
    message: bytes, markets: Mapping[str, MarketNumbers], session: Session, now_ms: int
) -> SignedAsk | None: ...
def ack_frame(id_text: str, order: Order, time: int, rate_limits: str) -> bytes | None: ...

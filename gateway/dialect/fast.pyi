from collections.abc import Mapping
from typing import Protocol, type_check_only

from engine.journal import Mark
from gateway.dialect.numbers import MarketNumbers
from gateway.journal.pending import PendingCommand
from gateway.view.accounts import Account, Order

@type_check_only
class Caller(Protocol):
    @property
    def shows_rate_limits(self) -> bool: ...

class SignedCommand(PendingCommand):
    key_id: str
    signature: str
    payload: str
    def accept(self, account: Account, mark: Mark) -> None: ...

def read_order(
    message: bytes, markets: Mapping[str, MarketNumbers], session: Caller, account: Account, now_ms: int, oldest_ms: int
) -> PendingCommand | None: ...
def read_signed_order(
    message: bytes, markets: Mapping[str, MarketNumbers], session: Caller, now_ms: int, oldest_ms: int
) -> SignedCommand | None: ...

class CountedText:
    def __init__(self, template: str) -> None: ...
    def fill(self, first: int, second: int = 0, third: int = 0) -> str: ...

def ack_frame(id_text: str, order: Order, time: int, rate_limits: str) -> bytes | None: ...

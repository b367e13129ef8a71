"""A running venue whose clients are in every situation that a bad request can be about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import EventReader, StoreSource
from engine.records import (
    AMOUNT_MAX,
    COMMAND,
    MARKET_DEFINITION,
    Command,
    CommandKind,
    EventEntry,
    MarketDefinition,
    MarketState,
    Permission,
    unpack_parts,
)
from gateway.auth.rate_limits import RateLimits
from gateway.dialect import orders
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.order_names import order_name
from gateway.dialect.requests import market_of, read_request
from gateway.venue_view import VenueView
from tests.faults.reference_follower import ReferenceFollower
from tests.worlds.accounts import ASSETS, BY_TEST, MARKETS, Ed25519Key
from tests.worlds.clients import limit_order, now_ms, signed
from tests.worlds.raw_client import RawClient, logged_on, text
from tests.worlds.services import ServiceVenue

RICH = {"BTC": "10", "KZT": "1000000000", "USDT": "1000000", "ETH": "100"}
HALTED, WIDE = "USDTKZT", "ETHUSDT"
"""A market that is halted, and one whose limits are as wide as they may be, with one open order an account."""
WIDE_MARKET = MarketDefinition(
    base_asset=ASSETS["ETH"], quote_asset=ASSETS["USDT"], tick_e8=10**8, lot_units=10**8, price_min_ticks=1,
    price_max_ticks=10**10, quantity_min_lots=1, quantity_max_lots=4 * 10**10, notional_min=100,
    notional_max=AMOUNT_MAX, open_orders_max=1,
)  # fmt: skip

Send = Callable[["FaultWorld"], bytes]
"""Makes the bytes that a row of a table sends."""


class FaultWorld:
    """The venue, its clients' keys and orders, and a reference engine that knows its state."""

    def __init__(self) -> None:
        self.venue = venue = ServiceVenue(engine="compiled")
        try:
            self.follower = ReferenceFollower(venue.client)
            self._list_wide_market()
            self._open_accounts()
            self._place_orders()
            self._close_doors()
            self.follower.catch_up()
        except BaseException:
            venue.close()
            raise

    def close(self) -> None:
        self.venue.close()

    def _list_wide_market(self) -> None:
        self.venue.command(
            Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(WIDE_MARKET), WIDE.encode(), *BY_TEST
        )

    def _open_accounts(self) -> None:
        venue = self.venue
        self.trader, self.stranger = venue.account(**RICH), venue.account(**RICH)
        self.poor, self.frozen = venue.account(), venue.account(**RICH)
        self.key, self.hmac_key = venue.ed25519_key(self.trader), venue.hmac_key(self.trader)
        self.stranger_key = venue.ed25519_key(self.stranger)
        self.reader_key = venue.hmac_key(self.trader, Permission.READ)
        self.revoked_key = venue.hmac_key(self.trader)
        self.poor_key, self.frozen_key = venue.ed25519_key(self.poor), venue.ed25519_key(self.frozen)

    def _place_orders(self) -> None:
        with self.logged_on(self.key) as trader, self.logged_on(self.stranger_key) as stranger:
            self.open_order = _placed(trader, "BTCKZT", "BUY", "0.01", "40000000", newClientOrderId="mine")
            _placed(trader, WIDE, "BUY", "1", "1")
            self.foreign_order = _placed(stranger, "BTCKZT", "SELL", "0.01", "60000000")
            _placed(stranger, "ETHKZT", "SELL", "0.01", "2000000")
            _placed(trader, "ETHKZT", "BUY", "0.01", "2000000", newClientOrderId="filled")

    def _close_doors(self) -> None:
        self.venue.command(Command(kind=CommandKind.KEY_REVOKE, account=self.trader), self.revoked_key.id.encode(), *BY_TEST)  # fmt: skip
        self.venue.command(Command(kind=CommandKind.ACCOUNT_FREEZE, account=self.frozen), *BY_TEST)
        self.set_state(MARKETS[HALTED], MarketState.HALTED)

    def set_state(self, market: int, state: MarketState) -> None:
        self.venue.command(Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state), *BY_TEST)

    def command_of(self, frame: bytes, key: str) -> tuple[Command, *tuple[bytes, ...]]:
        """The command that the gateway makes of a request in a masked frame, and the parts of its blob.

        Args:
            key: the name of the key whose account asks.
        """
        account = {"key": self.trader, "poor_key": self.poor, "frozen_key": self.frozen}[key]
        request = read_request(payload_of(frame))
        markets = self._markets()
        if request.method == "order.place":
            packed, _ = orders.place_order(request, markets, account)
            return (COMMAND.unpack_from(packed),)
        market = market_of(request.params, markets)
        if request.method == "openOrders.cancelAll":
            return (COMMAND.unpack_from(orders.cancel_all(market, account)),)
        packed, blob = orders.cancel_order(request.params, market, account, order_name(request.params))
        return (COMMAND.unpack_from(packed), *(unpack_parts(blob) if blob else ()))

    def _markets(self) -> dict[str, MarketNumbers]:
        """The markets as a gateway knows them."""
        view, reader, source = VenueView(RateLimits()), EventReader(), StoreSource(self.venue.client)
        while entries := reader.read(source, count=256):
            for published in entries:
                view.apply(EventEntry(published.data), published.id)
            if view.projection.markets_by_symbol.keys() >= {*MARKETS, WIDE}:
                break
        return view.projection.markets_by_symbol

    # -- connections

    def wire(self, path: str = "/ws-api/v3") -> RawClient:
        return RawClient(self.venue.port, path)

    def logged_on(self, key: Ed25519Key) -> RawClient:
        return logged_on(self.venue.port, key)


def _placed(wire: RawClient, symbol: str, side: str, quantity: str, price: str, **params: Any) -> int:
    reply = wire.ask("order.place", **limit_order(symbol, side, quantity, price, **params))
    assert reply["status"] == 200, reply
    order_id: int = reply["result"]["orderId"]
    return order_id


# -- what a row sends


def payload_of(frame: bytes) -> bytes:
    """What a masked frame of one piece carries."""
    length, start = frame[1] & 127, 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
    mask, data = frame[start : start + 4], frame[start + 4 :]
    assert len(data) == length
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def without_nothing(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def order_params(**changes: Any) -> dict[str, Any]:
    """A good limit order with some parameters changed; None takes one away."""
    return without_nothing({**limit_order("BTCKZT", "BUY", "0.01", "41000000"), **changes})


def request(method: str, params: dict[str, Any]) -> bytes:
    return text({"id": 1, "method": method, "params": params})


def placing(**changes: Any) -> Send:
    return lambda world: request("order.place", order_params(**changes))


def placing_text(old: str, new: str) -> Send:
    """A good order whose JSON text is changed, for what JSON libraries do not write."""

    def send(world: FaultWorld) -> bytes:
        data = b'{"id":1,"method":"order.place","params":{"symbol":"BTCKZT","side":"BUY","type":"LIMIT",'
        data += b'"timeInForce":"GTC","quantity":"0.01","price":"41000000","timestamp":%d}}' % now_ms()
        assert data.count(old.encode()) == 1
        return text(data.replace(old.encode(), new.encode()))

    return send


def asking(method: str, **params: Any) -> Send:
    """A request with a present timestamp; values that are functions are called with the world."""

    def send(world: FaultWorld) -> bytes:
        values = {name: value(world) if callable(value) else value for name, value in params.items()}
        return request(method, without_nothing({"timestamp": now_ms(), **values}))

    return send


def signing(key: str, method: str = "order.place", *, after: dict[str, Any] | None = None, **changes: Any) -> Send:
    """A request signed with a key of the world; `after` is changed when it is signed, None takes away."""

    def send(world: FaultWorld) -> bytes:
        params = order_params(**changes) if method == "order.place" else changes
        return request(method, without_nothing({**signed(getattr(world, key), **params), **(after or {})}))

    return send


def sending(data: bytes) -> Send:
    return lambda world: data

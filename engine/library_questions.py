"""The queries of `engine.Engine`: balances, open orders, books."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, SupportsIndex

from engine.library_values import (
    Balance,
    OpenOrder,
    PriceLevel,
    amount_of,
    client_id_bytes,
    price_of,
    quantity_of,
    side_of,
    whole_number,
)
from engine.library_venue import EngineVenue
from engine.listing import Market
from engine.records import HOUSE_ACCOUNT, HOUSE_NAME, Side

if TYPE_CHECKING:
    from engine.book import Book

_ORDER_ID_MAX = (1 << 64) - 1


class EngineQuestions(EngineVenue):
    """The queries of an engine; none of them changes it."""

    def balances(self, account: str) -> dict[str, Balance]:
        """The balances of an account, by asset, without those that are zero.

        Args:
            account: its name; "house" is the account that receives the fees.

        Raises:
            UnknownName: there is no such account.

        Complexity: O(assets of the account).
        """
        number = HOUSE_ACCOUNT if account == HOUSE_NAME.decode() else self._account(account)
        assets = self.listing.assets
        return {
            assets[asset].name: Balance(amount_of(available, assets[asset]), amount_of(held, assets[asset]))
            for asset, available, held in self.core.account_balances(number)
        }

    # -- orders

    def order(
        self, account: str, symbol: str, order_id: SupportsIndex | None = None, *, client_order_id: str = ""
    ) -> OpenOrder | None:
        """An open order of an account, named as in `cancel`; None if the market has no such order of the account.

        Raises:
            As `cancel`.

        Complexity: O(1).
        """
        market, number, order, client_id = self._named(account, symbol, order_id, client_order_id)
        found = None if order is None else self.core.find_order(number, market.number, order, client_id)
        return None if found is None else self._open_order(found)

    def open_orders(self, account: str, symbol: str | None = None) -> list[OpenOrder]:
        """The open orders of an account, in one market or in all, oldest first.

        Raises:
            UnknownName: there is no such account or market.

        Complexity: O(n log n) in the orders listed for the account: its open orders and some that have ended lately.
        """
        market = 0 if symbol is None else self._market(symbol).number
        return list(map(self._open_order, sorted(self.core.open_orders(self._account(account), market))))

    @property
    def open_order_count(self) -> int:
        """How many orders are open, of all accounts in all markets. Complexity: O(1)."""
        return int(self.core.open_order_count)

    def _open_order(self, record: tuple[int, int, int, int, int, int, bytes]) -> OpenOrder:
        order_id, number, side, ticks, quantity_lots, remaining_lots, client_id = record
        market = self.listing.markets[number]
        return OpenOrder(
            order_id,
            client_id.rstrip(b"\0").decode("ascii", "backslashreplace"),
            market.symbol,
            Side(side),
            price_of(ticks, market),
            quantity_of(quantity_lots, market),
            quantity_of(quantity_lots - remaining_lots, market),
        )

    def _named(
        self, account: str, symbol: str, order_id: SupportsIndex | None, client_order_id: str
    ) -> tuple[Market, int, int | None, bytes]:
        """Market, account, order id (0: by client id; None: no order can have it) and client id of an order."""
        market, number, client_id = self._market(symbol), self._account(account), client_id_bytes(client_order_id)
        if order_id is None:
            if not client_order_id:
                raise ValueError("an order is named by its order_id, its client_order_id, or both")
            return market, number, 0, client_id
        order = whole_number(order_id, "order_id")
        return market, number, order if 0 < order <= _ORDER_ID_MAX else None, client_id

    # -- the books

    def best_bid(self, symbol: str) -> Decimal | None:
        """The highest bid; None if there is no bid. Raises UnknownName. Complexity: O(1)."""
        best = self.depth(symbol, Side.BUY, 1)
        return best[0].price if best else None

    def best_ask(self, symbol: str) -> Decimal | None:
        """The lowest ask; None if there is no ask. Raises UnknownName. Complexity: O(1)."""
        best = self.depth(symbol, Side.SELL, 1)
        return best[0].price if best else None

    def depth(self, symbol: str, side: str | Side, levels: SupportsIndex | None = None) -> list[PriceLevel]:
        """Prices of a side and the quantities resting there (L2), best first.

        Args:
            side: "buy" or "sell".
            levels: the most levels that you want; None gives all.

        Raises:
            UnknownName: there is no such market.
            ValueError: the side is neither of the two, or `levels` is negative.
            TypeError: `levels` is not a whole number.

        Complexity: O(levels in the list).
        """
        market, number = self._market(symbol), side_of(side)
        most = None if levels is None else whole_number(levels, "levels")
        if most is not None and most < 0:
            raise ValueError(f"levels must not be negative, and {most} is")
        # No side has that many levels, and both cores can count so far.
        found = self.core.depth(market.number, number, most if most is None else min(most, 1 << 32))
        return [PriceLevel(price_of(ticks, market), quantity_of(lots, market)) for ticks, lots in found]

    def book(self, symbol: str) -> Book:
        """A copy of the book of a market as it is now, as `engine.Book`: L3, queue places, save and load, iteration.

        Changes to the copy do not affect the engine. Its prices are whole ticks and its quantities whole lots of the
        market: `price / tick`, `quantity / lot`.

        Raises:
            UnknownName: there is no such market.

        Complexity: O(orders in the book), and 32 bytes an order while it is copied.
        """
        from engine.book import Book

        return Book.from_bytes(self.core.book_state(self._market(symbol).number))

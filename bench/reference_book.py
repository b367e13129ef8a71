"""The baseline if there is none in C++: a price-time book as one would write it in Python on sortedcontainers."""

from __future__ import annotations

from sortedcontainers import SortedDict

from engine.records import Side


class ReferenceBook:
    """Price levels in two sorted dicts, each a dict from order id to what is left, which keeps the order of arrival.

    It counts what every price-time book must agree on: `trades`, and `checksum`, the sum of price times quantity over
    all trades.
    """

    def __init__(self) -> None:
        # Keys sort the best price first: the negative of a bid, an ask as it is.
        self.sides: dict[int, SortedDict] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.places: dict[int, tuple[int, int]] = {}
        self.trades = 0
        self.checksum = 0

    def __len__(self) -> int:
        return len(self.places)

    def best(self, side: int) -> int | None:
        """The best price of a side; None where it is empty."""
        levels = self.sides[side]
        return abs(levels.peekitem(0)[0]) if levels else None

    def place(self, order_id: int, side: int, price_ticks: int, quantity_lots: int) -> None:
        left = self.match(side, price_ticks, quantity_lots)
        if left:
            key = -price_ticks if side == Side.BUY else price_ticks
            self.sides[side].setdefault(key, {})[order_id] = left
            self.places[order_id] = (side, key)

    def market(self, order_id: int, side: int, quantity_lots: int) -> None:
        self.match(side, None, quantity_lots)

    def cancel(self, order_id: int) -> None:
        side, key = self.places.pop(order_id)
        level = self.sides[side][key]
        del level[order_id]
        if not level:
            del self.sides[side][key]

    def replace(self, order_id: int, new_order_id: int, price_ticks: int, quantity_lots: int) -> None:
        side = self.places[order_id][0]
        self.cancel(order_id)
        self.place(new_order_id, side, price_ticks, quantity_lots)

    def match(self, side: int, limit_ticks: int | None, left: int) -> int:
        """Fills up to `left` lots at the limit or better; returns what is left."""
        levels = self.sides[Side.SELL if side == Side.BUY else Side.BUY]
        while left and levels:
            key, level = levels.peekitem(0)
            price_ticks = abs(key)
            if limit_ticks is not None and (
                price_ticks > limit_ticks if side == Side.BUY else price_ticks < limit_ticks
            ):
                break
            left = self.match_level(price_ticks, level, left)
            if not level:
                del levels[key]
        return left

    def match_level(self, price_ticks: int, level: dict[int, int], left: int) -> int:
        while left and level:
            maker_id = next(iter(level))
            maker_left = level[maker_id]
            lots = min(left, maker_left)
            left -= lots
            self.trades += 1
            self.checksum += price_ticks * lots
            if lots == maker_left:
                del level[maker_id], self.places[maker_id]
            else:
                level[maker_id] = maker_left - lots
        return left

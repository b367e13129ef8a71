"""The book as plainly as it can be written: one list of resting orders, searched from front to back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.book import BookEventKind as Kind
from engine.reasons import Reason
from engine.records import AMOUNT_MAX, Side, TimeInForce
from tests.engine.book_scenario import Happened


@dataclass
class Order:
    order_id: int
    side: Side
    price_ticks: int
    remaining_lots: int


@dataclass
class SimpleBook:
    orders: list[Order] = field(default_factory=list)
    """In the order in which they came."""

    def __iter__(self) -> Iterator[Order]:
        return iter(self.orders)

    def fault(
        self, side: Side, price_ticks: int, lots: int, order_id: int, leaving: Order | None = None
    ) -> Reason | None:
        """Why an order cannot be, where another one leaves for it or none does; None where it can."""
        if not 0 < price_ticks <= AMOUNT_MAX:
            return Reason.INVALID_PRICE
        if not 0 < lots <= AMOUNT_MAX:
            return Reason.INVALID_QUANTITY
        others = [order for order in self.orders if order is not leaving]
        if any(order.order_id == order_id for order in others):
            return Reason.ORDER_ID_IN_USE
        # A level holds no more lots than one order may have.
        level = [order.remaining_lots for order in others if (order.side, order.price_ticks) == (side, price_ticks)]
        return Reason.INVALID_QUANTITY if sum(level) + lots > AMOUNT_MAX else None

    def find(self, order_id: int) -> Order | None:
        return next((order for order in self.orders if order.order_id == order_id), None)

    def queue(self, side: Side) -> list[Order]:
        """A side in the order in which it is filled; sorting is stable, so first come is first served."""
        sign = -1 if side == Side.BUY else 1
        return sorted((o for o in self.orders if o.side == side), key=lambda order: sign * order.price_ticks)

    def match(self, taker: Order) -> list[Happened]:
        happened: list[Happened] = []
        for maker in self.queue(Side.SELL if taker.side == Side.BUY else Side.BUY):
            if taker.remaining_lots == 0 or not self.crosses(taker, maker):
                break
            lots = min(taker.remaining_lots, maker.remaining_lots)
            taker.remaining_lots -= lots
            maker.remaining_lots -= lots
            happened.append(
                Happened(
                    Kind.TRADE,
                    Reason.NONE,
                    taker.order_id,
                    maker.order_id,
                    maker.price_ticks,
                    lots,
                    maker.remaining_lots,
                )
            )
        self.orders = [order for order in self.orders if order.remaining_lots]
        return happened

    def crosses(self, taker: Order, maker: Order) -> bool:
        if taker.price_ticks == 0:
            return True
        return (
            maker.price_ticks <= taker.price_ticks if taker.side == Side.BUY else maker.price_ticks >= taker.price_ticks
        )

    def place(
        self, order_id: int, side: Side, price_ticks: int, lots: int, time_in_force: TimeInForce = TimeInForce.GTC
    ) -> list[Happened]:
        reason = self.fault(side, price_ticks, lots, order_id)
        if reason:
            return [rejected(reason, order_id)]
        taker = Order(order_id, side, price_ticks, lots)
        happened: list[Happened] = [Happened(Kind.ACCEPTED, Reason.NONE, order_id, 0, price_ticks, lots, 0)]
        other = Side.SELL if side == Side.BUY else Side.BUY
        there = sum(maker.remaining_lots for maker in self.queue(other) if self.crosses(taker, maker))
        if time_in_force != TimeInForce.FOK or there >= lots:
            happened += self.match(taker)
        if taker.remaining_lots and time_in_force == TimeInForce.GTC:
            self.orders.append(taker)
        elif taker.remaining_lots:
            happened.append(Happened(Kind.EXPIRED, Reason.NONE, order_id, 0, price_ticks, taker.remaining_lots, 0))
        return happened

    def market(self, order_id: int, side: Side, lots: int) -> list[Happened]:
        if not 0 < lots <= AMOUNT_MAX:
            return [rejected(Reason.INVALID_QUANTITY, order_id)]
        taker = Order(order_id, side, 0, lots)
        happened: list[Happened] = [Happened(Kind.ACCEPTED, Reason.NONE, order_id, 0, 0, lots, 0), *self.match(taker)]
        if taker.remaining_lots:
            happened.append(Happened(Kind.EXPIRED, Reason.NONE, order_id, 0, 0, taker.remaining_lots, 0))
        return happened

    def cancel(self, order_id: int) -> list[Happened]:
        order = self.find(order_id)
        if order is None:
            return [rejected(Reason.UNKNOWN_ORDER, order_id)]
        self.orders.remove(order)
        return [Happened(Kind.CANCELLED, Reason.NONE, order_id, 0, order.price_ticks, order.remaining_lots, 0)]

    def replace(self, order_id: int, new_order_id: int, price_ticks: int, lots: int) -> list[Happened]:
        order = self.find(order_id)
        if order is None:
            return [rejected(Reason.UNKNOWN_ORDER, order_id)]
        reason = self.fault(order.side, price_ticks, lots, new_order_id, leaving=order)
        if reason:
            return [rejected(reason, order_id)]
        return self.cancel(order_id) + self.place(new_order_id, order.side, price_ticks, lots)

    def amend(self, order_id: int, lots: int) -> list[Happened]:
        order = self.find(order_id)
        if order is None:
            return [rejected(Reason.UNKNOWN_ORDER, order_id)]
        if not 0 < lots < order.remaining_lots:
            return [rejected(Reason.INVALID_QUANTITY, order_id)]
        removed, order.remaining_lots = order.remaining_lots - lots, lots
        return [Happened(Kind.AMENDED, Reason.NONE, order_id, 0, order.price_ticks, removed, lots)]


def rejected(reason: Reason, order_id: int) -> Happened:
    return Happened(Kind.REJECTED, reason, order_id, 0, 0, 0, 0)

"""Compares the log of all clients with the events.

Each fault has a kind: LOST (a client saw something that the events do not have), DUPLICATED (the events have it, or the
client saw it, twice), or WRONG (its numbers differ, or it is there though it was refused). `Verification.counts` says how
many of each thing were checked, so that a check of nothing cannot pass for a proof.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from tests.faults.client_log import ClientLog, LastLook, Outcome, Reply, Request, Stream
from tests.faults.history import CANCELED, OPEN, SIDES, TIMES_IN_FORCE, TYPES, Fill, History, Order, Report, State

CODE_NO_SUCH_ORDER = -2011


class FaultKind(StrEnum):
    LOST = "lost"
    DUPLICATED = "duplicated"
    WRONG = "wrong"


class Fault(NamedTuple):
    kind: FaultKind
    text: str


class Verification:
    """`verify` fills `faults` and `counts`."""

    def __init__(self, log: ClientLog, history: History) -> None:
        self.log = log
        self.history = history
        self.faults: list[Fault] = []
        self.counts: Counter[str] = Counter()

    def verify(self) -> None:
        """Checks everything; afterwards `faults` is empty if all is well."""
        for text in self.history.faults:
            self._fault(FaultKind.WRONG, text)
        for text in self.log.silences:
            self._fault(FaultKind.WRONG, text)
        self._check_nothing_twice()
        for placement in self.log.placements:
            self._check_placement(placement)
        for cancel in self.log.cancels:
            self._check_cancel(cancel)
        self._check_streams()
        for account, look in self.log.looks:
            self._check_look(account, look)
        for last_look in self.log.last_looks:
            self._check_last_look(last_look)

    def _fault(self, kind: FaultKind, text: str) -> None:
        self.faults.append(Fault(kind, text))

    def _expect(self, what: str, seen: object, recorded: object) -> None:
        if seen != recorded:
            self._fault(FaultKind.WRONG, f"{what}: the client saw {seen}, the events say {recorded}")

    # -- orders

    def _check_nothing_twice(self) -> None:
        for (account, client_id), orders in self.history.accepted.items():
            if len(orders) > 1:
                self._fault(FaultKind.DUPLICATED, f"{client_id} of account {account} became the orders {orders}")
        for (account, client_id), times in self.history.executed.items():
            if times > 1:
                self._fault(FaultKind.DUPLICATED, f"{client_id} of account {account} was executed {times} times")
        seen = Counter((placement.account, placement.params["newClientOrderId"]) for placement in self.log.placements)
        assert max(seen.values(), default=1) == 1, "the clients of this test give each order an id of its own"

    def _check_placement(self, placement: Request) -> None:
        """Acknowledged: it is in the events once, with the same numbers. Refused: it is not. Unknown: wholly or not at all."""
        client_id = placement.params["newClientOrderId"]
        accepted = self.history.accepted.get((placement.account, client_id), [])
        self.counts[f"placements {placement.outcome}"] += 1
        if placement.outcome == Outcome.REFUSED:
            self.counts[f"placements refused with {placement.code}"] += 1
        if placement.outcome == Outcome.REFUSED and accepted:
            self._fault(FaultKind.WRONG, f"{client_id} was refused ({placement.code}) and is order {accepted[0]}")
        if placement.outcome == Outcome.UNKNOWN:
            self.counts["unknown placements that were executed"] += len(accepted)
        if placement.outcome == Outcome.ACKNOWLEDGED:
            order_id = placement.result["orderId"]
            if order_id not in accepted:
                text = f"{client_id} was acknowledged as order {order_id}; in the events it is {accepted or 'nothing'}"
                self._fault(FaultKind.LOST, text)
                return
            self._check_reply(placement.result, self.history.orders[order_id])
        for order_id in accepted:
            self._check_terms(placement, self.history.orders[order_id])

    def _check_terms(self, placement: Request, order: Order) -> None:
        """The order is the one that was asked for."""
        event, params = order.accepted, placement.params
        what = f"order {event.order_id}"
        self._expect(f"{what}, account", placement.account, event.account)
        for name, recorded in (
            ("symbol", self.history.symbol(event.market)),
            ("side", SIDES[event.side]),  # type: ignore[index]
            ("type", TYPES[event.order_type]),  # type: ignore[index]
        ):
            self._expect(f"{what}, {name}", params[name], recorded)
        self._expect(f"{what}, timeInForce", params.get("timeInForce", ""), TIMES_IN_FORCE[event.time_in_force])  # type: ignore[index]
        for name, number in (
            ("price", self.history.price(event.market, event.price_ticks)),
            ("quantity", self.history.quantity(event.market, event.quantity_lots)),
            ("quoteOrderQty", self.history.quote(event.market, event.amount)),
        ):
            self._expect(f"{what}, {name}", Decimal(params.get(name, "0")), number)

    def _check_reply(self, reply: Reply, order: Order) -> None:
        """What a reply says of an order, in the detail that was asked for, is how its placing left it."""
        if "status" in reply:
            self._expect(
                f"the reply to order {reply['orderId']}", self._state_seen(reply), self._shown(order, order.placed)
            )
        if "fills" in reply:
            mine = [fill for fill in order.fills if not fill.is_maker]
            if len(reply["fills"]) != len(mine):
                self._fault(
                    FaultKind.WRONG,
                    f"order {reply['orderId']}: its reply has {len(reply['fills'])} fills of {len(mine)}",
                )
            for seen in reply["fills"]:
                self.counts["fills seen in replies"] += 1
                self._check_fill(order, seen["tradeId"], seen)

    def _state_seen(self, reply: Reply) -> tuple[str, Decimal, Decimal]:
        return reply["status"], Decimal(reply["executedQty"]), Decimal(reply["cummulativeQuoteQty"])

    def _shown(self, order: Order, state: State) -> tuple[str, Decimal, Decimal]:
        market = order.accepted.market
        quantity = self.history.quantity(market, state.executed_lots)
        return state.status, quantity, self.history.quote(market, state.executed_quote)

    def _check_look(self, account: int, reply: Reply) -> None:
        """An order as it was shown at some time is as it was at some time."""
        self.counts["orders shown"] += 1
        order = self.history.orders.get(reply["orderId"])
        if order is None or order.accepted.account != account:
            self._fault(
                FaultKind.LOST, f"order {reply['orderId']} was shown to account {account} and is not in the events"
            )
        elif self._state_seen(reply) not in [self._shown(order, state) for state in order.states]:
            self._fault(
                FaultKind.WRONG, f"order {reply['orderId']} was shown as it never was: {self._state_seen(reply)}"
            )

    # -- cancels

    def _check_cancel(self, cancel: Request) -> None:
        self.counts[f"cancels {cancel.outcome}"] += 1
        if cancel.outcome == Outcome.ACKNOWLEDGED:
            results = cancel.result if isinstance(cancel.result, list) else [cancel.result]
            for result in results:
                self._check_cancelled(cancel.account, result)
        elif cancel.outcome == Outcome.REFUSED and cancel.code == CODE_NO_SUCH_ORDER and "orderId" in cancel.params:
            order = self.history.orders.get(int(cancel.params["orderId"]))
            if order is not None and order.accepted.account == cancel.account and order.state.status in OPEN:
                self._fault(
                    FaultKind.WRONG, f"order {cancel.params['orderId']} is open; its cancel found no such order"
                )

    def _check_cancelled(self, account: int, result: Reply) -> None:
        self.counts["orders confirmed as cancelled"] += 1
        order = self.history.orders.get(result["orderId"])
        if order is None or order.accepted.account != account or order.state.status != CANCELED:
            state = "not there" if order is None else order.state.status
            self._fault(FaultKind.LOST, f"order {result['orderId']} was confirmed as cancelled and is {state}")
            return
        self._expect(f"order {result['orderId']}, id", result["origClientOrderId"], order.client_id)
        self._expect(
            f"the cancel of order {result['orderId']}", self._state_seen(result), self._shown(order, order.state)
        )
        if order.closings != 1:
            self._fault(FaultKind.DUPLICATED, f"order {result['orderId']} was closed {order.closings} times")

    # -- fills

    def _check_fill(self, order: Order, trade_id: int, seen: Reply) -> None:
        """A fill that a reply or a list of trades names."""
        market, order_id = order.accepted.market, order.accepted.order_id
        fill = self.history.fills.get((market, trade_id, order_id))
        if fill is None:
            self._fault(FaultKind.LOST, f"trade {trade_id} of order {order_id} was reported and is not in the events")
            return
        numbers = (seen["price"], seen["qty"], seen["commission"])
        self._check_fill_numbers(fill, numbers, seen["commissionAsset"])

    def _check_fill_numbers(self, fill: Fill, seen: tuple[str, str, str], seen_asset: str) -> None:
        fee, asset = self.history.fee(fill)
        price = self.history.price(fill.market, fill.price_ticks)
        recorded = (price, self.history.quantity(fill.market, fill.quantity_lots), fee)
        what = f"trade {fill.trade_id} of order {fill.order_id}"
        self._expect(what, tuple(Decimal(text) for text in seen), recorded)
        self._expect(f"{what}, asset of the fee", seen_asset, asset)

    # -- streams

    def _check_streams(self) -> None:
        """Each stream is an unbroken run of its owner's reports, and no client hears a report twice."""
        heard: Counter[tuple[str, tuple[str, int, int]]] = Counter()
        for stream in self.log.streams:
            places = {report.name: place for place, report in enumerate(self.history.reports[stream.account])}
            previous: int | None = None
            for seen in stream.reports:
                name = (seen["x"], seen["i"], seen["t"])
                self.counts["fills seen in streams" if seen["x"] == "TRADE" else "other reports in streams"] += 1
                heard[stream.client, name] += 1
                previous = self._check_report(stream, seen, places.get(name), previous)
            if stream.is_whole and stream.reports and previous != len(places) - 1:
                missed = len(places) - 1 - (previous or 0)
                self._fault(FaultKind.LOST, f"{stream.client} did not get the last {missed} reports of its account")
        for (client, name), times in heard.items():
            if times > 1:
                self._fault(FaultKind.DUPLICATED, f"{client} got {name} {times} times")

    def _check_report(self, stream: Stream, seen: Reply, place: int | None, previous: int | None) -> int | None:
        """One report of a stream; returns its place among all reports of the account."""
        what = f"{seen['x']} of order {seen['i']}, trade {seen['t']}"
        if place is None:
            self._fault(FaultKind.LOST, f"{stream.client} got {what}, which is not in the events")
            return previous
        if previous is not None and place > previous + 1:
            missed = self.history.reports[stream.account][previous + 1]
            self._fault(FaultKind.LOST, f"{stream.client} got {what} without {missed.name} before it")
        if previous is not None and place < previous:
            self._fault(FaultKind.WRONG, f"{stream.client} got {what} too late")
        self._check_report_numbers(seen, self.history.reports[stream.account][place])
        return place

    def _check_report_numbers(self, seen: Reply, report: Report) -> None:
        order = self.history.orders[report.order_id]
        state = (seen["X"], Decimal(seen["z"]), Decimal(seen["Z"]))
        self._expect(f"{seen['x']} of order {seen['i']}", state, self._shown(order, report.state))
        if report.fill is not None:
            self._check_fill_numbers(report.fill, (seen["L"], seen["l"], seen["n"]), seen["N"])
            quote = self.history.quote(report.fill.market, report.fill.quote_amount)
            self._expect(f"trade {seen['t']}, value", Decimal(seen["Y"]), quote)
            self._expect(f"trade {seen['t']}, maker", seen["m"], report.fill.is_maker)

    # -- the end

    def _check_last_look(self, look: LastLook) -> None:
        """When all is over the account sees exactly what the events say: open orders, closed ones, trades, money."""
        shown = {reply["orderId"] for reply in look.open_orders}
        self._expect(
            f"open orders of account {look.account}", sorted(shown), sorted(self.history.open_orders(look.account))
        )
        self.counts["open orders at the end"] += len(shown)
        for reply in (*look.open_orders, *look.orders):
            self.counts["orders looked up at the end"] += 1
            order = self.history.orders.get(reply["orderId"])
            if order is None:
                self._fault(FaultKind.LOST, f"order {reply['orderId']} is shown at the end and is not in the events")
            else:
                self._expect(
                    f"order {reply['orderId']} at the end", self._state_seen(reply), self._shown(order, order.state)
                )
        for symbol, trades in look.trades.items():
            self._check_trades(look.account, symbol, trades)
        for balance in look.balances:
            asset = self.history.listing.asset_by_name[balance["asset"]].number
            key = (look.account, asset)
            recorded = (
                self.history.amount(asset, self.history.available[key]),
                self.history.amount(asset, self.history.held[key]),
            )
            seen = (Decimal(balance["free"]), Decimal(balance["locked"]))
            self._expect(f"{balance['asset']} of account {look.account}", seen, recorded)

    def _check_trades(self, account: int, symbol: str, trades: list[Reply]) -> None:
        """The trades shown at the end are the last ones of the account in that market, each once."""
        market = self.history.listing.market_by_symbol[symbol].number
        reports = self.history.reports[account]
        mine = [report.fill for report in reports if report.fill is not None and report.fill.market == market]
        last = mine[len(mine) - len(trades) :]
        shown = [(trade["id"], trade["orderId"]) for trade in trades]
        self._expect(
            f"trades of account {account} in {symbol}", shown, [(fill.trade_id, fill.order_id) for fill in last]
        )
        for trade in trades:
            order = self.history.orders.get(trade["orderId"])
            if order is not None:
                self.counts["fills listed at the end"] += 1
                self._check_fill(order, trade["id"], trade)

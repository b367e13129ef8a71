"""The event entry in hand: each event in the view of its kind, marked with the command that it answers."""

from __future__ import annotations

from engine.order_types import OrderFlag
from engine.reasons import Reason
from engine.records import (
    EVENT_HEADER,
    BatchHeader,
    Command,
    Disposition,
    EventFlag,
    EventHeader,
    EventKind,
    OrderEvent,
    TradeEvent,
    pack_event,
)
from engine.reference.state import Entry, Exchange, Order


def begin_entry(exchange: Exchange) -> None:
    """Begins an entry without events."""
    exchange.entry = Entry()


def finish_entry(exchange: Exchange, header: BatchHeader, disposition: Disposition) -> bytes:
    """The bytes of the entry, as the answer to the batch with this header."""
    entry = exchange.entry
    event_header = EventHeader(
        disposition=disposition,
        event_count=len(entry.events),
        producer=header.producer,
        incarnation=header.incarnation,
        number=header.number,
        time_us=exchange.time_us,
        blob_length=len(entry.blobs),
    )
    return b"".join((EVENT_HEADER.pack(event_header), *map(pack_event, entry.events), bytes(entry.blobs)))


def emit(exchange: Exchange, kind: EventKind, *, blob: bytes = b"", **fields: int | bytes) -> None:
    """Adds an OrderEvent."""
    entry = exchange.entry
    if blob:
        fields.update(blob_offset=len(entry.blobs), blob_length=len(blob))
        entry.blobs += blob
    marks = {"kind": kind, "command_index": entry.command_index, "command": entry.command}
    entry.events.append(OrderEvent(**marks, **fields))  # type: ignore[arg-type]


def emit_rejected(exchange: Exchange, command: Command, reason: Reason) -> None:
    """REJECTED repeats what was asked for."""
    emit(
        exchange,
        EventKind.REJECTED,
        reason=reason,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        self_trade_mode=command.self_trade_mode,
        market=command.market,
        account=command.account,
        asset=command.asset,
        order_id=command.order_id,
        price_ticks=command.price_ticks,
        quantity_lots=command.quantity_lots,
        amount=command.amount,
        client_id=command.client_id,
    )


def emit_order(
    exchange: Exchange,
    kind: EventKind,
    order: Order,
    *,
    hold_change: int,
    working_us: int = 0,
    reason: Reason = Reason.NONE,
    blob: bytes = b"",
) -> None:
    """ORDER_ACCEPTED or ORDER_CLOSED."""
    definition = order.market.definition
    emit(
        exchange,
        kind,
        reason=reason,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        self_trade_mode=order.self_trade_mode,
        flags=EventFlag.WORKING | (EventFlag.MAY_REST if order.flags & OrderFlag.MAY_REST else 0),
        market=order.market.number,
        account=order.account,
        base_asset=definition.base_asset,
        quote_asset=definition.quote_asset,
        order_id=order.id,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        amount=order.quote_amount,
        cumulative_lots=order.cumulative_lots,
        cumulative_quote=order.cumulative_quote,
        remaining_lots=order.remaining_lots,
        hold_change=hold_change,
        client_id=order.client_id,
        working_us=working_us,
        blob=blob,
    )


def emit_trade(
    exchange: Exchange, taker: Order, maker: Order, lots: int, fees: tuple[int, int], rates_ppm: tuple[int, int]
) -> None:
    """TRADE, after both orders have taken the fill in. Fees and rates are (taker's, maker's)."""
    market, entry = taker.market, exchange.entry
    definition = market.definition
    entry.events.append(
        TradeEvent(
            kind=EventKind.TRADE,
            side=taker.side,
            order_type=taker.order_type,
            time_in_force=taker.time_in_force,
            self_trade_mode=taker.self_trade_mode,
            command=entry.command,
            command_index=entry.command_index,
            market=market.number,
            account=taker.account,
            flags=EventFlag.MAKER_FILLED if maker.remaining_lots == 0 else 0,
            base_asset=definition.base_asset,
            quote_asset=definition.quote_asset,
            maker_account=maker.account,
            order_id=taker.id,
            price_ticks=maker.price_ticks,
            quantity_lots=lots,
            quote_amount=market.value(maker.price_ticks, lots),
            cumulative_lots=taker.cumulative_lots,
            cumulative_quote=taker.cumulative_quote,
            remaining_lots=taker.remaining_lots,
            hold_change=-taker.hold(lots),
            client_id=taker.client_id,
            maker_client_id=maker.client_id,
            maker_order_id=maker.id,
            trade_id=market.last_trade_id,
            base_amount=lots * definition.lot_units,
            maker_cumulative_lots=maker.cumulative_lots,
            maker_cumulative_quote=maker.cumulative_quote,
            maker_remaining_lots=maker.remaining_lots,
            maker_hold_change=-maker.hold(lots),
            fee=fees[0],
            maker_fee=fees[1],
            fee_ppm=rates_ppm[0],
            maker_fee_ppm=rates_ppm[1],
            fee_credit=taker.fee_credit,
            maker_fee_credit=maker.fee_credit,
        )
    )


def mark_taker_filled(exchange: Exchange) -> None:
    """Says in the last TRADE that its taker has nothing left to do."""
    events = exchange.entry.events
    events[-1] = events[-1]._replace(flags=events[-1].flags | EventFlag.TAKER_FILLED)

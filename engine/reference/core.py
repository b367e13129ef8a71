"""One journal entry after the other: who may speak, what is carried over, and which function does what is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from engine.definitions import Rejected, reject_unless
from engine.reasons import Reason
from engine.records import (
    HOUSE_ACCOUNT,
    NO_CLIENT_ID,
    AgendaKind,
    BatchHeader,
    Command,
    CommandKind,
    Disposition,
    EngineStop,
    MalformedRecord,
    parse_batch,
)
from engine.reference import accounts, administration, orders, report
from engine.reference.agenda import Worker, may_begin, work_agenda
from engine.reference.events import begin_entry, emit_rejected, finish_entry
from engine.reference.report import OpenOrder
from engine.reference.state import Exchange

Handler = Callable[[Exchange, Command, bytes], None]

HANDLERS: dict[int, Handler] = {
    CommandKind.EPOCH_START: administration.epoch_start,
    CommandKind.TIME_TICK: administration.time_tick,
    CommandKind.ASSET_ADD: administration.add_asset,
    CommandKind.MARKET_ADD: administration.add_market,
    CommandKind.FEES_SET: administration.set_fees,
    CommandKind.MARKET_STATE_SET: administration.set_market_state,
    CommandKind.LIMITS_SET: administration.set_limits,
    CommandKind.TIME_ACCEPT: administration.accept_time,
    CommandKind.ACCOUNT_ADD: administration.add_account,
    CommandKind.ACCOUNT_FREEZE: administration.freeze_account,
    CommandKind.ACCOUNT_UNFREEZE: administration.unfreeze_account,
    CommandKind.KEY_ADD: administration.add_key,
    CommandKind.KEY_REVOKE: administration.revoke_key,
    CommandKind.ACCOUNT_LIMITS_SET: administration.set_account_limits,
    CommandKind.DEPOSIT: administration.deposit,
    CommandKind.WITHDRAW: administration.withdraw,
    CommandKind.ORDER_PLACE: orders.place_order,
    CommandKind.ORDER_CANCEL: orders.cancel_order,
    CommandKind.ORDER_CANCEL_ALL: orders.cancel_all_orders,
    CommandKind.STATE_REPORT: report.report_state,
}
WORKERS: dict[int, Worker] = {AgendaKind.CLOSE_ORDERS: orders.close_orders}


class Core:
    """The exchange as a function from journal entries to event entries.

    >>> from engine.records import BatchBuilder, EventEntry, EventKind
    >>> core, builder = Core(), BatchBuilder()
    >>> _ = builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client", b"alice/1000")
    >>> [event] = EventEntry(core.execute(1_000_000, builder.build(producer=1, incarnation=1, number=1)))
    >>> EventKind(event.kind).name, event.account
    ('ACCOUNT_ADDED', 1)
    """

    def __init__(self, exchange: Exchange | None = None) -> None:
        self.exchange = Exchange() if exchange is None else exchange

    def execute(self, time_us: int, batch: bytes) -> bytes:
        """Executes one journal entry and returns its event entry, of at most 8,192 events.

        Args:
            time_us: the store's stamp of the entry, microseconds since 1970 UTC. Time never runs backwards.
            batch: the entry's batch. Bytes that are not a batch give an entry without events and change nothing but
                the time.

        Raises:
            EngineStop: a batch number is missing, or the journal asks for what this version does not know.
        """
        exchange = self.exchange
        exchange.time_us = max(exchange.time_us, time_us)
        begin_entry(exchange)
        try:
            header, commands, blobs = parse_batch(batch)
        except MalformedRecord:
            return finish_entry(exchange, BatchHeader(), Disposition.MALFORMED)
        disposition = admit(exchange, header)
        if disposition == Disposition.EXECUTED:
            work_agenda(exchange, WORKERS)
            for index, command in enumerate(commands):
                exchange.entry.command_index, exchange.entry.command = index, command.kind
                execute_command(exchange, command, blobs)
                work_agenda(exchange, WORKERS)
        return finish_entry(exchange, header, disposition)

    # -- what the state is

    @property
    def time_us(self) -> int:
        """The largest stamp so far."""
        return self.exchange.time_us

    @property
    def accepted_difference_us(self) -> int:
        """How far an operator has accepted that the store's clock is ahead of the machine's; negative: behind."""
        return self.exchange.accepted_difference_us

    @property
    def accepted_time_us(self) -> int:
        """The time when an operator accepted it last; 0: never."""
        return self.exchange.accepted_time_us

    @property
    def accepted_store_us(self) -> int:
        """What the store's clock showed then."""
        return self.exchange.accepted_store_us

    @property
    def rules_version(self) -> int:
        """The rules that the last epoch-start named."""
        return self.exchange.rules_version

    @property
    def venue_state(self) -> int:
        """MarketState of the whole venue."""
        return self.exchange.venue_state

    @property
    def last_order_id(self) -> int:
        """The id of the order that was accepted last; 0 before the first."""
        return self.exchange.last_order_id

    @property
    def next_deadline_us(self) -> int | None:
        """When the next work falls due; None where none does. While the agenda holds work that is now."""
        return self.exchange.time_us if self.exchange.agenda else None

    @property
    def open_order_count(self) -> int:
        """How many orders rest in all markets."""
        return len(self.exchange.orders)

    def balances(self) -> Iterator[tuple[int, int, int, int]]:
        """(account, asset, available, held) in ascending order, leaving out what is zero."""
        return report.all_balances(self.exchange)

    def account_balances(self, number: int) -> list[tuple[int, int, int]]:
        """(asset, available, held) of one account, 0 for the house, as `balances` has them."""
        return report.account_balances(self.exchange.accounts[number])

    def depth(self, market_number: int, side: int, levels: int | None = None) -> list[tuple[int, int]]:
        """Prices and quantities of one side of a market, best first, as (price_ticks, quantity_lots).

        At most `levels` of them; None gives all.
        """
        return report.depth(self.exchange.markets[market_number], side, levels)

    def open_orders(self, account_number: int, market_number: int = 0) -> list[OpenOrder]:
        """The open orders of an account in one market or (0) in all: by market number, then by id, which is by age."""
        found = self.exchange.accounts[account_number].orders_by_market()
        return [report.open_order(order) for order in found if market_number in (0, order.market.number)]

    def find_order(self, account_number: int, market_number: int, order_id: int, client_id: bytes) -> OpenOrder | None:
        """The open order that an ORDER_CANCEL of these fields would cancel; None where it has none."""
        account = self.exchange.accounts.get(account_number)
        if account is None or account_number == HOUSE_ACCOUNT or not (order_id or client_id != NO_CLIENT_ID):
            return None
        try:
            return report.open_order(accounts.find_order(account, market_number, order_id, client_id))
        except Rejected:
            return None

    def book_state(self, market_number: int) -> bytes:
        """The book of a market as `engine.Book.to_bytes` would give it."""
        return report.book_state(self.exchange.markets[market_number])

    def state_hash(self) -> bytes:
        """SHA-256 of `dump`, 32 bytes."""
        return hashlib.sha256(self.dump()).digest()

    def dump(self) -> bytes:
        """The whole state in canonical form (`engine/reference/report.py`): what `load` of either engine takes."""
        return report.dump(self.exchange)

    @staticmethod
    def load(data: bytes) -> Core:
        """The engine of which `data` is the dump. Cost: linear.

        Raises:
            SavedStateFault: no engine of this version has written these bytes; the text says what is wrong.
        """
        return Core(report.load(data))

    def check(self) -> None:
        """Walks the whole state and asserts every invariant; tests call it after each command."""
        report.check(self.exchange)


def admit(exchange: Exchange, header: BatchHeader) -> Disposition:
    """Decides whether a batch is new (promise P8), and remembers it if so.

    Raises:
        EngineStop: a batch is missing. The store refuses gaps, so this one has lost an entry.
    """
    incarnation, number = exchange.producers.get(header.producer, (0, 0))
    if header.incarnation < incarnation:
        return Disposition.STALE
    if header.incarnation == incarnation and header.number <= number:
        return Disposition.DUPLICATE
    expected = number + 1 if header.incarnation == incarnation else 1
    if header.number != expected:
        sender = f"producer {header.producer}, incarnation {header.incarnation},"
        raise EngineStop(f"{sender} sent batch {header.number} instead of {expected}")
    exchange.producers[header.producer] = (header.incarnation, header.number)
    return Disposition.EXECUTED


def execute_command(exchange: Exchange, command: Command, blobs: bytes) -> None:
    """Executes one command. A refusal is one REJECTED event, and changes nothing else (promise P9)."""
    emitted = len(exchange.entry.events)
    try:
        reject_unless(may_begin(exchange, command.kind), Reason.OVERLOADED)
        reject_unless(command.kind in HANDLERS, Reason.UNKNOWN_COMMAND)
        reject_unless(command.blob_offset + command.blob_length <= len(blobs), Reason.MALFORMED_COMMAND)
        blob = blobs[command.blob_offset : command.blob_offset + command.blob_length]
        HANDLERS[command.kind](exchange, command, blob)
    except Rejected as rejected:
        assert len(exchange.entry.events) == emitted, "a refused command has no effect"
        emit_rejected(exchange, command, rejected.reason)

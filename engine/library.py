"""A whole exchange in one object, for research and backtests: accounts, holds, fees and matching, and nothing around it.

    from engine import Engine

It drives the compiled core (or the reference) with the records of a venue, so what works here works there. But there is
no store, no gateway and no clock: you set the time. You give decimals as strings, integers or `decimal.Decimal`, never as
floats, and you get `Decimal`.

You can make one call an order and get readable results, or give `Engine.apply` a NumPy array of commands and get an array
of events, with no Python object per order.

If the rules of the exchange refuse an order, you get an `Outcome` with the reason; if they refuse anything else, you get
`Rejected`. A call that makes no sense raises before anything is done:

    KeyError       └ UnknownName   no account, asset or market has that name
    ValueError     ├ Rejected      the engine refused a change of accounts, money or listings
                   ├ DecimalError  a number is finer than a tick, a lot or the asset, is negative, or cannot be read
                   └ VenueError    the definition of a market is incomplete or out of range
    TypeError                      a float instead of a decimal, a number instead of a name, ...
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import Any, SupportsIndex

from engine.extras import import_numpy
from engine.library_questions import EngineQuestions
from engine.library_values import (
    SAVED_BATCH,
    SAVED_HEADER,
    SAVED_MAGIC,
    Number,
    Outcome,
    client_id_bytes,
    closed_orders,
    command_dtype,
    event_dtype,
    order_type_of,
    outcome_of,
    plain_decimal,
    read_saved,
    side_of,
    step_count,
    time_in_force_of,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    BATCH_COMMANDS_MAX,
    EVENT_BYTES,
    EVENT_HEADER,
    NO_COMMAND,
    BatchHeader,
    Command,
    CommandKind,
    EngineStop,
    EventKind,
    Side,
    TimeInForce,
    seal_batch,
)


class Engine(EngineQuestions):
    """An exchange core with readable calls.

    You name accounts, assets and markets by strings; an unknown name raises `UnknownName`, which is a KeyError. Use an
    engine from one thread at a time.

    Args:
        reference: drive the Python reference instead of the compiled core; it gives the same results, slowly.
        journal: keep every batch of commands, so that you can copy, pickle and save the engine. Each of these executes
            all batches again. Memory: about 300 bytes a call, 130 bytes a command of `apply`.

    >>> engine = Engine()
    >>> engine.add_asset("USDT", scale=8)
    >>> engine.add_asset("BTC", scale=8)
    >>> engine.add_market("BTCUSDT", base="BTC", quote="USDT", tick="0.01", lot="0.000001", taker_fee_ppm=1_000)
    >>> engine.add_account("alice", {"BTC": "2"})
    >>> engine.add_account("bob", {"USDT": "100000"})
    >>> engine.place("alice", "BTCUSDT", "sell", price="40000", quantity="1.5").resting
    Decimal('1.500000')
    >>> outcome = engine.place("bob", "BTCUSDT", "buy", price="40100", quantity="0.5")
    >>> [(str(fill.price), str(fill.quantity), str(fill.fee)) for fill in outcome.fills]
    [('40000.00', '0.500000', '0.00050000')]
    >>> engine.balances("bob")["USDT"]
    Balance(available=Decimal('80000.00000000'), held=Decimal('0E-8'))
    >>> engine
    <Engine: 2 assets, 1 market, 2 accounts, 1 open order>
    """

    def __repr__(self) -> str:
        counts = (
            (len(self.listing.assets), "asset"),
            (len(self.listing.markets), "market"),
            (len(self.accounts), "account"),
            (self.open_order_count, "open order"),
        )
        return f"<Engine: {', '.join(f'{count} {noun}' + ('s' if count != 1 else '') for count, noun in counts)}>"

    # -- orders

    def place(
        self,
        account: str,
        symbol: str,
        side: str | Side,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        quote_amount: Number | None = None,
        time_in_force: str | TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        client_order_id: str = "",
    ) -> Outcome:
        """Places one order: LIMIT with a price, MARKET without one, LIMIT_MAKER with `post_only`.

        Args:
            side: "buy" or "sell".
            quantity: of the base asset, in whole lots of the market.
            price: in whole ticks of the market; None for a MARKET order.
            quote_amount: how much of the quote asset a MARKET order spends or brings, instead of a quantity.
            time_in_force: "GTC", "IOC" or "FOK", for an order type that has the choice (docs/order-types.md).
            post_only: refuse the order where it would trade at once.
            client_order_id: a name of your own, at most 36 ASCII characters, unique among the account's open orders.

        Returns:
            The order's id, fills and what rests of it; or the reason why it was refused.

        Raises:
            UnknownName: there is no such account or market.
            DecimalError: a number is finer than a tick or a lot, negative, or cannot be read.
            ValueError: a word is none of those above, or the arguments contradict one another.
            TypeError: a number is a float.

        Complexity: O(1), and O(1) a fill.
        """
        market = self._market(symbol)
        order_type = order_type_of(price, quantity, quote_amount, post_only)
        order = Command(
            kind=CommandKind.ORDER_PLACE,
            account=self._account(account),
            market=market.number,
            side=side_of(side),
            order_type=order_type,
            time_in_force=time_in_force_of(order_type, time_in_force),
            price_ticks=0 if price is None else step_count(price, market.definition.tick_e8, 8, "tick"),
            quantity_lots=(
                0 if quantity is None else step_count(quantity, market.definition.lot_units, market.base.scale, "lot")
            ),
            amount=0 if quote_amount is None else min(market.quote.parse(plain_decimal(quote_amount)), AMOUNT_MAX + 1),
            client_id=client_id_bytes(client_order_id),
        )
        return outcome_of(market, self._execute(order))

    def cancel(
        self, account: str, symbol: str, order_id: SupportsIndex | None = None, *, client_order_id: str = ""
    ) -> Outcome:
        """Cancels an open order, which you name by its id, by its client order id, or by both.

        Returns:
            The id of the order, and CANCELLED_BY_OWNER as the reason. If it was refused there is no id but the reason:
            UNKNOWN_ORDER if the account has no such open order in the market.

        Raises:
            UnknownName: there is no such account or market.
            ValueError: you gave neither id, or a client order id that no order can have.
            TypeError: the order id is not a whole number.

        Complexity: O(1).
        """
        market, number, order, client_id = self._named(account, symbol, order_id, client_order_id)
        if order is None:
            return Outcome(None, Reason.UNKNOWN_ORDER)
        command = Command(
            kind=CommandKind.ORDER_CANCEL, account=number, market=market.number, order_id=order, client_id=client_id
        )
        [event] = self._execute(command)
        if event.kind == EventKind.REJECTED:
            return Outcome(None, Reason(event.reason))
        return Outcome(event.order_id, Reason(event.reason))

    def cancel_all(self, account: str, symbol: str | None = None) -> list[int]:
        """Cancels all open orders of an account, in one market or in all.

        Returns:
            Their ids: market by market, then by id. Empty where it had none.

        Raises:
            UnknownName: there is no such account or market.

        Complexity: O(orders cancelled).
        """
        market = 0 if symbol is None else self._market(symbol).number
        command = Command(kind=CommandKind.ORDER_CANCEL_ALL, account=self._account(account), market=market)
        return closed_orders(self._execute(command))

    # -- many commands a call

    def apply(self, commands: Any) -> Any:
        """Executes an array of commands and returns the array of all their events.

        Args:
            commands: a NumPy structured array of `command_dtype()`, one dimension: ORDER_PLACE, ORDER_CANCEL,
                ORDER_CANCEL_ALL, with accounts and markets by number (`accounts`, `listing`). Commands that need a name or
                an operator are rejected.

        Returns:
            A NumPy structured array of `event_dtype()`, shape (events,). `command_index` is the index of the command that
            an event answers, or NO_COMMAND if a command went on after the events of its batch of 256 were full.

        Raises:
            ValueError: this is not an array, or its dtype is another one, or it has more dimensions.

        Complexity: O(1) a command and fill; no Python object is made for any of them.
        """
        numpy = import_numpy()
        if not isinstance(commands, numpy.ndarray) or commands.dtype != command_dtype() or commands.ndim != 1:
            raise ValueError("commands must be an array of one dimension and of engine.library_values.command_dtype()")
        entries: list[bytes] = []
        counts: list[int] = []
        starts = range(0, len(commands), BATCH_COMMANDS_MAX)
        for start in starts:
            block = commands[start : start + BATCH_COMMANDS_MAX]
            header = BatchHeader(command_count=len(block), producer=1, incarnation=1, number=self._batches + 1)
            answers = [self._run(seal_batch(header, block.tobytes())), *self._finish()]
            counts.append(sum(map(len, answers)))
            entries += [answer.data[EVENT_HEADER.size :][: len(answer) * EVENT_BYTES] for answer in answers]
        events = numpy.frombuffer(bytearray(b"".join(entries)), event_dtype())
        # The engine counts from 0 in each batch.
        firsts = numpy.repeat(numpy.array(starts, "u4"), counts)
        is_answer = events["command_index"] != NO_COMMAND
        events["command_index"][is_answer] += firsts[is_answer]
        return events

    # -- copies and files

    def copy(self) -> Engine:
        """Another engine in the same state; changes to the copy do not affect this engine.

        Raises:
            RuntimeError: the engine keeps no journal; create it with `Engine(journal=True)`.

        Complexity: O(all commands so far), which the copy executes again.
        """
        return Engine._replayed(self._kept_journal(), self._time_us, self._reference)

    def __copy__(self) -> Engine:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return Engine.from_bytes, (self.to_bytes(), self._reference)

    def to_bytes(self) -> bytes:
        """All commands so far and the hash of the state after them, for `from_bytes`: the same calls give the same bytes
        on any machine.

        Raises:
            RuntimeError: the engine keeps no journal; create it with `Engine(journal=True)`.

        Complexity: O(all commands so far).
        """
        journal = self._kept_journal()
        parts = [SAVED_HEADER.pack(SAVED_MAGIC, self._time_us, len(journal))]
        for time_us, batch in journal:
            parts += (SAVED_BATCH.pack(time_us, len(batch)), batch)
        return b"".join((*parts, self.core.state_hash()))

    @staticmethod
    def from_bytes(data: bytes | bytearray | memoryview, reference: bool = False) -> Engine:
        """The engine that was saved, with its journal: it executes all commands of the journal again.

        Args:
            data: the result of `to_bytes`.
            reference: execute them on the Python reference.

        Raises:
            ValueError: `to_bytes` did not write these bytes, or they lead to another state than the one that was saved.

        Complexity: O(all commands in the journal).
        """
        data = bytes(memoryview(data))
        try:
            time_us, journal, end = read_saved(data)
            engine = Engine._replayed(journal, time_us, reference)
        except (struct.error, EngineStop):
            raise ValueError("these bytes are not a saved engine") from None
        if engine.core.state_hash() != data[end:]:
            raise ValueError("what was saved leads to another state than it did: it is damaged, or of other rules")
        return engine

    def save(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        """Writes `to_bytes` to a file, all of it or nothing.

        Raises:
            RuntimeError: the engine keeps no journal; create it with `Engine(journal=True)`.
            OSError: the file cannot be written; an older file of this name is still there.
        """
        data = self.to_bytes()
        temporary = f"{os.fsdecode(path)}.new"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @staticmethod
    def load(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], reference: bool = False) -> Engine:
        """The engine that was saved to a file, as `from_bytes`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a saved engine.
        """
        with open(path, "rb") as file:
            return Engine.from_bytes(file.read(), reference)

    def _kept_journal(self) -> list[tuple[int, bytes]]:
        if self._journal is None:
            raise RuntimeError("this engine keeps no journal: create it with Engine(journal=True) to copy or save it")
        return self._journal

    @staticmethod
    def _replayed(journal: Iterable[tuple[int, bytes]], time_us: int, reference: bool) -> Engine:
        engine = Engine(reference=reference, journal=True)
        for at_us, batch in journal:
            engine._time_us = at_us
            engine._run(batch)
        engine._time_us = time_us
        return engine

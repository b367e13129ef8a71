"""A small language for examples: what is asked on the left of a bar, what must happen on the right.

    alice sell 10 @ 100              | accepted 1, hold 10
    bob   buy   4 @ 105              | accepted 2, hold 420; trade 2 x 1: 4 @ 100, fees 0/0
    book                             | bid - / ask 100x6
    balance alice                    | KZT 100400+0 BTC 990+6

Every scenario has one market, BTCKZT, in which one lot at one tick is worth one tenge and the least value is 100, and the
clients alice, bob and carol with 100,000 KZT and 1,000 BTC each. A line begins with a client or with one of the verbs of
`Scenario._VERBS`; `#` begins a comment. Orders are numbered from 1 as they are accepted. An account may have 5 open orders,
or as many as the scenario's title says: `## title [10000 open orders]`.

`×` repeats a line, in batches as large as they may be; `&` puts several commands into one batch. More than five events of
one kind and reason in a row are described together.

    <client> buy|sell <lots> @ <ticks> [gtc|ioc|fok|maker] [id=<client id>]
    <client> buy|sell <lots> market            <client> buy|sell market for <quote amount>
    <client> buy|sell … type=<name>            any order type of engine/order_types.py, by its name on the wire
    <client> cancel <order>|id=<client id>|all [if nameless|unfilled|partly_filled]
    deposit|withdraw <client> <amount> <asset>        fees [<client> [all]] <maker ppm> <taker ppm>
    freeze|unfreeze <client>        halt|resume [venue]        book        balance <client>        tick
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Protocol

from engine.reasons import Reason
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    FEES,
    MARKET_DEFINITION,
    NO_COMMAND,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandFlag,
    CommandKind,
    Event,
    EventEntry,
    EventFlag,
    EventKind,
    Fees,
    MarketDefinition,
    MarketState,
    OrderType,
    Side,
    TimeInForce,
    client_id,
)

CLIENTS = {"alice": 1, "bob": 2, "carol": 3}
ASSETS = {"KZT": 1, "BTC": 2}
MARKET = MarketDefinition(
    base_asset=2,
    quote_asset=1,
    tick_e8=100_000_000,
    lot_units=1,
    price_min_ticks=1,
    price_max_ticks=10_000,
    quantity_min_lots=1,
    quantity_max_lots=100_000,
    notional_min=100,
    notional_max=5_000_000,
    open_orders_max=5,
)
NOTE = (b"operator", b"example", b"")


class Engine(Protocol):
    def execute(self, time_us: int, batch: bytes) -> bytes: ...

    def balances(self) -> Iterator[tuple[int, int, int, int]]: ...

    def check(self) -> None: ...


class Scenario:
    """One engine and the lines that it executes."""

    def __init__(self, core: Engine, open_orders_max: int = MARKET.open_orders_max) -> None:
        self.core = core
        self.number = 0
        market = MARKET._replace(open_orders_max=open_orders_max)
        self.book: dict[int, tuple[int, int, int]] = {}
        """Open orders, learned from the events: id -> (side, price, left)."""
        setup = BatchBuilder()
        for name in ASSETS:
            setup.add(
                Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(0)), name.encode(), *NOTE
            )
        setup.add(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(market), b"BTCKZT", *NOTE)
        for name, account in CLIENTS.items():
            setup.add(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), *NOTE)
            for asset, amount in ((1, 100_000), (2, 1_000)):
                setup.add(Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)
        self.execute(setup)

    def execute(self, builder: BatchBuilder) -> list[Event]:
        self.number += 1
        data = self.core.execute(1_000_000 * self.number, builder.build(producer=1, incarnation=1, number=self.number))
        self.core.check()
        return list(EventEntry(data))

    def run(self, line: str) -> str:
        """What happens at a line, in the words of the right side."""
        words = line.split()
        if words[0] == "book":
            return self._show_book()
        if words[0] == "balance":
            return self._show_balance(CLIENTS[words[1]])
        line, _, times = line.partition("×")
        commands = [self._command(part.split()) for part in line.split("&")] * int(times or 1)
        events: list[Event] = []
        for start in range(0, len(commands), BATCH_COMMANDS_MAX):
            builder = BatchBuilder()
            for command in commands[start : start + BATCH_COMMANDS_MAX]:
                builder.add(*command)
            events += self.execute(builder)
        for event in events:
            self._learn(event)
        return describe(events)

    def _command(self, words: list[str]) -> tuple:
        if words[0] in CLIENTS:
            account = CLIENTS[words[0]]
            if words[1] == "cancel":
                return _cancel(account, words[2], words[4:])
            return (order_command(account, words[1:]),)
        return self._VERBS[words[0]](words[1:])

    _VERBS: ClassVar[dict[str, Callable[[list[str]], tuple]]] = {
        "deposit": lambda words: _transfer(CommandKind.DEPOSIT, words),
        "withdraw": lambda words: _transfer(CommandKind.WITHDRAW, words),
        "freeze": lambda words: (Command(kind=CommandKind.ACCOUNT_FREEZE, account=CLIENTS[words[0]]), *NOTE),
        "unfreeze": lambda words: (Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=CLIENTS[words[0]]), *NOTE),
        "halt": lambda words: _set_state(MarketState.HALTED, words),
        "resume": lambda words: _set_state(MarketState.TRADING, words),
        "fees": lambda words: _set_fees(words),
        "tick": lambda words: (Command(kind=CommandKind.TIME_TICK),),
    }

    def _learn(self, event: Event) -> None:
        if event.kind == EventKind.ORDER_ACCEPTED:
            self.book[event.order_id] = (event.side, event.price_ticks, event.remaining_lots)
        elif event.kind == EventKind.ORDER_CLOSED:
            del self.book[event.order_id]
        elif event.kind == EventKind.TRADE:
            self._fill(event.order_id, event.remaining_lots, event.flags & EventFlag.TAKER_FILLED)
            self._fill(event.maker_order_id, event.maker_remaining_lots, event.flags & EventFlag.MAKER_FILLED)

    def _fill(self, order_id: int, remaining_lots: int, filled: int) -> None:
        side, price, _ = self.book.pop(order_id)
        if not filled:
            self.book[order_id] = (side, price, remaining_lots)

    def _show_book(self) -> str:
        return tell_levels(self.book.values())

    def _show_balance(self, account: int) -> str:
        has = {asset: (available, held) for number, asset, available, held in self.core.balances() if number == account}
        return " ".join("{} {}+{}".format(name, *has.get(asset, (0, 0))) for name, asset in ASSETS.items())


SHORT_NAMES = {"market": "MARKET", "maker": "LIMIT_MAKER"}
"""What a line may say instead of `type=`; a line that says neither places a LIMIT order."""


def order_command(account: int, words: list[str]) -> Command:
    """The command of an order: `sell 10 @ 100 ioc id=mine`. Without a time in force it has the first that its type has."""
    options = dict(word.split("=") for word in words if "=" in word)
    short_name = next((SHORT_NAMES[word] for word in words if word in SHORT_NAMES), "LIMIT")
    order_type = OrderType[options.get("type", short_name)]
    times = [TimeInForce[word.upper()] for word in words if word in ("gtc", "ioc", "fok")]
    return Command(
        kind=CommandKind.ORDER_PLACE,
        account=account,
        market=1,
        side=Side[words[0].upper()],
        order_type=order_type,
        time_in_force=(times or order_type.terms.times_in_force)[0],
        quantity_lots=0 if "for" in words else int(words[1]),
        price_ticks=_number_behind("@", words),
        amount=_number_behind("for", words),
        client_id=client_id(options.get("id", "")),
    )


def _number_behind(sign: str, words: list[str]) -> int:
    """The number behind a word of the line; 0 where the line has not that word."""
    return int(words[words.index(sign) + 1]) if sign in words else 0


def _cancel(account: int, what: str, conditions: list[str]) -> tuple:
    if what == "all":
        return (Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account, market=1),)
    flags = sum(CommandFlag[f"{condition.upper()}_ONLY"] for condition in conditions)
    command = Command(kind=CommandKind.ORDER_CANCEL, account=account, market=1, flags=flags)
    if what.startswith("id="):
        return (command._replace(client_id=client_id(what.removeprefix("id="))),)
    return (command._replace(order_id=int(what)),)


def _transfer(kind: CommandKind, words: list[str]) -> tuple:
    client, amount, asset = words
    return (Command(kind=kind, account=CLIENTS[client], asset=ASSETS[asset], amount=int(amount)), *NOTE)


def _set_state(state: MarketState, words: list[str]) -> tuple:
    return (Command(kind=CommandKind.MARKET_STATE_SET, market=0 if words else 1, state=state), *NOTE)


def _set_fees(words: list[str]) -> tuple:
    account = CLIENTS[words.pop(0)] if words[0] in CLIENTS else 0
    market = 1
    if words[0] == "all":
        words.pop(0)
        market = 0
    command = Command(kind=CommandKind.FEES_SET, account=account, market=market)
    return (command, FEES.pack(Fees(*map(int, words))), *NOTE)


DESCRIBED_ALONE_MAX = 5
"""Of more events of one kind and reason in a row than this, only the number is given."""


def describe(events: list[Event]) -> str:
    """Events in the words of the right side of a table."""
    parts = []
    for (kind, reason, answered), group in groupby(events, _sort_of):
        alike = list(group)
        if len(alike) > DESCRIBED_ALONE_MAX:
            why = f" {Reason(reason).name}" if reason else ""
            parts.append(f"{len(alike)} {EventKind(kind).name.lower()}{why}{answered}")
        else:
            parts += [_describe(event) + answered for event in alike]
    return "; ".join(parts) or "nothing"


def _sort_of(event: Event) -> tuple[int, int, str]:
    return event.kind, event.reason, " of before" if event.command_index == NO_COMMAND else ""


def _describe(event: Event) -> str:
    kind = EventKind(event.kind)
    if kind == EventKind.REJECTED:
        return f"refused {Reason(event.reason).name}"
    if kind == EventKind.ORDER_ACCEPTED:
        return f"accepted {event.order_id}, hold {event.hold_change}"
    if kind == EventKind.TRADE:
        return f"{tell_fill(event)}, fees {event.fee}/{event.maker_fee}"
    if kind == EventKind.ORDER_CLOSED:
        return f"closed {event.order_id} {Reason(event.reason).name}, left {event.remaining_lots}, hold {event.hold_change}"
    return kind.name.lower()


class Fill(Protocol):
    """The part of a trade that all tables show."""

    @property
    def order_id(self) -> int: ...

    @property
    def maker_order_id(self) -> int: ...

    @property
    def price_ticks(self) -> int: ...

    @property
    def quantity_lots(self) -> int: ...


def tell_fill(fill: Fill) -> str:
    """`trade <taker> x <maker>: <lots> @ <ticks>`."""
    return f"trade {fill.order_id} x {fill.maker_order_id}: {fill.quantity_lots} @ {fill.price_ticks}"


def tell_levels(orders: Iterable[tuple[int, int, int]]) -> str:
    """The levels of orders that are given as (side, price, left): `bid 100x6 99x1 / ask -`."""
    levels: dict[int, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    for side, price, left in orders:
        levels[side][price] = levels[side].get(price, 0) + left
    texts = {
        side: " ".join(f"{price}x{left}" for price, left in sorted(lots.items(), reverse=side == Side.BUY)) or "-"
        for side, lots in levels.items()
    }
    return f"bid {texts[Side.BUY]} / ask {texts[Side.SELL]}"


def open_orders_of(title: str) -> int:
    """How many orders an account may have open in the scenario of this title."""
    said = re.search(r"\[(\d+) open orders\]", title)
    return int(said[1]) if said else MARKET.open_orders_max


def read_examples(path: Path) -> Iterator[tuple[str, list[tuple[int, str, str]]]]:
    """The scenarios of a file: (title, [(line number, asked, expected)]). A title is a comment that begins with `##`."""
    title, lines = path.stem, []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        if text.startswith("##"):
            if lines:
                yield title, lines
            title, lines = text.strip("# "), []
        elif text.strip() and not text.startswith("#"):
            asked, _, expected = text.partition("|")
            lines.append((number, asked.strip(), " ".join(expected.split())))
    yield title, lines

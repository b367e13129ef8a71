"""The gateway's judgement is the engine's reason: the reference core has the last word on every command."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal import EntryId
from engine.reasons import Reason
from engine.records import (
    COMMAND,
    EVENTS_BEGIN_MAX,
    MARKET_DEFINITION,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    MarketState,
    OrderType,
    Side,
    TimeInForce,
    client_id,
)
from engine.reference import Core
from gateway.auth.rate_limits import RateLimits
from gateway.judgement.judge import UNDECIDED
from gateway.venue_view import VenueView
from tests.engine.command_flow import MARKETS, NOTE, CommandFlow, setup_batches

R = Reason
JUDGED = (CommandKind.ORDER_PLACE, CommandKind.ORDER_CANCEL, CommandKind.ORDER_CANCEL_ALL)
CLOSED_LIST = {
    R.UNKNOWN_MARKET, R.UNKNOWN_ACCOUNT, R.ACCOUNT_FROZEN, R.VENUE_HALTED, R.MARKET_HALTED,
    R.INVALID_SIDE, R.INVALID_TIME_IN_FORCE, R.INVALID_SELF_TRADE_MODE,
    R.INVALID_PRICE, R.INVALID_QUANTITY, R.INVALID_QUOTE_AMOUNT, R.NOTIONAL_TOO_SMALL, R.NOTIONAL_TOO_LARGE,
    R.DUPLICATE_CLIENT_ID, R.TOO_MANY_OPEN_ORDERS, R.INSUFFICIENT_FUNDS, R.UNKNOWN_ORDER, R.NO_OPEN_ORDERS,
}  # fmt: skip
"""What the gateway answers itself."""
LEFT_TO_THE_ENGINE = {
    R.MALFORMED_COMMAND, R.INVALID_CLIENT_ID, R.INVALID_ORDER_TYPE,  # no client can send these
    R.WOULD_TAKE, R.INSUFFICIENT_FUNDS, R.CANCEL_RESTRICTED,  # these depend on the book
}  # fmt: skip
"""What the engine refuses though the judge could not say."""


class World:
    """The reference core, a view that follows its events, and the judge of that view."""

    def __init__(self, accounts: int = 8) -> None:
        self.core = Core()
        self.view = VenueView(RateLimits())
        self.judge = self.view.projection.judge
        self.number = 0
        self.data = b""
        """The last event entry."""
        for builder in setup_batches(accounts):
            self.execute(builder)

    def execute(self, builder: BatchBuilder) -> EventEntry:
        self.number += 1
        batch = builder.build(producer=1, incarnation=1, number=self.number)
        self.data = self.core.execute(1_700_000_000_000_000 + self.number, batch)
        entry = EventEntry(self.data)
        self.view.apply(entry, EntryId(1, self.number))
        return entry

    def command(self, command: Command, *parts: bytes) -> EventEntry:
        builder = BatchBuilder()
        builder.add(command, *parts)
        return self.execute(builder)

    def check(self, command: Command, *parts: bytes) -> tuple[int, Reason]:
        """What the judge said, and why the engine refused it (NONE: it did not); asserts that they agree."""
        verdict = self.judge.judge(COMMAND.pack(command)) if not parts else UNDECIDED
        answers = [event for event in self.command(command, *parts) if event.command_index == 0]
        reason = Reason(answers[0].reason) if answers and answers[0].kind == EventKind.REJECTED else R.NONE
        assert verdict in (UNDECIDED, reason), f"{command}: judged {verdict}, the engine says {reason.name}"
        return verdict, reason


def follow(seed: int, commands: int) -> Counter[tuple[bool, Reason]]:
    """Drives the world by a random flow; how often each reason was given, by whether the judge had said so."""
    world, flow, seen = World(), CommandFlow(seed), Counter[tuple[bool, Reason]]()
    for _ in range(commands):
        command, *parts = flow.command()
        if command.kind in JUDGED:
            verdict, reason = world.check(command, *parts)
            seen[verdict != UNDECIDED, reason] += not parts
        elif command.kind != CommandKind.EPOCH_START:
            world.command(command, *parts)
        flow.learn(world.data)
    return seen


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_gateways_judgement_is_the_engines_reason(seed: int) -> None:
    follow(seed, 300)


def test_the_judge_knows_the_whole_closed_list_and_leaves_only_the_book_to_the_engine() -> None:
    seen = sum((follow(seed, 1500) for seed in range(4)), Counter[tuple[bool, Reason]]())
    judged = {reason for (is_judged, reason), count in seen.items() if is_judged and count}
    left = {reason for (is_judged, reason), count in seen.items() if not is_judged and count}
    assert judged - {R.NONE} <= CLOSED_LIST
    # Halts are rare in the flow, and have a test of their own.
    assert CLOSED_LIST - judged <= {R.MARKET_HALTED, R.VENUE_HALTED}
    assert left - {R.NONE} <= LEFT_TO_THE_ENGINE
    assert seen[True, R.NONE] > 500


# -- rows that a random flow seldom meets

LIMIT = Command(
    kind=CommandKind.ORDER_PLACE, account=9, market=1, side=Side.BUY, order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC, price_ticks=30_000, quantity_lots=10,
)  # fmt: skip
MARKET = LIMIT._replace(order_type=OrderType.MARKET, time_in_force=TimeInForce.NONE, price_ticks=0)
MAKER = LIMIT._replace(order_type=OrderType.LIMIT_MAKER, time_in_force=TimeInForce.NONE)
ASK = LIMIT._replace(account=1, side=Side.SELL)
ETH_ASK = ASK._replace(market=2, price_ticks=1_000)
BID = LIMIT._replace(account=1)
NAMED = LIMIT._replace(account=1, price_ticks=20_000, client_id=client_id("mine"))
AGAIN = client_id("mine")


@pytest.mark.parametrize(
    ("before", "command", "verdict"),
    [
        # what rests            what comes from account 9, which has nothing                what the judge says
        ([],                    LIMIT,                                                      R.INSUFFICIENT_FUNDS),
        ([],                    LIMIT._replace(side=Side.SELL),                             R.INSUFFICIENT_FUNDS),
        ([ASK],                 LIMIT._replace(time_in_force=TimeInForce.FOK),              R.INSUFFICIENT_FUNDS),
        ([],                    MAKER,                                                      R.INSUFFICIENT_FUNDS),
        ([ASK],                 MAKER,                                                      UNDECIDED),
        ([],                    MARKET,                                                     UNDECIDED),
        ([ASK],                 MARKET,                                                     R.INSUFFICIENT_FUNDS),
        ([],                    MARKET._replace(side=Side.SELL),                            R.INSUFFICIENT_FUNDS),
        ([BID],                 MARKET._replace(side=Side.SELL),                            R.INSUFFICIENT_FUNDS),
        ([ETH_ASK],             MARKET._replace(market=2, quantity_lots=1_000),             R.NOTIONAL_TOO_LARGE),
        ([],                    MARKET._replace(quantity_lots=0, amount=10_000),            R.INSUFFICIENT_FUNDS),
        ([BID],                 MARKET._replace(quantity_lots=0, amount=10_000, side=Side.SELL), UNDECIDED),
        ([],                    MARKET._replace(quantity_lots=0, amount=99),                R.NOTIONAL_TOO_SMALL),
        ([NAMED],               LIMIT._replace(account=1, client_id=AGAIN),                 R.DUPLICATE_CLIENT_ID),
        ([NAMED],               MARKET._replace(account=1, client_id=AGAIN),                R.DUPLICATE_CLIENT_ID),
        ([NAMED],               LIMIT._replace(client_id=AGAIN),                            R.INSUFFICIENT_FUNDS),
        ([],                    LIMIT._replace(client_id=b"a\0b".ljust(36, b"\0")),         UNDECIDED),
        ([],                    LIMIT._replace(flags=1),                                    UNDECIDED),
        ([],                    LIMIT._replace(market=2, price_ticks=1_000, quantity_lots=1_000), R.NOTIONAL_TOO_LARGE),
        ([],                    LIMIT._replace(account=0),                                  R.UNKNOWN_ACCOUNT),
        ([],                    LIMIT._replace(account=99, market=99),                      R.UNKNOWN_MARKET),
    ],
)  # fmt: skip
def test_what_the_judge_says_of_an_account_without_money(before: list[Command], command: Command, verdict: int) -> None:
    world = World()
    world.command(Command(kind=CommandKind.ACCOUNT_ADD), b"poor", *NOTE)
    for resting in before:
        assert world.check(resting)[1] == R.NONE
    assert world.check(command)[0] == verdict


def test_while_a_cancel_of_all_goes_on_nothing_is_judged() -> None:
    """The next entry closes the rest before any other command, so what is open now is no reason to refuse."""
    world = World(accounts=1)
    wide = MARKETS[0][1]._replace(open_orders_max=EVENTS_BEGIN_MAX + 100)
    world.command(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(wide), b"WIDE", *NOTE)
    order = LIMIT._replace(account=1, market=len(MARKETS) + 1, price_ticks=1_000, quantity_lots=1)
    left = EVENTS_BEGIN_MAX + 1
    while left:
        builder = BatchBuilder()
        for _ in range(min(left, 256)):
            builder.add(order)
        world.execute(builder)
        left -= len(builder)
    world.command(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1, market=order.market))
    last = order._replace(kind=CommandKind.ORDER_CANCEL, order_id=world.core.last_order_id)
    assert len(world.view.projection.orders) == 1
    assert world.check(last) == (UNDECIDED, R.UNKNOWN_ORDER)
    assert world.check(last) == (R.UNKNOWN_ORDER, R.UNKNOWN_ORDER)


@pytest.mark.parametrize("market", [0, 1])
def test_a_halt_is_known_and_lifted(market: int) -> None:
    world = World()
    for state, reason in (
        (MarketState.HALTED, R.MARKET_HALTED if market else R.VENUE_HALTED),
        (MarketState.TRADING, R.NONE),
    ):
        world.command(Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=state), *NOTE)
        assert world.check(BID) == (reason, reason)

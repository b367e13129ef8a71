"""A seeded stream of batches for both engines: mixed commands, valid and not, over several markets and accounts."""

from __future__ import annotations

import random

from engine.networks import pack_networks
from engine.records import (
    ASSET_DEFINITION,
    CLIENT_ID_BYTES,
    FEES,
    KEY_DEFINITION,
    MARKET_DEFINITION,
    NO_CLIENT_ID,
    TIER_LIMITS,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventFlag,
    EventKind,
    Fees,
    KeyDefinition,
    MarketDefinition,
    MarketState,
    OrderType,
    Side,
    TierLimits,
    TimeInForce,
    client_id,
)

NOTE = (b"operator", b"test", b"")
SOUND_KEY = (3).to_bytes(32, "little")
GATEWAY = 7

ASSETS = (("KZT", 2), ("USDT", 8), ("BTC", 8), ("ETH", 8))
MARKETS = (
    ("BTCKZT", MarketDefinition(3, 1, 100_000_000_000, 1_000, 1, 1_000_000, 1, 10_000_000, 100, 10**13, 500, 1000, 12, 0)),
    ("ETHKZT", MarketDefinition(4, 1, 10_000_000_000, 10_000, 10, 2_000, 2, 1_000, 5_000, 500_000, 0, 100_000, 2, 0)),
    ("BTCUSDT", MarketDefinition(3, 2, 1_000_000, 100, 1, 10**9, 1, 10**9, 100, 10**17, 1, 333_3, 1_000, 0)),
)  # fmt: skip

NETWORKS = pack_networks(["203.0.113.0/24", "2001:db8::/32"])

UNKNOWN_TYPE = 99
TYPE_WEIGHTS = [{"LIMIT": 70, "MARKET": 18, "LIMIT_MAKER": 11}.get(order_type.name, 5) for order_type in OrderType] + [
    1
]
"""How often each type is placed, and last one that there is not; a type that is new is placed, too."""


def setup_batches(accounts: int) -> list[BatchBuilder]:
    """Batches that define the venue and give each of `accounts` accounts some of everything."""
    venue = BatchBuilder()
    for name, scale in ASSETS:
        venue.add(
            Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(scale)), name.encode(), *NOTE
        )
    for symbol, definition in MARKETS:
        venue.add(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(definition), symbol.encode(), *NOTE)
    batches = [venue]
    for account in range(1, accounts + 1):
        funding = BatchBuilder()
        funding.add(Command(kind=CommandKind.ACCOUNT_ADD), f"client{account}".encode(), *NOTE)
        for asset in range(1, len(ASSETS) + 1):
            amount = 10 ** (12 if asset == 2 else 9) // account
            funding.add(Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)
        batches.append(funding)
    return batches


class CommandFlow:
    """Makes batches one after another; it learns from the events which orders are open, and aims cancels at them.

    Args:
        seed: the same seed and the same events give the same batches.
        accounts: how many clients trade.
    """

    def __init__(self, seed: int, accounts: int = 8) -> None:
        self.random = random.Random(seed)
        self.accounts = accounts
        self.number = 0
        self.time_us = 1_700_000_000_000_000
        self.middle_ticks = {1: 30_000, 2: 900, 3: 5_000_000}
        self.open: dict[int, tuple[int, int, bytes]] = {}
        self.setup = setup_batches(accounts)

    def next_entry(self) -> tuple[int, bytes]:
        """(stamp, batch) of the next journal entry."""
        self.time_us += self.random.randrange(-1_000, 10_000)
        if self.setup:
            builder = self.setup.pop(0)
        else:
            builder = BatchBuilder()
            for _ in range(self.random.choice((1, 1, 2, 3, 10, 40))):
                command, *parts = self.command()
                builder.add(command, *parts)
        roll = self.random.random()
        if roll < 0.005 and self.number:
            return self.time_us, builder.build(producer=GATEWAY, incarnation=1, number=self.number)
        if roll < 0.01:
            return self.time_us, self.random.randbytes(self.random.randrange(200))
        self.number += 1
        return self.time_us, builder.build(producer=GATEWAY, incarnation=1, number=self.number)

    def learn(self, data: bytes) -> None:
        """Takes in the events that answered the last batch."""
        for event in EventEntry(data):
            if event.kind == EventKind.ORDER_ACCEPTED:
                self.open[event.order_id] = (event.account, event.market, event.client_id)
            elif event.kind == EventKind.ORDER_CLOSED:
                self.open.pop(event.order_id, None)
            elif event.kind == EventKind.TRADE:
                if event.flags & EventFlag.TAKER_FILLED:
                    self.open.pop(event.order_id, None)
                if event.flags & EventFlag.MAKER_FILLED:
                    self.open.pop(event.maker_order_id, None)

    def command(self) -> tuple:
        kinds = (self.place, self.cancel, self.cancel_all, self.administer, self.nonsense)
        return self.random.choices(kinds, (70, 22, 1, 5, 2))[0]()

    def place(self) -> tuple:
        pick = self.random
        market = pick.randrange(5) if pick.random() < 0.03 else pick.choice((1, 1, 2, 3))
        limits = MARKETS[min(max(market, 1), len(MARKETS)) - 1][1]
        self.middle_ticks[market] = max(20, self.middle_ticks.get(market, 100) + pick.choice((-1, 0, 0, 0, 1)))
        order_type = pick.choices((*OrderType, UNKNOWN_TYPE), TYPE_WEIGHTS)[0]
        side = pick.choices((Side.BUY, Side.SELL, 3), (50, 49, 1))[0]
        away = int(pick.expovariate(0.2)) * pick.choice((1, 1, 1, -1))
        price = self.middle_ticks[market] + (-away if side == Side.BUY else away)
        quantity = pick.choice(
            (pick.randrange(1, 10), pick.randrange(5, 60), pick.randrange(5, 60), pick.randrange(1, 3_000))
        )
        amount = 0
        time_in_force = TimeInForce.NONE
        terms = None if order_type == UNKNOWN_TYPE else OrderType(order_type).terms
        if terms and len(terms.times_in_force) > 1:
            time_in_force = pick.choices((1, 2, 3, 0, 7), (70, 14, 14, 1, 1))[0]
        elif terms and not terms.limit:
            price = 0 if pick.random() < 0.98 else price
            if pick.random() < 0.5:
                amount, quantity = pick.randrange(1, 40_000_000), 0 if pick.random() < 0.97 else quantity
        if pick.random() < 0.03:
            price = pick.choice((0, -1, limits.price_max_ticks, limits.price_max_ticks + 1, 2**62, -(2**63)))
        if pick.random() < 0.03:
            quantity = pick.choice((0, -5, limits.quantity_max_lots, limits.quantity_max_lots + 1, 2**62, 2**63 - 1))
        chosen_id = client_id(f"c{pick.randrange(40)}") if pick.random() < 0.5 else NO_CLIENT_ID
        if pick.random() < 0.01:
            chosen_id = b"a\0b".ljust(CLIENT_ID_BYTES, b"\0")
        return (
            Command(
                kind=CommandKind.ORDER_PLACE,
                side=side,
                order_type=order_type,
                time_in_force=time_in_force,
                self_trade_mode=pick.choices((0, 1), (99, 1))[0],
                flags=pick.choices((0, 1), (199, 1))[0],
                account=pick.randrange(0, self.accounts + 2)
                if pick.random() < 0.05
                else pick.randrange(1, self.accounts + 1),
                market=market,
                price_ticks=price,
                quantity_lots=quantity,
                amount=amount,
                client_id=chosen_id,
            ),
        )

    def cancel(self) -> tuple:
        pick = self.random
        if not self.open or pick.random() < 0.1:
            order_id, (account, market, chosen_id) = pick.randrange(1, 10_000), (pick.randrange(1, 10), 1, NO_CLIENT_ID)
        else:
            order_id = pick.choice(list(self.open)) if pick.random() < 0.3 else next(reversed(self.open))
            account, market, chosen_id = self.open[order_id]
        if pick.random() < 0.05:
            account = pick.randrange(0, self.accounts + 2)
        if pick.random() < 0.05:
            market = pick.randrange(0, 5)
        by_id = chosen_id == NO_CLIENT_ID or pick.random() < 0.5
        command = Command(
            kind=CommandKind.ORDER_CANCEL,
            flags=pick.randrange(16) if pick.random() < 0.2 else 0,
            account=account,
            market=market,
            order_id=order_id if by_id else 0,
            client_id=chosen_id if not by_id or pick.random() < 0.1 else NO_CLIENT_ID,
        )
        return (command, b"cancel-id") if pick.random() < 0.2 else (command,)

    def cancel_all(self) -> tuple:
        account, market = self.random.randrange(0, self.accounts + 2), self.random.randrange(0, 5)
        return (Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account, market=market),)

    def administer(self) -> tuple:
        pick = self.random
        account, market = pick.randrange(0, self.accounts + 2), pick.randrange(0, 5)
        asset, amount = pick.randrange(0, 6), pick.choice((0, -1, 1, 1_000, 10**6, 2**62 - 1, 2**63 - 1))
        fees = FEES.pack(Fees(pick.choice((0, 1, 777, 100_000, 100_001)), pick.choice((0, 2_500))))
        key_type, public_key = pick.choice(((1, b""), (2, SOUND_KEY), (2, bytes(32)), (2, b""), (3, b"")))
        key = KEY_DEFINITION.pack(KeyDefinition(key_type, pick.choice((1, 3, 0, 8)), pick.choice((0, 0, 2**62, -1))))
        networks = pick.choice((b"", b"", NETWORKS, NETWORKS[:17], NETWORKS[:17] * 2, NETWORKS[:20]))
        key_id = f"key{pick.randrange(30)}".encode()
        tier = pick.choice((b"default", b"maker", b"taker", b"Maker", f"tier{pick.randrange(90)}".encode()))
        numbers = [pick.choice((0, 1, 50, 10**9)) if tier != b"default" or pick.random() < 0.1 else 7 for _ in range(5)]
        address_numbers = [7, 7] if (tier == b"default") != (pick.random() < 0.05) else [0, 0]
        limits = TIER_LIMITS.pack(TierLimits(*numbers, *address_numbers, reserved=pick.choice((0,) * 20 + (1,))))
        weighted = (
            (6, (Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)),
            (12, (Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=10**9), *NOTE)),
            (6, (Command(kind=CommandKind.WITHDRAW, account=account, asset=asset, amount=amount), *NOTE)),
            (6, (Command(kind=CommandKind.FEES_SET, account=account, market=market), fees, *NOTE)),
            (2, (Command(kind=CommandKind.ACCOUNT_FREEZE, account=account), *NOTE)),
            (12, (Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=account), *NOTE)),
            (2, (Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=MarketState.HALTED), *NOTE)),
            (1, (Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=3), *NOTE)),
            (12, (Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=MarketState.TRADING), *NOTE)),
            (12, (Command(kind=CommandKind.MARKET_STATE_SET, market=0, state=MarketState.TRADING), *NOTE)),
            (3, (Command(kind=CommandKind.TIME_ACCEPT, amount=amount, expiry_us=pick.choice((0, -1, 10**15))), *NOTE)),
            (6, (Command(kind=CommandKind.KEY_ADD, account=account), key, key_id, public_key, networks, *NOTE)),
            (6, (Command(kind=CommandKind.KEY_REVOKE, account=account), key_id, *NOTE)),
            (9, (Command(kind=CommandKind.LIMITS_SET), limits, tier, *NOTE)),
            (6, (Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=account), tier, *NOTE)),
            (3, (Command(kind=CommandKind.ACCOUNT_ADD), pick.choice((b"client1", b"new", b"Bad Name", b"")), *NOTE)),
            (1, (Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(9)), b"DOGE", *NOTE)),
            (3, (Command(kind=CommandKind.STATE_REPORT),)),
            (3, (Command(kind=CommandKind.TIME_TICK),)),
        )
        return pick.choices([command for _, command in weighted], [weight for weight, _ in weighted])[0]

    def nonsense(self) -> tuple:
        """A command of random bytes, or one whose parts do not fit."""
        pick = self.random
        kind = pick.choice((0, 99, *map(int, CommandKind)))
        if kind == CommandKind.EPOCH_START:
            return (Command(kind=kind), pick.randbytes(pick.randrange(40)))
        parts = [pick.randbytes(pick.randrange(90)) for _ in range(pick.randrange(5))]
        return (
            Command(kind=kind, account=pick.randrange(4), market=pick.randrange(4), blob_offset=pick.randrange(300)),
            *parts,
        )

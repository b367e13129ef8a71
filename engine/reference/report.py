"""What the state is: queries, the dump and its hash, loading a dump, and the check of every invariant.

A dump is one canonical form of the whole state, the same for both engines at the same journal entry; either engine loads
what the other wrote. It is made of the `Saved…` records of `engine.records`, in this order:

    SavedVenue
    each asset by number     SavedAsset, its name
    each market by number    MarketDefinition, SavedMarket, its symbol
    each tier by number      TierLimits, its name
    each account by number   SavedAccount, its name; its SavedBalance by asset; its SavedFees by market; its keys by id:
                             SavedKey, key id, public key, networks
    each market by number    its SavedOrder in priority, bids before asks
    the agenda               SavedAgendaItem, first in line first
    each producer by number  SavedProducer

where a name is written as a part (`pack_parts`).
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from engine.definitions import (
    SavedStateFault,
    StateReader,
    balances_digest,
    check_saved_account,
    check_saved_agenda_item,
    check_saved_asset,
    check_saved_fees,
    check_saved_key,
    check_saved_market,
    check_saved_order,
    check_saved_tier,
    check_saved_venue,
)
from engine.order_types import order_flags
from engine.reasons import Reason
from engine.records import (
    BOOK_MAGIC,
    HOUSE_ACCOUNT,
    MARKET_DEFINITION,
    NO_CLIENT_ID,
    PPM,
    SAVED_ACCOUNT,
    SAVED_AGENDA_ITEM,
    SAVED_ASSET,
    SAVED_BALANCE,
    SAVED_FEES,
    SAVED_KEY,
    SAVED_MARKET,
    SAVED_ORDER,
    SAVED_PRODUCER,
    SAVED_VENUE,
    STATE_REPORT,
    TIER_LIMITS,
    AgendaKind,
    Command,
    EventKind,
    MarketState,
    SavedAccount,
    SavedAgendaItem,
    SavedAsset,
    SavedBalance,
    SavedFees,
    SavedKey,
    SavedMarket,
    SavedOrder,
    SavedProducer,
    SavedVenue,
    Side,
    StateReport,
    pack_parts,
)
from engine.reference.accounts import list_order
from engine.reference.events import emit
from engine.reference.state import Account, AgendaItem, Asset, Balance, Exchange, Key, Market, Order

OpenOrder = tuple[int, int, int, int, int, int, bytes]
"""(order_id, market, side, price_ticks, quantity_lots, remaining_lots, client_id)"""

# -- queries


def report_state(exchange: Exchange, command: Command, blob: bytes) -> None:
    """STATE_REPORT: digests and counts of the state before the command."""
    balances = list(all_balances(exchange))
    state_hash = hashlib.sha256(dump(exchange)).digest()
    accounts, orders = len(exchange.accounts), len(exchange.orders)
    report = StateReport(state_hash, balances_digest(balances), accounts, orders, len(balances))
    emit(exchange, EventKind.STATE_REPORTED, blob=pack_parts(STATE_REPORT.pack(report)))


def all_balances(exchange: Exchange) -> Iterator[tuple[int, int, int, int]]:
    """(account, asset, available, held) in ascending order, leaving out what is zero."""
    for number, account in exchange.accounts.items():
        for balance in account_balances(account):
            yield number, *balance


def account_balances(account: Account) -> list[tuple[int, int, int]]:
    """(asset, available, held) of one account in ascending order, leaving out what is zero."""
    return [
        (asset, balance.available, balance.held)
        for asset, balance in sorted(account.balances.items())
        if balance.available or balance.held
    ]


def depth(market: Market, side: int, levels: int | None) -> list[tuple[int, int]]:
    """Prices and quantities of one side, best first; at most `levels` of them, None gives all."""
    best = islice(market.levels(side).items(), levels)
    return [(abs(key), sum(order.remaining_lots for order in level.values())) for key, level in best]


def open_order(order: Order) -> OpenOrder:
    """An open order as queries show it."""
    side = int(order.side)
    return (
        order.id,
        order.market.number,
        side,
        order.price_ticks,
        order.quantity_lots,
        order.remaining_lots,
        order.client_id,
    )


def book_state(market: Market) -> bytes:
    """The book of a market as `engine.Book.to_bytes` would give it.

    The bytes JBK1 and four that are zero, then the orders, bids first, each side in priority: side, price, left, id.
    """
    orders = [*market.orders(Side.BUY), *market.orders(Side.SELL)]
    return BOOK_MAGIC + b"".join(
        struct.pack("<QqqQ", order.side, order.price_ticks, order.remaining_lots, order.id) for order in orders
    )


# -- the dump


def dump(exchange: Exchange) -> bytes:
    """The whole state in canonical form. Cost: linear in the state."""
    venue = SavedVenue(
        time_us=exchange.time_us,
        accepted_difference_us=exchange.accepted_difference_us,
        accepted_time_us=exchange.accepted_time_us,
        accepted_store_us=exchange.accepted_store_us,
        rules_version=exchange.rules_version,
        last_order_id=exchange.last_order_id,
        order_count=len(exchange.orders),
        venue_state=exchange.venue_state,
        asset_count=len(exchange.assets),
        market_count=len(exchange.markets),
        account_count=len(exchange.accounts),
        agenda_count=len(exchange.agenda),
        producer_count=len(exchange.producers),
        tier_count=len(exchange.tiers),
    )
    pieces = [SAVED_VENUE.pack(venue)]
    for asset in exchange.assets.values():
        pieces += [SAVED_ASSET.pack(SavedAsset(asset.issued, asset.scale)), pack_parts(asset.name)]
    pieces += map(_dump_market, exchange.markets.values())
    for tier, limits in exchange.tiers.items():
        pieces += [TIER_LIMITS.pack(limits), pack_parts(tier)]
    pieces += map(_dump_account, exchange.accounts.values())
    for market in exchange.markets.values():
        for side in Side:
            pieces += map(_dump_order, market.orders(side))
    pieces += [SAVED_AGENDA_ITEM.pack(SavedAgendaItem(*item)) for item in exchange.agenda]
    for producer, (incarnation, number) in sorted(exchange.producers.items()):
        pieces.append(SAVED_PRODUCER.pack(SavedProducer(incarnation, number, producer)))
    return b"".join(pieces)


def _dump_market(market: Market) -> bytes:
    saved = SavedMarket(
        last_trade_id=market.last_trade_id,
        last_update_id=market.last_update_id,
        last_price_ticks=market.last_price_ticks,
        maker_fee_ppm=market.maker_fee_ppm,
        taker_fee_ppm=market.taker_fee_ppm,
        state=market.state,
        bid_count=sum(1 for _ in market.orders(Side.BUY)),
        ask_count=sum(1 for _ in market.orders(Side.SELL)),
    )
    return MARKET_DEFINITION.pack(market.definition) + SAVED_MARKET.pack(saved) + pack_parts(market.symbol)


def _dump_account(account: Account) -> bytes:
    balances = account_balances(account)
    saved = SavedAccount(account.frozen, account.tier, len(balances), len(account.fees), len(account.keys))
    pieces = [SAVED_ACCOUNT.pack(saved), pack_parts(account.name)]
    pieces += [SAVED_BALANCE.pack(SavedBalance(available, held, asset)) for asset, available, held in balances]
    pieces += [SAVED_FEES.pack(SavedFees(market, *fees)) for market, fees in sorted(account.fees.items())]
    for key_id, key in sorted(account.keys.items()):
        saved_key = SavedKey(key.key_type, key.permissions, key.expiry_us)
        pieces += [SAVED_KEY.pack(saved_key), pack_parts(key_id, key.public_key, key.networks)]
    return b"".join(pieces)


def _dump_order(order: Order) -> bytes:
    return SAVED_ORDER.pack(
        SavedOrder(
            order_id=order.id,
            price_ticks=order.price_ticks,
            quantity_lots=order.quantity_lots,
            remaining_lots=order.remaining_lots,
            cumulative_quote=order.cumulative_quote,
            created_us=order.created_us,
            updated_us=order.updated_us,
            working_us=order.working_us,
            account=order.account,
            fee_credit=order.fee_credit,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            self_trade_mode=order.self_trade_mode,
            client_id=order.client_id,
        )
    )


# -- loading


def load(data: bytes) -> Exchange:
    """The state of which `data` is the dump, by either engine. Cost: linear.

    Raises:
        SavedStateFault: no engine of this version has written these bytes; the text says what is wrong.
    """
    reader, exchange = StateReader(data), Exchange()
    venue = reader.record(SAVED_VENUE)
    check_saved_venue(venue)
    exchange.time_us = venue.time_us
    exchange.accepted_difference_us = venue.accepted_difference_us
    exchange.accepted_time_us = venue.accepted_time_us
    exchange.accepted_store_us = venue.accepted_store_us
    exchange.rules_version = venue.rules_version
    exchange.last_order_id = venue.last_order_id
    exchange.venue_state = MarketState(venue.venue_state)
    for number in range(1, venue.asset_count + 1):
        _load_asset(exchange, number, reader)
    counts = [_load_market(exchange, number, reader) for number in range(1, venue.market_count + 1)]
    exchange.tiers.clear()
    for number in range(venue.tier_count):
        _load_tier(exchange, number, reader)
    exchange.accounts.clear()
    exchange.account_names.clear()
    for number in range(venue.account_count):
        _load_account(exchange, number, reader)
    for market, sides in zip(exchange.markets.values(), counts, strict=True):
        for side, count in zip(Side, sides, strict=True):
            for saved_order in reader.orders(count):
                _load_order(exchange, market, side, saved_order)
    for _ in range(venue.agenda_count):
        item = reader.record(SAVED_AGENDA_ITEM)
        check_saved_agenda_item(item, len(exchange.accounts), len(exchange.markets))
        exchange.agenda.append(AgendaItem(AgendaKind(item.kind), item.account, item.market, item.reason))
    for saved in reader.producers(venue.producer_count):
        exchange.producers[saved.producer] = (saved.incarnation, saved.number)
    reader.end()
    if len(exchange.orders) != venue.order_count:
        raise SavedStateFault(f"there are {len(exchange.orders)} orders, and {venue.order_count} are announced")
    _check_sums(exchange)
    return exchange


def _load_asset(exchange: Exchange, number: int, reader: StateReader) -> None:
    saved, name = reader.record(SAVED_ASSET), reader.part()
    check_saved_asset(saved, name, exchange.asset_names)
    exchange.assets[number] = Asset(name, saved.scale, saved.issued)
    exchange.asset_names.add(name)


def _load_market(exchange: Exchange, number: int, reader: StateReader) -> tuple[int, int]:
    """How many bids and asks it has."""
    definition, saved, symbol = reader.record(MARKET_DEFINITION), reader.record(SAVED_MARKET), reader.part()
    scales = {number: asset.scale for number, asset in exchange.assets.items()}
    lot_value_units = check_saved_market(definition, saved, symbol, scales, exchange.symbols)
    market = exchange.markets[number] = Market(number, symbol, definition, lot_value_units)
    exchange.symbols.add(symbol)
    market.maker_fee_ppm, market.taker_fee_ppm = saved.maker_fee_ppm, saved.taker_fee_ppm
    market.state = MarketState(saved.state)
    market.last_trade_id, market.last_update_id, market.last_price_ticks = (
        saved.last_trade_id,
        saved.last_update_id,
        saved.last_price_ticks,
    )
    return saved.bid_count, saved.ask_count


def _load_tier(exchange: Exchange, number: int, reader: StateReader) -> None:
    limits, tier = reader.record(TIER_LIMITS), reader.part()
    check_saved_tier(limits, tier, number, exchange.tiers)
    exchange.tiers[tier] = limits


def _load_account(exchange: Exchange, number: int, reader: StateReader) -> None:
    saved, name = reader.record(SAVED_ACCOUNT), reader.part()
    check_saved_account(saved, name, number, exchange.account_names, len(exchange.tiers))
    account = exchange.accounts[number] = Account(name, bool(saved.is_frozen), saved.tier)
    exchange.account_names.add(name)
    for balance in reader.balances(saved.balance_count, len(exchange.assets)):
        account.balances[balance.asset] = Balance(balance.available, balance.held)
    last_market = -1
    for _ in range(saved.fees_count):
        fees = reader.record(SAVED_FEES)
        check_saved_fees(fees, number, last_market, len(exchange.markets))
        account.fees[fees.market] = (fees.maker_fee_ppm, fees.taker_fee_ppm)
        last_market = fees.market
    last_id = b""
    for _ in range(saved.key_count):
        key, key_id, public_key, networks = reader.record(SAVED_KEY), reader.part(), reader.part(), reader.part()
        check_saved_key(key, key_id, public_key, networks, number, last_id, exchange.key_owners)
        account.keys[key_id] = Key(*key, public_key, networks)
        exchange.key_owners[key_id] = number
        last_id = key_id


def _load_order(exchange: Exchange, market: Market, side: Side, saved: SavedOrder) -> None:
    last_id, account_count = exchange.last_order_id, len(exchange.accounts)
    check_saved_order(saved, market.definition, market.lot_value_units, last_id, account_count, exchange.time_us)
    levels = market.levels(side)
    key = -saved.price_ticks if side == Side.BUY else saved.price_ticks
    if levels:
        worst, level = levels.peekitem()
        if key < worst or (key == worst and saved.order_id < next(reversed(level))):
            raise SavedStateFault(f"order {saved.order_id} is out of order")
    if saved.order_id in exchange.orders or saved.client_id in exchange.accounts[saved.account].order_by_client_id:
        raise SavedStateFault(f"order {saved.order_id} is there already, or its client id is")
    best_bid = market.best(Side.BUY)
    if side == Side.SELL and best_bid is not None and saved.price_ticks <= best_bid:
        raise SavedStateFault(f"order {saved.order_id} crosses the book")
    order = Order(
        id=saved.order_id,
        account=saved.account,
        market=market,
        side=side,
        order_type=saved.order_type,
        time_in_force=saved.time_in_force,
        self_trade_mode=saved.self_trade_mode,
        flags=order_flags(saved.order_type, saved.time_in_force),
        client_id=saved.client_id,
        price_ticks=saved.price_ticks,
        quantity_lots=saved.quantity_lots,
        quote_amount=0,
        remaining_lots=saved.remaining_lots,
        created_us=saved.created_us,
        updated_us=saved.updated_us,
        working_us=saved.working_us,
        cumulative_lots=saved.quantity_lots - saved.remaining_lots,
        cumulative_quote=saved.cumulative_quote,
        fee_credit=saved.fee_credit,
    )
    market.add(order)
    list_order(exchange, order)


def _check_sums(exchange: Exchange) -> None:
    """What accounts have is what came in, and what they hold is what their orders can need."""
    issued, _, held = _sums(exchange)
    if issued != {number: asset.issued for number, asset in exchange.assets.items()}:
        raise SavedStateFault("what the accounts have is not what came in")
    if held != _needs(exchange):
        raise SavedStateFault("what the accounts hold is not what their orders can need")


# -- the check


def check(exchange: Exchange) -> None:
    """Walks the whole state and asserts every invariant (docs/invariants.md); tests call it after each command."""
    # I3, I4: no balance is negative, and each asset's sum is what came in minus what went out.
    sums, negative, held = _sums(exchange)
    assert not negative, negative
    assert sums == {number: asset.issued for number, asset in exchange.assets.items()}, sums
    # I5: what is held is exactly what the open orders can need.
    assert held == _needs(exchange), (held, _needs(exchange))
    # I6: the agenda names what there is.
    for item in exchange.agenda:
        assert item.account in exchange.accounts and (item.market == 0 or item.market in exchange.markets), item
        assert item.reason in (Reason.CANCELLED_BY_OWNER, Reason.CANCELLED_BY_FREEZE), item
    # I6: an account's tier is one that there is.
    assert all(account.tier < len(exchange.tiers) for account in exchange.accounts.values()), exchange.tiers
    resting = sum(_check_book(exchange, market) for market in exchange.markets.values())
    # I2: every index knows the same orders.
    assert resting == len(exchange.orders) == sum(len(account.orders) for account in exchange.accounts.values())
    for account in exchange.accounts.values():
        named = [order for order in account.orders.values() if order.client_id != NO_CLIENT_ID]
        assert {order.client_id: order for order in named} == account.order_by_client_id, account.name
        by_market = Counter(order.market.number for order in account.orders.values())
        assert by_market == {market: count for market, count in account.open_orders.items() if count}, account.name


def _check_book(exchange: Exchange, market: Market) -> int:
    """How many orders rest in the market."""
    # I1: no book is crossed; a level is in order of arrival and has no empty order.
    bid, ask = market.best(Side.BUY), market.best(Side.SELL)
    assert bid is None or ask is None or bid < ask, (market.symbol, bid, ask)
    resting = 0
    for side in Side:
        for key, level in market.levels(side).items():
            assert level and list(level) == sorted(level), (key, level)
            for order in level.values():
                assert order.side == side and order.price_ticks == abs(key), order
                assert 0 < order.remaining_lots == order.quantity_lots - order.cumulative_lots, order
                assert 0 <= order.fee_credit < PPM and order.id <= exchange.last_order_id, order
                assert order.created_us <= order.updated_us <= exchange.time_us, order
                assert exchange.orders[order.id] is exchange.accounts[order.account].orders[order.id] is order, order
                resting += 1
    return resting


def _sums(exchange: Exchange) -> tuple[dict[int, int], list[Any], dict[tuple[int, int], int]]:
    """What all accounts have by asset, which balances are negative, and what is held by account and asset."""
    sums = dict.fromkeys(exchange.assets, 0)
    negative, held = [], {}
    for number, asset, available, hold in all_balances(exchange):
        sums[asset] += available + hold
        if available < 0 or hold < 0:
            negative.append((number, asset, available, hold))
        if hold:
            held[number, asset] = hold
    return sums, negative, held


def _needs(exchange: Exchange) -> dict[tuple[int, int], int]:
    """What the open orders can need, by account and asset."""
    needs: dict[tuple[int, int], int] = {}
    for order in exchange.orders.values():
        key = (order.account, order.paying_asset)
        needs[key] = needs.get(key, 0) + order.hold(order.remaining_lots)
    return needs


assert HOUSE_ACCOUNT == 0, "accounts are dumped and loaded by number, the house first"

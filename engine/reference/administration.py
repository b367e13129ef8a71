"""What operators do: assets, markets, fees, states, tiers, the venue's time, accounts, keys, deposits and withdrawals."""

from __future__ import annotations

from engine.definitions import (
    read_account,
    read_account_limits,
    read_asset,
    read_change,
    read_epoch_start,
    read_fees,
    read_key,
    read_limits,
    read_market,
    reject_unless,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    HOUSE_ACCOUNT,
    IDS_SKIPPED_MAX,
    KEYS_PER_ACCOUNT_MAX,
    TIERS_MAX,
    AgendaKind,
    Command,
    EngineStop,
    EventKind,
    MarketState,
)
from engine.reference.accounts import find_client
from engine.reference.agenda import add_to_agenda
from engine.reference.events import emit
from engine.reference.state import Account, AgendaItem, Asset, Exchange, Key, Market

NUMBERS_MAX = (1 << 16) - 1
"""Most assets, and most markets: their numbers have 16 bits."""


def epoch_start(exchange: Exchange, command: Command, blob: bytes) -> None:
    """A new epoch: the ids that a lost tail may have used are passed over.

    Raises:
        EngineStop: the rules are of another version, or too few ids would be left.
    """
    start = read_epoch_start(blob)
    used = max(
        [
            exchange.last_order_id,
            *(max(market.last_trade_id, market.last_update_id) for market in exchange.markets.values()),
        ]
    )
    if start.ids_skip and used + start.ids_skip > IDS_SKIPPED_MAX:
        raise EngineStop(f"the epoch-start skips {start.ids_skip} ids, and {used} are used: too few would be left")
    exchange.rules_version = start.rules_version
    exchange.last_order_id += start.ids_skip
    for market in exchange.markets.values():
        market.last_trade_id += start.ids_skip
        market.last_update_id += start.ids_skip
    emit(exchange, EventKind.EPOCH_STARTED, blob=blob)


def time_tick(exchange: Exchange, command: Command, blob: bytes) -> None:
    """The stamp of its entry, and the agenda before it, have done all the work: a surplus tick does nothing."""


def add_asset(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Lists an asset under the next number."""
    scale, name = read_asset(blob)
    reject_unless(name not in exchange.asset_names, Reason.ASSET_EXISTS)
    number = len(exchange.assets) + 1
    reject_unless(number <= NUMBERS_MAX, Reason.TOO_MANY_DEFINITIONS)
    exchange.assets[number] = Asset(name, scale)
    exchange.asset_names.add(name)
    emit(exchange, EventKind.ASSET_ADDED, asset=number, blob=blob)


def add_market(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Lists a market under the next number."""
    scales = {number: asset.scale for number, asset in exchange.assets.items()}
    definition, symbol, lot_value_units = read_market(blob, scales)
    reject_unless(symbol not in exchange.symbols, Reason.MARKET_EXISTS)
    number = len(exchange.markets) + 1
    reject_unless(number <= NUMBERS_MAX, Reason.TOO_MANY_DEFINITIONS)
    exchange.markets[number] = Market(number, symbol, definition, lot_value_units)
    exchange.symbols.add(symbol)
    emit(
        exchange,
        EventKind.MARKET_ADDED,
        market=number,
        base_asset=definition.base_asset,
        quote_asset=definition.quote_asset,
        blob=blob,
    )


def set_fees(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Sets the fees of a market, or of an account in one market or (0) in all in which it has none of its own."""
    fees = read_fees(blob)
    # The house has no orders, so its number means no account: the fees are the market's.
    for_all_markets = command.account != HOUSE_ACCOUNT and command.market == 0
    reject_unless(for_all_markets or command.market in exchange.markets, Reason.UNKNOWN_MARKET)
    if command.account == HOUSE_ACCOUNT:
        market = exchange.markets[command.market]
        market.maker_fee_ppm, market.taker_fee_ppm = fees
    else:
        find_client(exchange, command.account).fees[command.market] = (fees.maker_fee_ppm, fees.taker_fee_ppm)
    emit(exchange, EventKind.FEES_CHANGED, account=command.account, market=command.market, blob=blob)


def set_market_state(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Halts or resumes a market, or (0) the venue."""
    read_change(blob)
    reject_unless(command.state in (MarketState.TRADING, MarketState.HALTED), Reason.INVALID_STATE)
    reject_unless(command.market == 0 or command.market in exchange.markets, Reason.UNKNOWN_MARKET)
    if command.market == 0:
        exchange.venue_state = MarketState(command.state)
    else:
        exchange.markets[command.market].state = MarketState(command.state)
    emit(exchange, EventKind.MARKET_STATE_CHANGED, market=command.market, state=command.state, blob=blob)


def set_limits(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Defines a tier under the next number, or changes the numbers of one that there is."""
    limits, tier = read_limits(blob)
    reject_unless(tier in exchange.tiers or len(exchange.tiers) < TIERS_MAX, Reason.TOO_MANY_TIERS)
    exchange.tiers[tier] = limits
    emit(exchange, EventKind.LIMITS_CHANGED, state=tier_number(exchange, tier), blob=blob)


def tier_number(exchange: Exchange, tier: bytes) -> int:
    """The number of a tier that there is."""
    return list(exchange.tiers).index(tier)


def accept_time(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Takes the clocks as they are for right: the venue's time now, what the store's clock shows, and how far it is from the
    machine's. Only clock guards look at that."""
    read_change(blob)
    reject_unless(abs(command.amount) <= AMOUNT_MAX and command.expiry_us >= 0, Reason.INVALID_AMOUNT)
    exchange.accepted_difference_us = command.amount
    exchange.accepted_time_us = exchange.time_us
    exchange.accepted_store_us = command.expiry_us
    emit(exchange, EventKind.TIME_ACCEPTED, amount=command.amount, expiry_us=command.expiry_us, blob=blob)


def add_account(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Opens an account under the next number."""
    name = read_account(blob)
    reject_unless(name not in exchange.account_names, Reason.ACCOUNT_EXISTS)
    number = len(exchange.accounts)
    exchange.accounts[number] = Account(name)
    exchange.account_names.add(name)
    emit(exchange, EventKind.ACCOUNT_ADDED, account=number, blob=blob)


def freeze_account(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Freezes an account and closes its open orders."""
    read_change(blob)
    account = find_client(exchange, command.account)
    reject_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
    account.frozen = True
    emit(exchange, EventKind.ACCOUNT_FROZEN, account=command.account, blob=blob)
    if account.orders:
        item = AgendaItem(AgendaKind.CLOSE_ORDERS, command.account, 0, Reason.CANCELLED_BY_FREEZE)
        add_to_agenda(exchange, item)


def unfreeze_account(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Lifts a freeze."""
    read_change(blob)
    account = find_client(exchange, command.account)
    reject_unless(account.frozen, Reason.ACCOUNT_NOT_FROZEN)
    account.frozen = False
    emit(exchange, EventKind.ACCOUNT_UNFROZEN, account=command.account, blob=blob)


def add_key(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Gives an account an API key."""
    definition, key_id, public_key, networks = read_key(blob)
    account = find_client(exchange, command.account)
    reject_unless(key_id not in exchange.key_owners, Reason.KEY_EXISTS)
    reject_unless(len(account.keys) < KEYS_PER_ACCOUNT_MAX, Reason.TOO_MANY_KEYS)
    account.keys[key_id] = Key(*definition, public_key, networks)
    exchange.key_owners[key_id] = command.account
    emit(exchange, EventKind.KEY_ADDED, account=command.account, blob=blob)


def revoke_key(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Revokes an API key."""
    (key_id,) = read_change(blob, 1)
    account = find_client(exchange, command.account)
    reject_unless(key_id in account.keys, Reason.UNKNOWN_KEY)
    del account.keys[key_id]
    del exchange.key_owners[key_id]
    emit(exchange, EventKind.KEY_REVOKED, account=command.account, blob=blob)


def set_account_limits(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Puts an account into a tier."""
    tier = read_account_limits(blob)
    account = find_client(exchange, command.account)
    reject_unless(tier in exchange.tiers, Reason.UNKNOWN_TIER)
    account.tier = tier_number(exchange, tier)
    emit(exchange, EventKind.ACCOUNT_LIMITS_CHANGED, account=command.account, state=account.tier, blob=blob)


def deposit(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Pays an amount in."""
    read_change(blob)
    account = find_client(exchange, command.account)
    reject_unless(command.asset in exchange.assets, Reason.UNKNOWN_ASSET)
    asset = exchange.assets[command.asset]
    reject_unless(command.amount > 0 and asset.issued + command.amount <= AMOUNT_MAX, Reason.INVALID_AMOUNT)
    asset.issued += command.amount
    account.balance(command.asset).available += command.amount
    emit_transfer(exchange, EventKind.DEPOSITED, command, blob)


def withdraw(exchange: Exchange, command: Command, blob: bytes) -> None:
    """Pays an amount out of what is available."""
    read_change(blob)
    account = find_client(exchange, command.account)
    reject_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
    reject_unless(command.asset in exchange.assets, Reason.UNKNOWN_ASSET)
    reject_unless(command.amount > 0, Reason.INVALID_AMOUNT)
    reject_unless(account.available(command.asset) >= command.amount, Reason.INSUFFICIENT_FUNDS)
    account.balance(command.asset).available -= command.amount
    exchange.assets[command.asset].issued -= command.amount
    assert exchange.assets[command.asset].issued >= 0, "no more goes out than came in"
    emit_transfer(exchange, EventKind.WITHDRAWN, command, blob)


def emit_transfer(exchange: Exchange, kind: EventKind, command: Command, blob: bytes) -> None:
    """DEPOSITED or WITHDRAWN."""
    emit(exchange, kind, account=command.account, asset=command.asset, amount=command.amount, blob=blob)

"""The binary records of the venue: those of the journal, of the events, and of a dump of the engine's state.

One definition serves all. The classes below are the Python view of the records; the `Layout` of each packs and unpacks its
bytes; `engine/records.pxd`, the C structs of the compiled code, is written from them by

    python -m engine.declarations

and a test keeps that file current. All integers are little-endian; every record is naturally aligned, so the C structs
have no padding.

A **batch** is what one producer (a gateway, the command line) appends as one journal entry:

    BatchHeader (32 bytes) · count × Command (128 bytes) · blob area (blob_length bytes)

An **event entry** is the engine's answer, published under the id of the journal entry:

    EventHeader (48 bytes) · count × event (256 bytes) · blob area (blob_length bytes)

An event has one of three views over a common beginning: TradeEvent, PreventedEvent, and OrderEvent for everything else.
What two views have in common has the same offset in both, except what self-trade prevention adds to orders and to
prevented trades.

The blob area holds what has no fixed size: names, reasons, definitions. A record points into it with `blob_offset` and
`blob_length`; the slice is a sequence of parts, each with a 16-bit length in front (`pack_parts`, `unpack_parts`).

A **dump** of the engine's state is made of the `Saved…` records; `engine/reference/report.py` says in which order.

Amounts are whole numbers of the asset's smallest unit, prices whole ticks, quantities whole lots.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_type_hints

from engine.order_types import OrderType as OrderType
from engine.order_types import TimeInForce as TimeInForce

VERSION = 2
"""Version of all formats of this module. Version 1 was never released: the venue refuses it and says so."""
BATCH_COMMANDS_MAX = 256
BATCH_BYTES_MAX = 48 * 1024
EVENTS_MAX = 8_192
"""Most events of one entry, 2 MB (promise P9)."""
EVENTS_BEGIN_MAX = EVENTS_MAX // 2
"""A command begins while the entry has fewer events than this, and the agenda is worked on up to here. So there is room for
what one command can write, and for one event of each command behind it."""
FILLS_MAX = 2_048
"""Most fills that an order may have in the command that works it; then the remainder expires."""
NO_COMMAND = 0xFFFFFFFF
"""The command index of an event that answers no command of its entry."""
CLIENT_ID_BYTES = 36
"""Length of a client order id in a record; shorter ones end with zero bytes."""
AMOUNT_MAX = (1 << 62) - 1
"""Largest amount, value or sum of an asset that the venue keeps, in smallest units."""
ID_MAX = (1 << 53) - 1
"""Order ids, trade ids and the like stay below 2^53, so that clients may read them as doubles."""
IDS_SKIPPED_MAX = ID_MAX // 2
"""An epoch-start passes over no ids beyond this one: the other half is for what comes after it."""
PPM = 1_000_000
"""Fee rates are parts per this; a fee credit is below it."""

# ORDER_ACCEPTED, the fills and ORDER_CLOSED of one command, and one event of every other command of its batch.
assert EVENTS_BEGIN_MAX + FILLS_MAX + 2 + BATCH_COMMANDS_MAX <= EVENTS_MAX

HOUSE_ACCOUNT = 0
"""The venue's own account: it receives the fees. Clients are numbered from 1."""
HOUSE_NAME = b"house"
BOOK_MAGIC = b"JBK1\0\0\0\0"
"""What the saved state of one order book begins with (`engine.Book.to_bytes`)."""

# The width of a field: its struct code and its C type.
U8 = Annotated[int, "B", "uint8_t"]
U16 = Annotated[int, "H", "uint16_t"]
U32 = Annotated[int, "I", "uint32_t"]
U64 = Annotated[int, "Q", "uint64_t"]
I32 = Annotated[int, "i", "int32_t"]
I64 = Annotated[int, "q", "int64_t"]
ClientId = Annotated[bytes, f"{CLIENT_ID_BYTES}s", f"char[{CLIENT_ID_BYTES}]"]
Digest = Annotated[bytes, "32s", "char[32]"]
Magic = Annotated[bytes, "8s", "char[8]"]

OPERATOR_PARTS = 3
"""What an operator does ends with so many parts in its blob: the operator as they call themselves, why, and the system user
under whom the command ran (empty where the venue itself acts)."""

NO_CLIENT_ID = bytes(CLIENT_ID_BYTES)
"""All zero: the client gave no id, and the one shown is derived from the order id."""


class CommandKind(IntEnum):
    """What a command asks for, the fields it uses, and the parts of its blob.

    | kind | fields | parts |
    | --- | --- | --- |
    | EPOCH_START | | EpochStart |
    | TIME_TICK | | |
    | ASSET_ADD | | AssetDefinition, name, the operator's |
    | MARKET_ADD | | MarketDefinition, symbol, the operator's |
    | FEES_SET | account (0: the market's own fees), market (0 with an account: all markets) | Fees, the operator's |
    | MARKET_STATE_SET | market (0: the whole venue), state | the operator's |
    | LIMITS_SET | | TierLimits, tier, the operator's |
    | TIME_ACCEPT | amount (the difference that is accepted, µs), expiry_us (the store's time) | the operator's |
    | ACCOUNT_ADD | | name, the operator's |
    | ACCOUNT_FREEZE, ACCOUNT_UNFREEZE | account | the operator's |
    | KEY_ADD | account | KeyDefinition, key id, public key (empty for HMAC), networks (`pack_networks`), the operator's |
    | KEY_REVOKE | account | key id, the operator's |
    | ACCOUNT_LIMITS_SET | account | tier, the operator's |
    | DEPOSIT, WITHDRAW | account, asset, amount | the operator's |
    | ORDER_PLACE | account, market, side, order_type, time_in_force, self_trade_mode, price_ticks, quantity_lots, amount, client_id | |
    | ORDER_CANCEL | account, market, order_id or client_id | client id of the cancel, where it has one |
    | ORDER_CANCEL_ALL | account, market (0: all markets) | |
    | STATE_REPORT | | |

    The operator's parts are the last OPERATOR_PARTS of a blob: operator, why, system user. The event that answers a command carries the same blob (a STATE_REPORTED event a StateReport instead).
    """

    EPOCH_START = 1
    TIME_TICK = 2
    ASSET_ADD = 10
    MARKET_ADD = 11
    FEES_SET = 12
    MARKET_STATE_SET = 13
    LIMITS_SET = 14
    TIME_ACCEPT = 15
    ACCOUNT_ADD = 20
    ACCOUNT_FREEZE = 21
    ACCOUNT_UNFREEZE = 22
    KEY_ADD = 23
    KEY_REVOKE = 24
    ACCOUNT_LIMITS_SET = 25
    DEPOSIT = 30
    WITHDRAW = 31
    ORDER_PLACE = 40
    ORDER_CANCEL = 41
    ORDER_CANCEL_ALL = 42
    STATE_REPORT = 50


class EventKind(IntEnum):
    """What happened. TRADE is a TradeEvent, TRADE_PREVENTED a PreventedEvent, everything else an OrderEvent."""

    REJECTED = 1
    EPOCH_STARTED = 2
    ASSET_ADDED = 10
    MARKET_ADDED = 11
    FEES_CHANGED = 12
    MARKET_STATE_CHANGED = 13
    LIMITS_CHANGED = 14
    TIME_ACCEPTED = 15
    """From here on the clock guards of all engines take the venue's time as it is at this entry, and `amount`, for right."""
    ACCOUNT_ADDED = 20
    ACCOUNT_FROZEN = 21
    ACCOUNT_UNFROZEN = 22
    KEY_ADDED = 23
    KEY_REVOKED = 24
    ACCOUNT_LIMITS_CHANGED = 25
    DEPOSITED = 30
    WITHDRAWN = 31
    ORDER_ACCEPTED = 40
    TRADE = 41
    ORDER_CLOSED = 42
    TRADE_PREVENTED = 43
    """Two orders would have traded, and self-trade prevention kept them from it."""
    ICEBERG_REFILLED = 44
    """The visible part of an iceberg order was used up: the next one is at the end of the queue."""
    STATE_REPORTED = 50


class Disposition(IntEnum):
    """What the engine did with a batch as a whole (promise P8: retries are safe)."""

    EXECUTED = 0
    DUPLICATE = 1
    """The number was seen before: nothing was executed again."""
    STALE = 2
    """A newer incarnation of the same producer has spoken: nothing was executed."""
    MALFORMED = 3
    """The bytes are not a batch of this version: nothing was executed."""


class Side(IntEnum):
    BUY = 1
    SELL = 2


class SelfTradeMode(IntEnum):
    NONE = 0


class CommandFlag(IntEnum):
    """Bits of `flags` in a command."""

    HAS_TERMS = 1
    """The first part of the command's blob is an OrderTerms record."""
    NAMELESS_ONLY = 2
    """Of a cancel: the order must have no client id."""
    UNFILLED_ONLY = 4
    """Of a cancel: nothing of the order may be filled."""
    PARTLY_FILLED_ONLY = 8
    """Of a cancel: a part of the order must be filled."""


class EventFlag(IntEnum):
    """Bits of `flags` in an event."""

    TAKER_FILLED = 1
    """In a TRADE: the taker has nothing left to do after it."""
    MAKER_FILLED = 2
    """In a TRADE: the maker has nothing left to do after it."""
    MAY_REST = 4
    """Of an order: what it does not fill at once rests in the book. In ORDER_ACCEPTED this is the case at the end of the
    command, unless the order was filled or closed by then."""
    WORKING = 8
    """Of an order: it trades or rests in the book, and does not wait for a trigger or for another order. In ORDER_CLOSED: it
    did until then."""


class AgendaKind(IntEnum):
    """What an item of the engine's agenda does."""

    CLOSE_ORDERS = 1
    """Closes the open orders of an account, in one market or (0) in all: by market number, then by order id."""


class MarketState(IntEnum):
    TRADING = 1
    HALTED = 2
    """No order can be placed; orders can be cancelled."""


class KeyType(IntEnum):
    HMAC_SHA256 = 1
    ED25519 = 2


class Permission(IntEnum):
    """Bits of what an API key may do."""

    READ = 1
    TRADE = 2


class BatchHeader(NamedTuple):
    """Says who sends the batch. `producer`, `incarnation` and `number` make a retry recognisable (P8)."""

    version: U16 = VERSION
    command_count: U16 = 0
    producer: U32 = 0
    incarnation: U64 = 0
    """Drawn by `open_producer` of the store when a producer starts and after each lost connection."""
    number: U64 = 0
    """1, 2, 3, … within an incarnation."""
    blob_length: U32 = 0
    crc32: U32 = 0
    """CRC-32 of the whole batch but for this field, so that a bit that turned in the store is not executed."""


class Command(NamedTuple):
    """One request. Fields that a kind does not use are zero."""

    kind: U8 = 0
    side: U8 = 0
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    flags: U8 = 0
    """CommandFlag bits."""
    asset: U16 = 0
    account: U32 = 0
    market: U32 = 0
    order_id: U64 = 0
    """The order to cancel; zero when `client_id` names it."""
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    amount: I64 = 0
    """Smallest units: of the quote asset for a MARKET order by quote amount, of `asset` for a deposit or withdrawal. For a
    TIME_ACCEPT microseconds: the store's clock minus the machine's."""
    trigger_ticks: I64 = 0
    display_lots: I64 = 0
    expiry_us: I64 = 0
    """For a TIME_ACCEPT the store's time, by its own clock, in microseconds since 1970 UTC; no time before it comes again."""
    group: U64 = 0
    client_id: ClientId = NO_CLIENT_ID
    blob_offset: U32 = 0
    blob_length: U32 = 0
    state: U32 = 0
    """The new state, for MARKET_STATE_SET."""


class OrderTerms(NamedTuple):
    """The rare terms of an order: the first part of the blob of a command with the flag HAS_TERMS. Most orders have none."""

    activation_ticks: I64 = 0
    minimum_lots: I64 = 0
    peg_limit_ticks: I64 = 0
    strategy_id: I64 = 0
    reserved: U64 = 0
    trail_bps: U32 = 0
    peg_offset: I32 = 0
    strategy_type: U32 = 0
    self_trade_group: U32 = 0
    contingency: U8 = 0
    list_leg: U8 = 0
    peg_type: U8 = 0
    reserved_2: U8 = 0
    reserved_3: U32 = 0


class EventHeader(NamedTuple):
    """Repeats who sent the batch, so that its producer knows the answer as its own."""

    version: U16 = VERSION
    disposition: U8 = 0
    reserved: U8 = 0
    event_count: U32 = 0
    producer: U32 = 0
    reserved_2: U32 = 0
    incarnation: U64 = 0
    number: U64 = 0
    time_us: I64 = 0
    """The venue's time at this entry: the largest stamp of the store so far, microseconds since 1970 UTC."""
    blob_length: U64 = 0


class OrderEvent(NamedTuple):
    """What happened to an order, or to the venue, an account, a key or money, with all that a projection needs to know."""

    kind: U8 = 0
    side: U8 = 0
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    command: U8 = 0
    """The CommandKind that this event answers; 0 where it answers none."""
    reason: U16 = 0
    command_index: U32 = 0
    """Which command of the batch this answers, from 0; NO_COMMAND where it answers none."""
    market: U32 = 0
    account: U32 = 0
    flags: U16 = 0
    """EventFlag bits."""
    base_asset: U16 = 0
    quote_asset: U16 = 0
    asset: U16 = 0
    """The asset of `amount` in DEPOSITED and WITHDRAWN."""
    state: U8 = 0
    """The new state in MARKET_STATE_CHANGED; the number of the tier in LIMITS_CHANGED and ACCOUNT_LIMITS_CHANGED."""
    contingency: U8 = 0
    list_leg: U8 = 0
    list_status: U8 = 0
    order_id: U64 = 0
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    """What was asked for."""
    amount: I64 = 0
    """Smallest units: of the quote asset what a MARKET order by quote amount asked for, of `asset` what was deposited or
    withdrawn. In TIME_ACCEPTED microseconds: the store's clock minus the machine's."""
    cumulative_lots: I64 = 0
    cumulative_quote: I64 = 0
    remaining_lots: I64 = 0
    """What is still open of the order; in ORDER_CLOSED what was open when it ended."""
    hold_change: I64 = 0
    """Change of what is held for the order: of the quote asset for a buy, of the base asset for a sell. Zero throughout
    for MARKET orders, which hold nothing and pay from what is available."""
    client_id: ClientId = NO_CLIENT_ID
    blob_offset: U32 = 0
    blob_length: U32 = 0
    trail_bps: U32 = 0
    trigger_ticks: I64 = 0
    activation_ticks: I64 = 0
    trailing_since_us: I64 = 0
    display_lots: I64 = 0
    visible_lots: I64 = 0
    expiry_us: I64 = 0
    """In TIME_ACCEPTED what the store's clock showed."""
    minimum_lots: I64 = 0
    list_id: U64 = 0
    peg_limit_ticks: I64 = 0
    working_us: I64 = 0
    """In the event that says that an order begins to work: since when, microseconds since 1970 UTC. 0 in all others."""
    strategy_id: I64 = 0
    prevented_lots: I64 = 0
    """What self-trade prevention took from the order so far."""
    peg_offset: I32 = 0
    strategy_type: U32 = 0
    self_trade_group: U32 = 0
    peg_type: U8 = 0
    reserved: U8 = 0
    reserved_2: U16 = 0


class TradeEvent(NamedTuple):
    """A fill. What has no `maker_` in its name is the taker's; the price is the maker's."""

    kind: U8 = 0
    side: U8 = 0
    """The taker's."""
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    command: U8 = 0
    reason: U16 = 0
    command_index: U32 = 0
    market: U32 = 0
    account: U32 = 0
    flags: U16 = 0
    base_asset: U16 = 0
    quote_asset: U16 = 0
    asset: U16 = 0
    maker_account: U32 = 0
    order_id: U64 = 0
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    """What was filled."""
    quote_amount: I64 = 0
    """Its value in smallest units of the quote asset."""
    cumulative_lots: I64 = 0
    cumulative_quote: I64 = 0
    remaining_lots: I64 = 0
    hold_change: I64 = 0
    client_id: ClientId = NO_CLIENT_ID
    maker_client_id: ClientId = NO_CLIENT_ID
    maker_order_id: U64 = 0
    trade_id: U64 = 0
    base_amount: I64 = 0
    """`quantity_lots` in smallest units of the base asset."""
    maker_cumulative_lots: I64 = 0
    maker_cumulative_quote: I64 = 0
    maker_remaining_lots: I64 = 0
    maker_hold_change: I64 = 0
    fee: I64 = 0
    """Of the asset received: the base asset for a buyer, the quote asset for a seller."""
    maker_fee: I64 = 0
    fee_ppm: U32 = 0
    """The rate of `fee`, parts per million."""
    maker_fee_ppm: U32 = 0
    fee_credit: U32 = 0
    """What rounding up has overpaid so far in the fees of the order, in millionths of the smallest unit: 0 to 999,999. So
    fee × 1,000,000 = received × rate + credit after − credit before."""
    maker_fee_credit: U32 = 0


class PreventedEvent(NamedTuple):
    """Two orders that self-trade prevention kept from trading. What has no `maker_` in its name is the taker's."""

    kind: U8 = 0
    side: U8 = 0
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    command: U8 = 0
    reason: U16 = 0
    command_index: U32 = 0
    market: U32 = 0
    account: U32 = 0
    flags: U16 = 0
    base_asset: U16 = 0
    quote_asset: U16 = 0
    asset: U16 = 0
    maker_account: U32 = 0
    order_id: U64 = 0
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    """What would have been filled."""
    quote_amount: I64 = 0
    cumulative_lots: I64 = 0
    cumulative_quote: I64 = 0
    remaining_lots: I64 = 0
    hold_change: I64 = 0
    client_id: ClientId = NO_CLIENT_ID
    maker_client_id: ClientId = NO_CLIENT_ID
    maker_order_id: U64 = 0
    prevented_match_id: U64 = 0
    base_amount: I64 = 0
    maker_cumulative_lots: I64 = 0
    maker_cumulative_quote: I64 = 0
    maker_remaining_lots: I64 = 0
    maker_hold_change: I64 = 0
    prevented_lots: I64 = 0
    """What prevention took from the taker so far."""
    maker_prevented_lots: I64 = 0
    self_trade_group: U32 = 0
    maker_self_trade_group: U32 = 0
    reserved: U64 = 0


Event = OrderEvent | TradeEvent | PreventedEvent


class AssetDefinition(NamedTuple):
    scale: U32 = 0
    """Decimals of the smallest unit kept, 0 to 8."""


class MarketDefinition(NamedTuple):
    """What a market is. Base, quote, tick and lot never change; fees change by FEES_SET."""

    base_asset: U32 = 0
    quote_asset: U32 = 0
    tick_e8: I64 = 0
    """Price of one tick, in 1e-8 of the quote asset."""
    lot_units: I64 = 0
    """Smallest units of the base asset in one lot."""
    price_min_ticks: I64 = 0
    price_max_ticks: I64 = 0
    quantity_min_lots: I64 = 0
    quantity_max_lots: I64 = 0
    notional_min: I64 = 0
    """Least value of an order in smallest units of the quote asset; at least 100, which keeps dust out."""
    notional_max: I64 = 0
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0
    open_orders_max: U32 = 0
    """Most open orders an account may have in this market."""
    reserved: U32 = 0


TICK_AND_LOT_MAX = 10**14
"""Largest `tick_e8` and `lot_units`: their product times 10^8 still fits into 127 bits."""
NOTIONAL_MIN_UNITS = 100
FEE_PPM_MAX = 100_000
SCALE_MAX = 8
PRICE_SCALE = 8
"""Decimals of the unit in which a tick is given."""
KEYS_PER_ACCOUNT_MAX = 100
KEY_NETWORKS_MAX = 16
"""Most networks in the list of a key."""
NETWORK_BYTES = 17
"""A network in the list of a key: the length of its prefix in bits, and its first address as IPv6."""
TIERS_MAX = 64
"""Most tiers, with the default tier: their numbers have eight bits, and gateways keep them all."""
DEFAULT_TIER = b"default"
"""The tier of every account that has been given no other. It exists from the beginning, as number 0."""
LIMIT_MAX = 1_000_000_000
"""Largest number in a tier: a count of it still fits into 32 bits after one more request."""


class Fees(NamedTuple):
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0


class KeyDefinition(NamedTuple):
    key_type: U32 = 0
    permissions: U32 = 0
    expiry_us: I64 = 0
    """From when on gateways refuse it, microseconds since 1970 UTC; 0: it does not expire."""


class TierLimits(NamedTuple):
    """How much the accounts of a tier may ask for. The engine keeps it; gateways obey it.

    0 is the number of the tier `default`, which has a number everywhere. What counts before anybody has logged on has a
    number in `default` alone: `ADDRESS_LIMITS`.
    """

    weight_per_minute: U32 = 0
    """Request weight of an address."""
    orders_per_10_s: U32 = 0
    """New orders of an account that are not filled."""
    orders_per_day: U32 = 0
    refusals_per_10_s: U32 = 0
    """Refused commands of an account that reach the journal."""
    subscriptions_max: U32 = 0
    """User data subscriptions of an account over all its connections."""
    connections_per_5_min: U32 = 0
    """New connections of an address."""
    stream_messages_per_s: U32 = 0
    """Requests on a stream connection."""
    reserved: U32 = 0
    reserved_2: U64 = 0
    reserved_3: U64 = 0
    reserved_4: U64 = 0
    reserved_5: U64 = 0


LIMIT_NAMES = tuple(name for name in TierLimits._fields if not name.startswith("reserved"))
ADDRESS_LIMITS = ("connections_per_5_min", "stream_messages_per_s")
"""What counts before anybody has logged on, so that only the numbers of `default` can hold."""
DEFAULT_LIMITS = TierLimits(
    weight_per_minute=6_000,
    orders_per_10_s=50,
    orders_per_day=160_000,
    refusals_per_10_s=100,
    subscriptions_max=10,
    connections_per_5_min=300,
    stream_messages_per_s=5,
)
"""The tier `default` until a command changes it: what the dialect's specification has, where it has a number."""


class EpochStart(NamedTuple):
    """First record of an epoch (P1): it continues the entry `previous_epoch-previous_sequence`, whose chain head it names."""

    previous_epoch: U64 = 0
    previous_sequence: U64 = 0
    previous_head: Digest = bytes(32)
    rules_version: U64 = 0
    ids_skip: U64 = 0
    """How many order ids, and trade and update ids of each market, are skipped, because a lost tail may have used them."""


class StateReport(NamedTuple):
    """The engine's answer to STATE_REPORT: digests and counts of its state before the command."""

    state_hash: Digest = bytes(32)
    balances_hash: Digest = bytes(32)
    accounts: U64 = 0
    open_orders: U64 = 0
    balances: U64 = 0
    """How many balances (account and asset) went into `balances_hash`."""


# -- the state of the engine, in the order in which a dump has it


class SavedVenue(NamedTuple):
    """What a dump begins with."""

    magic: Magic = b"JIBEKST4"
    time_us: I64 = 0
    accepted_difference_us: I64 = 0
    """How far an operator has accepted that the store's clock is ahead of the machine's; negative: behind."""
    accepted_time_us: I64 = 0
    """The venue's time when an operator accepted it last; 0: never."""
    accepted_store_us: I64 = 0
    """What the store's clock showed then."""
    rules_version: U64 = 0
    last_order_id: U64 = 0
    order_count: U64 = 0
    venue_state: U32 = 0
    asset_count: U32 = 0
    market_count: U32 = 0
    account_count: U32 = 0
    agenda_count: U32 = 0
    producer_count: U32 = 0
    tier_count: U64 = 0


class SavedAsset(NamedTuple):
    """An asset; its name follows as a part."""

    issued: I64 = 0
    """Deposits minus withdrawals: what all accounts together have."""
    scale: U32 = 0
    reserved: U32 = 0


class SavedMarket(NamedTuple):
    """A market; its MarketDefinition comes before it, its symbol follows as a part."""

    last_trade_id: U64 = 0
    last_update_id: U64 = 0
    """One more with each change of a level of its book: the update id of the depth streams."""
    last_price_ticks: I64 = 0
    """The price of its last trade; 0 before the first."""
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0
    state: U32 = 0
    bid_count: U32 = 0
    """Open orders by side."""
    ask_count: U32 = 0
    reserved: U32 = 0


class SavedAccount(NamedTuple):
    """An account; its name follows as a part, then its balances, own fees and keys."""

    is_frozen: U16 = 0
    tier: U16 = 0
    balance_count: U32 = 0
    fees_count: U32 = 0
    key_count: U32 = 0


class SavedBalance(NamedTuple):
    """What an account has of an asset, where that is not zero."""

    available: I64 = 0
    held: I64 = 0
    asset: U32 = 0
    reserved: U32 = 0


class SavedFees(NamedTuple):
    """An account's own fees in a market, or (0) in all markets in which it has none of its own."""

    market: U32 = 0
    maker_fee_ppm: U32 = 0
    taker_fee_ppm: U32 = 0
    reserved: U32 = 0


class SavedKey(NamedTuple):
    """An API key; its id, its public key and its networks follow as parts."""

    key_type: U32 = 0
    permissions: U32 = 0
    expiry_us: I64 = 0


class SavedOrder(NamedTuple):
    """An open order. Its place in the dump says its market and side."""

    order_id: U64 = 0
    price_ticks: I64 = 0
    quantity_lots: I64 = 0
    remaining_lots: I64 = 0
    cumulative_quote: I64 = 0
    created_us: I64 = 0
    updated_us: I64 = 0
    """When it was accepted or last filled."""
    working_us: I64 = 0
    account: U32 = 0
    fee_credit: U32 = 0
    order_type: U8 = 0
    time_in_force: U8 = 0
    self_trade_mode: U8 = 0
    reserved: U8 = 0
    client_id: ClientId = NO_CLIENT_ID


class SavedAgendaItem(NamedTuple):
    """Work that an entry could not take any more."""

    kind: U32 = 0
    account: U32 = 0
    market: U32 = 0
    reason: U32 = 0


class SavedProducer(NamedTuple):
    """The last batch of a producer that was executed."""

    incarnation: U64 = 0
    number: U64 = 0
    producer: U32 = 0
    reserved: U32 = 0


RecordT = TypeVar("RecordT", bound=tuple[Any, ...])


class Layout(Generic[RecordT]):
    """Packs and unpacks one record class. Cost of `unpack_from`: one struct call, one tuple."""

    def __init__(self, record: type[RecordT], size: int) -> None:
        hints = get_type_hints(record, include_extras=True)
        self.record = record
        self.fields = tuple((name, *hint.__metadata__) for name, hint in hints.items())
        self.struct = struct.Struct("<" + "".join(code for _, code, _ in self.fields))
        self.size = self.struct.size
        self.offsets: dict[str, int] = {}
        """Where each field begins."""
        offset = 0
        for name, code, c_type in self.fields:
            width = struct.calcsize("<" + code)
            assert "[" in c_type or offset % width == 0, f"{record.__name__}.{name} is not aligned"
            self.offsets[name] = offset
            offset += width
        assert self.size == size, f"{record.__name__} has {self.size} bytes, not {size}"

    def pack(self, record: RecordT) -> bytes:
        """The bytes of `record`.

        Raises:
            struct.error: a value does not fit its field.
        """
        return self.struct.pack(*record)

    def unpack_from(self, data: Any, offset: int = 0) -> RecordT:
        """The record at `offset` of `data`.

        Raises:
            struct.error: fewer than `size` bytes follow `offset`.
        """
        return self.record._make(self.struct.unpack_from(data, offset))  # type: ignore[attr-defined, no-any-return]


BATCH_HEADER = Layout(BatchHeader, 32)
COMMAND = Layout(Command, 128)
ORDER_TERMS = Layout(OrderTerms, 64)
EVENT_HEADER = Layout(EventHeader, 48)
EVENT_BYTES = 256
ORDER_EVENT = Layout(OrderEvent, EVENT_BYTES)
TRADE_EVENT = Layout(TradeEvent, EVENT_BYTES)
PREVENTED_EVENT = Layout(PreventedEvent, EVENT_BYTES)
EVENT_VIEWS: tuple[Layout[Any], ...] = (ORDER_EVENT, TRADE_EVENT, PREVENTED_EVENT)
ASSET_DEFINITION = Layout(AssetDefinition, 4)
MARKET_DEFINITION = Layout(MarketDefinition, 88)
FEES = Layout(Fees, 8)
KEY_DEFINITION = Layout(KeyDefinition, 16)
TIER_LIMITS = Layout(TierLimits, 64)
EPOCH_START = Layout(EpochStart, 64)
STATE_REPORT = Layout(StateReport, 88)
SAVED_VENUE = Layout(SavedVenue, 96)
SAVED_ASSET = Layout(SavedAsset, 16)
SAVED_MARKET = Layout(SavedMarket, 48)
SAVED_ACCOUNT = Layout(SavedAccount, 16)
SAVED_BALANCE = Layout(SavedBalance, 24)
SAVED_FEES = Layout(SavedFees, 16)
SAVED_KEY = Layout(SavedKey, 16)
SAVED_ORDER = Layout(SavedOrder, 112)
SAVED_AGENDA_ITEM = Layout(SavedAgendaItem, 16)
SAVED_PRODUCER = Layout(SavedProducer, 24)

for _view in EVENT_VIEWS[1:]:
    _shared = ORDER_EVENT.offsets.keys() & _view.offsets.keys() - {"prevented_lots", "self_trade_group", "reserved"}
    assert all(ORDER_EVENT.offsets[name] == _view.offsets[name] for name in _shared), "views agree on what they share"

_LAYOUT_OF_KIND: dict[int, Layout[Any]] = {EventKind.TRADE: TRADE_EVENT, EventKind.TRADE_PREVENTED: PREVENTED_EVENT}


def unpack_event(data: Any, offset: int) -> Event:
    """The event at `offset` of `data`, in the view of its kind.

    Raises:
        struct.error: fewer than 256 bytes follow `offset`.
    """
    view: Event = _LAYOUT_OF_KIND.get(data[offset], ORDER_EVENT).unpack_from(data, offset)
    return view


def pack_event(event: Event) -> bytes:
    """The 256 bytes of an event."""
    return _LAYOUT_OF_KIND.get(event.kind, ORDER_EVENT).pack(event)


class EngineStop(Exception):
    """The journal cannot be carried on from here; nothing is skipped in silence. The text says why."""


class MalformedRecord(ValueError):
    """The bytes are not a record of this version; the text says what is wrong."""


def pack_parts(*parts: bytes) -> bytes:
    """The parts, each with its length in front as 16 bits.

    >>> pack_parts(b"BTC", b"")
    b'\\x03\\x00BTC\\x00\\x00'
    """
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def unpack_parts(data: bytes) -> list[bytes]:
    """The inverse of `pack_parts`.

    Raises:
        MalformedRecord: a length points past the end.
    """
    parts = []
    offset = 0
    while offset < len(data):
        end = offset + 2
        if end > len(data):
            raise MalformedRecord("a part's length is cut off")
        end += data[offset] | data[offset + 1] << 8
        if end > len(data):
            raise MalformedRecord("a part is cut off")
        parts.append(bytes(data[offset + 2 : end]))
        offset = end
    return parts


def client_id(text: str) -> bytes:
    """A client order id as a record has it: ASCII, zero-padded to CLIENT_ID_BYTES.

    Raises:
        ValueError: more than CLIENT_ID_BYTES characters, or one outside ASCII.
    """
    data = text.encode("ascii")
    if len(data) > CLIENT_ID_BYTES:
        raise ValueError(f"a client order id has at most {CLIENT_ID_BYTES} characters, not {len(data)}")
    return data.ljust(CLIENT_ID_BYTES, b"\0")


class BatchBuilder:
    """Collects commands until they are appended as one journal entry.

    >>> builder = BatchBuilder()
    >>> builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"operator", b"first client", b"alice/1000")
    0
    >>> len(builder.build(producer=1, incarnation=1, number=1)) == 32 + 128 + len(builder.blobs)
    True
    """

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.blobs = bytearray()

    def __len__(self) -> int:
        return len(self.commands)

    @property
    def size(self) -> int:
        """Bytes of the batch if it were built now."""
        return BATCH_HEADER.size + len(self.commands) * COMMAND.size + len(self.blobs)

    def has_room(self, blob_length: int = 0) -> bool:
        """Whether one more command with that much blob fits into a batch."""
        return len(self.commands) < BATCH_COMMANDS_MAX and self.size + COMMAND.size + blob_length <= BATCH_BYTES_MAX

    def add(self, command: Command, *parts: bytes) -> int:
        """Adds a command with the parts of its blob and returns its index in the batch.

        Raises:
            struct.error: a value does not fit its field.
            OverflowError: the batch is full; ask `has_room` first.
        """
        blob = pack_parts(*parts)
        if not self.has_room(len(blob)):
            raise OverflowError("the batch is full")
        if blob:
            command = command._replace(blob_offset=len(self.blobs), blob_length=len(blob))
        self.commands.append(COMMAND.pack(command))
        self.blobs += blob
        return len(self.commands) - 1

    def build(self, *, producer: int, incarnation: int, number: int) -> bytes:
        """The batch as bytes; the builder keeps its content, so a retry gives the same bytes."""
        return seal_batch(
            BatchHeader(
                command_count=len(self.commands),
                producer=producer,
                incarnation=incarnation,
                number=number,
                blob_length=len(self.blobs),
            ),
            *self.commands,
            bytes(self.blobs),
        )


_CRC_OFFSET = BATCH_HEADER.offsets["crc32"]


def seal_batch(header: BatchHeader, *body: bytes) -> bytes:
    """A batch with its CRC-32 in the header. Cost: 0.25 ns a byte."""
    content = b"".join(body)
    crc32 = zlib.crc32(content, zlib.crc32(BATCH_HEADER.pack(header)[:_CRC_OFFSET]))
    return BATCH_HEADER.pack(header._replace(crc32=crc32)) + content


def is_sealed(batch: bytes) -> bool:
    """Whether the CRC-32 of a batch is that of its bytes. Fewer bytes than a header are not sealed."""
    if len(batch) < BATCH_HEADER.size:
        return False
    crc32 = zlib.crc32(memoryview(batch)[BATCH_HEADER.size :], zlib.crc32(batch[:_CRC_OFFSET]))
    return batch[_CRC_OFFSET : BATCH_HEADER.size] == crc32.to_bytes(4, "little")


def check_version(data: bytes, what: str) -> None:
    """Checks the version that a batch or an event entry begins with.

    Raises:
        MalformedRecord: it is another one; the text names it.
    """
    version = int.from_bytes(data[:2], "little")
    if version != VERSION:
        raise MalformedRecord(f"{what} has format version {version}, and this version of Jibek reads {VERSION}")


def parse_batch(data: bytes) -> tuple[BatchHeader, list[Command], bytes]:
    """Header, commands and blob area of a batch. The CRC-32 is not looked at: see `is_sealed`.

    Raises:
        MalformedRecord: the version is unknown, the count is over 256, or the lengths do not add up.
    """
    if len(data) < BATCH_HEADER.size:
        raise MalformedRecord("shorter than a batch header")
    check_version(data, "the batch")
    header = BATCH_HEADER.unpack_from(data)
    blob_start = BATCH_HEADER.size + header.command_count * COMMAND.size
    if header.command_count > BATCH_COMMANDS_MAX:
        raise MalformedRecord("the header has values out of range")
    if len(data) != blob_start + header.blob_length:
        raise MalformedRecord("the lengths do not add up")
    commands = [COMMAND.unpack_from(data, BATCH_HEADER.size + i * COMMAND.size) for i in range(header.command_count)]
    return header, commands, bytes(data[blob_start:])


class EventEntry:
    """One event entry, read lazily: the header at once, the events as they are asked for."""

    __slots__ = ("data", "header")

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            MalformedRecord: the version is unknown or the lengths do not add up.
        """
        if len(data) < EVENT_HEADER.size:
            raise MalformedRecord("shorter than an event header")
        check_version(data, "the event entry")
        self.data = data
        self.header = EVENT_HEADER.unpack_from(data)
        if len(data) != EVENT_HEADER.size + self.header.event_count * EVENT_BYTES + self.header.blob_length:
            raise MalformedRecord("the lengths do not add up")

    def __len__(self) -> int:
        return self.header.event_count

    def __iter__(self) -> Iterator[Event]:
        end = EVENT_HEADER.size + self.header.event_count * EVENT_BYTES
        for offset in range(EVENT_HEADER.size, end, EVENT_BYTES):
            yield unpack_event(self.data, offset)

    def parts(self, event: Event) -> list[bytes]:
        """The parts of the event's blob, in the order in which the command gave them; a trade has none."""
        if not isinstance(event, OrderEvent):
            return []
        start = EVENT_HEADER.size + self.header.event_count * EVENT_BYTES + event.blob_offset
        return unpack_parts(self.data[start : start + event.blob_length])

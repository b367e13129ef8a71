"""What a valid definition is: assets, markets, fees, tiers, accounts and keys in the blobs of commands.

Both engines read definitions through this module, and venue.toml is checked against it, so there is one answer to
whether a definition is valid. Nothing here touches the state of an exchange.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping

from engine.ed25519 import is_sound
from engine.order_types import OrderFlag, order_flags
from engine.reasons import Reason
from engine.records import (
    ADDRESS_LIMITS,
    AMOUNT_MAX,
    ASSET_DEFINITION,
    DEFAULT_TIER,
    EPOCH_START,
    FEE_PPM_MAX,
    FEES,
    HOUSE_ACCOUNT,
    HOUSE_NAME,
    ID_MAX,
    KEY_DEFINITION,
    KEY_NETWORKS_MAX,
    KEYS_PER_ACCOUNT_MAX,
    LIMIT_MAX,
    LIMIT_NAMES,
    MARKET_DEFINITION,
    NETWORK_BYTES,
    NOTIONAL_MIN_UNITS,
    OPERATOR_PARTS,
    PPM,
    PRICE_SCALE,
    SAVED_BALANCE,
    SAVED_ORDER,
    SAVED_PRODUCER,
    SCALE_MAX,
    TICK_AND_LOT_MAX,
    TIER_LIMITS,
    TIERS_MAX,
    AgendaKind,
    EngineStop,
    EpochStart,
    Fees,
    KeyDefinition,
    KeyType,
    Layout,
    MalformedRecord,
    MarketDefinition,
    MarketState,
    Permission,
    RecordT,
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
    SelfTradeMode,
    TierLimits,
    unpack_parts,
)

RULES_VERSION = 3
"""The rules that both engines follow. An epoch-start entry names the version from which on they hold."""

ASSET_NAME = re.compile(rb"[A-Z0-9]{1,10}")
SYMBOL = re.compile(rb"[A-Z0-9]{1,20}")
ACCOUNT_NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{0,31}")
KEY_ID = re.compile(rb"[A-Za-z0-9]{1,64}")
TIER_NAME = re.compile(rb"[a-z0-9_]{1,20}")

_BALANCE = struct.Struct("<IIqq")
_PUBLIC_KEY_BYTES = {KeyType.HMAC_SHA256: 0, KeyType.ED25519: 32}


class Rejected(ValueError):
    """The rules refuse a change, and nothing of it has been done; `reason` says why.

    In a core it ends one command, which is answered by a REJECTED event. `engine.Engine` raises it to its caller, but not
    for orders: see `engine.library_values.Outcome`.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason.name}: {self.reason.text}"


def reject_unless(condition: object, reason: Reason) -> None:
    """Raises `Rejected(reason)` unless the condition holds."""
    if not condition:
        raise Rejected(reason)


def read_parts(blob: bytes, count: int) -> list[bytes]:
    """The parts of a command's blob; refused as MALFORMED_COMMAND unless there are exactly `count`."""
    try:
        parts = unpack_parts(blob)
    except MalformedRecord:
        raise Rejected(Reason.MALFORMED_COMMAND) from None
    reject_unless(len(parts) == count, Reason.MALFORMED_COMMAND)
    return parts


def read_change(blob: bytes, count: int = 0) -> list[bytes]:
    """The `count` parts of an operator's command that stand before the operator's own (OPERATOR_PARTS); refused as
    MALFORMED_COMMAND unless there are exactly as many."""
    return read_parts(blob, count + OPERATOR_PARTS)[:count]


def _unpack(layout: Layout[RecordT], packed: bytes) -> RecordT:
    reject_unless(len(packed) == layout.size, Reason.MALFORMED_COMMAND)
    return layout.unpack_from(packed)


def read_epoch_start(blob: bytes) -> EpochStart:
    """The record of EPOCH_START.

    Raises:
        Rejected: it cannot be read.
        EngineStop: it asks for rules of another version, or skips more ids than there are.
    """
    (packed,) = read_parts(blob, 1)
    start = _unpack(EPOCH_START, packed)
    if start.rules_version != RULES_VERSION:
        raise EngineStop(f"the journal asks for rules version {start.rules_version}; this engine has {RULES_VERSION}")
    if start.ids_skip > ID_MAX or (start.previous_epoch == 0 and start.ids_skip):
        raise EngineStop(f"the epoch-start skips {start.ids_skip} ids, more than can have been used")
    return start


def read_asset(blob: bytes) -> tuple[int, bytes]:
    """Scale and name of ASSET_ADD. Raises Rejected."""
    packed, name = read_change(blob, 2)
    definition = _unpack(ASSET_DEFINITION, packed)
    valid = ASSET_NAME.fullmatch(name) and definition.scale <= SCALE_MAX
    reject_unless(valid, Reason.INVALID_ASSET_DEFINITION)
    return definition.scale, name


def read_market(blob: bytes, scales: Mapping[int, int]) -> tuple[MarketDefinition, bytes, int]:
    """Definition, symbol and `lot_value_units` of MARKET_ADD. Raises Rejected.

    Args:
        scales: the scale of every listed asset, by number.
    """
    packed, symbol = read_change(blob, 2)
    definition = _unpack(MARKET_DEFINITION, packed)
    known = definition.base_asset in scales and definition.quote_asset in scales
    reject_unless(known and SYMBOL.fullmatch(symbol), Reason.INVALID_MARKET_DEFINITION)
    value_units = lot_value_units(definition, scales[definition.base_asset], scales[definition.quote_asset])
    reject_unless(value_units and not market_faults(definition), Reason.INVALID_MARKET_DEFINITION)
    return definition, symbol, value_units


def lot_value_units(definition: MarketDefinition, base_scale: int, quote_scale: int) -> int:
    """Value of one lot at a price of one tick, in smallest units of the quote asset; 0 where it is not a whole number.

    >>> lot_value_units(MarketDefinition(tick_e8=1_000_00000000, lot_units=1_000), 8, 2)  # BTC/KZT: 1,000 × 0.00001
    1
    """
    numerator = definition.tick_e8 * definition.lot_units * 10**quote_scale
    units, remainder = divmod(numerator, 10 ** (PRICE_SCALE + base_scale))
    return units if remainder == 0 and units <= AMOUNT_MAX else 0


def market_faults(definition: MarketDefinition) -> list[str]:
    """What is wrong with the numbers of a market, each as the end of a sentence; empty where nothing is."""
    faults = {
        "base and quote are the same asset": definition.base_asset == definition.quote_asset,
        "reserved fields are in use": definition.reserved != 0,
        f"tick or lot is outside 1 to {TICK_AND_LOT_MAX} units": not (
            0 < definition.tick_e8 <= TICK_AND_LOT_MAX and 0 < definition.lot_units <= TICK_AND_LOT_MAX
        ),
        "the price limits are not in order": not (
            0 < definition.price_min_ticks <= definition.price_max_ticks <= AMOUNT_MAX
        ),
        "the quantity limits are not in order": not (
            0 < definition.quantity_min_lots <= definition.quantity_max_lots <= AMOUNT_MAX
        ),
        "the largest quantity passes 2^62 smallest units": (
            definition.quantity_max_lots * definition.lot_units > AMOUNT_MAX
        ),
        f"the notional limits are not in order, or the least is below {NOTIONAL_MIN_UNITS} smallest units": not (
            NOTIONAL_MIN_UNITS <= definition.notional_min <= definition.notional_max <= AMOUNT_MAX
        ),
        f"a fee is above {FEE_PPM_MAX} parts per million": (
            max(definition.maker_fee_ppm, definition.taker_fee_ppm) > FEE_PPM_MAX
        ),
    }
    return [fault for fault, present in faults.items() if present]


def read_fees(blob: bytes) -> Fees:
    """The fees of FEES_SET. Raises Rejected."""
    (packed,) = read_change(blob, 1)
    fees = _unpack(FEES, packed)
    reject_unless(max(fees) <= FEE_PPM_MAX, Reason.INVALID_FEES)
    return fees


def read_account(blob: bytes) -> bytes:
    """The name of ACCOUNT_ADD. Raises Rejected."""
    (name,) = read_change(blob, 1)
    reject_unless(ACCOUNT_NAME.fullmatch(name), Reason.INVALID_ACCOUNT_NAME)
    return name


def read_key(blob: bytes) -> tuple[KeyDefinition, bytes, bytes, bytes]:
    """Definition, key id, public key and networks of KEY_ADD. Raises Rejected. Only a new key is asked for a sound public key: one that
    a dump has keeps working."""
    packed, key_id, public_key, networks = read_change(blob, 4)
    definition = _unpack(KEY_DEFINITION, packed)
    reject_unless(is_valid_key(definition, key_id, public_key), Reason.INVALID_KEY)
    reject_unless(are_valid_networks(networks), Reason.INVALID_NETWORKS)
    reject_unless(definition.key_type != KeyType.ED25519 or is_sound(public_key), Reason.WEAK_PUBLIC_KEY)
    return definition, key_id, public_key, networks


def is_valid_key(definition: KeyDefinition, key_id: bytes, public_key: bytes) -> bool:
    """Whether an API key has an id, a known type with a public key of its length, known permissions, and an expiry that is
    a time."""
    return (
        KEY_ID.fullmatch(key_id) is not None
        and len(public_key) == _PUBLIC_KEY_BYTES.get(definition.key_type)  # type: ignore[call-overload]
        and 0 < definition.permissions <= Permission.READ | Permission.TRADE
        and definition.expiry_us >= 0
    )


def are_valid_networks(packed: bytes) -> bool:
    """Whether the networks of an API key (`engine.networks`) are in their one canonical form: at most KEY_NETWORKS_MAX, in
    ascending order, each once, and with no bits set behind its prefix. None at all allows every address."""
    if len(packed) % NETWORK_BYTES or len(packed) > KEY_NETWORKS_MAX * NETWORK_BYTES:
        return False
    entries = [packed[start : start + NETWORK_BYTES] for start in range(0, len(packed), NETWORK_BYTES)]
    canonical = all(
        entry[0] <= 128 and int.from_bytes(entry[1:], "big") & ((1 << (128 - entry[0])) - 1) == 0 for entry in entries
    )
    return canonical and entries == sorted(set(entries))


def read_limits(blob: bytes) -> tuple[TierLimits, bytes]:
    """The limits and the name of the tier of LIMITS_SET. Raises Rejected."""
    packed, tier = read_change(blob, 2)
    limits = _unpack(TIER_LIMITS, packed)
    reject_unless(TIER_NAME.fullmatch(tier) and not limits_faults(tier, limits), Reason.INVALID_LIMITS)
    return limits, tier


def limits_faults(tier: bytes, limits: TierLimits) -> list[str]:
    """What is wrong with the numbers of a tier, each as a sentence's end that begins with a name; empty where nothing is."""
    is_default = tier == DEFAULT_TIER
    faults = [f"{name} is above {LIMIT_MAX}" for name in LIMIT_NAMES if getattr(limits, name) > LIMIT_MAX]
    if is_default:
        faults += [f"{name} is 0" for name in LIMIT_NAMES if getattr(limits, name) == 0]
    else:
        faults += [
            f"{name} counts before anybody logs on, and only the tier default can set it"
            for name in ADDRESS_LIMITS
            if getattr(limits, name)
        ]
    if any(limits[len(LIMIT_NAMES) :]):
        faults.append("reserved is in use")
    return faults


def read_account_limits(blob: bytes) -> bytes:
    """The name of the tier of ACCOUNT_LIMITS_SET. Raises Rejected."""
    (tier,) = read_change(blob, 1)
    reject_unless(TIER_NAME.fullmatch(tier), Reason.UNKNOWN_TIER)
    return tier


def balances_digest(balances: Iterable[tuple[int, int, int, int]]) -> bytes:
    """The `balances_hash` of a StateReport: SHA-256 over (account, asset, available, held) of each balance in order."""
    return hashlib.sha256(b"".join(_BALANCE.pack(*balance) for balance in balances)).digest()


# -- a dump of the state: what both engines accept when they load one


class SavedStateFault(ValueError):
    """The bytes are no state that an engine of this version has dumped; the text says what is wrong."""


def _fault_unless(condition: object, text: str) -> None:
    if not condition:
        raise SavedStateFault(text)


class StateReader:
    """Reads a dump from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def record(self, layout: Layout[RecordT]) -> RecordT:
        """The next record.

        Raises:
            SavedStateFault: the dump ends before, or a reserved field is in use.
        """
        _fault_unless(self.offset + layout.size <= len(self.data), f"a {layout.record.__name__} is cut off")
        record = layout.unpack_from(self.data, self.offset)
        self.offset += layout.size
        _fault_unless(not getattr(record, "reserved", 0), f"a {layout.record.__name__} has reserved fields in use")
        return record

    def part(self) -> bytes:
        """The next part, without its length. Raises SavedStateFault where it is cut off."""
        start = self.offset + 2
        end = start + int.from_bytes(self.data[self.offset : start], "little")
        _fault_unless(end <= len(self.data), "a name is cut off")
        self.offset = end
        return self.data[start:end]

    def balances(self, count: int, asset_count: int) -> Iterator[SavedBalance]:
        """That many balances of one account, in order. Raises SavedStateFault."""
        last = 0
        for _ in range(count):
            balance = self.record(SAVED_BALANCE)
            known = last < balance.asset <= asset_count
            amounts = min(balance.available, balance.held) >= 0 < balance.available + balance.held <= AMOUNT_MAX
            _fault_unless(known and amounts, f"the balance of asset {balance.asset} is out of order or out of range")
            last = balance.asset
            yield balance

    def orders(self, count: int) -> Iterator[SavedOrder]:
        """That many orders of one side of a market. Raises SavedStateFault if they offer more than can exist."""
        lots = 0
        for _ in range(count):
            saved = self.record(SAVED_ORDER)
            lots += max(0, saved.remaining_lots)
            _fault_unless(lots <= AMOUNT_MAX, f"up to order {saved.order_id} there are more lots than can be held")
            yield saved

    def producers(self, count: int) -> Iterator[SavedProducer]:
        """That many producers, in order. Raises SavedStateFault."""
        last = -1
        for _ in range(count):
            saved = self.record(SAVED_PRODUCER)
            _fault_unless(saved.producer > last, f"producer {saved.producer} is out of order")
            last = saved.producer
            yield saved

    def end(self) -> None:
        """Raises SavedStateFault where anything follows."""
        _fault_unless(self.offset == len(self.data), f"{len(self.data) - self.offset} bytes too many")


def check_saved_venue(venue: SavedVenue) -> None:
    """Refuses a dump of another format or of other rules, by name. Raises SavedStateFault."""
    _fault_unless(venue.magic == SavedVenue().magic, f"{venue.magic!r} is not the format {SavedVenue().magic!r}")
    rules = venue.rules_version
    _fault_unless(rules == RULES_VERSION, f"the rules are version {rules}; this engine has {RULES_VERSION}")
    _fault_unless(venue.venue_state in list(MarketState), f"the venue is in state {venue.venue_state}")
    accepted = abs(venue.accepted_difference_us) <= AMOUNT_MAX and 0 <= venue.accepted_time_us <= max(venue.time_us, 0)
    _fault_unless(accepted, "the time that was accepted is not one that the venue has had")
    _fault_unless(venue.accepted_store_us >= 0, "the store's time that was accepted is negative")
    _fault_unless(venue.last_order_id <= ID_MAX, f"order id {venue.last_order_id} is too large")
    _fault_unless(max(venue.asset_count, venue.market_count) < 1 << 16, "more assets or markets than have numbers")
    _fault_unless(venue.account_count > 0, "there is no house account")
    _fault_unless(0 < venue.tier_count <= TIERS_MAX, f"there are {venue.tier_count} tiers")


def check_saved_asset(saved: SavedAsset, name: bytes, taken: Collection[bytes]) -> None:
    """Raises SavedStateFault."""
    valid = ASSET_NAME.fullmatch(name) and saved.scale <= SCALE_MAX and 0 <= saved.issued <= AMOUNT_MAX
    _fault_unless(valid and name not in taken, f"asset {name!r} is not valid, or listed twice")


def check_saved_market(
    definition: MarketDefinition,
    saved: SavedMarket,
    symbol: bytes,
    scales: Mapping[int, int],
    taken: Collection[bytes],
) -> int:
    """Checks a market of a dump; its `lot_value_units`. Raises SavedStateFault."""
    known = definition.base_asset in scales and definition.quote_asset in scales
    _fault_unless(known and not market_faults(definition), f"market {symbol!r} is not valid")
    value_units = lot_value_units(definition, scales[definition.base_asset], scales[definition.quote_asset])
    _fault_unless(value_units and SYMBOL.fullmatch(symbol) and symbol not in taken, f"market {symbol!r} is not valid")
    in_range = (
        max(saved.maker_fee_ppm, saved.taker_fee_ppm) <= FEE_PPM_MAX
        and saved.state in list(MarketState)
        and max(saved.last_trade_id, saved.last_update_id) <= ID_MAX
        and 0 <= saved.last_price_ticks <= AMOUNT_MAX
    )
    _fault_unless(in_range, f"market {symbol!r} has a number out of range")
    return value_units


def check_saved_tier(limits: TierLimits, tier: bytes, number: int, taken: Collection[bytes]) -> None:
    """Raises SavedStateFault."""
    named = (tier == DEFAULT_TIER) == (number == 0) and TIER_NAME.fullmatch(tier) and tier not in taken
    _fault_unless(named, f"tier {number}, {tier!r}, is not valid, or there twice")
    faults = limits_faults(tier, limits)
    _fault_unless(not faults, f"tier {number}, {tier!r}: {faults[:1]}")


def check_saved_account(
    saved: SavedAccount, name: bytes, number: int, taken: Collection[bytes], tier_count: int
) -> None:
    """Raises SavedStateFault."""
    _fault_unless(saved.tier < tier_count, f"account {number} has tier {saved.tier}, which is not there")
    valid = name == HOUSE_NAME if number == HOUSE_ACCOUNT else ACCOUNT_NAME.fullmatch(name) and name not in taken
    _fault_unless(valid and saved.is_frozen <= 1, f"account {number}, {name!r}, is not valid, or there twice")
    _fault_unless(saved.key_count <= KEYS_PER_ACCOUNT_MAX, f"account {number} has {saved.key_count} keys")
    is_client = saved.is_frozen or saved.tier or saved.fees_count or saved.key_count
    _fault_unless(number != HOUSE_ACCOUNT or not is_client, "the house has what only clients have")


def check_saved_fees(fees: SavedFees, account: int, last_market: int, market_count: int) -> None:
    """Raises SavedStateFault."""
    valid = last_market < fees.market <= market_count and max(fees.maker_fee_ppm, fees.taker_fee_ppm) <= FEE_PPM_MAX
    _fault_unless(valid, f"account {account} has fees in market {fees.market} that are out of order or out of range")


def check_saved_key(
    key: SavedKey,
    key_id: bytes,
    public_key: bytes,
    networks: bytes,
    account: int,
    last_id: bytes,
    taken: Collection[bytes],
) -> None:
    """Raises SavedStateFault."""
    valid = is_valid_key(KeyDefinition(*key), key_id, public_key) and are_valid_networks(networks)
    _fault_unless(valid and key_id > last_id and key_id not in taken, f"account {account} has a key that is not valid")


def check_saved_order(
    saved: SavedOrder,
    definition: MarketDefinition,
    lot_value_units: int,
    last_order_id: int,
    account_count: int,
    time_us: int,
) -> None:
    """What can be judged of an order by itself, where the venue's time is `time_us`. Raises SavedStateFault."""
    resting = OrderFlag.HAS_LIMIT | OrderFlag.MAY_REST
    may_rest = order_flags(saved.order_type, saved.time_in_force) & resting == resting
    named = 0 < saved.order_id <= last_order_id and 0 < saved.account < account_count
    sized = 0 < saved.remaining_lots <= saved.quantity_lots <= definition.quantity_max_lots
    priced = 0 < saved.price_ticks <= definition.price_max_ticks
    valued = saved.price_ticks * saved.quantity_lots * lot_value_units <= AMOUNT_MAX
    # All that the venue has may be paid for an order when it comes, and its own value once more while it rests.
    paid = 0 <= saved.cumulative_quote <= 2 * AMOUNT_MAX and saved.fee_credit < PPM
    padded = b"\0" not in saved.client_id.rstrip(b"\0") and saved.self_trade_mode == SelfTradeMode.NONE
    timed = saved.working_us == saved.created_us <= saved.updated_us <= time_us
    valid = may_rest and named and sized and priced and valued and paid and padded and timed
    _fault_unless(valid, f"order {saved.order_id} is not one that could rest")


def check_saved_agenda_item(item: SavedAgendaItem, account_count: int, market_count: int) -> None:
    """Raises SavedStateFault."""
    known = item.kind in list(AgendaKind) and 0 < item.account < account_count and item.market <= market_count
    reasons = (Reason.CANCELLED_BY_OWNER, Reason.CANCELLED_BY_FREEZE)
    _fault_unless(known and item.reason in reasons, f"the agenda has {item}")

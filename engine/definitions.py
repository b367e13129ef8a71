"""What a valid definition is: assets, markets, fees, accounts and keys as they stand in the blobs of commands.

Both engines read definitions through this module, and venue.toml is checked against it, so there is one answer to
whether a definition is valid. Nothing here touches the state of an exchange.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    EPOCH_START,
    FEE_PPM_MAX,
    FEES,
    ID_MAX,
    KEY_DEFINITION,
    MARKET_DEFINITION,
    NOTIONAL_MIN_UNITS,
    PRICE_SCALE,
    SCALE_MAX,
    TICK_AND_LOT_MAX,
    EngineStop,
    EpochStart,
    Fees,
    KeyDefinition,
    KeyType,
    Layout,
    MalformedRecord,
    MarketDefinition,
    Permission,
    RecordT,
    unpack_parts,
)

RULES_VERSION = 2
"""The rules that both engines follow. An epoch-start entry names the version from which on they hold."""

ASSET_NAME = re.compile(rb"[A-Z0-9]{1,10}")
SYMBOL = re.compile(rb"[A-Z0-9]{1,20}")
ACCOUNT_NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{0,31}")
KEY_ID = re.compile(rb"[A-Za-z0-9]{1,64}")

_PUBLIC_KEY_BYTES = {KeyType.HMAC_SHA256: 0, KeyType.ED25519: 32}


class Refused(Exception):
    """Ends the execution of one command with a reason; nothing of it has been carried out."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


def refuse_unless(condition: object, reason: Reason) -> None:
    """Raises `Refused(reason)` unless the condition holds."""
    if not condition:
        raise Refused(reason)


def read_parts(blob: bytes, count: int) -> list[bytes]:
    """The parts of a command's blob; refused as MALFORMED_COMMAND unless there are exactly `count`."""
    try:
        parts = unpack_parts(blob)
    except MalformedRecord:
        raise Refused(Reason.MALFORMED_COMMAND) from None
    refuse_unless(len(parts) == count, Reason.MALFORMED_COMMAND)
    return parts


def _unpack(layout: Layout[RecordT], packed: bytes) -> RecordT:
    refuse_unless(len(packed) == layout.size, Reason.MALFORMED_COMMAND)
    return layout.unpack_from(packed)


def read_epoch_start(blob: bytes) -> EpochStart:
    """The record of EPOCH_START.

    Raises:
        Refused: it cannot be read.
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
    """Scale and name of ASSET_ADD. Raises Refused."""
    packed, name, _, _ = read_parts(blob, 4)
    definition = _unpack(ASSET_DEFINITION, packed)
    valid = ASSET_NAME.fullmatch(name) and definition.scale <= SCALE_MAX
    refuse_unless(valid, Reason.INVALID_ASSET_DEFINITION)
    return definition.scale, name


def read_market(blob: bytes, scales: Mapping[int, int]) -> tuple[MarketDefinition, bytes, int]:
    """Definition, symbol and notional unit of MARKET_ADD. Raises Refused.

    Args:
        scales: the scale of every listed asset, by number.
    """
    packed, symbol, _, _ = read_parts(blob, 4)
    definition = _unpack(MARKET_DEFINITION, packed)
    known = definition.base_asset in scales and definition.quote_asset in scales
    refuse_unless(known and SYMBOL.fullmatch(symbol), Reason.INVALID_MARKET_DEFINITION)
    unit = lot_value_units(definition, scales[definition.base_asset], scales[definition.quote_asset])
    refuse_unless(unit and not market_faults(definition), Reason.INVALID_MARKET_DEFINITION)
    return definition, symbol, unit


def lot_value_units(definition: MarketDefinition, base_scale: int, quote_scale: int) -> int:
    """Value of one lot at a price of one tick, in smallest units of the quote asset; 0 where it is not a whole number.

    >>> lot_value_units(MarketDefinition(tick_e8=1_000_00000000, lot_units=1_000), 8, 2)  # BTC/KZT: 1,000 × 0.00001
    1
    """
    numerator = definition.tick_e8 * definition.lot_units * 10**quote_scale
    unit, rest = divmod(numerator, 10 ** (PRICE_SCALE + base_scale))
    return unit if rest == 0 and unit <= AMOUNT_MAX else 0


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
    """The fees of FEES_SET. Raises Refused."""
    packed, _, _ = read_parts(blob, 3)
    fees = _unpack(FEES, packed)
    refuse_unless(max(fees) <= FEE_PPM_MAX, Reason.INVALID_FEES)
    return fees


def read_account(blob: bytes) -> bytes:
    """The name of ACCOUNT_ADD. Raises Refused."""
    name, _, _ = read_parts(blob, 3)
    refuse_unless(ACCOUNT_NAME.fullmatch(name), Reason.INVALID_ACCOUNT_NAME)
    return name


def read_key(blob: bytes) -> tuple[KeyDefinition, bytes, bytes]:
    """Definition, key id and public key of KEY_ADD. Raises Refused."""
    packed, key_id, public_key, _, _ = read_parts(blob, 5)
    definition = _unpack(KEY_DEFINITION, packed)
    valid = (
        KEY_ID.fullmatch(key_id)
        and len(public_key) == _PUBLIC_KEY_BYTES.get(definition.key_type)  # type: ignore[call-overload]
        and 0 < definition.permissions <= Permission.READ | Permission.TRADE
    )
    refuse_unless(valid, Reason.INVALID_KEY)
    return definition, key_id, public_key

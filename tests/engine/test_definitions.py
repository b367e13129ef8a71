"""What a valid definition is, and the one exception with which the rules refuse a change.

The checks of a dump, which are in the same module, are tested in test_dump.py.
"""

from __future__ import annotations

import pickle

import pytest

from engine.definitions import (
    Rejected,
    balances_digest,
    is_valid_key,
    lot_value_units,
    market_faults,
    read_account,
    read_change,
    reject_unless,
)
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    FEE_PPM_MAX,
    NOTIONAL_MIN_UNITS,
    TICK_AND_LOT_MAX,
    KeyDefinition,
    KeyType,
    MarketDefinition,
    Permission,
    pack_parts,
)

MARKET = MarketDefinition(
    base_asset=1,
    quote_asset=2,
    tick_e8=10**8,
    lot_units=1_000,
    price_min_ticks=1,
    price_max_ticks=10**6,
    quantity_min_lots=1,
    quantity_max_lots=10**6,
    notional_min=NOTIONAL_MIN_UNITS,
    notional_max=10**12,
    open_orders_max=10,
)


def test_a_rejection_is_a_value_error_with_the_text_of_its_reason() -> None:
    reject_unless(True, Reason.INVALID_FEES)
    with pytest.raises(ValueError, match=r"^INVALID_FEES: Fees are whole parts per million") as raised:
        reject_unless(False, Reason.INVALID_FEES)
    assert isinstance(raised.value, Rejected)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), again.reason, str(again)) == (Rejected, Reason.INVALID_FEES, str(raised.value))


@pytest.mark.parametrize(
    ("tick_e8", "lot_units", "base_scale", "quote_scale", "units"),
    [
        (10**8, 10**8, 8, 2, 100),
        (10**8, 10**6, 8, 2, 1),
        (10**8, 10**5, 8, 2, 0),
        (10**6, 10**6, 8, 8, 10**4),
        (TICK_AND_LOT_MAX, TICK_AND_LOT_MAX, 8, 8, 0),
        (AMOUNT_MAX, 10**8, 8, 8, AMOUNT_MAX),
        (AMOUNT_MAX + 1, 10**8, 8, 8, 0),
    ],
    ids=["hundred", "one", "a tenth", "many", "far too many", "the most", "one too many"],
)
def test_the_value_of_a_lot_is_a_whole_number_or_0(
    tick_e8: int, lot_units: int, base_scale: int, quote_scale: int, units: int
) -> None:
    definition = MarketDefinition(tick_e8=tick_e8, lot_units=lot_units)
    assert lot_value_units(definition, base_scale, quote_scale) == units


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"quote_asset": 1}, "same asset"),
        ({"reserved": 1}, "reserved"),
        ({"tick_e8": 0}, "tick or lot"),
        ({"lot_units": TICK_AND_LOT_MAX + 1, "quantity_max_lots": 1}, "tick or lot"),
        ({"price_min_ticks": 0}, "price limits"),
        ({"price_max_ticks": AMOUNT_MAX + 1}, "price limits"),
        ({"quantity_min_lots": 10**6 + 1}, "quantity limits"),
        ({"quantity_max_lots": AMOUNT_MAX // 1_000 + 1}, "the largest quantity"),
        ({"notional_min": NOTIONAL_MIN_UNITS - 1}, "notional limits"),
        ({"taker_fee_ppm": FEE_PPM_MAX + 1}, "a fee"),
    ],
    ids=lambda value: str(value),
)
def test_each_fault_of_a_market_is_found_alone(changes: dict[str, int], fault: str) -> None:
    assert market_faults(MARKET) == []
    [found] = market_faults(MARKET._replace(**changes))
    assert fault in found


@pytest.mark.parametrize(
    ("key", "key_id", "public_key", "is_valid"),
    [
        (KeyDefinition(KeyType.ED25519, Permission.READ), b"k1", bytes(32), True),
        (KeyDefinition(KeyType.HMAC_SHA256, Permission.READ | Permission.TRADE), b"k" * 64, b"", True),
        (KeyDefinition(KeyType.ED25519, Permission.READ), b"k1", bytes(31), False),
        (KeyDefinition(KeyType.HMAC_SHA256, Permission.READ), b"k1", bytes(32), False),
        (KeyDefinition(KeyType.HMAC_SHA256, 0), b"k1", b"", False),
        (KeyDefinition(KeyType.HMAC_SHA256, 2 * (Permission.READ | Permission.TRADE)), b"k1", b"", False),
        (KeyDefinition(99, Permission.READ), b"k1", b"", False),
        (KeyDefinition(KeyType.HMAC_SHA256, Permission.READ), b"", b"", False),
        (KeyDefinition(KeyType.HMAC_SHA256, Permission.READ), b"k" * 65, b"", False),
        (KeyDefinition(KeyType.HMAC_SHA256, Permission.READ), b"k-1", b"", False),
    ],
)
def test_a_key(key: KeyDefinition, key_id: bytes, public_key: bytes, is_valid: bool) -> None:
    assert is_valid_key(key, key_id, public_key) is is_valid


@pytest.mark.parametrize("blob", [b"", pack_parts(b"alice", b"x", b"y"), pack_parts(*[b"a"] * 5), b"\x05\x00al"])
def test_a_blob_of_other_parts_is_malformed(blob: bytes) -> None:
    for read in (read_account, lambda blob: read_change(blob, 1)):
        with pytest.raises(Rejected, match="MALFORMED_COMMAND"):
            read(blob)


def test_the_digest_of_balances_depends_on_each_of_them() -> None:
    balances = [(0, 1, 5, 0), (1, 1, 2, 3)]
    others = [balances[:1], balances[::-1], [(0, 1, 5, 0), (1, 1, 3, 2)], [(0, 1, 5, 0), (1, 2, 2, 3)], []]
    assert len({balances_digest(rows) for rows in [balances, *others]}) == 6
    assert balances_digest(iter(balances)) == balances_digest(balances)

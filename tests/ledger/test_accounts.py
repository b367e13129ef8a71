"""The chart of accounts: numbers, slots, and counters that share one integer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import HOUSE_ACCOUNT
from ledger.accounts import (
    CREDIT_SHIFT,
    DEBIT_SHIFT,
    Account,
    AccountKind,
    balance,
    credits,
    debits,
    field_of,
    first_negative,
    funds_kind,
    pack_counters,
    slot_asset,
    slot_kinds,
    slot_of,
    slot_of_field,
    slot_owner,
    unpack_counters,
)

owners = st.integers(0, 2**32 - 1)
assets = st.integers(0, 2**16 - 1)
turnovers = st.integers(0, 2**128 - 1)


@given(owners, assets, st.sampled_from(AccountKind))
def test_a_number_names_one_account(owner: int, asset: int, kind: AccountKind) -> None:
    account = Account(owner, asset, kind)
    assert Account.of(account.number) == account
    assert account.number >> 16 == slot_of(owner, asset)
    assert account.number < 2**64


@given(owners, assets)
def test_a_slot_survives_its_field(owner: int, asset: int) -> None:
    slot = slot_of(owner, asset)
    assert (slot_owner(slot), slot_asset(slot)) == (owner, asset)
    assert slot_of_field(field_of(slot)) == slot


@given(st.lists(st.tuples(owners, assets)))
def test_fields_sort_like_slots(pairs: list[tuple[int, int]]) -> None:
    slots = [slot_of(*pair) for pair in pairs]
    assert sorted(map(field_of, slots)) == [field_of(slot) for slot in sorted(slots)]


@given(owners, st.lists(turnovers, min_size=8, max_size=8))
def test_counters_do_not_touch_each_other(owner: int, values: list[int]) -> None:
    slot = slot_of(owner, 3)
    kinds = slot_kinds(slot)
    pairs = list(zip(kinds, values[0::2], values[1::2], strict=False))
    counters = sum((debit << DEBIT_SHIFT[kind]) + (credit << CREDIT_SHIFT[kind]) for kind, debit, credit in pairs)
    stored = pack_counters(slot, counters)
    assert len(stored) == (128 if owner == HOUSE_ACCOUNT else 64)
    assert unpack_counters(stored) == counters
    assert [(kind, debits(counters, kind), credits(counters, kind)) for kind in kinds] == pairs


def test_a_counter_that_outgrows_its_128_bits_is_not_stored() -> None:
    with pytest.raises(OverflowError):
        pack_counters(slot_of(1, 1), 1 << 512)


@pytest.mark.parametrize(
    ("owner", "kind", "debited", "credited", "expected", "is_negative"),
    [
        (7, AccountKind.CLIENT, 0, 0, 0, False),
        (7, AccountKind.CLIENT, 2, 5, 3, False),
        (7, AccountKind.CLIENT, 5, 2, -3, True),
        (7, AccountKind.HOLD, 2, 5, 3, False),
        (7, AccountKind.HOLD, 6, 5, -1, True),
        (0, AccountKind.FEE, 1, 9, 8, False),
        (0, AccountKind.FEE, 9, 8, -1, True),
        (0, AccountKind.CUSTODY, 9, 2, 7, False),
        (0, AccountKind.CUSTODY, 2, 9, -7, True),
        (0, AccountKind.CLEARING, 4, 4, 0, False),
        (0, AccountKind.CLEARING, 5, 4, -1, True),
    ],
)
def test_balances(owner: int, kind: AccountKind, debited: int, credited: int, expected: int, is_negative: bool) -> None:
    counters = (debited << DEBIT_SHIFT[kind]) + (credited << CREDIT_SHIFT[kind])
    assert balance(counters, kind) == expected
    assert first_negative(slot_of(owner, 1), counters) == (kind if is_negative else None)


def test_the_house_pays_from_its_fees_and_a_client_from_its_own() -> None:
    assert funds_kind(HOUSE_ACCOUNT) == AccountKind.FEE
    assert funds_kind(1) == AccountKind.CLIENT

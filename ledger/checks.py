"""What must hold of all balances at one entry: what was compared, how much of it, and what is wrong.

Settlement checks the stored balances before it writes, a report before it shows them, the reconciliation as a part of its
proof. Whatever single counter changes, `check_double_entry` finds it: its asset no longer sums to zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.definitions import balances_digest
from engine.records import HOUSE_ACCOUNT, StateReport
from ledger.accounts import (
    COUNTER_MASK,
    Account,
    AccountKind,
    balance,
    credits,
    debits,
    first_negative,
    funds_kind,
    slot_asset,
    slot_kinds,
    slot_owner,
)

BALANCE_MAX = 2**63 - 1
"""No sum of money is larger: a larger balance is a changed one."""


class Check(NamedTuple):
    """One thing that was compared."""

    name: str
    looked_at: int
    """How many items were looked at."""
    fault: str = ""
    """What is wrong; the first of it where there is much."""
    may_be_empty: bool = False
    """Whether sound books may have nothing to look at here: there may be no trades, or no money yet."""

    @property
    def passed(self) -> bool:
        return not self.fault and (self.looked_at > 0 or self.may_be_empty)

    @property
    def detail(self) -> str:
        return self.fault or ("" if self.passed else "there was nothing to look at")


class BalanceRow(NamedTuple):
    """What an owner has of an asset, in smallest units."""

    owner: int
    asset: int
    available: int
    held: int

    @property
    def total(self) -> int:
        return self.available + self.held


def balance_row(slot: int, counters: int) -> BalanceRow:
    """What the counters of a slot say its owner has."""
    owner = slot_owner(slot)
    return BalanceRow(
        owner, slot_asset(slot), balance(counters, funds_kind(owner)), balance(counters, AccountKind.HOLD)
    )


def fault_of_sums(counters: dict[int, int]) -> str:
    """What the balances say against each other, without asking anybody; empty for sound ones.

    Cost: about 1 µs a slot.
    """
    checks = (check_double_entry(counters), check_negatives(counters), check_clearing(counters))
    return next((check.fault for check in checks if check.fault), "")


def check_double_entry(counters: dict[int, int]) -> Check:
    """For each asset, what was debited is what was credited."""
    clients: dict[int, int] = {}
    house: dict[int, int] = {}
    for slot, value in counters.items():
        # All counters of a slot are added at once: no sum of them outgrows its 128 bits.
        sums = clients if slot >> 16 else house
        sums[slot & 0xFFFF] = sums.get(slot & 0xFFFF, 0) + value
    difference = {
        asset: _debited_less_credited(1 << 16, clients.get(asset, 0)) + _debited_less_credited(0, house.get(asset, 0))
        for asset in sorted(clients.keys() | house.keys())
    }
    faults = [f"asset {asset} differs by {amount}" for asset, amount in difference.items() if amount]
    return Check("debits equal credits, per asset", len(difference), first_of(faults))


def _debited_less_credited(slot: int, counters: int) -> int:
    return sum(debits(counters, kind) - credits(counters, kind) for kind in slot_kinds(slot))


def check_negatives(counters: dict[int, int]) -> Check:
    """No account owes more than it has."""
    faults = [
        f"{account_text(slot, kind)} is at {balance(value, kind)}"
        for slot, value in counters.items()
        if (kind := first_negative(slot, value)) is not None
    ]
    return Check("no balance is negative", account_count(counters), first_of(faults))


def check_clearing(counters: dict[int, int]) -> Check:
    """Nothing is left on its way between custody and a client."""
    house = {slot: value for slot, value in counters.items() if slot_owner(slot) == HOUSE_ACCOUNT}
    faults = [
        f"{account_text(slot, AccountKind.CLEARING)} is at {balance(value, AccountKind.CLEARING)}"
        for slot, value in house.items()
        if balance(value, AccountKind.CLEARING)
    ]
    return Check("clearing accounts are zero", len(house), first_of(faults))


def fault_of_balances(counters: dict[int, int], report: StateReport) -> str:
    """How the balances differ from the ones that the engine has reported; empty for equal ones.

    Cost: about 2 µs a slot.
    """
    balances = [*_balances(counters)]
    if too_large := [each for each in balances if max(map(abs, each[2:])) > BALANCE_MAX]:
        owner, asset, available, held = too_large[0]
        return f"account {owner} has {available} available and {held} held of asset {asset}, which is no sum of money"
    if len(balances) == report.balances and balances_digest(balances) == report.balances_hash:
        return ""
    return f"the engine has {report.balances} balances, the ledger {len(balances)}, or their amounts differ"


def _balances(counters: dict[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Owner, asset, available and held of each balance that is not zero, in their order."""
    for slot in sorted(counters):
        value = counters[slot]
        available = (value >> 128 & COUNTER_MASK) - (value & COUNTER_MASK)
        held = (value >> 384 & COUNTER_MASK) - (value >> 256 & COUNTER_MASK)
        if available or held:
            yield slot >> 16, slot & 0xFFFF, available, held


def account_count(slots: Iterable[int]) -> int:
    """How many accounts these slots have."""
    return sum(2 if slot >> 16 else 4 for slot in slots)


def account_text(slot: int, kind: AccountKind) -> str:
    """
    >>> account_text(7 << 16 | 3, AccountKind.HOLD)
    'hold of account 7 in asset 3'
    """
    account = Account(slot_owner(slot), slot_asset(slot), kind)
    return f"{account.kind.name.lower()} of account {account.owner} in asset {account.asset}"


def first_of(faults: list[str]) -> str:
    """The first fault, and how many more there are."""
    return "" if not faults else faults[0] + (f", and {len(faults) - 1} more" if len(faults) > 1 else "")

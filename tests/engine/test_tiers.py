"""Tiers of limits and what keys carry: the engine keeps both in its state, judges them by one rule, and gives them no meaning."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core import Core
from engine.definitions import SavedStateFault, limits_faults
from engine.networks import pack_networks
from engine.reasons import Reason
from engine.records import (
    ADDRESS_LIMITS,
    DEFAULT_LIMITS,
    DEFAULT_TIER,
    KEY_DEFINITION,
    LIMIT_MAX,
    LIMIT_NAMES,
    SAVED_ACCOUNT,
    SAVED_VENUE,
    TIER_LIMITS,
    TIERS_MAX,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventKind,
    KeyDefinition,
    KeyType,
    Permission,
    TierLimits,
)
from engine.reference import Core as ReferenceCore
from tests.engine.test_dump import change_first

NOTE = (b"operator", b"test", b"")
BOTH = pytest.mark.parametrize("make", [ReferenceCore, Core], ids=["reference", "compiled"])


class Venue:
    """An engine with two accounts, to which one command is put at a time."""

    def __init__(self, make: Any) -> None:
        self.core = make()
        self.number = 0
        for name in (b"alice", b"bob"):
            self.put(CommandKind.ACCOUNT_ADD, name)

    def put(self, kind: CommandKind, *parts: bytes, account: int = 0) -> Event:
        """Executes one command; the event that answers it."""
        builder = BatchBuilder()
        builder.add(Command(kind=kind, account=account), *parts, *NOTE)
        self.number += 1
        (event,) = EventEntry(self.core.execute(1, builder.build(producer=1, incarnation=1, number=self.number)))
        return event

    def set_limits(self, tier: bytes, **numbers: int) -> Event:
        limits = DEFAULT_LIMITS if tier == DEFAULT_TIER else TierLimits()
        return self.put(CommandKind.LIMITS_SET, TIER_LIMITS.pack(limits._replace(**numbers)), tier)


@BOTH
def test_tiers_are_numbered_as_they_are_first_defined(make: Any) -> None:
    venue = Venue(make)
    numbers = [venue.set_limits(tier, orders_per_10_s=5).state for tier in (b"maker", b"default", b"taker", b"maker")]
    assert numbers == [1, 0, 2, 1]
    event = venue.put(CommandKind.ACCOUNT_LIMITS_SET, b"taker", account=2)
    assert (event.kind, event.account, event.state) == (EventKind.ACCOUNT_LIMITS_CHANGED, 2, 2)
    event = venue.put(CommandKind.ACCOUNT_LIMITS_SET, b"default", account=2)
    assert (event.kind, event.account, event.state) == (EventKind.ACCOUNT_LIMITS_CHANGED, 2, 0)


@BOTH
@pytest.mark.parametrize(
    ("tier", "account", "reason"),
    [
        (b"maker", 1, Reason.UNKNOWN_TIER),
        (b"", 1, Reason.UNKNOWN_TIER),
        (b"Default", 1, Reason.UNKNOWN_TIER),
        (b"default", 0, Reason.UNKNOWN_ACCOUNT),
        (b"default", 3, Reason.UNKNOWN_ACCOUNT),
    ],
)
def test_an_account_gets_no_tier_that_is_not_there(make: Any, tier: bytes, account: int, reason: Reason) -> None:
    venue = Venue(make)
    before = venue.core.state_hash()
    event = venue.put(CommandKind.ACCOUNT_LIMITS_SET, tier, account=account)
    assert (event.kind, event.reason) == (EventKind.REJECTED, reason)
    assert len({before, venue.core.state_hash()}) == 2, "the batch was taken"
    assert SAVED_VENUE.unpack_from(venue.core.dump()).tier_count == 1


@BOTH
@pytest.mark.parametrize("tier", [b"", b"Maker", b"a-b", b"a" * 21, b"caf\xc3\xa9", b"a\n"])
def test_a_tier_needs_a_name(make: Any, tier: bytes) -> None:
    assert Venue(make).set_limits(tier, orders_per_10_s=5).reason == Reason.INVALID_LIMITS


@BOTH
def test_there_are_so_many_tiers_and_those_can_still_be_changed(make: Any) -> None:
    venue = Venue(make)
    for number in range(1, TIERS_MAX):
        assert venue.set_limits(b"tier%d" % number).state == number
    assert venue.set_limits(b"one_more").reason == Reason.TOO_MANY_TIERS
    assert venue.set_limits(b"tier7", orders_per_10_s=7).state == 7


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_each_number_of_a_tier_has_a_range(name: str) -> None:
    of_address = name in ADDRESS_LIMITS
    assert limits_faults(DEFAULT_TIER, DEFAULT_LIMITS._replace(**{name: LIMIT_MAX})) == []
    assert limits_faults(DEFAULT_TIER, DEFAULT_LIMITS._replace(**{name: LIMIT_MAX + 1})) == [
        f"{name} is above {LIMIT_MAX}"
    ]
    assert limits_faults(DEFAULT_TIER, DEFAULT_LIMITS._replace(**{name: 0})) == [f"{name} is 0"]
    assert limits_faults(b"maker", TierLimits()) == [], "0 is the number of the default tier"
    assert bool(limits_faults(b"maker", TierLimits()._replace(**{name: 1}))) is of_address


@pytest.mark.parametrize("field", [name for name in TierLimits._fields if name not in LIMIT_NAMES])
def test_what_is_reserved_is_refused(field: str) -> None:
    assert limits_faults(b"maker", TierLimits()._replace(**{field: 1})) == ["reserved is in use"]


@BOTH
def test_a_dump_carries_tiers_and_keys(make: Any) -> None:
    venue = Venue(make)
    venue.set_limits(b"maker", orders_per_10_s=5)
    venue.put(CommandKind.ACCOUNT_LIMITS_SET, b"maker", account=1)
    key = KEY_DEFINITION.pack(KeyDefinition(KeyType.HMAC_SHA256, Permission.READ, 2**62))
    venue.put(CommandKind.KEY_ADD, key, b"k1", b"", pack_networks(["203.0.113.0/24", "2001:db8::/32"]), account=1)
    dump = venue.core.dump()
    for loaded in (ReferenceCore.load(dump), Core.load(dump)):
        assert loaded.dump() == dump
        assert pack_networks(["203.0.113.0/24", "2001:db8::/32"]) in dump
        assert TIER_LIMITS.pack(TierLimits(orders_per_10_s=5)) in dump


@BOTH
def test_an_expiry_is_a_time(make: Any) -> None:
    key = KEY_DEFINITION.pack(KeyDefinition(KeyType.HMAC_SHA256, Permission.READ, -1))
    assert Venue(make).put(CommandKind.KEY_ADD, key, b"k1", b"", b"", account=1).reason == Reason.INVALID_KEY


@BOTH
def test_networks_in_another_form_are_refused(make: Any) -> None:
    key = KEY_DEFINITION.pack(KeyDefinition(KeyType.HMAC_SHA256, Permission.READ))
    networks = pack_networks(["203.0.113.0/24"])
    event = Venue(make).put(CommandKind.KEY_ADD, key, b"k1", b"", networks * 2, account=1)
    assert (event.kind, event.reason) == (EventKind.REJECTED, Reason.INVALID_NETWORKS)


@BOTH
@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda dump: change_first(dump, SAVED_VENUE, tier_count=0), "there are 0 tiers"),
        (lambda dump: change_first(dump, SAVED_VENUE, tier_count=TIERS_MAX + 1), f"there are {TIERS_MAX + 1} tiers"),
        (lambda dump: change_first(dump, TIER_LIMITS, orders_per_day=0), "orders_per_day is 0"),
        (lambda dump: change_first(dump, SAVED_ACCOUNT, tier=1), "account 0 has tier 1, which is not there"),
        (lambda dump: dump.replace(b"\x07\0default", b"\x07\0defaulx"), "tier 0, b'defaulx', is not valid"),
    ],
)
def test_a_dump_with_other_tiers_is_refused(make: Any, damage: Any, why: str) -> None:
    with pytest.raises(SavedStateFault, match=why):
        make.load(damage(Core().dump()))

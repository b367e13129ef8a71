"""What operators did, from a verified journal: every kind, refusals, and entries that somebody else has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.journal import EVENTS_KEY, JOURNAL_KEY, ChainBroken, EntryId, Store, StoreSource
from engine.networks import pack_networks
from engine.records import (
    FEES,
    KEY_DEFINITION,
    TIER_LIMITS,
    BatchBuilder,
    Command,
    CommandKind,
    Fees,
    KeyDefinition,
    KeyType,
    MarketState,
    TierLimits,
)
from jibek.venue.audit import KINDS, OF_NO_OPERATOR, OF_OPERATORS, Act, Audit, may_be_of_operator, parts_of
from tests.worlds.stepped_venue import SteppedVenue

SIGNATURE = (b"aigerim", b"because", b"alice/1000")
K = CommandKind


@pytest.fixture
def venue(client: Store, tmp_path: Path) -> SteppedVenue:
    return SteppedVenue(client, tmp_path)


def acts(venue: SteppedVenue) -> list[Act]:
    """What was done after the definition of the venue."""
    return [act for act in Audit(StoreSource(venue.client)).acts() if act.why != "venue definition"]


def test_every_kind_is_of_an_operator_or_not() -> None:
    assert set(CommandKind) == OF_OPERATORS | OF_NO_OPERATOR and not OF_OPERATORS & OF_NO_OPERATOR
    assert {"deposit", "withdraw", "halt", "resume", "key-add"} <= set(KINDS) and "market-state-set" not in KINDS


def test_every_kind_says_what_it_did(venue: SteppedVenue) -> None:
    key = KEY_DEFINITION.pack(KeyDefinition(KeyType.HMAC_SHA256, 3, 1_900_000_000_000_000))
    done: list[tuple[Command, tuple[bytes, ...], str, str, str]] = [
        (Command(kind=K.ACCOUNT_ADD), (b"alice",), "account-add", "alice", "alice"),
        (Command(kind=K.DEPOSIT, account=1, asset=1, amount=150), (), "deposit", "alice", "1.50 KZT"),
        (Command(kind=K.WITHDRAW, account=1, asset=1, amount=50), (), "withdraw", "alice", "0.50 KZT"),
        (Command(kind=K.MARKET_STATE_SET, market=1, state=MarketState.HALTED), (), "halt", "", "BTCKZT"),
        (Command(kind=K.MARKET_STATE_SET, state=MarketState.TRADING), (), "resume", "", "the whole venue"),
        (Command(kind=K.ACCOUNT_FREEZE, account=1), (), "account-freeze", "alice", ""),
        (Command(kind=K.ACCOUNT_UNFREEZE, account=1), (), "account-unfreeze", "alice", ""),
        (
            Command(kind=K.KEY_ADD, account=1), (key, b"k1", b"", pack_networks(("203.0.113.0/24",))), "key-add", "alice",
            "k1: hmac_sha256, may read, trade, expires 2030-03-17T17:46:40.000000Z, from 203.0.113.0/24",
        ),
        (Command(kind=K.KEY_REVOKE, account=1), (b"k1",), "key-revoke", "alice", "k1"),
        (
            Command(kind=K.LIMITS_SET), (TIER_LIMITS.pack(TierLimits(orders_per_10_s=1000)), b"mm"), "limits-set", "",
            "mm: orders_per_10_s 1,000",
        ),
        (Command(kind=K.ACCOUNT_LIMITS_SET, account=1), (b"mm",), "account-limits-set", "alice", "mm"),
        (
            Command(kind=K.FEES_SET, market=1), (FEES.pack(Fees(1000, 2000)),), "fees-set", "",
            "BTCKZT: maker 0.1%, taker 0.2%",
        ),
        (
            Command(kind=K.FEES_SET, account=1), (FEES.pack(Fees(0, 0)),), "fees-set", "alice",
            "all markets: maker 0%, taker 0%",
        ),
    ]  # fmt: skip
    builder = BatchBuilder()
    for command, parts, *_ in done:
        builder.add(command, *parts, *SIGNATURE)
    venue.execute(builder)
    found = acts(venue)
    assert [(act.kind, act.account, act.what) for act in found] == [tuple(row[2:]) for row in done]
    assert {(act.operator, act.why, act.system_user, act.refused) for act in found} == {
        ("aigerim", "because", "alice/1000", "")
    }


def test_the_definition_of_a_venue_is_shown_too(venue: SteppedVenue) -> None:
    found = list(Audit(StoreSource(venue.client)).acts())
    assert ("market-add", "BTCKZT") in [(act.kind, act.what) for act in found]
    assert {act.operator for act in found} == {"test"}


@pytest.mark.parametrize(
    ("command", "parts", "reason", "what", "who"),
    [
        (Command(kind=K.DEPOSIT, account=9, asset=1, amount=5), SIGNATURE, "UNKNOWN_ACCOUNT", "0.05 KZT", "aigerim"),
        (Command(kind=K.DEPOSIT, account=9, asset=99, amount=5), SIGNATURE, "UNKNOWN_ACCOUNT", "5 of asset 99", "aigerim"),
        (Command(kind=K.ACCOUNT_ADD), (b"No Name", *SIGNATURE), "INVALID_ACCOUNT_NAME", "No Name", "aigerim"),
        (Command(kind=K.ACCOUNT_ADD), (), "MALFORMED_COMMAND", "unreadable", ""),
        (Command(kind=K.KEY_ADD, account=1), SIGNATURE, "MALFORMED_COMMAND", "unreadable", "aigerim"),
        (Command(kind=K.KEY_ADD), (b"x", b"y", b"z", b"w", *SIGNATURE), "MALFORMED_COMMAND", "unreadable", "aigerim"),
        (Command(kind=K.MARKET_STATE_SET, market=77, state=2), SIGNATURE, "UNKNOWN_MARKET", "market 77", "aigerim"),
        (Command(kind=K.ACCOUNT_ADD), (b"x", b"\xff\x1b[2J", b"\n", b""), "INVALID_ACCOUNT_NAME", "x", "\\xff\x1b[2J"),
    ],
)  # fmt: skip
def test_what_was_refused_is_shown_with_its_reason(
    venue: SteppedVenue, command: Command, parts: tuple[bytes, ...], reason: str, what: str, who: str
) -> None:
    if parts[:1] == (b"x",) and command.kind == K.ACCOUNT_ADD:
        venue.command(K.ACCOUNT_ADD, b"x", *SIGNATURE)
        reason = "ACCOUNT_EXISTS"
    builder = BatchBuilder()
    builder.add(command, *parts)
    venue.execute(builder)
    act = acts(venue)[-1]
    assert (act.refused, act.what, act.operator) == (reason, what, who)


def test_orders_are_not_shown(venue: SteppedVenue) -> None:
    venue.trade_once()
    assert {act.kind for act in acts(venue)} == {"account-add", "deposit"}
    builder = BatchBuilder()
    builder.add(Command(kind=K.ORDER_CANCEL_ALL, account=1))
    batch = builder.build(producer=1, incarnation=1, number=1)
    assert not may_be_of_operator(batch)


def test_a_kind_that_it_knows_nothing_about_is_shown_by_its_fields(venue: SteppedVenue) -> None:
    from jibek.venue.audit import _fields

    command = Command(kind=K.DEPOSIT, account=1, amount=5, state=2, expiry_us=7)
    shown = _fields(Audit(StoreSource(venue.client)), command, [b"two clocks"])
    assert shown == "amount 5, expiry_us 7, state 2, two clocks"
    assert parts_of(command._replace(blob_offset=0, blob_length=3), b"\x05\x00a") == []


@pytest.mark.parametrize(("stream", "field"), [(EVENTS_KEY, b"b"), (JOURNAL_KEY, b"b")])
def test_an_entry_that_was_changed_is_not_shown(venue: SteppedVenue, stream: str, field: bytes) -> None:
    """One bit of the deposit, the last entry, is turned."""
    venue.command(K.ACCOUNT_ADD, b"alice", *SIGNATURE)
    venue.command(K.DEPOSIT, *SIGNATURE, account=1, asset=1, amount=150)
    entries = venue.client.xrange(stream)
    last, fields = entries[-1]
    fields[field] = fields[field][:-1] + bytes([fields[field][-1] ^ 1])
    venue.client.delete(stream)
    for id, each in entries:
        venue.client.xadd(stream, each, id=id)
    audit = Audit(StoreSource(venue.client))
    found = audit.acts()
    with pytest.raises(ChainBroken):
        for act in found:
            assert act.kind != "deposit"
    assert audit.verified_to < EntryId.parse(last)

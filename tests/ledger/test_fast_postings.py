"""The compiled rules of double entry against the specification."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import (
    EVENT_BYTES,
    EVENT_HEADER,
    ORDER_EVENT,
    PREVENTED_EVENT,
    TRADE_EVENT,
    Event,
    EventKind,
    Layout,
    MalformedRecord,
    OrderEvent,
    Side,
)
from ledger import fast_postings, postings
from ledger.postings import Posted, PostingError
from tests.ledger.test_postings import any_event, trade
from tests.worlds.ledger import event_entry

_MONEY = ("kind", "side", "account", "base_asset", "quote_asset", "hold_change")
FIELDS: list[tuple[Layout[Any], str]] = [
    *((ORDER_EVENT, name) for name in (*_MONEY, "asset", "amount")),
    *((TRADE_EVENT, name) for name in (*_MONEY, "maker_account", "base_amount", "quote_amount")),
    *((TRADE_EVENT, name) for name in ("maker_hold_change", "fee", "maker_fee")),
    *((PREVENTED_EVENT, name) for name in ("maker_account", "maker_hold_change")),
]
"""What postings read of an event."""


def outcome(module: object, data: bytes) -> Posted | str:
    """What a module makes of an entry, or what it has against it."""
    try:
        return module.post(data)  # type: ignore[attr-defined, no-any-return]
    except PostingError as error:
        return str(error)


def assert_same(events: list[Event]) -> None:
    assert_same_of_bytes(event_entry(*events))


def assert_same_of_bytes(data: bytes) -> None:
    mine, specified = outcome(fast_postings, data), outcome(postings, data)
    assert mine == specified
    if isinstance(mine, Posted) and isinstance(specified, Posted):
        assert list(mine.changes) == list(specified.changes)


@settings(max_examples=300)
@given(st.lists(any_event(), max_size=20))
def test_the_transfers_and_the_changes_are_the_same_bytes(events: list[Event]) -> None:
    assert_same(events)


@settings(max_examples=600)
@given(st.lists(any_event(), max_size=4), st.data())
def test_whatever_an_event_says_both_make_the_same_of_it(events: list[Event], data: st.DataObject) -> None:
    entry = bytearray(event_entry(*events))
    for start in range(EVENT_HEADER.size, len(entry), EVENT_BYTES):
        view, name = data.draw(st.sampled_from(FIELDS))
        code = next(code for field, code, _ in view.fields if field == name)
        bits = 8 * struct.calcsize("<" + code)
        low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1)
        value = data.draw(st.one_of(st.sampled_from([low, 0, 1, high]), st.integers(low, high)))
        struct.pack_into("<" + code, entry, start + view.offsets[name], value)
    assert_same_of_bytes(bytes(entry))


def test_many_accounts_in_one_entry() -> None:
    events: list[Event] = [
        OrderEvent(kind=EventKind.DEPOSITED, account=account, asset=asset, amount=account + 1)
        for account in range(900)
        for asset in (1, 2)
    ]
    assert_same(events)


def test_sums_beyond_64_bits_are_kept() -> None:
    largest = OrderEvent(kind=EventKind.DEPOSITED, account=1, asset=1, amount=2**62 - 1)
    assert_same([largest] * 40)


def test_what_does_not_contradict_itself_is_posted_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that the compiled code left to the specification would be the same by itself."""
    deposit = OrderEvent(kind=EventKind.DEPOSITED, account=1, asset=1, amount=5)
    events: list[Event] = [trade(Side.BUY), trade(Side.SELL), deposit]
    expected = postings.post(event_entry(*events))
    monkeypatch.delattr(fast_postings, "specified_post")
    assert fast_postings.post(event_entry(*events)) == expected
    with pytest.raises(NameError, match="specified_post"):
        fast_postings.post(event_entry(trade(Side.BUY, base_amount=-1)))


def test_an_entry_of_nothing_moves_nothing() -> None:
    assert fast_postings.post(event_entry()) == Posted(b"", {})


def test_bytes_that_are_no_event_entry_are_refused() -> None:
    with pytest.raises(MalformedRecord):
        fast_postings.post(event_entry(trade(Side.BUY))[:-1])

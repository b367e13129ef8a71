"""The compiled rules of double entry against the specification."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import EVENT, Event, EventKind, MalformedRecord, Side
from ledger import fast_postings, postings
from ledger.postings import Posted, PostingError
from tests.ledger.support import event_entry
from tests.ledger.test_postings import any_event, trade


def outcome(module: object, data: bytes) -> Posted | str:
    """What a module makes of an entry, or what it has against it."""
    try:
        return module.post(data)  # type: ignore[attr-defined, no-any-return]
    except PostingError as error:
        return str(error)


def assert_same(events: list[Event]) -> None:
    data = event_entry(*events)
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
    names = ("kind", "side", "account", "maker_account", "base_asset", "quote_asset", "base_amount", "quote_amount",
             "hold_change", "maker_hold_change", "fee", "maker_fee", "asset", "amount")  # fmt: skip
    widths = {name: code for name, code, _ in EVENT.fields}
    for index, event in enumerate(events):
        name = data.draw(st.sampled_from(names))
        bits = {"B": 8, "H": 16, "I": 32}.get(widths[name])
        low, high = (-(2**63) + 1, 2**63 - 1) if bits is None else (0, 2**bits - 1)
        value = data.draw(st.one_of(st.sampled_from([low, 0, 1, high]), st.integers(low, high)))
        events[index] = event._replace(**{name: value})
    assert_same(events)


def test_many_accounts_in_one_entry() -> None:
    events = [
        Event(kind=EventKind.DEPOSITED, account=account, asset=asset, amount=account + 1)
        for account in range(900)
        for asset in (1, 2)
    ]
    assert_same(events)


def test_sums_beyond_64_bits_are_kept() -> None:
    largest = Event(kind=EventKind.DEPOSITED, account=1, asset=1, amount=2**62 - 1)
    assert_same([largest] * 40)


def test_an_entry_of_nothing_moves_nothing() -> None:
    assert fast_postings.post(event_entry()) == Posted(b"", {})


def test_bytes_that_are_no_event_entry_are_refused() -> None:
    with pytest.raises(MalformedRecord):
        fast_postings.post(event_entry(trade(Side.BUY))[:-1])

"""The compiled core and the reference give the same bytes and the same state for the same journal."""

from __future__ import annotations

import os

import pytest

from engine.core import Core
from engine.reasons import Reason
from engine.records import BATCH_HEADER, EVENT_BYTES, Disposition, EventEntry, EventKind
from engine.reference import Core as ReferenceCore
from tests.engine.command_flow import CommandFlow
from tests.engine.query_parity import check_same_answers

SEED = int(os.environ.get("JIBEK_SEED", "20261123"))


def first_difference(expected: bytes, actual: bytes) -> str:
    """The first event in which two entries differ, for people."""
    for index, (left, right) in enumerate(zip(EventEntry(expected), EventEntry(actual), strict=False)):
        if left != right:
            names = type(left)._fields
            fields = [f"{name}: {a} != {b}" for name, a, b in zip(names, left, right, strict=False) if a != b]
            return f"event {index} ({EventKind(left.kind).name}): " + ", ".join(fields)
    return f"{len(EventEntry(expected))} events != {len(EventEntry(actual))} events, or the blobs differ"


def run_twins(seed: int, commands: int, check_every: int) -> dict[str, int]:
    """Drives both engines with about `commands` commands; returns how often each event and reason was seen."""
    repeat = f"repeat with: JIBEK_SEED={seed} python -m pytest tests/engine/test_twin.py"
    flow, reference, compiled = CommandFlow(seed), ReferenceCore(), Core()
    seen: dict[str, int] = {}
    count = entries = 0
    while count < commands:
        time_us, batch = flow.next_entry()
        expected, actual = reference.execute(time_us, batch), compiled.execute(time_us, batch)
        assert actual == expected, f"entry {entries}: {first_difference(expected, actual)}; {repeat}"
        flow.learn(expected)
        entry = EventEntry(expected)
        for event in entry:
            name = Reason(event.reason).name if event.kind == EventKind.REJECTED else EventKind(event.kind).name
            seen[name] = seen.get(name, 0) + 1
        if entry.header.disposition == Disposition.EXECUTED:
            count += BATCH_HEADER.unpack_from(batch).command_count
        entries += 1
        if entries % check_every == 0:
            reference.check()
            compiled.check()
            assert compiled.dump() == reference.dump(), f"state after entry {entries}; {repeat}"
            check_same_answers(reference, compiled)
            # Each goes on from what the other has dumped.
            reference, compiled = ReferenceCore.load(compiled.dump()), Core.load(reference.dump())
    reference.check()
    compiled.check()
    assert compiled.state_hash() == reference.state_hash(), repeat
    return seen


def test_100_000_mixed_commands() -> None:
    seen = run_twins(SEED, 100_000, check_every=500)
    expected = {
        "ORDER_ACCEPTED", "TRADE", "ORDER_CLOSED", "DEPOSITED", "WITHDRAWN", "KEY_ADDED", "KEY_REVOKED", "ACCOUNT_FROZEN",
        "ACCOUNT_UNFROZEN", "MARKET_STATE_CHANGED", "TIME_ACCEPTED", "FEES_CHANGED", "STATE_REPORTED",
        "MALFORMED_COMMAND", "UNKNOWN_COMMAND", "UNKNOWN_MARKET", "UNKNOWN_ACCOUNT", "MARKET_HALTED",
        "VENUE_HALTED", "INVALID_SIDE", "INVALID_ORDER_TYPE", "INVALID_TIME_IN_FORCE", "INVALID_SELF_TRADE_MODE",
        "INVALID_PRICE", "INVALID_QUANTITY", "INVALID_QUOTE_AMOUNT", "NOTIONAL_TOO_SMALL", "NOTIONAL_TOO_LARGE",
        "INVALID_CLIENT_ID", "DUPLICATE_CLIENT_ID", "TOO_MANY_OPEN_ORDERS", "WOULD_TAKE", "INSUFFICIENT_FUNDS",
        "UNKNOWN_ORDER", "NO_OPEN_ORDERS", "INVALID_AMOUNT", "INVALID_FEES", "INVALID_KEY", "WEAK_PUBLIC_KEY", "KEY_EXISTS", "UNKNOWN_KEY",
    }  # fmt: skip
    assert expected <= seen.keys(), f"never seen: {sorted(expected - seen.keys())}"
    assert seen["TRADE"] > 5_000, seen


@pytest.mark.parametrize("seed", range(5))
def test_every_command_leaves_both_states_sound(seed: int) -> None:
    run_twins(seed, 1_500, check_every=1)


def test_layouts_have_the_size_of_the_c_structs() -> None:
    """An entry with one event is as long as the Python layouts say, so the C structs have no padding."""
    flow, compiled = CommandFlow(SEED), Core()
    data = compiled.execute(*flow.next_entry())
    entry = EventEntry(data)
    assert len(data) == 48 + len(entry) * EVENT_BYTES + entry.header.blob_length


@pytest.mark.long
def test_two_million_mixed_commands() -> None:
    run_twins(SEED + 1, 2_000_000, check_every=5_000)

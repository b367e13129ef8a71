"""Dumps that were damaged: both engines refuse the same ones in the same words, and go on alike from those that they take.

What one engine dumps the other loads, also in the middle of an agenda. Bytes that are no dump of this version are refused
by name.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from unittest import mock

import pytest

from engine.book import Book
from engine.core import Core
from engine.definitions import RULES_VERSION, SavedStateFault, StateReader
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    MARKET_DEFINITION,
    NO_CLIENT_ID,
    SAVED_AGENDA_ITEM,
    SAVED_MARKET,
    SAVED_ORDER,
    SAVED_PRODUCER,
    SAVED_VENUE,
    AgendaKind,
    BatchBuilder,
    EngineStop,
    Layout,
    SavedAgendaItem,
)
from engine.reference import Core as ReferenceCore
from tests.engine.command_flow import CommandFlow
from tests.engine.query_parity import check_same_answers
from tests.engine.resident import resident_bytes
from tests.engine.test_bounds import Twins

SEED = int(os.environ.get("JIBEK_SEED", "20261127"))
ENTRIES_AFTER = 25
"""How many journal entries follow a dump: some 200 commands."""
NUMBERS = (0, 1, 2, 255, 2**31, 2**32 - 1, 2**53 - 1, 2**53, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)

Entries = list[tuple[int, bytes]]


class Span(NamedTuple):
    """A record in a dump."""

    layout: Layout[Any]
    start: int
    end: int


class Moment(NamedTuple):
    """A state in the middle of a flow, and what the journal has after it."""

    dump: bytes
    spans: list[Span]
    after: Entries


def spans_of(dump: bytes) -> list[Span]:
    """The places of the records of a dump, up to the first at which it is refused."""
    spans = []

    class Noting(StateReader):
        def record(self, layout: Layout[Any]) -> Any:
            start = self.offset
            record = super().record(layout)
            spans.append(Span(layout, start, self.offset))
            return record

    with mock.patch("engine.reference.report.StateReader", Noting), suppress(SavedStateFault):
        ReferenceCore.load(dump)
    return spans


def with_agenda(dump: bytes) -> bytes:
    """The same state with work on its agenda, as if the entry before had been full."""
    venue = SAVED_VENUE.unpack_from(dump)
    if venue.account_count < 4 or venue.market_count < 2:
        # The flow has lost the batch that defines them.
        return dump
    items = [
        SavedAgendaItem(AgendaKind.CLOSE_ORDERS, 1, 2, Reason.CANCELLED_BY_OWNER),
        SavedAgendaItem(AgendaKind.CLOSE_ORDERS, 3, 0, Reason.CANCELLED_BY_FREEZE),
    ]
    end = len(dump) - venue.producer_count * SAVED_PRODUCER.size
    head = SAVED_VENUE.pack(venue._replace(agenda_count=len(items)))
    return head + dump[len(head) : end] + b"".join(map(SAVED_AGENDA_ITEM.pack, items)) + dump[end:]


def moment(seed: int) -> Moment:
    """A random moment of a flow; one in two has work on its agenda."""
    pick, flow, core = random.Random(seed), CommandFlow(seed), ReferenceCore()

    def go_on(entries: int) -> Entries:
        done = []
        for _ in range(entries):
            done.append(flow.next_entry())
            flow.learn(core.execute(*done[-1]))
        return done

    go_on(pick.randrange(12, 150))
    dump = with_agenda(core.dump()) if seed % 2 else core.dump()
    return Moment(dump, spans_of(dump), go_on(ENTRIES_AFTER))


# -- what is done to a dump


def flip_bit(pick: random.Random, moment: Moment) -> bytes:
    data, bit = bytearray(moment.dump), pick.randrange(8 * len(moment.dump))
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def change_byte(pick: random.Random, moment: Moment) -> bytes:
    data = bytearray(moment.dump)
    data[pick.randrange(len(data))] = pick.choice((0, 1, 127, 128, 255, pick.randrange(256)))
    return bytes(data)


def cut_off(pick: random.Random, moment: Moment) -> bytes:
    return moment.dump[: pick.randrange(len(moment.dump))]


def append(pick: random.Random, moment: Moment) -> bytes:
    return moment.dump + pick.choice((b"\0", pick.randbytes(pick.randrange(1, 200)), moment.dump))


def change_field(pick: random.Random, moment: Moment) -> bytes:
    """One number of one record becomes another: a limit, a neighbour, or what the same field of another record says."""
    span = pick.choice(moment.spans)
    record = span.layout.unpack_from(moment.dump, span.start)
    name, code, _ = pick.choice(span.layout.fields)
    other = pick.choice([other for other in moment.spans if other.layout is span.layout])
    value = getattr(span.layout.unpack_from(moment.dump, other.start), name)
    if isinstance(value, int):
        value = pick.choice((value, *NUMBERS, getattr(record, name) + pick.choice((-1, 1))))
        width = {"b": 8, "h": 16, "i": 32, "q": 64}[code.lower()]
        value %= 1 << width
        if code.islower() and value >= 1 << (width - 1):
            value -= 1 << width
    packed = span.layout.pack(record._replace(**{name: value}))
    return moment.dump[: span.start] + packed + moment.dump[span.end :]


def swap_records(pick: random.Random, moment: Moment) -> bytes:
    one = pick.choice(moment.spans)
    other = pick.choice([other for other in moment.spans if other.layout is one.layout])
    data = bytearray(moment.dump)
    data[one.start : one.end], data[other.start : other.end] = data[other.start : other.end], data[one.start : one.end]
    return bytes(data)


def repeat_record(pick: random.Random, moment: Moment) -> bytes:
    span = pick.choice(moment.spans)
    return moment.dump[: span.end] + moment.dump[span.start :]


def drop_record(pick: random.Random, moment: Moment) -> bytes:
    span = pick.choice(moment.spans)
    return moment.dump[: span.start] + moment.dump[span.end :]


DAMAGE: tuple[Callable[[random.Random, Moment], bytes], ...] = (
    flip_bit, flip_bit, flip_bit, change_byte, cut_off, append, change_field, change_field, change_field, swap_records,
    repeat_record, drop_record,
)  # fmt: skip


# -- what the engines make of it


def load(make: Any, data: bytes) -> Any:
    """The engine, or why it refuses the dump."""
    try:
        return make.load(data)
    except SavedStateFault as fault:
        return str(fault)


def outcome(core: Any, time_us: int, batch: bytes) -> bytes | str:
    try:
        return core.execute(time_us, batch)
    except EngineStop as stop:
        return str(stop)


def go_on_alike(reference: ReferenceCore, compiled: Core, after: Entries) -> None:
    for time_us, batch in after:
        expected = outcome(reference, time_us, batch)
        assert outcome(compiled, time_us, batch) == expected
        if isinstance(expected, str):
            break
    reference.check()
    compiled.check()
    assert compiled.dump() == reference.dump()


def judge(data: bytes, after: Entries) -> bool:
    """Whether both engines take a dump; asserts that they give the same verdict, and go on alike where they do."""
    reference, compiled = load(ReferenceCore, data), load(Core, data)
    if isinstance(reference, str) or isinstance(compiled, str):
        assert reference == compiled, "both refuse it, in the same words"
        return False
    assert reference.dump() == compiled.dump() == data, "what was loaded is what is there"
    reference.check()
    compiled.check()
    go_on_alike(reference, compiled, after)
    return True


def damage_many(seed: int, moments: int, changes: int) -> tuple[int, int]:
    """How many damaged dumps were refused, and how many taken: what they say is not what was, and yet could be."""
    verdicts = [0, 0]
    for number in range(seed, seed + moments):
        there, pick = moment(number), random.Random(number)
        assert judge(there.dump, there.after)
        for change in range(changes):
            damage = pick.choice(DAMAGE)
            data = damage(pick, there)
            try:
                verdicts[judge(data, there.after)] += 1
            except BaseException as error:
                error.add_note(
                    f"moment {number}, change {change}, {damage.__name__}; "
                    f"repeat with: JIBEK_SEED={number} python -m pytest -m long tests/engine/test_dump.py"
                )
                raise
    return verdicts[0], verdicts[1]


def test_both_engines_judge_damaged_dumps_alike() -> None:
    refused, taken = damage_many(SEED, moments=6, changes=150)
    assert refused > 450 and taken > 60, (refused, taken)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_both_engines_judge_many_damaged_dumps_alike(seed: int) -> None:
    refused, taken = damage_many(SEED + 1_000 * seed, moments=50, changes=1_000)
    assert refused > 20_000 and taken > 2_000, (refused, taken)


# -- what no damage at random finds


def change_first(dump: bytes, layout: Layout[Any], **fields: Any) -> bytes:
    """The dump in which the first record of a kind says something else."""
    span = next(span for span in spans_of(dump) if span.layout is layout)
    record = layout.unpack_from(dump, span.start)._replace(**fields)
    return dump[: span.start] + layout.pack(record) + dump[span.end :]


def test_no_order_was_filled_after_the_last_entry() -> None:
    """Neither an order from the future, nor a clock that is earlier than what has happened."""
    there = moment(SEED)
    venue = SAVED_VENUE.unpack_from(there.dump)
    updated_us = max(
        SAVED_ORDER.unpack_from(there.dump, span.start).updated_us for span in there.spans if span.layout is SAVED_ORDER
    )
    assert judge(change_first(there.dump, SAVED_ORDER, updated_us=venue.time_us), [])
    assert not judge(change_first(there.dump, SAVED_ORDER, updated_us=venue.time_us + 1), [])
    assert judge(change_first(there.dump, SAVED_VENUE, time_us=updated_us), [])
    assert not judge(change_first(there.dump, SAVED_VENUE, time_us=updated_us - 1), [])


def test_numbers_at_the_end_of_what_64_bits_hold() -> None:
    """In C they would wrap, which the debug build sees: a key is a negative price, a level's quantity is a sum."""
    there = moment(SEED)
    for price_ticks in (-(2**63), -(2**63) + 1, 2**63 - 1):
        assert not judge(change_first(there.dump, SAVED_ORDER, price_ticks=price_ticks), [])
    # Four bids of the largest quantity that a market can have, all at one price.
    large = change_first(
        there.dump, MARKET_DEFINITION, price_min_ticks=1, quantity_max_lots=2**62 - 1, lot_units=1, tick_e8=10**14
    )
    large = change_first(large, SAVED_MARKET, bid_count=4, ask_count=0)
    start = next(span.start for span in there.spans if span.layout is SAVED_ORDER)
    lots = 2**62 - 1
    order = SAVED_ORDER.unpack_from(there.dump, start)
    order = order._replace(price_ticks=1, quantity_lots=lots, remaining_lots=lots, client_id=NO_CLIENT_ID)
    orders = [SAVED_ORDER.pack(order._replace(order_id=number)) for number in range(1, 5)]
    for count in range(1, 5):
        assert not judge(large[:start] + b"".join(orders[:count]), [])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "a SavedVenue is cut off"),
        (b"JIBEKST4", "a SavedVenue is cut off"),
        (b"This is a text, and by no means a short one, that somebody has taken for the dump of an exchange.", "b'This is ' is not the format b'JIBEKST4'"),
        (Book().to_bytes() + bytes(88), r"b'JBK1\\x00\\x00\\x00\\x00' is not the format"),
        (ReferenceCore().execute(1, b"") + bytes(88), "is not the format"),
        (BatchBuilder().build(producer=1, incarnation=1, number=1) + bytes(88), "is not the format"),
        (bytes(1_000), "is not the format"),
        (b"JIBEKST3" + ReferenceCore().dump()[8:], "b'JIBEKST3' is not the format b'JIBEKST4'"),
        (b"JIBEKST5" + ReferenceCore().dump()[8:], "b'JIBEKST5' is not the format b'JIBEKST4'"),
        (change_first(ReferenceCore().dump(), SAVED_VENUE, rules_version=1), "the rules are version 1; this engine has"),
        (
            change_first(ReferenceCore().dump(), SAVED_VENUE, rules_version=RULES_VERSION + 1),
            f"the rules are version {RULES_VERSION + 1}; this engine has {RULES_VERSION}",
        ),
        (ReferenceCore().dump() + b"\0", "1 bytes too many"),
        (ReferenceCore().dump()[:-1], "a name is cut off"),
        (change_first(ReferenceCore().dump(), SAVED_VENUE, account_count=0), "there is no house account"),
        (change_first(ReferenceCore().dump(), SAVED_VENUE, accepted_time_us=1), "is not one that the venue has had"),
        (change_first(ReferenceCore().dump(), SAVED_VENUE, accepted_difference_us=-AMOUNT_MAX - 1), "is not one that"),
        (change_first(ReferenceCore().dump(), SAVED_VENUE, accepted_store_us=-1), "the store's time that was accepted is"),
    ],
    ids=[
        "nothing", "a beginning", "a text", "a book", "an event entry", "a batch", "zeros", "an older format",
        "a newer format", "older rules", "newer rules", "one byte more", "one byte less", "no house", "a time to come",
        "a difference too large", "a store's time below zero",
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [ReferenceCore, Core], ids=["reference", "compiled"])
def test_what_is_no_dump_of_this_version_is_refused_by_name(make: Any, data: bytes, why: str) -> None:
    with pytest.raises(SavedStateFault, match=why):
        make.load(data)


def test_a_core_that_refuses_a_dump_gives_its_memory_back() -> None:
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer keeps memory that was given back")
    twins = Twins(SEED)
    twins.fund()
    twins.burst()
    # All but its last byte is read, and made into orders.
    dump = twins.engines[1].dump()[:-1]
    assert len(dump) > 10_000
    load(Core, dump)
    before = resident_bytes()
    for _ in range(10_000_000 // len(dump)):
        assert isinstance(load(Core, dump), str)
    assert resident_bytes() - before < 2_500_000, "10 MB of dumps were refused"


def test_a_dump_that_is_cut_off_anywhere_is_refused() -> None:
    dump = moment(SEED).dump
    for length in range(0, len(dump), 7):
        assert not judge(dump[:length], []), length


# -- dumps that are whole


def test_an_empty_venue_has_the_same_dump_in_both_engines() -> None:
    dump = Core().dump()
    assert dump == ReferenceCore().dump()
    assert judge(dump, [])


def test_dumps_go_from_one_engine_to_the_other_at_any_moment() -> None:
    flow, pick = CommandFlow(SEED), random.Random(SEED)
    reference, compiled = ReferenceCore(), Core()
    for _ in range(12):
        for _ in range(pick.randrange(1, 40)):
            time_us, batch = flow.next_entry()
            expected = reference.execute(time_us, batch)
            assert compiled.execute(time_us, batch) == expected
            flow.learn(expected)
        there = Core.load(reference.dump())
        back = ReferenceCore.load(there.dump())
        assert reference.state_hash() == there.state_hash() == back.state_hash() == compiled.state_hash()
        check_same_answers(back, there)
        reference, compiled = back, there


def test_dumps_go_from_one_engine_to_the_other_in_the_middle_of_an_agenda() -> None:
    twins = Twins(SEED)
    twins.fund()
    twins.leave_work()
    waiting = 0
    while twins.engines[1].next_deadline_us is not None:
        waiting += 1
        hashes = {engine.state_hash() for engine in twins.engines}
        twins.exchange_dumps()
        assert {engine.state_hash() for engine in twins.engines} == hashes and len(hashes) == 1, twins.repeat
        twins.check()
        twins.tick()
    assert waiting and twins.engines[1].open_order_count == 0

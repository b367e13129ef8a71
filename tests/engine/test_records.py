"""The binary records: packing, parts, batches, events, versions, and the C declarations that are written from them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import declarations, records
from engine.declarations import FILES
from engine.records import (
    BATCH_BYTES_MAX,
    BATCH_COMMANDS_MAX,
    BATCH_HEADER,
    EVENT_BYTES,
    EVENT_HEADER,
    EVENT_VIEWS,
    ORDER_EVENT,
    PREVENTED_EVENT,
    TRADE_EVENT,
    VERSION,
    BatchBuilder,
    Command,
    EventEntry,
    EventHeader,
    EventKind,
    Layout,
    MalformedRecord,
    OrderEvent,
    PreventedEvent,
    TradeEvent,
    client_id,
    is_sealed,
    pack_event,
    pack_parts,
    parse_batch,
    unpack_event,
    unpack_parts,
)

LAYOUTS: list[Layout[Any]] = [value for value in vars(records).values() if isinstance(value, Layout)]


@pytest.mark.parametrize("name", FILES)
def test_the_c_declarations_are_current(name: str) -> None:
    path = Path(declarations.__file__).with_name(name)
    assert path.read_text() == FILES[name](), "run: python -m engine.declarations"


def test_every_record_is_declared_in_c() -> None:
    text = FILES["records.pxd"]()
    assert len(LAYOUTS) > 20
    for layout in LAYOUTS:
        assert f"cdef struct {layout.record.__name__}:" in text


@st.composite
def any_record(draw: st.DrawFn, layout: Layout[Any]) -> Any:
    """A record with any value in each field that fits it."""
    values: list[int | bytes] = []
    for _, code, _ in layout.fields:
        width = struct.calcsize("<" + code)
        if code.endswith("s"):
            values.append(draw(st.binary(min_size=width, max_size=width)))
        else:
            bits = 8 * width
            low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            values.append(draw(st.integers(low, high)))
    return layout.record(*values)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.record.__name__)
@given(data=st.data())
def test_every_record_comes_back(layout: Layout[Any], data: st.DataObject) -> None:
    record = data.draw(any_record(layout))
    packed = layout.pack(record)
    assert len(packed) == layout.size
    assert layout.unpack_from(b"x" + packed, 1) == record
    for (name, code, _), value in zip(layout.fields, record, strict=True):
        assert struct.unpack_from("<" + code, packed, layout.offsets[name]) == (value,)


@pytest.mark.parametrize("view", EVENT_VIEWS[1:], ids=lambda view: view.record.__name__)
@given(data=st.data())
def test_all_views_of_an_event_agree_on_what_they_share(view: Layout[Any], data: st.DataObject) -> None:
    """A reader of kind, account, order id or amounts of an event need not know which view it is."""
    event = data.draw(any_record(view))
    as_order = ORDER_EVENT.unpack_from(view.pack(event))
    shared = OrderEvent._fields[: OrderEvent._fields.index("client_id") + 1]
    for name in set(shared) & set(view.record._fields):  # type: ignore[attr-defined]
        assert getattr(as_order, name) == getattr(event, name), name


def test_what_trades_and_prevented_trades_share_is_at_one_place() -> None:
    shared = TRADE_EVENT.offsets.keys() & PREVENTED_EVENT.offsets.keys()
    assert {"maker_order_id", "maker_account", "maker_hold_change", "maker_remaining_lots"} < shared
    assert all(TRADE_EVENT.offsets[name] == PREVENTED_EVENT.offsets[name] for name in shared)


@pytest.mark.parametrize(
    ("kind", "view"),
    [(EventKind.TRADE, TradeEvent), (EventKind.TRADE_PREVENTED, PreventedEvent)]
    + [(kind, OrderEvent) for kind in (*EventKind, 250) if kind not in (EventKind.TRADE, EventKind.TRADE_PREVENTED)],
)
def test_the_kind_of_an_event_says_its_view(kind: int, view: type[Any]) -> None:
    event = view(kind=kind, account=7, order_id=9, hold_change=-5)
    data = EVENT_HEADER.pack(EventHeader(event_count=1)) + pack_event(event)
    assert len(data) == EVENT_HEADER.size + EVENT_BYTES
    assert list(EventEntry(data)) == [event] == [unpack_event(data, EVENT_HEADER.size)]
    assert EventEntry(data).parts(event) == []


@given(st.lists(st.binary(max_size=300)))
def test_parts_come_back(parts: list[bytes]) -> None:
    assert unpack_parts(pack_parts(*parts)) == parts


@pytest.mark.parametrize("data", [b"\x01", b"\x02\x00a", b"\x00\x00\x05"])
def test_parts_that_are_cut_off(data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        unpack_parts(data)


def test_a_batch_comes_back() -> None:
    builder = BatchBuilder()
    first = Command(kind=40, account=3, price_ticks=-1, client_id=client_id("mine"))
    builder.add(first)
    builder.add(Command(kind=20), b"alice", b"me", b"why")
    header, commands, blobs = parse_batch(builder.build(producer=9, incarnation=8, number=7))
    assert (header.producer, header.incarnation, header.number, header.command_count) == (9, 8, 7, 2)
    assert commands[0] == first
    blob = blobs[commands[1].blob_offset : commands[1].blob_offset + commands[1].blob_length]
    assert unpack_parts(blob) == [b"alice", b"me", b"why"]


def test_a_batch_has_a_most_of_commands_and_bytes() -> None:
    many, large = BatchBuilder(), BatchBuilder()
    for _ in range(BATCH_COMMANDS_MAX):
        many.add(Command(kind=40))
    with pytest.raises(OverflowError):
        many.add(Command(kind=40))
    large.add(Command(kind=40), bytes(BATCH_BYTES_MAX - 400))
    with pytest.raises(OverflowError):
        large.add(Command(kind=40), bytes(400))


@given(st.binary(max_size=400))
def test_random_bytes_are_malformed_or_a_batch(data: bytes) -> None:
    try:
        header, commands, _ = parse_batch(data)
    except MalformedRecord:
        return
    assert len(commands) == header.command_count


@given(st.binary(max_size=400))
def test_random_bytes_are_no_event_entry(data: bytes) -> None:
    try:
        entry = EventEntry(data)
    except MalformedRecord:
        return
    assert len(list(entry)) == entry.header.event_count


def test_another_version_is_refused_by_name() -> None:
    builder = BatchBuilder()
    builder.add(Command(kind=40))
    batch = builder.build(producer=1, incarnation=1, number=1)
    entry = EVENT_HEADER.pack(EventHeader())
    for version in (0, 1, VERSION + 1):
        old = struct.pack("<H", version)
        with pytest.raises(MalformedRecord, match=f"the batch has format version {version}, .* reads 2"):
            parse_batch(old + batch[2:])
        with pytest.raises(MalformedRecord, match=f"the event entry has format version {version}, .* reads 2"):
            EventEntry(old + entry[2:])


def test_every_bit_that_turns_breaks_the_seal() -> None:
    builder = BatchBuilder()
    builder.add(Command(kind=40, account=3, price_ticks=-1, client_id=client_id("mine")))
    builder.add(Command(kind=20), b"alice", b"me", b"why")
    batch = builder.build(producer=9, incarnation=8, number=7)
    assert is_sealed(batch)
    for bit in range(8 * len(batch)):
        turned = bytearray(batch)
        turned[bit // 8] ^= 1 << bit % 8
        assert not is_sealed(bytes(turned)), f"bit {bit}"


@pytest.mark.parametrize("cut", [0, 1, BATCH_HEADER.size - 1, BATCH_HEADER.size, 100])
def test_a_batch_that_is_cut_off_or_longer_is_not_sealed(cut: int) -> None:
    builder = BatchBuilder()
    builder.add(Command(kind=40))
    batch = builder.build(producer=1, incarnation=1, number=1)
    assert not is_sealed(batch[:cut]) and not is_sealed(batch + b"\0")


def test_a_client_id_has_at_most_36_ascii_characters() -> None:
    assert client_id("abc") == b"abc".ljust(36, b"\0")
    with pytest.raises(ValueError, match="36"):
        client_id("x" * 37)
    with pytest.raises(ValueError):
        client_id("жібек")

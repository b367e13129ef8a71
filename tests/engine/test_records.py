"""The binary records: packing, parts, batches, and the C declarations that are written from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.records
from engine.records import (
    BATCH_BYTES_MAX,
    BATCH_COMMANDS_MAX,
    BatchBuilder,
    Command,
    EventEntry,
    MalformedRecord,
    c_declarations,
    client_id,
    pack_parts,
    parse_batch,
    unpack_parts,
)


def test_the_c_declarations_are_current() -> None:
    path = Path(engine.records.__file__).with_suffix(".pxd")
    assert path.read_text() == c_declarations(), "run: python -m engine.records"


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


def test_a_client_id_has_at_most_36_ascii_characters() -> None:
    assert client_id("abc") == b"abc".ljust(36, b"\0")
    with pytest.raises(ValueError, match="36"):
        client_id("x" * 37)
    with pytest.raises(ValueError):
        client_id("жібек")

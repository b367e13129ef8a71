"""Frames in C: what is taken at once, and where the unusual ones are left for the connection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.wire.connection import Connection
from gateway.wire.frames import encode_text, find_close, take_texts


def client_frame(payload: bytes, first_byte: int = 0x81) -> bytes:
    mask = b"\x37\xfa\x21\x3d"
    length = len(payload)
    if length < 126:
        head = bytes((first_byte, 0x80 | length))
    elif length < 65536:
        head = bytes((first_byte, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first_byte, 0xFF)) + length.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@given(st.lists(st.text(st.characters(max_codepoint=126), max_size=300), max_size=5), st.integers(0, 40))
def test_plain_frames_are_taken_in_order_and_a_cut_one_is_left(texts: list[str], cut: int) -> None:
    whole = b"".join(client_frame(text.encode()) for text in texts)
    taken: list[Any] = []
    rest = client_frame(b"last one, cut off somewhere")[: min(cut, 32)]
    assert take_texts(whole + rest, 0, 65536, 100, taken) == len(whole)
    assert taken == [text.encode() for text in texts]


@pytest.mark.parametrize(
    "unusual",
    [
        client_frame(b"{}", 0x01),
        client_frame(b"{}", 0x82),
        client_frame(b"{}", 0x89),
        client_frame(b"{}", 0xC1),
        client_frame("é".encode()),
        client_frame(b"\xff"),
        client_frame(b"x" * 501),
        client_frame(b"x" * 70_000),
        b"\x81\x02{}",
    ],
)
def test_an_unusual_frame_is_where_it_stops(unusual: bytes) -> None:
    taken: list[Any] = []
    plain = client_frame(b'{"id":1}')
    assert take_texts(plain + unusual + plain, 0, 500, 100, taken) == len(plain)
    assert taken == [b'{"id":1}']


def test_a_connection_takes_plain_and_unusual_frames_in_their_order() -> None:
    connection = Connection(0.0)
    key = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    connection.receive_data(key + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 0.0)
    connection.accept(0.0)
    stream = (
        client_frame(b"1") + client_frame("é".encode()) + client_frame(b"2") + client_frame(b"3a", 0x01)
        + client_frame(b"", 0x89) + client_frame(b"3b", 0x80) + client_frame(b"4")
    )  # fmt: skip
    for size in (len(stream), 1, 3, 7):
        received = [event for start in range(0, len(stream), size) for event in connection.receive_data(stream[start : start + size], 0.0)]  # fmt: skip
        assert received == [b"1", "é".encode(), b"2", b"3a3b", b"4"]


@given(st.one_of(st.integers(0, 300), st.sampled_from([65_534, 65_535, 65_536, 70_000])))
def test_a_frame_of_any_length_is_the_librarys(length: int) -> None:
    payload = b"x" * length
    assert encode_text(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(st.lists(st.integers(0, 70_000), max_size=6), st.booleans(), st.integers(1, 20))
def test_a_close_frame_is_found_behind_whole_frames(lengths: list[int], is_closed: bool, cut: int) -> None:
    before = b"".join(client_frame(b"\x88" * length, 0x81 if length > 125 else 0x89) for length in lengths)
    close = client_frame(b"\x03\xe8", 0x88)
    data = before + (close + client_frame(b"later") if is_closed else close[:-cut] if cut < len(close) else b"")
    assert find_close(data, 0) == ((len(before) + len(close), True) if is_closed else (len(before), False))

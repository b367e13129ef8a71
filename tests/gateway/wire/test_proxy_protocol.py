"""The PROXY protocol's header, whatever comes: read to its last byte and no further, or refused by name."""

from __future__ import annotations

import socket
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits import PROXY_HEADER_BYTES_MAX
from gateway.wire.proxy_protocol import SIGNATURE, VERSION_1_BYTES, ProxyHeader, ProxyHeaderRefused, read_header

PORTS = st.integers(0, 65535)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(
    lambda ip: not getattr(ip, "ipv4_mapped", None)
)


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, str]:
    """A header and the client that it names."""
    client = draw(ADDRESSES)
    version = client.version
    if draw(st.booleans()):
        us = draw(st.ip_addresses(v=version))
        return f"PROXY TCP{version} {client} {us} {draw(PORTS)} {draw(PORTS)}\r\n".encode(), str(client)
    kind, family = (socket.AF_INET, 0x11) if version == 4 else (socket.AF_INET6, 0x21)
    rest = socket.inet_pton(kind, str(client)) * 2 + struct.pack("!HH", draw(PORTS), draw(PORTS))
    rest += draw(st.binary(max_size=100))
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(rest)) + rest, str(client)


@settings(max_examples=50)
@given(header=headers(), following=st.binary(max_size=50), cut=st.floats(0, 1, exclude_max=True))
def test_a_header_is_read_to_its_last_byte_and_no_further(
    header: tuple[bytes, str], following: bytes, cut: float
) -> None:
    data, client = header
    assert read_header(data + following) == ProxyHeader(len(data), client)
    assert read_header(data[: int(len(data) * cut)]) is None, "it has not come whole"


@settings(max_examples=100)
@given(
    beginning=st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN", SIGNATURE, SIGNATURE + b"\x21"]),
    rest=st.binary(max_size=300),
)  # fmt: skip
def test_whatever_comes_is_a_header_or_refused(beginning: bytes, rest: bytes) -> None:
    data = beginning + rest
    try:
        header = read_header(data)
    except ProxyHeaderRefused as refused:
        assert str(refused)
        return
    if header is not None:
        assert 0 < header.size_bytes <= min(len(data), PROXY_HEADER_BYTES_MAX)
    elif not data.startswith(SIGNATURE):
        assert len(data) < VERSION_1_BYTES, "a line of version 1 has an end in time"

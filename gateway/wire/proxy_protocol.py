"""The PROXY protocol, versions 1 and 2: a header in front of a connection's bytes, in which a proxy says who the client is.

    PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\\r\\n                            version 1, at most 107 bytes

    12 bytes that no other protocol begins with                            version 2
    version and command · family · length of the rest · addresses · what else the proxy wants to say

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Only a header from a trusted proxy is read; nothing
here knows who that is.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from gateway.limits import PROXY_HEADER_BYTES_MAX
from gateway.wire.addresses import canonical

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins."""
VERSION_1_BYTES = 107
"""The longest header of version 1, with its line end."""
_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXIED = 0x20, 0x21
_UNKNOWN, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_NUMBER = r"(?:0|[1-9]\d{0,4})"
_LINE = re.compile(
    rf"PROXY TCP(?P<family>[46]) (?P<client>\S+) (?P<us>\S+) (?P<port>{_NUMBER}) (?P<our_port>{_NUMBER})"
)


class ProxyHeaderRefused(Exception):
    """A trusted proxy has sent something else than a header; the text says what is wrong with it."""


class ProxyHeader(NamedTuple):
    size_bytes: int
    """How many of the first bytes it takes."""
    client: str | None
    """The client's address; None where the proxy speaks for itself, as in a health check."""


def read_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of a connection; None if it has not come whole.

    >>> read_header(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\\r\\nGET / HTTP/1.1\\r\\n")
    ProxyHeader(size_bytes=42, client='192.0.2.1')
    >>> read_header(b"PROXY TCP4 192.0")

    Raises:
        ProxyHeaderRefused: what came is no header, or too long a one.
    """
    if data.startswith(SIGNATURE[: len(data)]):
        return _read_version_2(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _read_version_1(data)
    raise ProxyHeaderRefused("no PROXY header")


def _read_version_1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:VERSION_1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= VERSION_1_BYTES:
            raise ProxyHeaderRefused("a line without an end")
        return None
    size_bytes, text = len(line) + 2, line.decode("ascii", "replace")
    if text == "PROXY UNKNOWN" or text.startswith("PROXY UNKNOWN "):
        return ProxyHeader(size_bytes, None)
    found = _LINE.fullmatch(text)
    if found is None or max(int(found["port"]), int(found["our_port"])) > 0xFFFF:
        raise ProxyHeaderRefused("a line that is not TCP4 or TCP6, two addresses and two ports")
    kind = IPv4Address if found["family"] == "4" else IPv6Address
    try:
        kind(found["us"])
        return ProxyHeader(size_bytes, canonical(str(kind(found["client"]))))
    except ValueError:
        raise ProxyHeaderRefused("an address that is none of its family") from None


def _read_version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    size_bytes = _HEAD.size + length
    if command not in (_LOCAL, _PROXIED):
        raise ProxyHeaderRefused(f"version and command {command:#04x}")
    if size_bytes > PROXY_HEADER_BYTES_MAX:
        raise ProxyHeaderRefused(f"{size_bytes:,} bytes, more than {PROXY_HEADER_BYTES_MAX:,}")
    if len(data) < size_bytes:
        return None
    if command == _LOCAL or family == _UNKNOWN:
        return ProxyHeader(size_bytes, None)
    address_bytes = {_TCP4: 4, _TCP6: 16}.get(family)
    if address_bytes is None:
        raise ProxyHeaderRefused(f"family {family:#04x}, which is not TCP over IPv4 or IPv6")
    if length < 2 * address_bytes + 4:
        raise ProxyHeaderRefused("no room for its addresses")
    address = data[_HEAD.size : _HEAD.size + address_bytes]
    return ProxyHeader(size_bytes, canonical(str((IPv4Address if address_bytes == 4 else IPv6Address)(address))))
